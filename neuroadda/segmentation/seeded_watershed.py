"""Seeded watershed in memory: smooth a map, find its maxima as seeds, flood it from them.

The watershed floods in levels, after Meyer 1994 (Signal Processing 38:113-125): a flood rises level by level and never falls;
within a level it spreads from the seeds outward, first come, first served, from the lowest place in the array. So the result is
one, on any machine, and costs one visit a voxel.
"""

import math
from collections.abc import Sequence

import numpy as np

from neuroadda.kernels.flooding import flood_levels
from neuroadda.kernels.maxima import mark_maxima
from neuroadda.kernels.smoothing import weigh_planes, weigh_rows

LEVELS = 4096
BORDER = np.uint32(0xFFFFFFFF)
REACH = 4.0  # sigmas, beyond which weights are left out


def find_maxima(values: np.ndarray, reach: tuple[int, ...]) -> np.ndarray:
    """Return bool, the same shape: where no voxel up to `reach` away along any axis has a higher value.

    Plateaus are maxima as a whole, and where the window leaves the array, only what is inside counts: the voxels that equal
    `scipy.ndimage.maximum_filter` of a window of 2 reach + 1, found several times as fast, since few of them beat even their
    neighbours.

    Parameters
    ----------
    values
        float32, 2-D or 3-D.
    """
    flat = values.ndim == 2
    z, y, x = (0, *reach) if flat else reach
    found = mark_maxima(np.ascontiguousarray(values[np.newaxis] if flat else values), z, y, x).view(bool)
    return found[0] if flat else found


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


def smooth(values: np.ndarray, sigma_vx: Sequence[float]) -> np.ndarray:
    """Return values smoothed by a Gaussian; beyond its border, an array goes on as its mirror image.

    The result equals that of `scipy.ndimage.gaussian_filter` to the last bit. Along the last two axes it is there in half the time,
    and no worker imports scipy, which takes as long as a block.

    Parameters
    ----------
    values
        float32, 2-D or 3-D.
    sigma_vx
        One for each axis; 0 leaves an axis as it is.

    Returns
    -------
    np.ndarray
        float32, the same shape.
    """
    smoothed = np.ascontiguousarray(values)
    for axis, sigma in enumerate(sigma_vx):
        if sigma > 0:
            shape = smoothed.shape
            weights = _weigh_distances(sigma)
            if axis == smoothed.ndim - 1:
                smoothed = weigh_rows(smoothed.reshape(-1, shape[-1]), weights).reshape(shape)
            else:
                planes = smoothed.reshape(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
                smoothed = weigh_planes(planes, weights).reshape(shape)
    return smoothed


def _weigh_distances(sigma: float) -> np.ndarray:
    """Return the weights of voxels 0, 1, 2, ... away (float64); those of both sides add up to 1."""
    reach = int(REACH * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(-reach, reach + 1) ** 2)
    return np.asarray(weights / weights.sum())[reach:].copy()
