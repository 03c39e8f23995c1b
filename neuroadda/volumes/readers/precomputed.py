"""Neuroglancer's precomputed format, at a URL or in a folder; only the chunks that touch a box are fetched.

tensorstore decodes the chunks. They are fetched here and handed to it in memory, because its own http driver takes in whatever size
a server sends. It aborts a forked child that uses it after its parent did, so it is imported when a precomputed volume is opened,
and no function of a block opens a source.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, PositiveInt

from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.places import describe_size, same_size
from neuroadda.volumes.readers.chunks import (
    MAX_CHUNK_BYTES,
    MAX_METADATA_BYTES,
    SLACK_BYTES,
    Chunks,
    gunzip,
    read_file,
)
from neuroadda.volumes.readers.metadata import parse_metadata
from neuroadda.volumes.readers.source import Format, Source, Wanted
from neuroadda.volumes.storage.completeness import check_files
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.stored import list_sizes

ENCODINGS = {
    "raw": ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32"),
    "compressed_segmentation": ("uint32", "uint64"),
    "jpeg": ("uint8",),
    "png": ("uint8", "uint16"),
}

CHUNK = re.compile(r"(-?\d+)--?\d+_(-?\d+)--?\d+_(-?\d+)--?\d+(\.gz)?")

Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Triple = tuple[PositiveInt, PositiveInt, PositiveInt]


class Scale(BaseModel):
    """One magnification of a precomputed volume; everything xyz."""

    key: str
    size: Triple
    resolution: tuple[Length, Length, Length]
    voxel_offset: tuple[int, int, int] = (0, 0, 0)
    chunk_sizes: tuple[Triple, ...]
    encoding: str
    compressed_segmentation_block_size: Triple | None = None
    sharding: dict[str, Any] | None = None

    def name_chunk(self, first: Sequence[int]) -> str:
        """Return the name of the file of the chunk whose first voxel, counted from the volume's first, is `first` (zyx)."""
        axes = zip(first[::-1], self.chunk_sizes[0], self.size, self.voxel_offset, strict=True)
        return "_".join(f"{f + o}-{min(f + c, s) + o}" for f, c, s, o in axes)

    def has_chunk(self, name: str) -> bool:
        """Tell whether one of its chunks has that name."""
        if (begins := CHUNK.fullmatch(name)) is None:
            return False
        first = [int(b) - o for b, o in zip(begins.groups()[:3], self.voxel_offset, strict=True)]
        axes = zip(first, self.size, self.chunk_sizes[0], strict=True)
        return all(0 <= f < s and f % c == 0 for f, s, c in axes) and self.name_chunk(first[::-1]) == name


class Info(BaseModel):
    """The ``info`` of a precomputed volume."""

    data_type: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32"]
    num_channels: int
    scales: tuple[Scale, ...]
    type: str | None = None


def _recognises(location: Location, wanted: Wanted) -> bool:
    if isinstance(location, Path) and not location.is_dir():
        return False
    data = read_file(wanted.below(location) / "info", MAX_METADATA_BYTES)
    return data is not None and (not isinstance(location, Path) or b'"scales"' in data)


@contextmanager
def _open(location: Location, wanted: Wanted) -> Iterator[Source]:
    folder = wanted.below(location)
    data = read_file(folder / "info", MAX_METADATA_BYTES) or b""
    info = parse_metadata(Info, data, f"{folder}/info")
    scale = _choose(info, wanted, str(folder))
    _check(info, scale, str(folder))
    _import_tensorstore(str(folder))
    dtype = np.dtype(info.data_type).newbyteorder("<")
    shape, offset = scale.size[::-1], scale.voxel_offset[::-1]
    side: Zyx = scale.chunk_sizes[0][::-1]

    def fetch_chunk(first: Zyx) -> np.ndarray | None:
        sizes = tuple(min(n, s - f) for n, s, f in zip(side, shape, first, strict=True))
        nbytes = math.prod(sizes) * dtype.itemsize
        limit = 2 * nbytes + SLACK_BYTES
        name = scale.name_chunk(first)
        data = read_file(folder / scale.key / name, limit)
        if data is None and isinstance(folder, Path):
            data = read_file(folder / scale.key / f"{name}.gz", limit)  # cloud-volume writes files so
        if data is None:
            return None
        if data[:2] == b"\x1f\x8b" and (scale.encoding != "raw" or len(data) != nbytes):  # stored so, for browsers
            data = gunzip(data, limit)
        return decode_chunk(data, sizes, info.data_type, scale)  # type: ignore[arg-type]

    voxel_size = scale.resolution[::-1]
    chunks = Chunks(fetch_chunk, shape, side, dtype)
    files = _files(folder, scale) if isinstance(folder, Path) else {}
    yield Source(
        folder,
        shape,
        dtype,
        chunks,
        files=(folder / "info", *sorted(files)) if isinstance(folder, Path) else (),
        voxel_size_nm=voxel_size,
        offset_nm=tuple(o * v for o, v in zip(offset, voxel_size, strict=True)),  # type: ignore[arg-type]
        kind={"segmentation": "labels", "image": "raw"}.get(info.type or ""),  # type: ignore[arg-type]
        attributes={} if info.type is None else {"type": info.type},
        notes=_describe_files(folder, scale, files, chunks.total) if isinstance(folder, Path) else (),
        late_notes=tuple if isinstance(folder, Path) else chunks.describe,
    )


def decode_chunk(data: bytes, shape: Zyx, data_type: str, scale: Scale) -> np.ndarray:
    """Return a chunk of one channel, zyx.

    Parameters
    ----------
    shape
        Of this chunk, which the volume's border may cut.
    scale
        Gives the encoding.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    import tensorstore

    size = list(shape[::-1])
    alone: dict[str, Any] = {"key": "s", "size": size, "chunk_sizes": [size], "voxel_offset": [0, 0, 0]}
    alone |= {"resolution": [1, 1, 1], "encoding": scale.encoding}
    if scale.encoding == "compressed_segmentation":
        alone["compressed_segmentation_block_size"] = list(scale.compressed_segmentation_block_size or (8, 8, 8))
    info = {"@type": "neuroglancer_multiscale_volume", "type": "image", "data_type": data_type, "num_channels": 1}
    context = tensorstore.Context()  # a memory of its own
    memory = tensorstore.KvStore.open({"driver": "memory"}, context=context).result()
    memory.write("info", json.dumps(info | {"scales": [alone]})).result()
    memory.write("s/" + "_".join(f"0-{n}" for n in size), data).result()
    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "memory"}}
    array = tensorstore.open(spec, context=context, read=True).result()
    return np.asarray(array[..., 0].read().result()).T


def _import_tensorstore(where: str) -> None:
    try:
        import tensorstore  # noqa: F401
    except ImportError as error:
        right = "pip install neuroadda[precomputed]"
        raise UserError("it is precomputed, for which the package tensorstore is missing", where, right) from error


def _choose(info: Info, wanted: Wanted, where: str) -> Scale:
    sizes: list[ZyxFloat] = [scale.resolution[::-1] for scale in info.scales]
    finest = min(sizes, key=math.prod, default=None)
    wished = wanted.voxel_size_nm or finest
    found = [s for s, size in zip(info.scales, sizes, strict=True) if wished is not None and same_size(size, wished)]
    if len({(scale.size, scale.voxel_offset) for scale in found}) > 1:
        keys = ", ".join(scale.key for scale in found)
        raise UserError(f"it has several scales of one voxel size: {keys}", where, "leave one of them in info")
    if found:
        return found[0]
    right = f"scales in it: {', '.join(map(describe_size, sizes)) or 'none'}"
    asked = "" if wanted.voxel_size_nm is None else f" of {wanted.size_name}, {describe_size(wanted.voxel_size_nm)}"
    raise UserError(f"it has no scale{asked}", where, right)


def _check(info: Info, scale: Scale, where: str) -> None:
    if scale.sharding is not None:
        right = "serve an unsharded copy, or export the boxes as zarr, HDF5 or TIFF"
        raise UserError("its chunks are in shards, which are not read", where, right)
    if info.data_type not in ENCODINGS.get(scale.encoding, ()):
        what = f"its encoding is {scale.encoding} of {info.data_type}"
        right = "raw or compressed_segmentation (uint32, uint64), jpeg (uint8) or png (uint8, uint16) is read"
        raise UserError(what, where, right)
    if info.num_channels != 1:
        raise UserError(f"it has {info.num_channels} channels", where, "one is read")
    nbytes = math.prod(scale.chunk_sizes[0]) * 8 if scale.chunk_sizes else MAX_CHUNK_BYTES + 1
    if nbytes > MAX_CHUNK_BYTES or math.prod(scale.compressed_segmentation_block_size or ()) > MAX_CHUNK_BYTES // 8:
        raise UserError("its chunk size is missing or too large", where)


def _files(folder: Path, scale: Scale) -> dict[Path, int]:
    """Return the files of a scale and their sizes."""
    return {folder / scale.key / name: size for name, size in list_sizes(folder / scale.key) if size >= 0}


def _describe_files(folder: Path, scale: Scale, files: dict[Path, int], total: int) -> tuple[str, ...]:
    """Return notes on the chunk files of a scale; raise UserError if none is there, or some are empty."""
    names = {path.name.removesuffix(".gz"): size for path, size in files.items() if CHUNK.fullmatch(path.name)}
    packed = sorted({path.suffix for path in files} & {".br", ".zst"})
    if packed:
        right = "unpack them, or write them again with compress=False or compress='gzip'"
        raise UserError(f"its chunks are packed as {packed[0]}, which is not read", str(folder / scale.key), right)
    found = {name: names[name] for name in sorted(names) if scale.has_chunk(name)}
    beyond = len(names) - len(found)
    notes = check_files(folder / scale.key, found, total)
    return (*notes, f"{beyond} chunk files do not fit its size and chunk size and are not read") if beyond else notes


FORMAT = Format("precomputed", _recognises, _open, has_datasets=True)
