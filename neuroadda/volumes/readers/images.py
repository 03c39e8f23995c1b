"""A folder of single images, TIFFs or PNGs, as a stack."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL.PngImagePlugin import PngImageFile

from neuroadda.errors import UserError
from neuroadda.volumes.locations import Location
from neuroadda.volumes.readers.pages import Stack
from neuroadda.volumes.readers.source import BROKEN, Format, Source, Wanted
from neuroadda.volumes.readers.tiff import open_tiff

GREY_MODES: dict[str, np.dtype[Any]] = {"L": np.dtype(np.uint8), "I;16": np.dtype(np.uint16), "1": np.dtype(bool)}


def _recognises(location: Location, wanted: Wanted) -> bool:
    return isinstance(location, Path) and location.is_dir()


@contextmanager
def _open(path: Location, wanted: Wanted) -> Iterator[Source]:
    assert isinstance(path, Path)
    with open_folder(path) as pages:
        yield pages.to_source(path)


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


FORMAT = Format("a folder of TIFFs or PNGs", _recognises, _open)
