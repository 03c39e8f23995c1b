"""Multi-page TIFFs, with what tifffile leaves to its callers: damage that it only logs, and pages one by one."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile

from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.multiscales import Place
from neuroadda.volumes.geometry.places import Answers
from neuroadda.volumes.readers.looks import Look, look_of_grey, look_of_page
from neuroadda.volumes.readers.pages import Stack
from neuroadda.volumes.readers.source import BROKEN, Format, Source, Wanted
from neuroadda.volumes.readers.tiff_places import read_place
from neuroadda.volumes.storage.locations import Location

TIFF_SUFFIXES = (".tif", ".tiff", ".btf")
AS_SECTIONS = "ZIQ"  # I and Q are what tifffile calls pages of which nothing is said
MOST_COLOURS = 4  # tifffile calls the sections of an ImageJ stack channels, unless it is told otherwise
NAMED = 8
ORIENTATION = 274  # the tag
PHOTOMETRIC = {0: "MinIsWhite", 1: "MinIsBlack", 2: "RGB", 3: "palette", 4: "mask", 6: "YCbCr"}
DAMAGE = ("invalid page offset", "invalid value offset", "corrupted", "premature", "circular reference")


class PageTags(NamedTuple):
    """What is checked of each page."""

    photometric: int
    orientation: int


def _recognises(location: Location, wanted: Wanted) -> bool:
    return isinstance(location, Path) and location.is_file() and location.suffix.lower() in TIFF_SUFFIXES


@contextmanager
def _open(path: Location, wanted: Wanted) -> Iterator[Source]:
    assert isinstance(path, Path)
    with open_tiff(path, wanted.answers) as pages:
        yield pages.to_source(path)


def open_tiff(path: Path, answers: Answers | None = None) -> Stack:
    """Open a multi-page TIFF (also ImageJ, OME and BigTIFF).

    Parameters
    ----------
    answers
        What the user says of its place; None to leave its place unread.

    Raises
    ------
    UserError
        If it is broken, in colour, has pages of several shapes, or more axes than a volume, or its place is in doubt.
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
            files = _list_files(file)
            pages = [page for one in files for page in _read_tags(one)]
            check()
            _check_photometric(pages, path)
            depth, shape, dtype = _tiff_shape(file, path)
            _check_count(file, len(pages), depth, path)
            looks = tuple(_look_of_series(file, s, path) for s in file.series)
            orientation = _find_orientation(pages, path)
            notes = (*_describe_axes(file, path), *describe_orientation(orientation))
            page = decoder(path, file, (depth, *shape))
            place, told = (Place(), ()) if answers is None else read_place(file, str(path), answers)
        except UserError:
            file.close()
            raise
        except BROKEN as error:
            file.close()
            raise UserError(f"the TIFF cannot be read: {error}", str(path)) from error
    where = place.voxel_size_nm, place.offset_nm
    paths = (path, *(Path(one.filehandle.path) for one in files[1:]))
    return Stack((depth, *shape), dtype, page, paths, *where, file.close, looks, (*notes, *told), orientation)


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


def _list_files(file: tifffile.TiffFile) -> tuple[tifffile.TiffFile, ...]:
    """Return a file, and those that hold the other pages of an OME-TIFF in several files."""
    pages = (page for series in file.series for page in series.pages) if file.is_ome else ()
    others = {page.parent.filehandle.path: page.parent for page in pages if page is not None}
    others.pop(file.filehandle.path, None)
    return (file, *(others[name] for name in sorted(others)))


@contextmanager
def _opened(file: tifffile.TiffFile) -> Iterator[None]:
    """Have a file open in the block: tifffile closes the others of an OME-TIFF in several files."""
    closed = file.filehandle.closed
    if closed:
        file.filehandle.open()
    try:
        yield
    finally:
        if closed:
            file.filehandle.close()


def _read_tags(file: tifffile.TiffFile) -> list[PageTags]:
    with _opened(file):
        pages = (page.aspage() for page in file.pages)
        return [PageTags(int(p.photometric), int(p.tags.valueof(ORIENTATION, 1))) for p in pages]


def _check_photometric(pages: Sequence[PageTags], path: Path) -> None:
    """Raise UserError if pages differ in what their values mean. tifffile looks at the first page of each series."""
    found: dict[int, list[int]] = {}
    for number, page in enumerate(pages):
        found.setdefault(page.photometric, []).append(number)
    if len(found) > 1:
        told = (f"{_name_pages(pages)} {PHOTOMETRIC.get(kind, '?')} ({kind})" for kind, pages in found.items())
        right = "save all pages alike, or give them as a folder of images"
        raise UserError(f"its pages differ in photometric interpretation: {', '.join(told)}", str(path), right)


def _check_count(file: tifffile.TiffFile, pages: int, depth: int, path: Path) -> None:
    """Raise UserError if the metadata name more images, or fewer, than the file has."""
    coarser = [level for series in file.series for level in series.levels[1:] if not level.keyframe.is_subifd]
    pages -= sum(len(level.pages) for level in coarser)
    in_one_run = file.series[0].dataoffset is not None
    stated = int((file.imagej_metadata or {}).get("images", depth))
    if in_one_run and pages < depth:
        pages = depth  # ImageJ may have written a single page header
    if not pages == stated == depth:
        what = f"it has {pages} pages, but by its metadata {stated if stated != pages else depth} images"
        raise UserError(
            what, str(path), "save it again with the program that wrote it, or give single images in a folder"
        )


def _find_orientation(pages: Sequence[PageTags], path: Path) -> int:
    """Return the tag Orientation of all pages; raise UserError if they differ."""
    found = sorted({page.orientation for page in pages})
    if len(found) > 1:
        what = f"its pages differ in orientation (tag {ORIENTATION}: {', '.join(map(str, found))})"
        raise UserError(what, str(path), "turn and save all pages alike")
    return found[0]


def describe_orientation(orientation: int) -> tuple[str, ...]:
    """Return a note on rows and columns that some viewers turn or mirror; none for what is as usual."""
    if orientation == 1:
        return ()
    return (
        f"it says that it is to be turned or mirrored (orientation {orientation}); rows and columns are taken as stored",
    )


def _name_pages(pages: Sequence[int]) -> str:
    shown = ", ".join(map(str, pages[:NAMED]))
    many = f", ... ({len(pages)} in all) are" if len(pages) > NAMED else " are" if len(pages) > 1 else " is"
    return f"{'page' if len(pages) == 1 else 'pages'} {shown}{many}"


def _look_of_series(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> Look:
    """Return the look of all pages of a series. ImageJ shows an inverted stack by a table of its own (LUT)."""
    first = series.keyframe
    if first.photometric == tifffile.PHOTOMETRIC.PALETTE:
        palettes = {np.asarray(page.aspage().colormap).tobytes() for page in series.pages if page is not None}
        if len(palettes) > 1:
            right = "save its pages as grey images, or give them as a folder of images"
            raise UserError("its pages have different palettes", str(path), right)
    tables = np.asarray((file.imagej_metadata or {}).get("LUTs", ())).reshape(-1, 256)  # three for each channel
    if len(tables) == 3 and (tables == np.arange(255, -1, -1)).all():
        return look_of_grey(first.bitspersample, inverted=True)
    return look_of_page(first)


def decoder(path: Path, file: tifffile.TiffFile, shape: Zyx) -> Callable[[int], np.ndarray]:
    """Return a function that decodes one page of a stack of `shape`."""
    series = file.series
    if len(series) > 1:
        return lambda index: series[index].asarray().reshape(shape[1:])
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
        with _opened(page.parent):
            return page.asarray().reshape(shape[1:])

    return decode


def _tiff_shape(file: tifffile.TiffFile, path: Path) -> tuple[int, tuple[int, int], np.dtype[Any]]:
    series = file.series
    if not series or not all(series[0].shape):
        raise UserError("the TIFF holds no image", str(path))
    first = series[0]
    if "S" in first.axes:
        what = "it is in colour" if first.keyframe.samplesperpixel > 2 else "it has transparency"
        raise UserError(what, str(path), "convert it to grey first, such as by ImageJ: Image > Type > 8-bit")
    if any(s.shape[-2:] != first.shape[-2:] or s.dtype != first.dtype for s in series):
        pages = sorted({f"{s.shape[-2]} x {s.shape[-1]} {s.dtype}" for s in series})
        what = f"its pages differ: {', '.join(pages)}"
        raise UserError(what, str(path), "pages of one shape and data type are expected")
    long = [n for n in first.shape[:-2] if n != 1]
    pages_only = len(series) == 1 or all(math.prod(s.shape[:-2]) == 1 for s in series)
    if not pages_only:
        raise UserError(f"it holds {len(series)} stacks", str(path), "save the one that is meant")
    if not first.axes.endswith("YX") or len(long) > 1:
        raise UserError(f"its axes are {first.axes}, its shape {first.shape}", str(path), "one stack (ZYX) is expected")
    for one in series:
        _check_codec(one.keyframe, path)
    depth = len(series) if len(series) > 1 else math.prod(long)
    return depth, (first.shape[-2], first.shape[-1]), first.dtype


def _describe_axes(file: tifffile.TiffFile, path: Path) -> tuple[str, ...]:
    """Return notes on an axis that is not said to be z, and is taken for it; raise UserError for channels."""
    first = file.series[0]
    found = [(axis, n) for axis, n in zip(first.axes[:-2], first.shape[:-2], strict=True) if n != 1]
    if not found or found[0][0] in AS_SECTIONS:
        return ()
    axis, n = found[0]
    mode = (file.imagej_metadata or {}).get("mode", "grayscale")
    if axis == "C" and (not file.is_imagej or n <= MOST_COLOURS or mode != "grayscale"):
        right = "save the one channel that is meant; if they are sections, save them as slices (ZYX)"
        raise UserError(f"it has {n} channels of one section ({first.axes}), not sections", str(path), right)
    called = {"C": "channels", "T": "time points"}.get(axis, f"along the axis {axis}")
    return (f"its {n} images are {called} ({first.axes}) by its metadata; they are taken as sections",)


def _check_codec(page: tifffile.TiffPage, path: Path) -> None:
    """Raise UserError if tifffile needs imagecodecs for a page, and that is not installed."""
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        tifffile.TIFF.UNPREDICTORS[page.predictor]
    except KeyError as error:
        name = tifffile.COMPRESSION(page.compression).name
        if "imagecodecs" not in str(error):
            raise UserError(f"its compression {name} is not read", str(path)) from error
        what = f"its compression {name} needs the package imagecodecs, which is not installed"
        raise UserError(what, str(path), "pip install neuroadda[tiff]") from error


FORMAT = Format("TIFF", _recognises, _open)
