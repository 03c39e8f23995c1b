"""A folder of single images, TIFFs or PNGs, as a stack."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL.PngImagePlugin import PngImageFile

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.places import Answers
from neuroadda.volumes.readers.looks import Look, look_of_grey, look_of_palette
from neuroadda.volumes.readers.pages import Stack
from neuroadda.volumes.readers.series import NAMED, arrange
from neuroadda.volumes.readers.source import BROKEN, Format, Gaps, Source, Wanted
from neuroadda.volumes.readers.tiff import ORIENTATION, TIFF_SUFFIXES, describe_orientation, open_tiff
from neuroadda.volumes.readers.tiff_places import describe_sections
from neuroadda.volumes.storage.locations import Location

MODES: dict[str, np.dtype[Any]] = {  # of Pillow
    "1": np.dtype(bool),
    "L": np.dtype(np.uint8),
    "P": np.dtype(np.uint8),
    "I": np.dtype(np.uint16),
    "I;16": np.dtype(np.uint16),
}


def _recognises(location: Location, wanted: Wanted) -> bool:
    return isinstance(location, Path) and location.is_dir()


@contextmanager
def _open(path: Location, wanted: Wanted) -> Iterator[Source]:
    assert isinstance(path, Path)
    with open_folder(path, wanted.gaps, wanted.order, wanted.answers) as pages:
        yield pages.to_source(path)


@dataclass(frozen=True)
class Header:
    """Shape (y, x), data type, look and orientation of an image, its offset (nm, zyx) where it says one, and notes on it."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    look: Look
    orientation: int = 1
    offset_nm: ZyxFloat | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.shape[0]}x{self.shape[1]} {self.dtype}"


def open_folder(path: Path, gaps: Gaps | None = None, order: str | None = None, answers: Answers = Answers()) -> Stack:
    """Open a folder of single TIFF or PNG images as a stack, in the order of their numbers; hidden files are left out.

    Raises
    ------
    UserError
        If it holds no images, both kinds, colour images, or images of several shapes or data types, or as `arrange` does.
    """
    seen = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    tiffs = [p for p in seen if p.suffix.lower() in TIFF_SUFFIXES]
    pngs = [p for p in seen if p.suffix.lower() == ".png"]
    if bool(tiffs) == bool(pngs):
        what = "both TIFFs and PNGs" if tiffs else "no images"
        raise UserError(f"the folder holds {what}", str(path), "a folder of TIFFs or of PNGs is expected")
    series = arrange(tiffs or pngs, path, gaps, order)
    # the voxel size of a single image is not read
    sized = replace(answers, voxel_size_nm=answers.voxel_size_nm or (1.0, 1.0, 1.0))
    decode: Callable[[Path], np.ndarray] = tifffile.imread if tiffs else _read_png

    def read_header(file: Path) -> Header:
        return _read_tiff_header(file, sized) if tiffs else _read_png_header(file)

    first = read_header(series.files[0])
    looks, offsets, told = [], {}, {}
    for number, file in enumerate(series.sections):
        if file is None:
            looks.append(Look())
            continue
        header = read_header(file)
        if (header.shape, header.dtype) != (first.shape, first.dtype):
            raise UserError(
                f"the image is {header}, but {series.files[0].name} is {first}",
                str(file),
                "images of one shape and data type are expected",
            )
        if header.orientation != first.orientation:
            what = f"its orientation is {header.orientation}, that of {series.files[0].name} {first.orientation}"
            raise UserError(what, str(file), "turn and save all images alike")
        looks.append(header.look)
        if header.offset_nm is not None:
            offsets[number] = header.offset_nm
        if header.notes:
            told[file.name] = header.notes

    def page(index: int) -> np.ndarray:
        file = series.sections[index]
        return np.zeros(first.shape, first.dtype) if file is None else _decode(decode, file).reshape(first.shape)

    others = [p.name for p in seen if p not in {*tiffs, *pngs}]
    shown = ", ".join(others[:NAMED]) + (f", ... ({len(others)} in all)" if len(others) > NAMED else "")
    notes = (*series.notes, *([f"other files in the folder are not read: {shown}"] if others else []))
    notes += (*describe_orientation(first.orientation), *describe_sections(offsets, answers, str(path)))
    notes += tuple(f"{name} and {len(told) - 1} more: {note}" for name in list(told)[:1] for note in told[name])
    return Stack((len(series.sections), *first.shape), first.dtype, page, series.files, looks=tuple(looks), notes=notes)


def _decode(decode: Callable[[Path], np.ndarray], file: Path) -> np.ndarray:
    try:
        return decode(file)
    except BROKEN as error:
        raise UserError(f"the image cannot be read: {error}", str(file)) from error


def _read_tiff_header(path: Path, answers: Answers) -> Header:
    with open_tiff(path, answers) as image:
        if image.shape[0] != 1:
            raise UserError(f"it has {image.shape[0]} pages", str(path), "a folder of single images, or one stack")
        notes = tuple(note for note in image.notes if note not in describe_orientation(image.orientation))
        shape = image.shape[1], image.shape[2]
        return Header(shape, image.dtype, image.looks[0], image.orientation, image.offset_nm, notes)


def _read_png_header(path: Path) -> Header:
    # not PIL.Image.open, which takes a large section for a decompression bomb
    try:
        with PngImageFile(path) as image:
            mode, (width, height), bits = image.mode, image.size, _png_bits(path)
            palette = image.palette.tobytes() if mode == "P" and image.palette is not None else b""
            look = look_of_grey(bits)
            orientation = int(image.getexif().get(ORIENTATION, 1))
            transparent = "transparency" in image.info
            if mode == "P":
                look = look_of_palette(np.frombuffer(palette, np.uint8).reshape(-1, 3), bits)
    except BROKEN as error:
        raise UserError(f"the PNG cannot be read: {error}", str(path)) from error
    if mode not in MODES or transparent:
        what = f"it has transparency ({mode})" if mode == "LA" or transparent else f"it is in colour ({mode})"
        raise UserError(what, str(path), "convert it to grey first, such as by ImageJ: Image > Type > 8-bit")
    return Header((height, width), MODES[mode], look, orientation)


def _png_bits(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[-1]  # of the chunk IHDR, which comes first


def _read_png(path: Path) -> np.ndarray:
    with PngImageFile(path) as image:
        stored = np.asarray(image).astype(MODES[image.mode], copy=False)
        bits = _png_bits(path)
        if image.mode == "L" and bits < 8:  # Pillow scales 2 and 4 bits to 8; what is stored may be ids
            return stored // np.uint8(255 // (2**bits - 1))
        return stored


FORMAT = Format("a folder of TIFFs or PNGs", _recognises, _open, has_files=True)
