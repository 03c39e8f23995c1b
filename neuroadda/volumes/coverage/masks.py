"""Masks: where tissue is, on the voxels of raw or on coarser ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume, describe_roi
from neuroadda.volumes.geometry.grids import check_shift
from neuroadda.volumes.geometry.places import describe_size
from neuroadda.volumes.geometry.world import PM_PER_NM
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.stored import list_stored

RIGHT = "its voxels are those of raw, or a whole number of them along each axis"


@dataclass(frozen=True)
class Mask:
    """An array that is 0 where there is no tissue; each of its voxels speaks for all voxels of raw in it.

    Attributes
    ----------
    volume
        The array, zyx.
    factor_vx
        Voxels of raw in a voxel of the mask, along each axis.
    voxel_size
        Of raw, in its world units.
    roi
        Extent in the world units of raw.
    """

    volume: Volume
    factor_vx: Coordinate
    voxel_size: Coordinate
    roi: Roi

    @classmethod
    def open(cls, path: Location | str, raw: Volume) -> "Mask":
        """Open a mask of `raw`, or of what is derived from it voxel by voxel.

        Raises
        ------
        UserError
            If it is not on the voxel grid of raw, or on a coarser one that is made of whole voxels of raw.
        """
        volume = Volume.open(path)
        # In whole pm, since the world units of the two may differ: two voxels of 4.5 nm are 9 nm.
        mask_pm, raw_pm = (v.voxel_size * (PM_PER_NM // v.units_per_nm) for v in (volume, raw))
        begin_pm = volume.roi.begin * (PM_PER_NM // volume.units_per_nm)
        begin_pm -= raw.roi.begin * (PM_PER_NM // raw.units_per_nm)
        if volume.channels is not None:
            raise UserError(f"the mask has {volume.channels} channels", str(path), "one is expected")
        if any(m % r for m, r in zip(mask_pm, raw_pm, strict=True)):
            sizes = (
                f"its voxels are {describe_size(volume.voxel_size_nm)}, those of raw {describe_size(raw.voxel_size_nm)}"
            )
            raise UserError(f"the mask is not on the voxel grid of raw: {sizes}", str(path), RIGHT)
        check_shift(volume, raw, "raw")
        factor_vx = mask_pm / raw_pm
        begin = raw.roi.begin + begin_pm / raw_pm * raw.voxel_size
        return cls(volume, factor_vx, raw.voxel_size, Roi(begin, volume.shape_vx * factor_vx * raw.voxel_size))

    @property
    def fingerprint(self) -> str:
        """What determines its content."""
        return self.volume.fingerprint

    def to_own(self, roi: Roi) -> Roi:
        """Return the voxels of the mask that `roi` (in raw's world units) touches, in the mask's world units."""
        begin, end = (((corner - self.roi.begin) / self.voxel_size) for corner in (roi.begin, roi.end))
        first, last = begin // self.factor_vx, -(-end // self.factor_vx)
        size = self.volume.voxel_size
        return Roi(self.volume.roi.begin + first * size, (last - first) * size).intersect(self.volume.roi)

    def read(self, roi: Roi) -> np.ndarray:
        """Return bool for each voxel of raw in `roi` (in raw's world units): is it tissue?"""
        begin, shape_vx = (roi.begin - self.roi.begin) / self.voxel_size, roi.shape / self.voxel_size
        first = begin // self.factor_vx
        last = (begin + shape_vx - 1) // self.factor_vx
        tissue = np.asarray(self.volume.data[tuple(slice(f, t + 1) for f, t in zip(first, last, strict=True))]) != 0
        for axis, factor in enumerate(self.factor_vx):
            if factor > 1:
                tissue = np.repeat(tissue, factor, axis=axis)
        skip = begin - first * self.factor_vx
        return tissue[tuple(slice(s, s + n) for s, n in zip(skip, shape_vx, strict=True))]


def open_mask(path: Location | str, raw: Volume, roi: Roi) -> Mask:
    """Open a mask of `raw`; raise UserError if it does not fit or does not cover a ROI."""
    mask = Mask.open(path, raw)
    if not mask.roi.contains(roi):
        what = f"{describe_roi(roi)} is outside the mask"
        raise UserError(what, str(path), f"it spans {describe_roi(mask.roi)}")
    return mask


def stored_chunks(volume: Volume) -> Iterator[Zyx]:
    """Yield the places (zyx) of the chunks of a zyx array that may be other than 0, in no order.

    Chunks that were never written are 0 throughout; of zarr format 2 and N5 in a folder they are left out.
    """
    path = volume.path
    if not isinstance(path, Path) or volume.data.fill_value or (path / "zarr.json").is_file():
        yield from product(*(range(-(-s // c)) for s, c in zip(volume.shape_vx, volume.chunk_vx, strict=True)))
        return
    for places in list_stored(volume):
        yield from ((z, y, x) for z, y, x in places.tolist())
