"""Affinity watershed in memory: basins of steepest ascent, and the rule that merges small ones.

Every voxel goes to the neighbour to which its affinity is highest; voxels that arrive at the same place are one basin. Edges
between basins are then met in descending order of affinity, and each merges its two fragments unless both are large (Zlateski and
Seung 2015, arXiv:1505.00249).

The paper divides a plateau of equal affinities by the distance to its exits. Here a rule decides that sees a voxel and its
neighbours only: of equal affinities, that to the lower z, then y, x, then upper z, y, x. So a basin depends on nothing far away.
The small basins that the rule makes of a plateau merge again.
"""

import math

import numpy as np

from neuroadda.kernels.absorbing import absorb
from neuroadda.kernels.ascending import mark_links, number_basins
from neuroadda.segmentation.contacts import FULL


def find_basins(affs: np.ndarray, low: float, high: float, sections: bool) -> tuple[np.ndarray, int]:
    """Return the basins (uint32, zyx, 1, 2, ... by their first voxel; 0 where no affinity counts) and their number.

    Parameters
    ----------
    affs
        uint8, shape (c, z, y, x); the first three channels are the nearest neighbours in z, y, x.
    low
        Affinities (0 to 1) below it, and those of 0, do not count.
    high
        Affinities (0 to 1) of at least this always join.
    sections
        Each z section alone.
    """
    links = mark_links(np.ascontiguousarray(affs), int(sections), _to_level(low), _to_level(high))
    found: tuple[np.ndarray, int] = number_basins(links)
    return found


def absorb_small(affs: np.ndarray, basins: np.ndarray, count: int, low: float, min_size: int, sections: bool) -> None:
    """Merge basins in place, the highest affinity first, unless both have at least `min_size` voxels by then.

    Numbers stay 1, 2, ... by the first voxel. Of equal affinities, the edge that comes first by axis, z, y, x is met first.

    Parameters
    ----------
    affs, low, sections
        As for `find_basins`.
    basins, count
        What it returned.
    """
    absorb(np.ascontiguousarray(affs), basins, count, int(sections), _to_level(low), min_size)


def keep_inside(affs: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Return uint8 affinities (3, z, y, x) that are 0 where either voxel is outside tissue (bool, zyx)."""
    inside = affs[:3] * tissue
    inside[0, 1:] *= tissue[:-1]
    inside[1, :, 1:] *= tissue[:, :-1]
    inside[2, :, :, 1:] *= tissue[:, :, :-1]
    return inside


def _to_level(affinity: float) -> int:
    """Return the lowest uint8 affinity that counts as at least this; never 0."""
    return max(1, math.ceil(affinity * FULL))
