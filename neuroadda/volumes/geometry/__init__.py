"""Where voxels lie in the world: axes, units, voxel sizes, offsets, regions."""
