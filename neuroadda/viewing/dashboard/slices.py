"""A picture of what a finished block has written."""

import threading
from collections import OrderedDict

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.ledger.base import TaskRecord
from neuroadda.errors import UserError
from neuroadda.viewing import figures
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.nodes import is_array
from neuroadda.volumes.places import to_place

MOST_VX = 512  # along an axis: no more is read, however large the block
MOST_KEPT = 64


class Slices:
    """Pictures of blocks, made one at a time so that memory follows one section of one block, and kept for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._arrays: dict[str, bool] = {}

    def has_array(self, task: TaskRecord) -> bool:
        """Tell whether a task's output is an array that can be read here."""
        if task.fingerprint not in self._arrays:
            try:
                self._arrays[task.fingerprint] = bool(task.grid) and is_array(to_place(task.output))
            except UserError:
                return False
        return self._arrays[task.fingerprint]

    def picture(self, task: TaskRecord, block: int) -> bytes:
        """Return a PNG of the section through the middle of a block.

        Raises
        ------
        UserError
            If the output is no array, or cannot be read.
        """
        key = task.fingerprint, block
        with self._lock:
            if key not in self._kept:
                self._kept[key] = figures.to_png(cut_section(task, block))
                while len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def cut_section(task: TaskRecord, block: int) -> np.ndarray:
    """Return the middle section (yx) of what a block has written, uint8[y, x] or uint8[y, x, 3]; see `Slices.picture`.

    Ids are in colour, affinities in red, green and blue, all else in grey.
    """
    volume = Volume.open(task.output)
    roi = BlockGrid(**task.grid)[block].write_roi
    z, y, x = volume.to_slices(roi)
    middle = (z.start + z.stop) // 2
    section = np.asarray(volume.data[(..., slice(middle, middle + 1), _cut(y), _cut(x))])[..., 0, :, :]
    if section.ndim == 3:
        return figures.affs_image(section)
    if section.dtype.kind in "ui" and section.dtype != np.uint8:
        return figures.labels_image(section)
    return figures.raw_image(section)


def _cut(side: slice) -> slice:
    length = min(MOST_VX, side.stop - side.start)
    start = (side.start + side.stop - length) // 2
    return slice(start, start + length)
