"""Where two fragments touch, and points in each beside it, in nm of the world."""

from collections.abc import Iterator
from typing import NamedTuple

import edt
import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.segmentation.ids import capacity_of, to_local
from neuroadda.volumes.arrays import Volume

WITHIN_NM = 500.0  # of the contact: the points beside it


class Place(NamedTuple):
    """A contact: its middle, a point in the first fragment and one in the second, zyx nm."""

    middle_nm: ZyxFloat
    first_nm: ZyxFloat
    second_nm: ZyxFloat


def find_place(fragments: Volume, grid: BlockGrid, first: int, second: int) -> Place:
    """Return where two fragments touch.

    The middle lies between two voxels that touch, of all the nearest to the contact's centre. The points are the voxels of each
    fragment that lie deepest in it within `WITHIN_NM` of the middle along each axis.

    Parameters
    ----------
    grid
        That of the fragments.

    Raises
    ------
    UserError
        If they do not touch: the array is not that of the run's edges.
    """
    # The block of the upper voxel holds the contact: that of the higher id.
    owner, _ = to_local(np.array([max(first, second)], np.uint64), capacity_of(grid))
    voxel = np.array(fragments.voxel_size_nm)
    roi = grid[int(owner[0])].write_roi.grow(fragments.voxel_size, Coordinate(0, 0, 0)).intersect(fragments.roi)
    contact = _touching(fragments.read(roi), first, second) * voxel
    if not len(contact):
        what = f"fragments {first} and {second} do not touch, though the run's edges say so"
        raise UserError(what, str(fragments.path), "segment again")
    middle = contact[np.argmin(((contact - contact.mean(axis=0)) ** 2).sum(axis=1))]
    middle_nm = middle + _begin_nm(fragments, roi)

    reach_vx = np.ceil(WITHIN_NM / voxel).astype(int)
    at_vx = np.floor((middle_nm - np.array(fragments.offset_nm)) / voxel).astype(int)
    begin_vx, shape_vx = at_vx - reach_vx, 2 * reach_vx + 1
    near = Roi(
        fragments.roi.begin + Coordinate(begin_vx) * fragments.voxel_size, Coordinate(shape_vx) * fragments.voxel_size
    ).intersect(fragments.roi)
    ids, origin = fragments.read(near), _begin_nm(fragments, near)
    points = [_deepest(ids == fragment, voxel, middle_nm - origin) + origin for fragment in (first, second)]
    return Place(*(_to_zyx(point) for point in (middle_nm, *points)))


def find_at_border(fragments: Volume, grid: BlockGrid) -> Iterator[np.ndarray]:
    """Yield the ids of fragments on each face of the grid's volume, block by block; only the faces are read."""
    voxel_size = fragments.voxel_size
    for axis in range(3):
        counts = [range(n) for n in grid.counts]
        for last in (False, True):
            counts[axis] = range(grid.counts[axis] - 1, grid.counts[axis]) if last else range(1)
            for position in np.ndindex(*(len(c) for c in counts)):
                z, y, x = (c[p] for c, p in zip(counts, position, strict=True))
                block = grid.at((z, y, x)).write_roi
                begin, shape = list(block.begin), list(block.shape)
                begin[axis] = block.end[axis] - voxel_size[axis] if last else begin[axis]
                shape[axis] = voxel_size[axis]
                found = np.unique(fragments.read(Roi(begin, shape)))
                yield found[found > 0]


def _touching(ids: np.ndarray, first: int, second: int) -> np.ndarray:
    """Return float64[n, 3], in voxels from the corner of the array: the middles of the faces between two fragments."""
    middles = []
    for axis in range(3):
        lower, upper = (ids.take(range(b, ids.shape[axis] - 1 + b), axis=axis) for b in (0, 1))
        here = ((lower == first) & (upper == second)) | ((lower == second) & (upper == first))
        places = np.argwhere(here) + 0.5
        places[:, axis] += 0.5
        middles.append(places)
    return np.concatenate(middles)


def _deepest(mask: np.ndarray, voxel: np.ndarray, middle: np.ndarray) -> np.ndarray:
    depth = edt.edt(np.ascontiguousarray(mask), anisotropy=tuple(voxel), black_border=True)
    places = (np.argwhere(depth == depth.max()) + 0.5) * voxel
    return np.asarray(places[np.argmin(((places - middle) ** 2).sum(axis=1))])


def _begin_nm(volume: Volume, roi: Roi) -> np.ndarray:
    return np.array(roi.begin) / volume.units_per_nm


def _to_zyx(point: np.ndarray) -> ZyxFloat:
    z, y, x = (round(float(p), 3) for p in point)
    return z, y, x
