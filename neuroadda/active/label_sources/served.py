"""A segmentation at a URL: Neuroglancer's precomputed format or zarr; only the chunks that touch a box are fetched."""

import json
import math
import posixpath
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from typing import Any, Literal

import numpy as np
from numcodecs import get_codec
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from neuroadda.active.label_sources.array import (
    MAX_CHUNK_BYTES,
    LabelArray,
    describe_size,
    gunzip,
    parse_metadata,
    paste,
    same_size,
)
from neuroadda.active.label_sources.compressed_segmentation import decode_compressed_segmentation
from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.places import Url
from neuroadda.volumes.readers import Box, first_line, plain_attributes, take_place
from neuroadda.volumes.stacks import BROKEN

FETCHES = 8
MAX_METADATA_BYTES = 16 * 2**20
SLACK_BYTES = 2**20
SCHEMES = ("precomputed://", "zarr://", "zarr2://")
COMPRESSORS = {"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"}

Triple = tuple[PositiveInt, PositiveInt, PositiveInt]


class Scale(BaseModel):
    """One magnification of a precomputed volume; everything xyz."""

    key: str
    size: Triple
    resolution: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    voxel_offset: tuple[int, int, int] = (0, 0, 0)
    chunk_sizes: tuple[Triple, ...]
    encoding: str
    compressed_segmentation_block_size: Triple | None = None
    sharding: dict[str, Any] | None = None


class Info(BaseModel):
    """The ``info`` of a precomputed volume."""

    data_type: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32"]
    num_channels: int
    scales: tuple[Scale, ...]


@contextmanager
def open_served(url: str, dataset: str | None, voxel_size_nm: ZyxFloat) -> Iterator[list[LabelArray]]:
    """Open what is served at a URL, as Neuroglancer names it or plainly.

    Parameters
    ----------
    url
        http(s), or any that fsspec knows.
    dataset
        A path below it.
    voxel_size_nm
        zyx; the scale of this voxel size is taken.

    Raises
    ------
    UserError
        If it cannot be read, is neither format, or has no such scale.
    """
    for scheme in SCHEMES:
        url = url.removeprefix(scheme)
    remote, folder = Url.with_credentials(url.partition("|")[0]), (dataset or "").strip("/")
    info = fetch(remote, posixpath.join(folder, "info"), MAX_METADATA_BYTES)
    if info is not None:
        yield [_open_precomputed(remote, folder, info, voxel_size_nm)]
    elif (zarray := fetch(remote, posixpath.join(folder, ".zarray"), MAX_METADATA_BYTES)) is not None:
        yield [_open_zarr(remote, folder, zarray)]
    else:
        right = "give the URL of the folder that holds info, or .zarray (zarr format 2)"
        raise UserError("there is no segmentation here", f"{remote}/{folder}".rstrip("/"), right)


def fetch(remote: Url, path: str, limit: int) -> bytes | None:
    """Return the file at `path`, or None if there is none.

    Raises
    ------
    UserError
        If it cannot be read or has more than `limit` bytes.
    """
    try:
        return (remote / path).read_at_most(limit)
    except FileNotFoundError:
        return None


def _open_precomputed(remote: Url, folder: str, data: bytes, voxel_size_nm: ZyxFloat) -> LabelArray:
    where = f"{remote}/{folder}".rstrip("/")
    info = parse_metadata(Info, data, f"{where}/info")
    sizes = [scale.resolution[::-1] for scale in info.scales]
    scale = next((s for s, size in zip(info.scales, sizes, strict=True) if same_size(size, voxel_size_nm)), None)
    if scale is None:
        right = f"scales in it: {', '.join(map(describe_size, sizes)) or 'none'}"
        raise UserError(f"it has no scale of raw's voxel size, {describe_size(voxel_size_nm)}", where, right)
    _check_scale(info, scale, where)
    dtype = np.dtype(info.data_type).newbyteorder("<")
    shape, offset = scale.size[::-1], scale.voxel_offset[::-1]
    side: Zyx = scale.chunk_sizes[0][::-1]
    block = (scale.compressed_segmentation_block_size or (8, 8, 8))[::-1]

    def fetch_chunk(first: Zyx) -> np.ndarray | None:
        sizes = tuple(min(n, s - f) for n, s, f in zip(side, shape, first, strict=True))
        spans = [f"{f + o}-{f + o + n}" for f, o, n in zip(first, offset, sizes, strict=True)]
        nbytes = math.prod(sizes) * dtype.itemsize
        limit = 2 * nbytes + SLACK_BYTES
        data = fetch(remote, posixpath.join(folder, scale.key, "_".join(spans[::-1])), limit)
        if data is None:
            return None
        if data[:2] == b"\x1f\x8b" and (scale.encoding != "raw" or len(data) != nbytes):  # stored so, for browsers
            data = gunzip(data, limit)
        if scale.encoding == "raw":
            return np.frombuffer(data, dtype).reshape(sizes)
        return decode_compressed_segmentation(data, sizes, block, dtype)  # type: ignore[arg-type]

    place = tuple(o * v for o, v in zip(offset, scale.resolution[::-1], strict=True))
    return LabelArray(where, shape, dtype, _read_by(fetch_chunk, side, dtype), scale.resolution[::-1], place)  # type: ignore[arg-type]


def _read_by(
    fetch_chunk: Callable[[Zyx], np.ndarray | None], side: Zyx, dtype: np.dtype[Any], fill: int = 0
) -> Callable[[Box], np.ndarray]:
    """Return what reads a box, given what fetches the chunk at a voxel, or None where nothing is stored."""

    def stored(box: Box) -> np.ndarray:
        out = np.full([s.stop - s.start for s in box], fill, dtype)
        firsts = list(product(*(range(s.start // n * n, s.stop, n) for s, n in zip(box, side, strict=True))))
        with ThreadPoolExecutor(FETCHES) as pool:
            for begin in range(0, len(firsts), FETCHES):  # few chunks in memory at once
                some = firsts[begin : begin + FETCHES]
                for first, chunk in zip(some, pool.map(fetch_chunk, some), strict=True):
                    if chunk is not None:
                        paste(out, box, chunk, first)  # type: ignore[arg-type]
        return out

    return stored


def _check_scale(info: Info, scale: Scale, where: str) -> None:
    if scale.sharding is not None:
        right = "serve an unsharded copy, or export the boxes as zarr, HDF5 or TIFF"
        raise UserError("its chunks are in shards, which are not read", where, right)
    wide = scale.encoding == "compressed_segmentation" and info.data_type in ("uint32", "uint64")
    if scale.encoding != "raw" and not wide:
        what = f"its encoding is {scale.encoding} of {info.data_type}"
        raise UserError(what, where, "raw or compressed_segmentation (uint32, uint64) is read")
    if info.num_channels != 1:
        raise UserError(f"it has {info.num_channels} channels", where, "labels have one")
    nbytes = math.prod(scale.chunk_sizes[0]) * 8 if scale.chunk_sizes else MAX_CHUNK_BYTES + 1
    if nbytes > MAX_CHUNK_BYTES or math.prod(scale.compressed_segmentation_block_size or ()) > MAX_CHUNK_BYTES // 8:
        raise UserError("its chunk size is missing or too large", where)


class _Zarray(BaseModel):
    """The metadata of a zarr array; filters, and fill values of objects, may be pickles and are not read."""

    shape: Triple
    chunks: Triple
    dtype: str = Field(pattern="^[<>|][biuf][1248]$")
    compressor: dict[str, Any] | None = None
    filters: tuple[()] | None = None
    fill_value: int | bool | None = None
    order: Literal["C", "F"] = "C"
    dimension_separator: Literal[".", "/"] = "."

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunks) * np.dtype(self.dtype).itemsize


def _open_zarr(remote: Url, folder: str, data: bytes) -> LabelArray:
    where = f"{remote}/{folder}".rstrip("/")
    meta = parse_metadata(_Zarray, data, f"{where}/.zarray")
    if meta.chunk_bytes > MAX_CHUNK_BYTES:
        raise UserError(f"its chunks {meta.chunks} are too large", where)
    if meta.compressor is not None and meta.compressor.get("id") not in COMPRESSORS:
        raise UserError(f"its compressor {meta.compressor.get('id')!r} is not read", where)
    try:
        codec = get_codec(meta.compressor) if meta.compressor else None
        told = fetch(remote, posixpath.join(folder, ".zattrs"), MAX_METADATA_BYTES)
        attributes = plain_attributes(dict(json.loads(told or b"{}")))
    except BROKEN as error:
        raise UserError(f"the array's metadata cannot be read ({first_line(error)})", where) from error
    dtype, limit = np.dtype(meta.dtype), 2 * meta.chunk_bytes + SLACK_BYTES

    def fetch_chunk(first: Zyx) -> np.ndarray | None:
        key = meta.dimension_separator.join(str(f // c) for f, c in zip(first, meta.chunks, strict=True))
        stored = fetch(remote, posixpath.join(folder, key), limit)
        if stored is None:
            return None
        voxels = np.frombuffer(codec.decode(stored) if codec else stored, dtype)
        return voxels.reshape(meta.chunks, order=meta.order)

    voxel_size, offset = take_place(attributes, where)
    stored = _read_by(fetch_chunk, meta.chunks, dtype, int(meta.fill_value or 0))
    return LabelArray(where, meta.shape, dtype, stored, voxel_size, offset)
