"""Seeded watershed by flooding in levels: each voxel goes to the basin whose flood reaches it first.

After Meyer 1994 (Signal Processing 38:113-125): a flood rises level by level and never falls; within a level it spreads from the
seeds outward, first come, first served, from the lowest place in the array. So the result is one, on any machine, and costs one
visit a voxel.
"""

import numpy as np

from neuroadda.kernels.flooding import flood_levels

LEVELS = 4096
BORDER = np.uint32(0xFFFFFFFF)


def flood(height: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return the basin of every voxel that a flood reaches, 0 elsewhere.

    Parameters
    ----------
    height
        float, 2-D or 3-D, 0 to 1; told apart in `LEVELS` steps.
    seeds
        uint32, the same shape; the basins' numbers, below 2^32 - 1, 0 where there is no seed.

    Returns
    -------
    np.ndarray
        uint32, the same shape.
    """
    basins = np.pad(seeds, 1, constant_values=BORDER)
    level = np.zeros(basins.shape, np.uint16)
    inside = (slice(1, -1),) * basins.ndim
    np.rint(height * np.float32(LEVELS - 1), out=level[inside], casting="unsafe")
    steps = np.array(basins.strides) // basins.itemsize
    flood_levels(level.ravel(), basins.ravel(), np.concatenate([-steps, steps[::-1]]), LEVELS, BORDER)
    return basins[inside]
