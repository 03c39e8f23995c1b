"""A zarr array (format 2) that is served at a URL; only the chunks that touch a box are fetched.

Not by the zarr package, which reads http with aiohttp alone, takes in whatever size a server sends, and hands what it gets to any
codec that the server names.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numcodecs import get_codec
from pydantic import BaseModel, Field, PositiveInt

from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.axes import check_order
from neuroadda.volumes.geometry.places import PLACE_KEYS, describe_unread, find_place
from neuroadda.volumes.readers.chunks import MAX_CHUNK_BYTES, MAX_METADATA_BYTES, SLACK_BYTES, Chunks, read_file
from neuroadda.volumes.readers.metadata import parse_metadata, plain_attributes
from neuroadda.volumes.readers.source import BROKEN, Format, Source, Wanted, first_line
from neuroadda.volumes.storage.completeness import refuse_names
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.nodes import read_groups

COMPRESSORS = {"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"}


class _Zarray(BaseModel):
    """The metadata of a zarr array; filters, and fill values of objects, may be pickles and are not read."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    chunks: tuple[PositiveInt, PositiveInt, PositiveInt]
    dtype: str = Field(pattern="^[<>|][biuf][1248]$")
    compressor: dict[str, Any] | None = None
    filters: tuple[()] | None = None
    fill_value: int | bool | None = None
    order: Literal["C", "F"] = "C"
    dimension_separator: Literal[".", "/"] = "."

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunks) * np.dtype(self.dtype).itemsize


def _recognises(location: Location, wanted: Wanted) -> bool:
    if isinstance(location, Path):
        return False
    return read_file(wanted.below(location) / ".zarray", MAX_METADATA_BYTES) is not None


@contextmanager
def _open(location: Location, wanted: Wanted) -> Iterator[Source]:
    folder = wanted.below(location)
    where = str(folder)
    meta = parse_metadata(_Zarray, read_file(folder / ".zarray", MAX_METADATA_BYTES) or b"", f"{where}/.zarray")
    if meta.chunk_bytes > MAX_CHUNK_BYTES:
        raise UserError(f"its chunks {meta.chunks} are too large", where)
    if meta.compressor is not None and meta.compressor.get("id") not in COMPRESSORS:
        raise UserError(f"its compressor {meta.compressor.get('id')!r} is not read", where)
    try:
        codec = get_codec(meta.compressor) if meta.compressor else None
        attributes = _read_attributes(folder)
    except BROKEN as error:
        raise UserError(f"the array's metadata cannot be read ({first_line(error)})", where) from error
    dtype, limit = np.dtype(meta.dtype), 2 * meta.chunk_bytes + SLACK_BYTES

    def fetch_chunk(first: Zyx) -> np.ndarray | None:
        key = name_chunk(tuple(f // c for f, c in zip(first, meta.chunks, strict=True)), meta.dimension_separator)
        stored = read_file(folder / key, limit)
        if stored is None:
            return None
        voxels = np.frombuffer(codec.decode(stored) if codec else stored, dtype)
        return voxels.reshape(meta.chunks, order=meta.order)

    check_order(attributes, where, ndim=3)
    place = find_place(attributes, where, "zarr", read_groups(folder, _read_group), wanted.answers, 3)
    _check_names(folder, meta)
    stored = Chunks(fetch_chunk, meta.shape, meta.chunks, dtype, int(meta.fill_value or 0))
    yield Source(
        folder,
        meta.shape,
        dtype,
        stored,
        voxel_size_nm=place.voxel_size_nm,
        offset_nm=place.offset_nm,
        attributes={key: value for key, value in attributes.items() if key not in PLACE_KEYS},
        notes=describe_unread(attributes, place, wanted.answers),
        late_notes=stored.describe,
    )


def name_chunk(place: tuple[int, ...], separator: str) -> str:
    """Return the name of a chunk below its array."""
    return separator.join(map(str, place))


def _check_names(folder: Location, meta: _Zarray) -> None:
    """Raise UserError if a chunk is there by the other separator than the metadata say, and not by that."""
    other = "/" if meta.dimension_separator == "." else "."
    for place in {(0, 0, 0), tuple((s - 1) // c // 2 for s, c in zip(meta.shape, meta.chunks, strict=True))}:
        limit = 2 * meta.chunk_bytes + SLACK_BYTES
        if read_file(folder / name_chunk(place, meta.dimension_separator), limit) is not None:
            return
        if read_file(folder / name_chunk(place, other), limit) is not None:
            refuse_names(other, ".zarray", str(folder))


def _read_attributes(folder: Location) -> dict[str, Any]:
    return plain_attributes(dict(json.loads(read_file(folder / ".zattrs", MAX_METADATA_BYTES) or b"{}")))


def _read_group(folder: Location) -> dict[str, Any]:
    """Return the attributes of a group, or nothing where there is none: a server need not let any be read."""
    try:
        return _read_attributes(folder)
    except (UserError, *BROKEN):
        return {}


FORMAT = Format("zarr at a URL", _recognises, _open, has_datasets=True, has_lists=True)
