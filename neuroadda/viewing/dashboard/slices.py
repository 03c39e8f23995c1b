"""A picture of what a finished block has written."""

import threading
from collections import OrderedDict

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.errors import UserError
from neuroadda.ledger.base import TaskRecord
from neuroadda.viewing import figures
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import to_location
from neuroadda.volumes.storage.nodes import is_array

SIDE_VX = (
    256  # of a picture: smaller blocks are shown with what is around them, larger ones in part, so that little is read
)
MOST_KEPT = 64


class Slices:
    """Pictures of blocks, made one at a time so that memory follows one section, and kept for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._arrays: dict[str, bool] = {}

    def has_array(self, task: TaskRecord) -> bool:
        """Tell whether a task's output is an array that could be read here when that was first asked."""
        if task.fingerprint not in self._arrays:
            try:
                found = bool(task.grid) and is_array(to_location(task.output))
            except UserError:
                found = False
            self._arrays[task.fingerprint] = found
        return self._arrays[task.fingerprint]

    def picture(self, task: TaskRecord, block: int, done: np.ndarray) -> bytes:
        """Return a PNG of the section through the middle of a block; see `cut_section`.

        Parameters
        ----------
        done
            bool, by block: a picture of these alone is kept.

        Raises
        ------
        UserError
            If the output is no array, or cannot be read.
        """
        key = task.fingerprint, block
        with self._lock:
            if key not in self._kept:
                grid = BlockGrid(**task.grid)
                window = find_window(grid, block)
                png = figures.to_png(cut_section(task.output, window))
                if not _is_done(grid, window, done):
                    return png
                self._kept[key] = png
                while len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def find_window(grid: BlockGrid, block: int) -> Roi:
    """Return a section of at most `SIDE_VX` voxels along y and x around the middle of a block, inside the grid."""
    middle = grid[block].write_roi.center
    voxel = Coordinate(grid.voxel_size)
    shape = Coordinate(1, *(min(SIDE_VX, s // v) for s, v in zip(grid.shape[1:], voxel[1:], strict=True))) * voxel
    first = [
        min(max(o, o + ((m - o) // v - n // v // 2) * v), o + s - n)
        for o, m, v, s, n in zip(grid.offset, middle, voxel, grid.shape, shape, strict=True)
    ]
    return Roi(first, shape)


def cut_section(output: str, window: Roi) -> np.ndarray:
    """Return a section (yx) of an array, uint8[y, x] or uint8[y, x, 3]; see `Slices.picture`.

    Ids are in colour, affinities in red, green and blue, all else in grey.
    """
    section = Volume.open(output).read(window)[..., 0, :, :]
    if section.ndim == 3:
        return figures.affs_image(section)
    if section.dtype.kind in "ui" and section.dtype != np.uint8:
        return figures.labels_image(section)
    return figures.raw_image(section)


def _is_done(grid: BlockGrid, window: Roi, done: np.ndarray) -> bool:
    low, high = (grid.position_of(corner) for corner in (window.begin, window.end - Coordinate(grid.voxel_size)))
    return bool(done.reshape(grid.counts)[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))].all())
