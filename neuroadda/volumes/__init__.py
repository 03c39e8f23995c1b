"""Arrays in world units.

- `arrays`: an array with a place in the world. `importing`, `exporting`, `resampling`, `phantom`: how one comes to be, and leaves.
- `readers/`: every format that can be imported, one file each.
- `geometry/`: axes, units, voxel sizes, offsets, regions. `storage/`: paths and URLs, zarr's nodes, which chunks are there.
- `contents/`: whether values can be those of raw or labels. `coverage/`: where there is data, and tissue.
- `identity/`: what results were made of, and whether it was edited or moved since.
- `info`, `neuroglancer`, `nml`: a volume described for people and for other programs.
"""
