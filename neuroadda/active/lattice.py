"""The places of a box: of how many cells it is made, where it begins and ends on them, and which places may not be."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from neuroadda.config import Zyx
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.volumes.geometry.world import PM_PER_NM

T = TypeVar("T")
CELLS = (4, 5, 3, 6, 2)  # along an axis of a box, the best first
ROUNDED_VX, MORE_CELLS = 32, 16
ROUNDING_PM = 1e-3

Edges = Sequence[tuple[np.ndarray, np.ndarray]]
"""Begin and end of every place, along each axis, whole picometres."""


def to_zyx(values: Iterable[T]) -> tuple[T, T, T]:
    """Return three values as a tuple of three."""
    z, y, x = values
    return z, y, x


def cut_into_cells(size_vx: int, most_vx: int, room_vx: int) -> tuple[int, int]:
    """Return, along an axis, of how many cells a box is made, and their size in voxels.

    A box that few cells of at most `most_vx` do not fill exactly is rounded to whole cells (one below ROUNDED_VX may be a cell
    itself), but not beyond `room_vx` if it fitted there.
    """
    exact = next((n for n in CELLS if size_vx % n == 0 and size_vx // n <= most_vx), None)
    if exact is not None:
        return exact, size_vx // exact
    if size_vx <= most_vx and size_vx < ROUNDED_VX:
        return 1, size_vx
    room_vx = room_vx if size_vx <= room_vx else 2 * size_vx
    least = max(CELLS[0], -(-size_vx // most_vx))
    cuts = [(n, min(round(size_vx / n), most_vx, room_vx // n)) for n in range(least, least + min(least, MORE_CELLS))]
    return min((c for c in cuts if c[1]), key=lambda c: (abs(c[0] * c[1] - size_vx), c[0]))


def locate_edges(grid: Volume, counts: Zyx, shape: Zyx, stride: Zyx) -> Edges:
    """Return the edges of the boxes of `shape` cells, every `stride` cells of a grid."""
    cells, offsets = (list(map(_to_pm, values)) for values in (grid.voxel_size_nm, grid.offset_nm))
    begins = [
        offset + np.arange(count, dtype=np.int64) * (step * cell)
        for offset, count, step, cell in zip(offsets, counts, stride, cells, strict=True)
    ]
    return [(begin, begin + size * cell) for begin, size, cell in zip(begins, shape, cells, strict=True)]


def lie_inside(edges: Edges, box: RoiConfig) -> list[np.ndarray]:
    """Return, for each axis, which places lie inside a box."""
    return [(begin >= low) & (end <= high) for (begin, end), (low, high) in zip(edges, _ends(box), strict=True)]


def exclude(kept: np.ndarray, edges: Edges, box: RoiConfig, min_distance_nm: float) -> None:
    """Drop from `kept` (bool[z, y, x]) the places that overlap a box, or whose gap to it is less, face to face."""
    least = min_distance_nm * PM_PER_NM - ROUNDING_PM  # below 0 where they may touch
    gaps = [np.maximum(begin - high, low - end) for (begin, end), (low, high) in zip(edges, _ends(box), strict=True)]
    near = [np.flatnonzero(gap < least) for gap in gaps]
    z, y, x = (np.maximum(gap[n], 0).astype(np.float64) ** 2 for gap, n in zip(gaps, near, strict=True))
    kept[np.ix_(*near)] &= z[:, None, None] + y[:, None] + x >= least**2


def _ends(box: RoiConfig) -> list[tuple[int, int]]:
    begins, sizes = map(_to_pm, box.offset_nm), map(_to_pm, box.shape_nm)
    return [(begin, begin + size) for begin, size in zip(begins, sizes, strict=True)]


def _to_pm(length_nm: float) -> int:
    return round(length_nm * PM_PER_NM)
