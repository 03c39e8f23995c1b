"""Whether an array's files are what its metadata say: seen from a listing and a few chunks, before anything is read."""

import json
import lzma
import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroadda.errors import UserError, warn
from neuroadda.volumes.arrays import DAMAGED, Volume
from neuroadda.volumes.storage.codecs import check_blosc
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.nodes import find_n5
from neuroadda.volumes.storage.stored import CHUNK_NAME, list_sizes
from neuroadda.volumes.storage.urls import ARRAY_METADATA, Url

if TYPE_CHECKING:
    import zarr

MOST_FILES = 500_000  # listed at most, which takes a few seconds
AGAIN = "copy the array again"
Place = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Where the chunk files of an array lie.

    Attributes
    ----------
    root
        The folder that holds them.
    separator
        Between the numbers of a file's name: "/" for a folder an axis.
    backwards
        The numbers are in the opposite order of the array's axes (N5).
    grid
        Files along each axis.
    stated
        What says so, for error messages.
    prefix
        Before the numbers.
    """

    root: Location
    separator: str
    backwards: bool
    grid: Place
    stated: str
    prefix: str = ""

    def key(self, place: Place) -> str:
        """Return the name of a file below the root."""
        return self.prefix + self.separator.join(map(str, place[::-1] if self.backwards else place))


def check_stored(volume: Volume, *, may_be_empty: bool = False) -> Volume:
    """Return a volume that a person named, after `describe_stored` has looked at it; what it finds is logged as warnings."""
    for note in describe_stored(volume.path, volume.data, may_be_empty=may_be_empty):
        warn(note, str(volume.path))
    return volume


def describe_stored(location: Location, array: "zarr.Array", *, may_be_empty: bool = False) -> tuple[str, ...]:
    """Compare the chunk files of a zarr or N5 array with its metadata.

    In a folder, up to 500,000 files are listed and a few are unpacked. At a URL, a few places are asked for.

    Parameters
    ----------
    may_be_empty
        No chunk need be stored, as of labels that nobody has drawn in.

    Returns
    -------
    tuple of str
        What people should know, a sentence each: chunks that are missing, or lie beyond the shape.

    Raises
    ------
    UserError
        If no chunk is stored (unless it may be empty), the files are named otherwise than the metadata say, files are empty or of
        the wrong length, or chunks are missing and no value is given for them.
    """
    if not math.prod(array.shape):
        return ()  # told by who opens it
    layout = _find_layout(location, array)
    if isinstance(location, Url):
        return _probe(location, array, layout, may_be_empty)
    return _compare(location, array, layout, may_be_empty)


def describe_missing(missing: int, total: int, fill: Any, unit: str = "chunks") -> str:
    """Return the sentence on parts of an array that are not stored."""
    share = missing / total
    percent = f"{share:.0%}" if 0.005 < share < 0.995 else f"{share:.2%}"
    return f"{missing} of its {total} {unit} are not stored ({percent}): their voxels are taken as {fill}"


def _find_layout(location: Location, array: "zarr.Array") -> Layout:
    grid = tuple(math.ceil(n / c) for n, c in zip(array.shape, _file_shape(array), strict=True))
    if find_n5(location) is not None:
        return Layout(location, "/", True, grid, "N5")
    name = ARRAY_METADATA[(location / ARRAY_METADATA[1]).is_file()]
    told = json.loads((location / name).read_text(encoding="utf-8"))
    if name == ARRAY_METADATA[0]:
        return Layout(location, told.get("dimension_separator") or ".", False, grid, name)
    encoding = told.get("chunk_key_encoding", {})
    prefixed = encoding.get("name", "default") == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if prefixed else ".")
    folders = prefixed and separator == "/"
    prefix = "c." if prefixed and not folders else ""
    return Layout(location / "c" if folders else location, separator, False, grid, name, prefix)


def _compare(location: Location, array: "zarr.Array", layout: Layout, may_be_empty: bool) -> tuple[str, ...]:
    where, fill, nbytes = str(location), array.fill_value, _plain_bytes(array, layout)
    inside = beyond = otherwise = 0
    empty, wrong, some, reach = [], [], [], [-1] * len(layout.grid)
    files = _walk(layout.root, (), len(layout.grid), layout.stated)
    for name, place, size in islice(files, MOST_FILES):
        if len(place) > 1 and ("." in name) != (layout.separator == "."):
            otherwise += 1
            continue
        place = place[::-1] if layout.backwards else place
        reach = [max(r, p) for r, p in zip(reach, place, strict=True)]
        if any(p >= n for p, n in zip(place, layout.grid, strict=True)):
            beyond += 1
            continue
        inside += 1
        if not size:
            empty.append(place)
        elif nbytes not in (None, size):
            wrong.append((place, size))
        elif inside & (inside - 1) == 0:  # powers of two: a few of any number
            some.append(place)
    total = math.prod(layout.grid)
    if not inside:
        _refuse_names(layout, otherwise, where)
    if not inside and not may_be_empty:
        what = f"none of its {total} chunks is stored: the array is empty"
        raise UserError(what, where, f"{AGAIN}, or give the path of the one that was meant")
    if empty:
        what = f"{len(empty)} of its chunk files are empty (0 bytes), such as {layout.key(empty[0])}"
        raise UserError(what, where, AGAIN)
    _check_lengths(array, layout, wrong, some, where)
    notes = []
    if otherwise:
        named = "1/2/3" if layout.separator == "." else "1.2.3"
        notes.append(f"{otherwise} chunk files are named as in {named} and are not read")
    if beyond:
        what = f"{beyond} chunk files lie beyond its shape {tuple(array.shape)} and are not read"
        notes.append(f"{what}: they reach to chunk {tuple(reach)}, the shape to {tuple(n - 1 for n in layout.grid)}")
    if next(files, None) is None and inside < total:
        _check_fill(total - inside, fill, where)
        notes.append(describe_missing(total - inside, total, fill))
        if inside and math.prod(r + 1 for r in reach) == inside:
            ends = tuple(min(n, (r + 1) * c) for n, r, c in zip(array.shape, reach, _file_shape(array), strict=True))
            notes[-1] += f"; what is stored ends at voxel {ends}, the shape is {tuple(array.shape)}"
    return tuple(notes)


def _walk(folder: Location, above: Place, axes: int, root: str) -> Iterator[tuple[str, Place, int]]:
    """Yield name, numbers (as in the path) and size of each file that is named as a chunk."""
    for name, size in list_sizes(folder):
        bare = name.removeprefix("c.") if root == ARRAY_METADATA[1] else name
        if not CHUNK_NAME.fullmatch(bare):
            continue
        place = (*above, *map(int, re.split("[./]", bare)))
        if size >= 0 and len(place) == axes:
            yield bare, place, size
        elif size < 0 and len(place) < axes:
            yield from _walk(folder / name, place, axes, root)


def _refuse_names(layout: Layout, others: int, where: str) -> None:
    """Raise UserError if all chunk files are named by the other convention."""
    if others and layout.stated == "N5":
        raise UserError("its chunk files are named as in 1.2.3, but N5 has a folder for each axis", where, AGAIN)
    if others:
        refuse_names("/" if layout.separator == "." else ".", layout.stated, where)


def refuse_names(found: str, stated: str, where: str) -> None:
    """Raise UserError: chunks lie by another separator than the metadata say.

    Parameters
    ----------
    found
        The separator of the chunks that are there.
    stated
        The file of the metadata.
    """
    key = "dimension_separator" if stated == ARRAY_METADATA[0] else "separator"
    what = "its chunks lie in folders (1/2/3)" if found == "/" else "its chunk files are named as in 1.2.3"
    what = (
        f"{what}, but by {stated} the {key} is {'.' if found == '/' else '/'!r}: every voxel would be read as missing"
    )
    raise UserError(what, where, f'set "{key}" to "{found}" in {stated}')


def _check_fill(missing: int, fill: Any, where: str) -> None:
    if fill is None:
        what = f"{missing} chunks are missing, and its fill_value is null: their voxels have no value"
        raise UserError(what, where, f'{AGAIN}, or set "fill_value" to 0 in {ARRAY_METADATA[0]}')


def _plain_bytes(array: "zarr.Array", layout: Layout) -> int | None:
    """Return the size of each chunk file, None where it is packed."""
    if layout.stated != ARRAY_METADATA[0] or getattr(array, "filters", None) or _find_codec(array) is not None:
        return None
    return _chunk_bytes(array)


def _chunk_bytes(array: "zarr.Array") -> int:
    return int(math.prod(array.chunks) * array.dtype.itemsize)


def _check_lengths(
    array: "zarr.Array", layout: Layout, wrong: list[tuple[Place, int]], some: Sequence[Place], where: str
) -> None:
    """Raise UserError if a chunk file does not hold as many bytes as a chunk has; of packed ones, a few are unpacked."""
    codec = _find_codec(array)
    if layout.stated == "N5":
        _check_n5_blocks(array, layout, some, where)
    if layout.stated == ARRAY_METADATA[0] and not getattr(array, "filters", None) and codec is not None:
        lengths = ((place, _unpacked(layout.root / layout.key(place), codec)) for place in some)
        wrong = [(place, size) for place, size in lengths if size not in (None, _chunk_bytes(array))]
    if wrong:
        what = f"chunk {layout.key(wrong[0][0])} holds {wrong[0][1]} bytes, but by its metadata a chunk is"
        what = f"{what} {tuple(array.chunks)} of {array.dtype}, {_chunk_bytes(array)} bytes"
        raise UserError(what, where, f"{AGAIN}, or mend {layout.stated}")


def _check_n5_blocks(array: "zarr.Array", layout: Layout, some: Sequence[Place], where: str) -> None:
    """Raise UserError if the header of a block tells fewer voxels than the block has; zarr would take the others as 0."""
    for place in some:
        header = (layout.root / layout.key(place)).read_bytes()[: 4 + 4 * array.ndim]
        found = tuple(np.frombuffer(header[4:], ">u4")[::-1].tolist())
        right = tuple(min(c, n - p * c) for c, n, p in zip(array.chunks, array.shape, place, strict=True))
        if len(found) != array.ndim or any(f < r for f, r in zip(found, right, strict=True)):
            raise UserError(f"block {layout.key(place)} holds {found} voxels (zyx), not {right}", where, AGAIN)


def _find_codec(array: "zarr.Array") -> Any:
    codecs = getattr(array, "compressors", None)
    return (codecs[0] if codecs else None) if isinstance(codecs, tuple) else array.compressor


def _unpacked(file: Location, codec: Any) -> int | None:
    """Return the bytes of a chunk; None if it is damaged, which is told by who reads it."""
    try:
        data = file.read_bytes()
        if getattr(codec, "codec_id", "") == "blosc":
            return check_blosc(data)
        return memoryview(codec.decode(data)).nbytes
    except (*DAMAGED, OSError, LookupError, lzma.LZMAError):
        return None


def _file_shape(array: "zarr.Array") -> Place:
    return tuple(getattr(array, "shards", None) or array.chunks)


def _probe(location: Url, array: "zarr.Array", layout: Layout, may_be_empty: bool) -> tuple[str, ...]:
    """Ask for a few chunks spread over an array at a URL: listing all of them could take minutes."""
    places = probe_places(layout.grid)
    other = "/" if layout.separator == "." else "."
    with ThreadPoolExecutor(8) as pool:
        there = list(pool.map(partial(_is_stored, layout), places))
        if not any(there):
            otherwise = replace(layout, separator=other)
            _refuse_names(layout, sum(pool.map(partial(_is_stored, otherwise), places)), str(location))
    missing = there.count(False)
    if not missing:
        return ()
    _check_fill(missing, array.fill_value, str(location))
    if missing == math.prod(layout.grid) and not may_be_empty:
        raise UserError(f"none of its {missing} chunks is stored: the array is empty", str(location), AGAIN)
    return (describe_missing(missing, len(places), array.fill_value, "chunks that were asked for"),)


def _is_stored(layout: Layout, place: Place) -> bool:
    return bool((layout.root / layout.key(place)).is_file())


def probe_places(grid: Sequence[int]) -> list[Place]:
    """Return places spread over a grid: first, middle and last along each axis."""
    return sorted(product(*({0, (n - 1) // 2, n - 1} for n in grid)))


def check_files(folder: Path, sizes: dict[str, int], expected: int, fill: Any = 0) -> tuple[str, ...]:
    """Return notes on the chunk files of a folder, given those that belong to it and how many are expected.

    Raises
    ------
    UserError
        If there are none, or some are empty.
    """
    if not sizes:
        raise UserError(f"none of its {expected} chunks is stored: the volume is empty", str(folder), AGAIN)
    if empty := [name for name, size in sizes.items() if not size]:
        raise UserError(f"{len(empty)} of its chunk files are empty (0 bytes), such as {empty[0]}", str(folder), AGAIN)
    missing = expected - len(sizes)
    return (describe_missing(missing, expected, fill),) if missing > 0 else ()
