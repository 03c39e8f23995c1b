"""How far a volume is from each source of a zoo.

- `patches`, `embedding`, `samples`: features of patches of a volume.
- `mmd`, `kernel`, `inference`, `baselines`: distances of two samples of features, with intervals and p-values.
- `ranking`: sources ranked for a volume, and whether one is near enough. `selection`: ranks a zoo and keeps the answer.
- `pairwise`, `distances`, `tree`, `phylogeny`, `newick`: distances of many domains, their tree, its comparison with a phylogeny.
"""
