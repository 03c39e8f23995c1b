"""Multi-page TIFFs, with what tifffile leaves to its callers: damage that it only logs, pages one by one, voxel size and offset."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.axes import NM
from neuroadda.volumes.locations import Location
from neuroadda.volumes.readers.pages import Stack
from neuroadda.volumes.readers.source import BROKEN, Format, Source, Wanted

TIFF_SUFFIXES = (".tif", ".tiff", ".btf")
DAMAGE = ("invalid page offset", "invalid value offset", "corrupted", "premature", "circular reference")


def _recognises(location: Location, wanted: Wanted) -> bool:
    return isinstance(location, Path) and location.is_file() and location.suffix.lower() in TIFF_SUFFIXES


@contextmanager
def _open(path: Location, wanted: Wanted) -> Iterator[Source]:
    assert isinstance(path, Path)
    with open_tiff(path) as pages:
        yield pages.to_source(path)


def open_tiff(path: Path) -> Stack:
    """Open a multi-page TIFF (also ImageJ, OME and BigTIFF).

    Raises
    ------
    UserError
        If it is broken, in colour, has pages of several shapes, or more axes than a volume.
    """
    with check_intact(path) as check:
        try:
            file = tifffile.TiffFile(path)
        except BROKEN as error:
            raise UserError(f"the TIFF cannot be read: {error}", str(path)) from error
        try:
            len(
                file.pages
            )  # finds all pages, and says where they go round in a circle, along which series would go for ever
            check()
            depth, shape, dtype = _tiff_shape(file, path)
            page = decoder(path, file, (depth, *shape))
            voxel_size, offset = place_of(file)
        except UserError:
            file.close()
            raise
        except BROKEN as error:
            file.close()
            raise UserError(f"the TIFF cannot be read: {error}", str(path)) from error
    return Stack((depth, *shape), dtype, page, (path,), voxel_size, offset, file.close)


@contextmanager
def check_intact(path: Path) -> Iterator[Callable[[], None]]:
    """Turn what tifffile logs of a truncated file, and then reads as a shorter one, into an error.

    Yields what raises that error at once, before what does not end on a damaged file.

    Raises
    ------
    UserError
        If the body made tifffile speak of damage.
    """
    damage: list[str] = []
    watcher = logging.Handler()
    watcher.emit = lambda record: damage.append(record.getMessage())  # type: ignore[method-assign]
    logger = tifffile.logger()
    propagate = logger.propagate
    logger.addHandler(watcher)
    logger.propagate = False

    def check() -> None:
        if any(word in line for line in damage for word in DAMAGE):
            raise UserError("the TIFF is truncated or damaged", str(path))

    try:
        yield check
    finally:
        logger.removeHandler(watcher)
        logger.propagate = propagate
    check()


def decoder(path: Path, file: tifffile.TiffFile, shape: Zyx) -> Callable[[int], np.ndarray]:
    """Return a function that decodes one page of a stack of `shape`."""
    series = file.series
    if len(series) > 1:
        return lambda index: series[index].asarray()
    stack = series[0]
    if stack.dataoffset is not None:  # one run of bytes, for which ImageJ may have written a single page header
        end = stack.dataoffset + int(np.prod(shape, dtype=np.int64)) * stack.dtype.itemsize
        if end > path.stat().st_size:
            raise UserError("the TIFF is truncated or damaged", str(path))
        start, dtype, size = stack.dataoffset, stack.dtype.newbyteorder(file.byteorder), shape[1] * shape[2]
        return lambda index: np.fromfile(path, dtype, size, offset=start + index * size * dtype.itemsize).reshape(
            shape[1:]
        )

    def decode(index: int) -> np.ndarray:
        page = stack.pages[index]
        if page is None or 0 in page.databytecounts:
            raise ValueError(f"page {index} is missing or has no data")
        return page.asarray()

    return decode


def place_of(file: tifffile.TiffFile) -> tuple[ZyxFloat | None, ZyxFloat | None]:
    """Return voxel size and offset (nm, zyx) told by OME (``PhysicalSize``, first ``Position``) or ImageJ metadata."""
    if file.is_ome and file.ome_metadata:
        pixels = ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels")
        planes = [] if pixels is None else pixels.findall("{*}Plane")
        first = next((plane for plane in planes if plane.get("TheZ", "0") == "0"), None)
        return _lengths(pixels, "PhysicalSize", "µm"), _lengths(first, "Position", "reference frame")
    ij, tags = file.imagej_metadata or {}, file.pages.first.tags
    scales = [NM.get(str(ij.get(name, ij.get("unit")))) for name in ("zunit", "yunit", "unit")]
    if None in scales or "spacing" not in ij or "XResolution" not in tags or "YResolution" not in tags:
        return None, None
    (y_pixels, y_units), (x_pixels, x_units) = tags["YResolution"].value, tags["XResolution"].value
    if not y_pixels or not x_pixels:
        return None, None
    lengths = (float(ij["spacing"]), y_units / y_pixels, x_units / x_pixels)
    z, y, x = (round(length * scale, 3) for length, scale in zip(lengths, scales, strict=True) if scale)
    origin = [float(ij.get(f"{axis}origin", 0)) for axis in "zyx"]  # the pixel that lies at 0
    offset = (-origin[0] * z, -origin[1] * y, -origin[2] * x) if any(origin) else None
    return (z, y, x), offset


def _lengths(node: ElementTree.Element | None, prefix: str, default: str) -> ZyxFloat | None:
    """Return three lengths; `default` is the unit that the schema of OME gives those without one."""
    found = []
    for axis in "ZYX":
        value = None if node is None else node.get(prefix + axis)
        unit = "" if node is None else node.get(f"{prefix}{axis}Unit", default)
        if value is None or unit not in NM:
            return None
        found.append(round(float(value) * NM[unit], 6))
    return found[0], found[1], found[2]


def _tiff_shape(file: tifffile.TiffFile, path: Path) -> tuple[int, tuple[int, int], np.dtype[Any]]:
    series = file.series
    if not series or not all(series[0].shape):
        raise UserError("the TIFF holds no image", str(path))
    first = series[0]
    if "S" in first.axes:
        raise UserError("it is in colour", str(path), "convert it to grey first")
    if any(s.shape[-2:] != first.shape[-2:] or s.dtype != first.dtype for s in series):
        shapes = sorted({s.shape[-2:] for s in series})
        raise UserError(f"its pages differ: {shapes}", str(path), "pages of one shape and data type are expected")
    pages_only = len(series) == 1 or all(len(s.shape) == 2 for s in series)
    if not first.axes.endswith("YX") or len(first.shape) not in (2, 3) or not pages_only:
        raise UserError(f"its axes are {first.axes}, its shape {first.shape}", str(path), "one stack (ZYX) is expected")
    depth = len(series) if len(series) > 1 else (1, *first.shape)[-3]
    return depth, (first.shape[-2], first.shape[-1]), first.dtype


FORMAT = Format("TIFF", _recognises, _open)
