"""What a segmentation leaves on disk, before anything of it is measured."""

BYTES_PER_VOXEL = 1.5  # all stages, compressed: 87 GiB of 64 Gvoxels, docs/results/plan.md
TOO_LITTLE, ENOUGH = 0.5, 1.5  # of that: raw that is noisier than the phantom's compresses less
