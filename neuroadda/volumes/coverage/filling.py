"""Raw with its gaps filled from the tissue beside them, so that a network sees no black where there is no data."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.volumes.arrays import Volume

LOST_SECTIONS = 2
"""Gaps of so many sections, with data before and after, are filled from the nearest section and segmented across."""


class Data(Protocol):
    """Tells where raw has data; `neuroadda.volumes.coverage.masks.Mask` and `neuroadda.volumes.coverage.no_data.FoundData` do."""

    def read(self, roi: Roi) -> np.ndarray:
        """Return bool for each voxel of `roi`, in the world units of raw."""


def margin_vx(reach_vx: Sequence[int]) -> Coordinate:
    """Return how far from a voxel raw is looked at to fill it: an image is at most twice the reach away.

    In a section it is filled in two steps, then along z.
    """
    z, y, x = reach_vx
    return Coordinate(2 * z + LOST_SECTIONS, 4 * y, 4 * x)


class FilledVolume:
    """A volume, as far as a network's input is read from it, in which no-data is filled.

    A gap of at most `LOST_SECTIONS` is filled by the section nearest to it. Elsewhere what a network sees beyond the data is its
    mirror image, at the nearest border of the data in the section, and where there is none at that along z. So a volume with a rim
    reads as the volume cut at the rim, whose `read_mirrored` does the same.

    Parameters
    ----------
    reach_vx
        How far beyond the data is filled, zyx; the context of a network. Voxels farther away stay as they are.
    """

    def __init__(self, raw: Volume, data: Data, reach_vx: Coordinate) -> None:
        self.raw, self.data, self.reach_vx = raw, data, Coordinate(reach_vx)
        self.voxel_size, self.roi = raw.voxel_size, raw.roi

    def read_mirrored(self, roi: Roi) -> np.ndarray:
        """Return the voxels of `roi`, filled; they depend on volume and data alone, so that blocks agree where they overlap."""
        images = Coordinate(0, 0, 0) if self.roi.contains(roi) else self.reach_vx * 2 * self.voxel_size
        seen = roi.grow(images, images).intersect(self.roi)
        if seen.empty or self.data.read(seen).all():
            return self.raw.read_mirrored(roi)
        margin = margin_vx(self.reach_vx) * self.voxel_size
        wider = roi.grow(margin, margin)
        inside = wider.intersect(self.roi)
        place = ((inside - wider.begin) / self.voxel_size).to_slices()
        voxels = np.zeros(wider.shape / self.voxel_size, self.raw.dtype)
        known = np.zeros(voxels.shape, bool)
        voxels[place], known[place] = self.raw.read(inside), self.data.read(inside)
        fill_gaps(voxels, known, self.reach_vx)
        return np.ascontiguousarray(voxels[((roi - wider.begin) / self.voxel_size).to_slices()])


def fill_gaps(voxels: np.ndarray, known: np.ndarray, reach_vx: Sequence[int]) -> None:
    """Fill the unknown voxels of an array (zyx) as `FilledVolume` says, and set `known` where that was done."""
    z, y, x = reach_vx
    _fill_lost_sections(voxels, known)
    for _ in range(2):
        _mirror_nearest(voxels, known, {1: y, 2: x})
    _mirror_nearest(voxels, known, {0: z})


def find_lost_sections(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bool: where gaps along z are of at most `LOST_SECTIONS`, with known voxels on both sides; and the nearer one's z."""
    before, after = _nearest(known, 0)
    index = np.arange(len(known), dtype=np.int32)[:, None, None]
    lost = ~known & (before >= 0) & (after < len(known)) & (after - before - 1 <= LOST_SECTIONS)
    return lost, np.where(index - before <= after - index, before, after)


def _fill_lost_sections(voxels: np.ndarray, known: np.ndarray) -> None:
    lost, source = find_lost_sections(known)
    if lost.any():
        voxels[lost] = np.take_along_axis(voxels, np.where(lost, source, 0), axis=0)[lost]
        known |= lost


def _mirror_nearest(voxels: np.ndarray, known: np.ndarray, reach: dict[int, int]) -> None:
    """Fill each unknown voxel that is at most `reach` from a known one along an axis by its mirror image; of axes, the nearest."""
    best = np.full(known.shape, np.iinfo(np.int32).max, np.int32)
    images = np.zeros_like(voxels)
    for axis, farthest in reach.items():
        distance, source = _find_images(known, axis)
        nearer = ~known & (distance <= farthest) & (distance < best)
        images[nearer] = np.take_along_axis(voxels, np.where(nearer, source, 0), axis=axis)[nearer]
        best[nearer] = distance[nearer]
    filled = best < np.iinfo(np.int32).max
    voxels[filled] = images[filled]
    known |= filled


def _find_images(known: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, along an axis, how far the nearest known voxel is (int32), and the index of the mirror image at it.

    Like `Volume.read_mirrored`, it does not repeat the border, and is mirrored again where the run of known voxels ends.
    """
    size = known.shape[axis]
    index = np.arange(size, dtype=np.int32).reshape([-1 if a == axis else 1 for a in range(3)])
    before, after = _nearest(known, axis)
    ends, starts = _nearest(~known, axis)  # the last unknown voxel before, the first after
    to_before = np.where(before >= 0, index - before, np.iinfo(np.int32).max)
    to_after = np.where(after < size, after - index, np.iinfo(np.int32).max)
    first = to_before <= to_after
    distance = np.where(first, to_before, to_after)
    border = np.clip(np.where(first, before, after), 0, size - 1)
    run = np.where(
        first,
        border - np.take_along_axis(ends, border, axis=axis),
        np.take_along_axis(starts, border, axis=axis) - border,
    )
    period = np.maximum(2 * (run - 1), 1)
    inward = np.where(distance < np.iinfo(np.int32).max, distance, 0) % period
    inward = np.where(inward >= run, period - inward, inward)
    inward = np.where(run <= 1, 0, inward)
    return distance, np.where(first, border - inward, border + inward)


def _nearest(known: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return int32: the index along an axis of the last known voxel at or before each, else -1, and of the next, else the size."""
    size = known.shape[axis]
    index = np.arange(size, dtype=np.int32).reshape([-1 if a == axis else 1 for a in range(known.ndim)])
    before = np.maximum.accumulate(np.where(known, index, np.int32(-1)), axis=axis)
    after = np.flip(np.minimum.accumulate(np.flip(np.where(known, index, np.int32(size)), axis), axis=axis), axis)
    return before, after
