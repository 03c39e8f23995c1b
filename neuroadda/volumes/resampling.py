"""Sections at another pixel size. Sections themselves (z) are never resampled."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array

from neuroadda.config import fingerprint
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_ids import count_unlabelled, describe_unlabelled
from neuroadda.volumes.geometry.world import PM_PER_NM
from neuroadda.volumes.importing import boxes
from neuroadda.volumes.storage.placing import placing

Kind = Literal["raw", "labels"]
Yx = tuple[float, float]
FEW_PIXELS = 2**20  # at a time in float32


def resample_sections(
    sections: np.ndarray,
    from_nm: Yx,
    to_nm: float,
    kind: Kind = "raw",
    *,
    first_px: tuple[int, int] = (0, 0),
    shape_px: tuple[int, int] | None = None,
) -> np.ndarray:
    """Return sections with square pixels of another size.

    Raw is averaged over the area of a new pixel where that is larger than the old one, and interpolated linearly where
    it is smaller; labels are those of the nearest old pixel, so there are no new ids.

    Parameters
    ----------
    sections
        zyx; raw is uint8.
    from_nm, to_nm
        Pixel size now (y, x), and then.
    first_px, shape_px
        The old pixel (y, x) at whose low corner the first new pixel begins, and the number of new pixels (y, x): by
        default all, to the nearest whole number. Beyond the border there is more of the border's pixels.

    Returns
    -------
    np.ndarray
        zyx, of the same dtype.

    Raises
    ------
    UserError
        If raw is not uint8.
    """
    _check_kind(sections.dtype, kind, None)
    check_pixel(to_nm)
    y, x = (
        _Axis(size, new_length(size - first, to_nm / nm) if count is None else count, to_nm / nm, first)
        for size, nm, first, count in zip(sections.shape[1:], from_nm, first_px, shape_px or (None, None), strict=True)
    )
    return _apply(sections[:, y.span, x.span], y, x, kind)


def resample_volume(source: Volume, target: Path | str, pixel_nm: float, kind: Kind) -> Volume:
    """Write a volume with square pixels of another size; memory holds a box of some 64 MiB.

    Voxel size in z, offset and number of sections stay; the extent in the section is the nearest that whole pixels
    allow. Provenance is kept and says what was done.

    Parameters
    ----------
    source
        zyx; uint8 if `kind` is "raw".
    target
        Where to write; nothing may be there.
    pixel_nm
        Taken to the nearest picometre.

    Raises
    ------
    UserError
        If the source has channels or is raw but not uint8, the pixel size is not positive, or the target exists.
    """
    if source.channels is not None:
        raise UserError(f"it has {source.channels} channels", str(source.path), "only zyx arrays are resampled")
    _check_kind(source.dtype, kind, str(source.path))
    pixel_nm = check_pixel(pixel_nm)
    z_nm, *yx_nm = source.voxel_size_nm
    depth, *sizes = source.shape_vx
    y, x = (_Axis(s, new_length(s, pixel_nm / nm), pixel_nm / nm) for s, nm in zip(sizes, yx_nm, strict=True))
    shape = (depth, y.count, x.count)
    known = source.attrs.get("provenance", {})
    done = {"from_nm": list(yx_nm), "to_nm": pixel_nm, "kind": kind, "source": str(source.path)}
    attrs = {
        "fingerprint": fingerprint("resample", source.fingerprint, pixel_nm, kind),
        "provenance": {**known, "resampled": [*known.get("resampled", []), done]},
        **describe_unlabelled(count_unlabelled(source.attrs)),
    }
    chunk = tuple(min(c, s) for c, s in zip(source.chunk_vx, shape, strict=True))
    with placing(Path(target)) as partial:
        volume = Volume.create(
            partial,
            shape,
            (z_nm, pixel_nm, pixel_nm),
            source.dtype,
            offset_nm=source.offset_nm,
            chunk_vx=chunk,
            attrs=attrs,
        )
        read_for_one = max(1.0, y.scale * x.scale)
        for zs, ys, xs in boxes(shape, chunk, round(source.dtype.itemsize * read_for_one)):
            part_y, part_x = y.part(ys), x.part(xs)
            read = source.read_box((zs, part_y.span, part_x.span))
            volume.data[zs, ys, xs] = _apply(read, part_y, part_x, kind)
    return Volume.open(target, "r+")


def new_length(size: int, scale: float) -> int:
    """Return how many pixels, each `scale` old ones long, come nearest to `size` old ones; at least one."""
    return max(1, round(size / scale))


def check_pixel(pixel_nm: float) -> float:
    """Return the pixel size in whole picometres.

    Raises
    ------
    UserError
        If that is not positive.
    """
    rounded = round(pixel_nm * PM_PER_NM) / PM_PER_NM if math.isfinite(pixel_nm) else 0.0
    if rounded <= 0:
        raise UserError(f"pixel size {pixel_nm} nm is not a positive length")
    return rounded


@dataclass(frozen=True)
class _Axis:
    """`count` new pixels from the `first` on, over `size` old ones.

    New pixel 0 begins at old pixel `start`. Places are computed on the whole axis and shifted by whole pixels, so that
    a part of it gives the very same values.
    """

    size: int
    count: int
    scale: float
    start: int = 0
    first: int = 0

    def part(self, new: slice) -> "_Axis":
        """Return the axis of only these new pixels."""
        return _Axis(self.size, new.stop - new.start, self.scale, self.start, self.first + new.start)

    @property
    def edges(self) -> np.ndarray:
        """Where new pixels begin and end, in old ones; float64 (count + 1,)."""
        edges: np.ndarray = self.start + np.arange(self.first, self.first + self.count + 1) * self.scale
        return edges

    @property
    def span(self) -> slice:
        """The old pixels that are needed."""
        edges = self.edges
        low = min(max(int(np.floor(edges[0])) - 1, 0), self.size - 1)
        return slice(low, min(max(int(np.ceil(edges[-1])) + 1, low + 1), self.size))

    def nearest(self) -> np.ndarray:
        """Return where in `span` the centre of each new pixel lies; int64 (count,)."""
        edges = self.edges
        return self._within(np.floor((edges[:-1] + edges[1:]) / 2))

    def weights(self) -> csr_array:
        """Return what each old pixel of `span` gives to each new one; float32 (count, len(span)), rows sum to 1."""
        edges = self.edges
        if self.scale <= 1:
            centres = (edges[:-1] + edges[1:]) / 2 - 0.5
            columns = np.floor(centres)[:, None] + np.arange(2)
            weights = 1 - np.abs(columns - centres[:, None])
        else:
            columns = np.floor(edges[:-1])[:, None] + np.arange(math.ceil(self.scale) + 1)
            overlap = np.minimum(columns + 1, edges[1:, None]) - np.maximum(columns, edges[:-1, None])
            weights = np.maximum(overlap, 0) / self.scale
        rows = np.repeat(np.arange(self.count), columns.shape[1])
        shape = (self.count, self.span.stop - self.span.start)
        return csr_array((weights.ravel().astype(np.float32), (rows, self._within(columns.ravel()))), shape=shape)

    def _within(self, old: np.ndarray) -> np.ndarray:
        return np.clip(old, 0, self.size - 1).astype(np.int64) - self.span.start


def _apply(sections: np.ndarray, y: _Axis, x: _Axis, kind: Kind) -> np.ndarray:
    if kind == "labels" or y.scale == x.scale == 1:
        return sections[:, y.nearest()[:, None], x.nearest()]
    weights_y, weights_x = y.weights(), x.weights()
    result = np.empty((len(sections), y.count, x.count), np.uint8)
    step = max(1, FEW_PIXELS // sections[0].size)
    for begin in range(0, len(sections), step):
        some = sections[begin : begin + step].astype(np.float32)
        depth, height, width = some.shape
        along_x = weights_x @ some.reshape(depth * height, width).T
        along_x = along_x.reshape(x.count, depth, height).transpose(2, 1, 0).reshape(height, depth * x.count)
        both = (weights_y @ along_x).reshape(y.count, depth, x.count).transpose(1, 0, 2)
        result[begin : begin + step] = np.rint(both).clip(0, 255)
    return result


def _check_kind(dtype: np.dtype[Any], kind: Kind, where: str | None) -> None:
    if kind == "raw" and dtype != np.uint8:
        raise UserError(f"raw is {dtype}", where, "import the volume as uint8, or resample it as labels")
