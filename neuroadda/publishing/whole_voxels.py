"""Places in whole voxels from the origin: what published volumes, meshes and skeletons are placed by.

A voxel i spans ``i .. i + 1`` times the voxel size, and its centre lies half a voxel above i. Surfaces of segments lie where voxels
meet, skeletons go through centres.
"""

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.label_ids import clean_ids


def first_voxel(volume: Volume) -> np.ndarray:
    """Return where a volume begins, int64 zyx in voxels from the origin.

    Raises
    ------
    UserError
        If that is no whole number.
    """
    begin, rest = np.divmod(np.array(volume.roi.begin), np.array(volume.voxel_size))
    if rest.any():
        what = f"its offset {volume.offset_nm} nm is not a whole number of voxels of {volume.voxel_size_nm} nm"
        raise UserError(
            what, str(volume.path), "published volumes have whole voxel offsets: import it with another --offset"
        )
    return begin.astype(np.int64)


def make_voxel_grid(volume: Volume, block_vx: Zyx) -> BlockGrid:
    """Return a grid over a volume in voxels from the origin."""
    shape = volume.shape_vx
    z, y, x = (min(b, s) for b, s in zip(block_vx, shape, strict=True))
    return BlockGrid.make(Roi(first_voxel(volume).tolist(), shape), Coordinate(1, 1, 1), (z, y, x))


def read_ids(volume: Volume, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return uint64 ids of the voxels ``begin .. end``, zyx from the origin; 0 where nothing is labelled."""
    first = first_voxel(volume)
    return clean_ids(volume.read_box(to_box(begin - first, end - first)), str(volume.path))[0]


def to_box(begin: np.ndarray, end: np.ndarray) -> list[slice]:
    """Return the slices of the voxels ``begin .. end`` along each axis."""
    return [slice(int(a), int(b)) for a, b in zip(begin, end, strict=True)]
