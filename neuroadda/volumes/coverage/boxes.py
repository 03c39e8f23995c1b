"""Which boxes of a lattice over a volume, such as the blocks of a task, have tissue."""

from collections.abc import Iterable

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.config import Zyx
from neuroadda.volumes.coverage.masks import Mask, stored_chunks


def find_boxes(masks: Iterable[Mask], roi: Roi, box_vx: Zyx) -> np.ndarray | None:
    """Return bool, zyx, by box: does every mask have a voxel in it? None, for all boxes, without a mask.

    Parameters
    ----------
    roi, box_vx
        What is cut into boxes, from its corner on, and their shape in voxels of raw. The last of each axis may be smaller.
    """
    found = [_find_boxes_of(mask, roi, box_vx) for mask in masks]
    return np.logical_and.reduce(found) if found else None


def _find_boxes_of(mask: Mask, roi: Roi, box_vx: Zyx) -> np.ndarray:
    """Return the boxes that have a voxel of one mask.

    Chunks of the mask that were never written are not read, nor those all of whose boxes are known to have tissue; memory is
    a byte a box.
    """
    size_vx = roi.shape / mask.voxel_size
    found = np.zeros([-(-s // b) for s, b in zip(size_vx, box_vx, strict=True)], bool)
    chunk_vx, shape_vx = mask.volume.chunk_vx, mask.volume.shape_vx
    begin_vx = (mask.roi.begin - roi.begin) / mask.voxel_size
    axes = list(zip(begin_vx, mask.factor_vx, box_vx, size_vx, strict=True))
    for place in stored_chunks(mask.volume):
        first = Coordinate(place) * chunk_vx
        stop = [min(f + c, s) for f, c, s in zip(first, chunk_vx, shape_vx, strict=True)]
        spans = [_cut(*axis, f, s) for axis, f, s in zip(axes, first, stop, strict=True)]
        boxes = tuple(boxes for boxes, _, _ in spans)
        if found[boxes].all():  # also where there are none
            continue
        voxels = np.asarray(mask.volume.data[tuple(slice(f, s) for f, s in zip(first, stop, strict=True))]) != 0
        if not voxels.any():
            continue
        for axis, (_, low, high) in enumerate(spans):
            voxels = _any_between(voxels, low, high, axis)
        found[boxes] |= voxels
    return found


def _cut(begin: int, factor: int, box: int, size: int, first: int, stop: int) -> tuple[slice, np.ndarray, np.ndarray]:
    """Cut the mask's voxels first .. stop along an axis by boxes.

    Parameters
    ----------
    begin, factor, box, size
        In voxels of raw from the lattice's corner: where the mask begins, how long its voxels are, and the boxes, and the lattice.

    Returns
    -------
    boxes, low, high
        The boxes they lie in, and which of these voxels (counted from `first`) lie in each.
    """
    low, high = max(0, begin + first * factor), min(size, begin + stop * factor)
    if low >= high:
        return slice(0, 0), np.zeros(0, int), np.zeros(0, int)
    boxes = slice(low // box, (high - 1) // box + 1)
    starts = np.arange(boxes.start, boxes.stop) * box
    lows, highs = np.maximum(starts, low) - begin, np.minimum(starts + box, high) - begin
    return boxes, lows // factor - first, -(-highs // factor) - first


def _any_between(values: np.ndarray, low: np.ndarray, high: np.ndarray, axis: int) -> np.ndarray:
    """Return, along an axis, whether any value of each ``low .. high`` is true."""
    ahead = np.insert(np.cumsum(values, axis=axis, dtype=np.int32), 0, 0, axis=axis)
    return np.take(ahead, high, axis=axis) > np.take(ahead, low, axis=axis)
