"""Which boxes to label.

- `uncertainty`, `scores`: how unsure a network is of a volume, block by block.
- `pool`, `lattice`, `strategies`, `propose`, `propose_config`, `proposals`: choose boxes and record them.
- `exports/`: proposals for other tools. `labels`, `label_inputs`, `label_boxes`, `box_states`, `replaced`: import labels of boxes.
"""
