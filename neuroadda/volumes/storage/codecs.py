"""Codecs of chunks: those that are read, and whether what they unpack is whole."""

import json
from typing import Any

import numpy as np

from neuroadda.errors import UserError
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.urls import ARRAY_METADATA

CODECS = (
    *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd", "crc32", "crc32c", "adler32"),
    *("shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype"),
)
BLOSC_HEADER = 16  # bytes


class WholeCodec:
    """A codec that raises ValueError for a chunk that is not whole: zarr 2 leaves what a short one does not fill as it was."""

    def __init__(self, codec: Any, nbytes: int | None) -> None:
        self._codec, self._nbytes = codec, nbytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decode(self, data: Any, out: Any = None) -> Any:
        """Decode a chunk, into `out` if that is given."""
        nbytes = self._nbytes if out is None else memoryview(out).nbytes
        if self._codec.codec_id == "blosc":
            told = check_blosc(data)
            if nbytes is not None and told != nbytes:
                raise ValueError(f"a chunk holds {told} bytes, not {nbytes}")
            return self._codec.decode(data, out)
        whole = self._codec.decode(data)
        if out is None:
            return whole
        told = memoryview(whole).nbytes
        if told != nbytes:
            raise ValueError(f"a chunk holds {told} bytes, not {nbytes}")
        out.ravel(order="K").view(np.uint8)[:] = np.frombuffer(whole, np.uint8)
        return out


def check_blosc(data: Any) -> int:
    """Return how many bytes a Blosc chunk unpacks to; raise RuntimeError, as Blosc does, if it is cut, which can crash Blosc."""
    header = memoryview(data).cast("B")
    told, packed = (int.from_bytes(header[n : n + 4], "little") for n in (4, 12))
    if packed != header.nbytes or header.nbytes < BLOSC_HEADER:
        raise RuntimeError(f"a chunk is damaged: it has {header.nbytes} bytes, its header says {packed}")
    return told


def check_codecs(location: Location) -> None:
    """Raise UserError for an array of format 2 with other codecs than numbers need: a pickle runs what it holds."""
    try:
        told = json.loads((location / ARRAY_METADATA[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return  # what is missing or malformed is told by who opens it
    compressor, filters = (told.get(name) if isinstance(told, dict) else None for name in ("compressor", "filters"))
    found = [compressor, *(filters if isinstance(filters, list) else [filters])]
    names = [codec.get("id") if isinstance(codec, dict) else codec for codec in found if codec is not None]
    if unknown := [name for name in names if not isinstance(name, str) or name not in CODECS]:
        raise UserError(f"its codec {unknown[0]!r} is not read", str(location), f"known: {', '.join(CODECS)}")
