"""Raw with its gaps filled from the tissue beside them, so that a network sees no black where there is no data."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.kernels.mirroring import find_images
from neuroadda.volumes.arrays import Volume

LOST_SECTIONS = 2
"""Gaps of so many sections, with data before and after, are filled from the nearest section and segmented across."""


class Data(Protocol):
    """Tells where raw has data; `neuroadda.volumes.coverage.masks.Mask` and `neuroadda.volumes.coverage.no_data.FoundData` do."""

    def read(self, roi: Roi) -> np.ndarray:
        """Return bool for each voxel of `roi`, in the world units of raw."""


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
        z, y, x = self.reach_vx
        images = Coordinate(0, 0, 0) if self.roi.contains(roi) else self.reach_vx * 2 * self.voxel_size
        seen = roi.grow(images, images).intersect(self.roi)
        if seen.empty or self.data.read(seen).all():
            return self.raw.read_mirrored(roi)
        # A voxel's mirror image is at most twice the reach away: in two steps in the section, then along z.
        margin = Coordinate(2 * z + LOST_SECTIONS, 4 * y, 4 * x) * self.voxel_size
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
        _mirror_nearest(voxels, known, (y, x))
    _mirror_nearest(voxels.swapaxes(0, 1), known.swapaxes(0, 1), (z, 0))


def find_lost_sections(known: np.ndarray) -> np.ndarray:
    """Return bool: where gaps along z are of at most `LOST_SECTIONS`, with known voxels on both sides."""
    lost = np.zeros_like(known)
    for section, _, where in _list_lost_sections(known):
        lost[section] |= where
    return lost


def _list_lost_sections(known: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield z, that of the nearer known section, and bool (yx): where it is lost; of equally near ones the one before."""
    for size in range(1, LOST_SECTIONS + 1):
        for first in range(1, len(known) - size):
            if known[first].all():
                continue
            where = known[first - 1] & known[first + size] & ~known[first : first + size].any(axis=0)
            if where.any():
                for z in range(first, first + size):
                    yield z, first - 1 if z - first < first + size - z else first + size, where


def _fill_lost_sections(voxels: np.ndarray, known: np.ndarray) -> None:
    for z, source, where in list(_list_lost_sections(known)):
        voxels[z][where] = voxels[source][where]
        known[z] |= where


def _mirror_nearest(planes: np.ndarray, known: np.ndarray, reach: tuple[int, int]) -> None:
    """Fill each unknown voxel of a plane that is at most `reach` from a known one along an axis by its mirror image there."""
    before = np.zeros(0, bool)
    places = images = np.zeros(0, np.int64)
    for plane, mask in zip(planes, known, strict=True):
        if mask.all() or not mask.any():
            continue
        if not np.array_equal(mask, before):  # a rim is the same in many sections
            before = mask.copy()
            found = find_images(before.view(np.uint8), *reach)
            places = np.flatnonzero(found >= 0)
            images = found.ravel()[places]
        np.put(plane, places, np.take(plane, images))
        np.put(mask, places, True)
