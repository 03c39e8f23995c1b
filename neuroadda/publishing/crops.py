"""Segments cut out of a volume on coarser voxels."""

from dataclasses import dataclass

import numpy as np

from neuroadda.config import ZyxFloat
from neuroadda.pyramids.downsampling import choose_factor


def choose_coarsening(begin: np.ndarray, end: np.ndarray, voxel_size_nm: ZyxFloat, max_voxels: int) -> np.ndarray:
    """Return int64 zyx: how many voxels make a coarser one, as few as let a box have at most `max_voxels` coarser ones."""
    factor, size = np.ones(3, np.int64), np.array(voxel_size_nm)
    while (shape := -(-end // factor) - begin // factor).prod() > max_voxels:
        factor = factor * choose_factor(shape.tolist(), (size * factor).tolist())
    return factor


@dataclass
class Crop:
    """A segment in its box, on coarser voxels: each is in it where any finer one is.

    Attributes
    ----------
    begin
        The first coarser voxel, zyx from the origin.
    factor
        Voxels in a coarser one, zyx.
    mask
        bool, zyx.
    """

    begin: np.ndarray
    factor: np.ndarray
    mask: np.ndarray

    def add(self, voxels: np.ndarray, begin: np.ndarray) -> None:
        """Add voxels (bool, zyx) that lie at `begin`, from the origin, to the mask."""
        places = np.argwhere(voxels)
        self.mask[tuple(((places + begin) // self.factor - self.begin).T)] = True
