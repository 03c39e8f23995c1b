"""Chunks of zarr format 3 as WEBKNOSSOS writes them: transposed, then blosc or gzip; no shards."""

from typing import Any, Literal

import numpy as np
from numcodecs import Blosc
from pydantic import BaseModel, PositiveInt

from neuroadda.errors import UserError
from neuroadda.volumes.readers.chunks import MAX_CHUNK_BYTES, gunzip
from neuroadda.volumes.readers.metadata import parse_metadata


class _ChunkShape(BaseModel):
    chunk_shape: tuple[PositiveInt, ...]


class _Grid(BaseModel):
    configuration: _ChunkShape


class _Codec(BaseModel):
    name: str
    configuration: dict[str, Any] = {}


class Zarr3(BaseModel):
    """The metadata of an array (``zarr.json``)."""

    node_type: Literal["array"]
    shape: tuple[int, ...]
    data_type: Literal["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
    chunk_grid: _Grid
    codecs: tuple[_Codec, ...]
    fill_value: Literal[0]
    dimension_names: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, data: bytes, where: str) -> "Zarr3":
        """Return the metadata in a ``zarr.json``.

        Raises
        ------
        UserError
            If it is malformed or asks for what is not read here.
        """
        found = parse_metadata(cls, data, where)
        unknown = [c.name for c in found.codecs if c.name not in ("transpose", "bytes", "blosc", "gzip")]
        endian = next((c.configuration.get("endian") for c in found.codecs if c.name == "bytes"), None)
        if unknown or endian == "big":
            raise UserError(f"its zarr codec {(unknown or ['big endian'])[0]!r} is not read", where)
        axes = len(found.shape)
        if len(found.chunk_shape) != axes or sorted(found.order) != list(range(axes)):
            raise UserError("the metadata is malformed: its axes do not fit together", where)
        if found.chunk_bytes > MAX_CHUNK_BYTES:
            raise UserError(f"its chunks {found.chunk_shape} are too large", where)
        return found

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of a chunk, in the array's order of axes."""
        return self.chunk_grid.configuration.chunk_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored, little endian."""
        return np.dtype(self.data_type).newbyteorder("<")

    @property
    def chunk_bytes(self) -> int:
        """Size of a chunk."""
        return int(np.prod(self.chunk_shape, dtype=object)) * self.dtype.itemsize

    @property
    def order(self) -> tuple[int, ...]:
        """The order in which the axes are stored."""
        axes = tuple(range(len(self.shape)))
        for codec in self.codecs:
            if codec.name == "transpose":
                order = codec.configuration.get("order", "C")
                return axes if order == "C" else axes[::-1] if order == "F" else tuple(order)
        return axes

    def decode(self, data: bytes) -> np.ndarray:
        """Return a chunk in the array's order of axes.

        Raises
        ------
        ValueError, RuntimeError
            If it is damaged.
        """
        for codec in reversed(self.codecs):
            if codec.name == "gzip":
                data = gunzip(data, self.chunk_bytes)
            elif codec.name == "blosc":
                if int.from_bytes(data[4:8], "little") != self.chunk_bytes:  # numcodecs believes this number
                    raise ValueError("a chunk does not unpack to its size")
                data = Blosc().decode(data)
        stored = np.frombuffer(data, self.dtype).reshape([self.chunk_shape[axis] for axis in self.order])
        return stored.transpose(np.argsort(self.order))
