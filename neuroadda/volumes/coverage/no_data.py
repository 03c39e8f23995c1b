"""Where a volume has no data: constant areas of a section, as rims, lost tiles and blank sections are.

The rule is local, so that it says the same of a voxel whatever box is looked at: a voxel has no data if it lies in a square of one
section all of whose voxels are equal. `SIDE_VX` is more than tissue has: noise, and the spread of what is dark or bright, break
such a square up. Smaller squares of the same value that overlap it count, too, and still smaller ones that overlap these.
Along one axis a square may extend beyond the volume, which finds rims of any width. Specks that are left in such areas, less than
`SMALLEST_VX` wide, have no data, either.
"""

from collections.abc import Iterator, Sequence
from itertools import product, zip_longest

import numpy as np
from funlib.geometry import Roi

from neuroadda.observing import track
from neuroadda.volumes.arrays import Volume

SIDE_VX, SMALLEST_VX = 64, 8
BOX_VOXELS, BOX_YX = 2**25, 1024

Borders = Sequence[tuple[bool, bool]]


class FoundData:
    """Where raw has data, found from the voxels of each box as it is read; as `coverage.masks.Mask`, to the voxel."""

    def __init__(self, raw: Volume) -> None:
        self.raw = raw

    def read(self, roi: Roi) -> np.ndarray:
        """Return bool for each voxel of `roi` (world units, inside raw): does it have data?"""
        return ~read_without_data(self.raw, self.raw.to_slices(roi))[1]


def has_gaps(raw: Volume, roi: Roi) -> bool:
    """Return whether a voxel of `roi` has no data; memory is a box."""
    return any(found.any() for found in _look_through(raw, roi))


def has_data(raw: Volume, roi: Roi) -> bool:
    """Return whether a voxel of `roi` has data; memory is a box."""
    return any(not found.all() for found in _look_through(raw, roi))


def _look_through(raw: Volume, roi: Roi) -> Iterator[np.ndarray]:
    """Yield bool for the voxels of box after box of `roi`: which have no data."""
    box = raw.to_slices(roi)
    sides = (max(1, BOX_VOXELS // BOX_YX**2), BOX_YX, BOX_YX)
    places = list(product(*(range(s.start, s.stop, n) for s, n in zip(box, sides, strict=True))))
    for begins in track(f"looking for areas without data in {raw.path}", places):
        part = tuple(slice(b, min(b + n, s.stop)) for b, n, s in zip(begins, sides, box, strict=True))
        yield read_without_data(raw, part)[1]


def read_without_data(raw: Volume, box: Sequence[slice]) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of a box (slices zyx inside the volume) and bool: which of them have no data."""
    grown, borders, sides = [box[0]], [], []
    for part, size in zip(box[1:], raw.shape_vx[1:], strict=True):
        side = max(2, min(SIDE_VX, size))
        reach = sum(s - 1 for s in _list_sides(side)) + 2 * (SMALLEST_VX - 1)
        begin, end = max(0, part.start - reach), min(size, part.stop + reach)
        grown.append(slice(begin, end))
        borders.append((begin == 0, end == size))
        sides.append(side)
    voxels = raw.read_box(grown)
    inner = tuple(slice(p.start - g.start, p.stop - g.start) for p, g in zip(box, grown, strict=True))
    return voxels[inner], find_constant(voxels, sides, borders)[inner]


def has_constant_runs(sections: np.ndarray) -> bool:
    """Return whether a section has `SMALLEST_VX` equal voxels in a row or column, as where an area without data reaches into it."""
    return any(
        _slide(np.logical_and, np.diff(sections, axis=axis) == 0, SMALLEST_VX - 1, axis).any()
        for axis in (1, 2)
        if sections.shape[axis] >= SMALLEST_VX
    )


def find_constant(sections: np.ndarray, sides_vx: Sequence[int], borders: Borders) -> np.ndarray:
    """Return bool (zyx): which voxels lie in a rectangle of one section all of whose voxels are equal, or in what grows from it.

    Parameters
    ----------
    sections
        zyx.
    sides_vx
        Of the rectangle, y and x; 2 or more.
    borders
        For y and x: whether the volume ends where `sections` begins, and where it ends. Beyond such a border a rectangle may
        extend, along one of the two axes.
    """
    found = np.zeros(sections.shape, bool)
    for axis in (1, 2):
        beyond = [(0, 0)] * 3
        before, after = borders[axis - 1]
        beyond[axis] = ((sides_vx[axis - 1] - 1) * before, (sides_vx[axis - 1] - 1) * after)
        if axis == 2 and beyond[2] == (0, 0):
            continue  # done, with whatever is beyond y
        low, size = beyond[axis][0], sections.shape[axis]
        for index in _find_candidates(sections, beyond, sides_vx):
            wider = np.pad(sections[index], beyond[1:], mode="edge") if any(beyond[axis]) else sections[index]
            covered = _cover(wider, sides_vx)
            found[index] |= covered[low : low + size] if axis == 1 else covered[:, low : low + size]
    for index in np.flatnonzero(found.any(axis=(1, 2)) & ~found.all(axis=(1, 2))):
        found[index] |= _find_specks(found[index])
    return found


def mark_cells(found: np.ndarray, side: int) -> np.ndarray:
    """Return, for each cell (1 x side x side voxels) of a box that begins on one, whether any of its voxels is true."""
    if side == 1:
        return found
    if not found.any() or found.all():
        return np.full((len(found), *(-(-n // side) for n in found.shape[1:])), found[0, 0, 0])
    for axis in (1, 2):
        found = np.logical_or.reduceat(found, np.arange(0, found.shape[axis], side), axis=axis)
    return found


def _list_sides(side: int) -> list[int]:
    """Return the sides of the squares by which a found one grows: halves, down to `SMALLEST_VX`, after its own."""
    sides = [side]
    while sides[-1] > SMALLEST_VX:
        sides.append(max(SMALLEST_VX, sides[-1] // 2))
    return sides


def _find_candidates(sections: np.ndarray, beyond: Sequence[tuple[int, int]], sides: Sequence[int]) -> np.ndarray:
    """Return the sections that may have a constant rectangle: the samples that lie in one, four by four, are equal.

    Of tissue hardly a section is left, for a hundredth of the work.
    """
    samples, counts = sections, []
    for axis, side in zip((1, 2), sides, strict=True):
        (low, high), size, step = beyond[axis], sections.shape[axis], max(1, side // 4)
        if size + low + high < side:
            return np.zeros(0, int)
        at = np.clip(np.arange(-low, size + high, step), 0, size - 1)
        samples = np.take(samples, at, axis=axis)
        counts.append(side // step)
    equal = samples[:, 1:] == samples[:, :-1]
    equal = equal[:, :, 1:] & equal[:, :, :-1] & (samples[:, 1:, 1:] == samples[:, 1:, :-1])
    for _ in range(counts[0] - 2):
        equal = equal[:, 1:] & equal[:, :-1]
    for _ in range(counts[1] - 2):
        equal = equal[:, :, 1:] & equal[:, :, :-1]
    return np.flatnonzero(equal.any(axis=(1, 2)))


def _cover(section: np.ndarray, sides: Sequence[int]) -> np.ndarray:
    """Return bool (yx): which voxels lie in a constant rectangle inside the section, or in smaller ones that overlap it."""
    if section.min() == section.max():
        return np.ones(section.shape, bool)
    along_y, along_x = section[1:] == section[:-1], section[:, 1:] == section[:, :-1]
    equal = along_y[:, 1:] & along_y[:, :-1] & along_x[1:]  # two by two voxels
    found = np.zeros(section.shape, bool)
    for smaller in zip_longest(*map(_list_sides, sides)):
        steps = [side or _list_sides(whole)[-1] for side, whole in zip(smaller, sides, strict=True)]
        constant, touched = equal, found
        for axis, side in enumerate(steps):
            constant = _slide(np.logical_and, constant, side - 1, axis)
            touched = _slide(np.logical_or, touched, side, axis)
        if steps != list(sides):
            constant = constant & touched
        if not constant.any():
            break
        covered = np.pad(constant, [(side - 1, side - 1) for side in steps])
        for axis, side in enumerate(steps):
            covered = _slide(np.logical_or, covered, side, axis)
        found |= covered
    return found


def _find_specks(found: np.ndarray) -> np.ndarray:
    """Return bool (yx): the voxels that are not found and lie in no square of such; beyond the border there are such."""
    data = np.pad(~found, SMALLEST_VX - 1, constant_values=True)
    for axis in (0, 1):
        data = _slide(np.logical_and, data, SMALLEST_VX, axis)
    for axis in (0, 1):
        data = _slide(np.logical_or, data, SMALLEST_VX, axis)
    return ~data & ~found


def _slide(join: np.ufunc, values: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Return what `join` makes of every run of `length` values along an axis, in as many passes as the length has binary digits."""
    values = np.moveaxis(values, axis, 0)
    joined = 1
    while joined < length:
        step = min(joined, length - joined)
        values = join(values[:-step], values[step:])
        joined += step
    return np.moveaxis(values, 0, axis)
