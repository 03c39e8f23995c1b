"""Stacks of images, as pages of one shape: a multi-page TIFF, a folder of TIFFs, a folder of PNGs."""

import re
import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL.PngImagePlugin import PngImageFile

from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.tiff import check_intact, decoder, place_of

IN_MEMORY = 512 * 2**20
BROKEN = (
    *(OSError, ValueError, RuntimeError, LookupError, TypeError, SyntaxError, EOFError, ArithmeticError),
    *(zlib.error, struct.error, tifffile.TiffFileError),
)
GREY_MODES: dict[str, np.dtype[Any]] = {"L": np.dtype(np.uint8), "I;16": np.dtype(np.uint16), "1": np.dtype(bool)}


def layer_buffer(shape: Zyx, dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array for a layer of pages: in memory, or in a nameless scratch file when it is larger than 512 MiB."""
    if int(np.prod(shape, dtype=np.int64)) * dtype.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


@dataclass
class Stack(AbstractContextManager["Stack"]):
    """Pages of one shape, read by boxes; the pages of the last box are kept, so that each is decoded once.

    Attributes
    ----------
    shape, dtype
        zyx; as stored.
    page
        Decodes the page of an index.
    """

    shape: Zyx
    dtype: np.dtype[Any]
    page: Callable[[int], np.ndarray]
    files: tuple[Path, ...]
    voxel_size_nm: ZyxFloat | None = None
    offset_nm: ZyxFloat | None = None
    close: Callable[[], None] = lambda: None
    _range: tuple[int, int] = (0, 0)
    _pages: np.ndarray | None = field(default=None, repr=False)

    def read(self, box: tuple[slice, slice, slice]) -> np.ndarray:
        """Return a box of voxels."""
        z, y, x = box
        if (z.start, z.stop) != self._range or self._pages is None:
            self._pages = None  # never two layers at a time
            self._pages = layer_buffer((z.stop - z.start, *self.shape[1:]), self.dtype)
            for index in range(z.start, z.stop):
                page = self.page(index)
                if page.shape != self.shape[1:]:
                    raise ValueError(f"page {index} has shape {page.shape}, not {self.shape[1:]}")
                self._pages[index - z.start] = page
            self._range = (z.start, z.stop)
        return np.asarray(self._pages[:, y, x])

    def __exit__(self, *exc: object) -> None:
        self._pages = None
        self.close()


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


def open_folder(path: Path) -> Stack:
    """Open a folder of single TIFF or PNG images as a stack, in natural order (z2 before z10).

    Raises
    ------
    UserError
        If it holds no images, both kinds, colour images, or images of several shapes or data types.
    """
    tiffs = [p for p in path.iterdir() if p.suffix.lower() in (".tif", ".tiff")]
    pngs = [p for p in path.iterdir() if p.suffix.lower() == ".png"]
    if bool(tiffs) == bool(pngs):
        what = "both TIFFs and PNGs" if tiffs else "no images"
        raise UserError(f"the folder holds {what}", str(path), "a folder of TIFFs or of PNGs is expected")
    files = sorted(tiffs or pngs, key=natural_key)
    header, decode = (_tiff_header, tifffile.imread) if tiffs else (_png_header, _read_png)
    shape, dtype = header(files[0])
    for file in files[1:]:
        if (other := header(file)) != (shape, dtype):
            raise UserError(
                f"the image is {_words(*other)}, but {files[0].name} is {_words(shape, dtype)}",
                str(file),
                "images of one shape and data type are expected",
            )
    return Stack((len(files), *shape), dtype, lambda index: _decode(decode, files[index]), tuple(files))


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key that takes runs of digits as numbers."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path.name) if part]


def _decode(decode: Callable[[Path], np.ndarray], file: Path) -> np.ndarray:
    try:
        return decode(file)
    except BROKEN as error:
        raise UserError(f"the image cannot be read: {error}", str(file)) from error


def _words(shape: tuple[int, int], dtype: np.dtype[Any]) -> str:
    return f"{shape[0]}x{shape[1]} {dtype}"


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


def _tiff_header(path: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    with open_tiff(path) as image:
        if image.shape[0] != 1:
            raise UserError(f"it has {image.shape[0]} pages", str(path), "a folder of single images, or one stack")
        return (image.shape[1], image.shape[2]), image.dtype


def _png_header(path: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    # not PIL.Image.open, which takes a large section for a decompression bomb
    try:
        with PngImageFile(path) as image:
            mode, (width, height) = image.mode, image.size
    except BROKEN as error:
        raise UserError(f"the PNG cannot be read: {error}", str(path)) from error
    if mode not in GREY_MODES:
        raise UserError(f"it is in colour ({mode})", str(path), "convert it to grey first")
    return (height, width), GREY_MODES[mode]


def _read_png(path: Path) -> np.ndarray:
    with PngImageFile(path) as image:
        return np.asarray(image)
