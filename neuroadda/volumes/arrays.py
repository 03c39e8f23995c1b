"""Arrays with a place in the world, in a folder or at a URL.

`Roi` and `Coordinate` are in world units: nm, or pm where a voxel size is not whole nm (`geometry.world`). Code that works in
voxels, or in a volume's own units, need not know.

The attributes are those of funlib.persistence: its `open_ds` opens what `Volume.create` writes, and `Volume.open` opens what its
`prepare_ds` writes, also in other units.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.config import ZyxFloat, fingerprint
from neuroadda.errors import UserError, warn
from neuroadda.volumes.geometry.axes import (
    check_order,
    describe_axes,
    read_units,
)
from neuroadda.volumes.geometry.places import list_doubts
from neuroadda.volumes.geometry.world import PM_PER_NM, is_plain, read_place, world_units
from neuroadda.volumes.storage.locations import Location, remove, to_location
from neuroadda.volumes.storage.nodes import check_names, create_array, find_n5, open_array

if TYPE_CHECKING:
    import zarr
    from funlib.persistence import Array

DAMAGED = (RuntimeError, ValueError, TypeError, EOFError, zlib.error)


class Volume:
    """A zarr array of shape ``[c,] z, y, x`` with voxel size and offset.

    Attributes
    ----------
    path
        Where it lies, such as ``run/volumes.zarr/affs`` or ``s3://bucket/volumes.zarr/affs``.
    data
        The zarr array.
    voxel_size
        zyx, in world units.
    roi
        Extent in world units.
    unit
        ``"nm"`` or ``"pm"``: the world unit of `roi` and `voxel_size`.
    says_offset
        Whether it says where it lies; else it is taken to lie at 0.
    """

    def __init__(
        self,
        path: Location,
        data: "zarr.Array",
        place: Mapping[str, Any] | None = None,
        says_offset: bool | None = None,
    ) -> None:
        self.path, self.data, self._place = path, data, dict(place or {})
        attrs = self.attrs
        self.says_offset = "offset" in attrs if says_offset is None else says_offset
        pm = Coordinate(round(nm * PM_PER_NM) for nm in read_units(attrs.get("units"), str(path)))
        voxel_size_pm, offset_pm = Coordinate(attrs["voxel_size"]) * pm, Coordinate(attrs.get("offset", (0, 0, 0))) * pm
        whole = all(length % PM_PER_NM == 0 for length in (*voxel_size_pm, *offset_pm))
        self.unit = "nm" if whole else "pm"  # however it is written, so that volumes on one grid have one unit
        self.voxel_size = voxel_size_pm / (PM_PER_NM // self.units_per_nm)
        offset = offset_pm / (PM_PER_NM // self.units_per_nm)
        self.roi = Roi(offset, Coordinate(data.shape[-3:]) * self.voxel_size)

    def __repr__(self) -> str:
        """Tell where it lies, its shape and type, and its place."""
        size, offset = (" x ".join(f"{v:g}" for v in triple) for triple in (self.voxel_size_nm, self.offset_nm))
        shape = " x ".join(map(str, self.data.shape))
        return f"Volume({str(self.path)!r}: {shape} {self.dtype}, voxels of {size} nm at {offset} nm, zyx)"

    @classmethod
    def open(cls, path: Location | str, mode: str = "r") -> "Volume":
        """Open an existing array (``mode`` "r" or "r+").

        Raises
        ------
        UserError
            If nothing is there, it is not a zarr array of 3 or 4 axes, it has no voxel size, or none that is plain (as an N5 or
            zarr array of others may have), or it cannot be reached.
        """
        path = to_location(path)
        data = open_array(path, mode)
        if data.ndim not in (3, 4):
            raise UserError(f"the array has {data.ndim} axes", str(path), "zyx or czyx is expected")
        attrs, in_n5 = dict(data.attrs), find_n5(path) is not None
        check_names(data, str(path))
        check_order(attrs, str(path), in_n5, data.ndim)
        plain = is_plain(attrs, in_n5)
        volume = cls(path, data) if plain else None
        if volume is not None and "fingerprint" in attrs:
            return volume
        told = cls(path, data, *read_place(attrs, path, in_n5, data.ndim))
        if volume is None or (volume.roi, volume.voxel_size, volume.unit) != (told.roi, told.voxel_size, told.unit):
            volume = told  # the groups above it say more, or in other units
        volume.says_offset = told.says_offset
        for doubt in list_doubts(volume.voxel_size_nm, data.shape[-3:]) if mode == "r" else ():
            warn(doubt, str(path))
        return volume

    @classmethod
    def create(
        cls,
        path: Location | str,
        shape_vx: Sequence[int],
        voxel_size_nm: Sequence[float],
        dtype: Any,
        *,
        offset_nm: Sequence[float] = (0, 0, 0),
        channels: int | None = None,
        chunk_vx: Sequence[int] | None = None,
        shard_vx: Sequence[int] | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> "Volume":
        """Create an empty (all zero) array; whatever lay there is deleted.

        Parameters
        ----------
        shape_vx, voxel_size_nm, offset_nm, chunk_vx
            zyx. Chunks default to at most 64 voxels an axis.
        channels
            Number of leading channels; None for a zyx array. A chunk holds them all.
        shard_vx
            zyx, a multiple of the chunk: keep this many voxels in one file, which makes the array zarr format 3.
        attrs
            Further JSON attributes.

        Raises
        ------
        UserError
            If the place cannot be written to.
        """
        path = to_location(path)
        scale, unit = world_units(voxel_size_nm, offset_nm)
        lead = () if channels is None else (channels,)
        chunk_vx = tuple(min(64, s) for s in shape_vx) if chunk_vx is None else tuple(chunk_vx)
        place = {
            "offset": [round(o * scale) for o in offset_nm],
            "voxel_size": [round(v * scale) for v in voxel_size_nm],
            **describe_axes(channels is not None, unit),
        }
        create_array(
            path,
            (*lead, *shape_vx),
            (*lead, *chunk_vx),
            np.dtype(dtype),
            dict(attrs or {}) | place,
            None if shard_vx is None else (*lead, *shard_vx),
        )
        return cls.open(path, "r+")

    @property
    def shape_vx(self) -> Coordinate:
        """Shape in voxels, zyx (channels left out)."""
        return Coordinate(self.data.shape[-3:])

    @property
    def chunk_vx(self) -> Coordinate:
        """Chunk shape in voxels, zyx."""
        return Coordinate(self.data.chunks[-3:])

    @property
    def channels(self) -> int | None:
        """Number of leading channels, None for a zyx array."""
        return int(self.data.shape[0]) if self.data.ndim == 4 else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""
        return np.dtype(self.data.dtype)

    @property
    def units_per_nm(self) -> int:
        """World units in a nanometre: 1, or 1000 for a volume in picometres."""
        return PM_PER_NM if self.unit == "pm" else 1

    @property
    def voxel_size_nm(self) -> ZyxFloat:
        """Voxel size in nm, zyx."""
        z, y, x = (v / self.units_per_nm for v in self.voxel_size)
        return z, y, x

    @property
    def offset_nm(self) -> ZyxFloat:
        """Offset in nm, zyx."""
        z, y, x = (o / self.units_per_nm for o in self.roi.offset)
        return z, y, x

    @property
    def attrs(self) -> dict[str, Any]:
        """A copy of the JSON attributes; those of its place are ours, by whatever names others wrote them."""
        return dict(self.data.attrs) | self._place

    @cached_property
    def array(self) -> "Array":
        """The same array as an Array of funlib.persistence, in world units: for gunpowder's ArraySource and scripts on daisy."""
        from funlib.persistence import Array  # imports dask: more than a second, which workers are spared

        axes = describe_axes(self.channels is not None, self.unit)
        names, types, units = axes["axis_names"], axes["types"], axes["units"]
        return Array(self.data, self.roi.offset, self.voxel_size, names, units, types, self.data.chunks)

    @cached_property
    def fingerprint(self) -> str:
        """What determines its content: the fingerprint it was written with, else its metadata and place."""
        return self.fingerprint_at(str(self.path.resolve()))

    def fingerprint_at(self, place: str) -> str:
        """Return the fingerprint that it would have at another place (a path or URL, resolved)."""
        attrs = self.attrs
        if "fingerprint" in attrs:
            return str(attrs["fingerprint"])
        return fingerprint(place, list(self.data.shape), str(self.dtype), json.loads(json.dumps(attrs)))

    def to_slices(self, roi: Roi) -> tuple[slice, ...]:
        """Return the voxel slices (zyx) of a world ROI.

        Raises
        ------
        UserError
            If it is not on the voxel grid or not inside the volume.
        """
        if not self.roi.contains(roi):
            raise UserError(
                f"{describe_roi(roi)} is outside the volume", str(self.path), f"it spans {describe_roi(self.roi)}"
            )
        begin, end = roi.begin - self.roi.begin, roi.end - self.roi.begin
        if any(c % v for c, v in zip((*begin, *end), (*self.voxel_size, *self.voxel_size), strict=True)):
            raise UserError(
                f"{describe_roi(roi)} is not on the voxel grid", str(self.path), f"voxel size {tuple(self.voxel_size)}"
            )
        return tuple(slice(b, e) for b, e in zip(begin / self.voxel_size, end / self.voxel_size, strict=True))

    def read(self, roi: Roi | None = None) -> np.ndarray:
        """Return the voxels of `roi` (all of them by default), shape ``[c,] z, y, x``; see `read_box`."""
        return self.read_box(self.to_slices(self.roi if roi is None else roi))

    def read_box(self, box: Sequence[slice | int]) -> np.ndarray:
        """Return the voxels of slices (zyx), shape ``[c,] z, y, x``.

        Raises
        ------
        UserError
            If they are damaged. What a file system raises is passed on: it may be otherwise the next time.
        """
        try:
            return np.asarray(self.data[(..., *box)])
        except DAMAGED as error:
            raise UserError(
                f"its voxels cannot be decoded ({error})", str(self.path), "the array is damaged"
            ) from error

    def read_mirrored(self, roi: Roi) -> np.ndarray:
        """Return the voxels of `roi`; what lies outside the volume is its mirror image at the border.

        What is returned depends on the volume and `roi` alone, so that blocks agree where they overlap.
        """
        first = (roi.begin - self.roi.begin) / self.voxel_size
        indices = [
            _mirror(np.arange(b, b + n), s)
            for b, n, s in zip(first, roi.shape / self.voxel_size, self.shape_vx, strict=True)
        ]
        low = [int(i.min()) for i in indices]
        box = np.asarray(self.data[(..., *(slice(lo, int(i.max()) + 1) for lo, i in zip(low, indices, strict=True)))])
        for axis, (lo, index) in enumerate(zip(low, indices, strict=True), start=box.ndim - 3):
            if len(index) != box.shape[axis] or np.any(np.diff(index) != 1):
                box = np.take(box, index - lo, axis=axis)
        return box

    def write(self, roi: Roi, data: np.ndarray) -> None:
        """Write the voxels of `roi`."""
        self.data[(..., *self.to_slices(roi))] = data

    def delete(self) -> None:
        """Delete the array."""
        remove(self.path)


def describe_roi(roi: Roi) -> str:
    """Return a ROI as ``[z:z, y:y, x:x]`` in world units."""
    return "[" + ", ".join(f"{b}:{e}" for b, e in zip(roi.begin, roi.end, strict=True)) + "]"


def _mirror(index: np.ndarray, size: int) -> np.ndarray:
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    index = np.abs(index) % period
    return np.where(index >= size, period - index, index)
