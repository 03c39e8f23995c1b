"""How far a volume is from each source of a zoo.

- `patches`, `embedding`, `samples`: features of patches of a volume.
- `mmd`, `kernel`, `inference`, `baselines`: distances of two samples of features, with intervals and p-values.
- `consistency`: how well the boundaries of a network overlap in crops and their mirror images.
- `comparison`: MMD^2 of two embeddings, and how sure.
- `ranking`: sources ranked for a volume by that evidence. `selection`: ranks a zoo and keeps the answer, in a
  `ranking_file`.
- `pairwise`, `distances`, `tree`, `phylogeny`, `newick`: distances of many domains, their tree, its comparison with a phylogeny.
"""
