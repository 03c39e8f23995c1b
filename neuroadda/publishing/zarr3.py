"""Arrays of zarr format 3 in shards: what describes one, and how it is opened and filled.

zarr 2, of Python 3.11, does not write format 3; tensorstore does on every Python. It is imported where it is used: a forked child
must not use it after its parent did.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from neuroadda.config import write_json
from neuroadda.publishing.kvstores import to_kvstore
from neuroadda.volumes.storage.locations import Location

METADATA = "zarr.json"
LEVEL = 5  # of zstd
SHARD_CHUNKS = 64  # rows' chunks in a file


def describe_array(
    shape: Sequence[int], dtype: str, chunk: Sequence[int], shard: Sequence[int], axes: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the ``zarr.json`` of an array.

    Parameters
    ----------
    axes
        Names, if it has some; then the first is the fastest within a chunk.
    """
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    turned = {"name": "transpose", "configuration": {"order": list(range(len(shape)))[::-1]}}
    zstd = {"name": "zstd", "configuration": {"level": LEVEL, "checksum": True}}
    sharding = {
        "chunk_shape": list(chunk),
        "codecs": [*([] if axes is None else [turned]), little, zstd],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
        **({} if axes is None else {"dimension_names": list(axes)}),
    }


def open_array(folder: Location, metadata: dict[str, Any]) -> Any:
    """Open an array with tensorstore, to be read or written; its ``zarr.json`` need not be there, and is not written."""
    import tensorstore

    memory = {"base": {"driver": "memory"}, "exact": METADATA}
    layers = [{"base": to_kvstore(folder)}, memory]
    spec: dict[str, Any] = {"driver": "zarr3", "kvstore": {"driver": "kvstack", "layers": layers}, "metadata": metadata}
    spec["store_data_equal_to_fill_value"] = True
    return tensorstore.open(spec, context=tensorstore.Context(), open=True, create=True).result()


class RowWriter:
    """Writes an array from its first row to its last; memory is a shard.

    Use it as a context manager.

    Parameters
    ----------
    shape
        Of the array; rows are its first axis, and are kept whole.
    chunk_bytes
        About so many are compressed at once, and `SHARD_CHUNKS` times as many are in a file.
    """

    def __init__(self, folder: Path, shape: Sequence[int], dtype: str, chunk_bytes: int) -> None:
        rows = max(1, chunk_bytes // (np.dtype(dtype).itemsize * math.prod(shape[1:])))
        chunk, shard = (rows, *shape[1:]), (rows * SHARD_CHUNKS, *shape[1:])
        metadata = describe_array(shape, dtype, chunk, shard)
        write_json(folder / METADATA, metadata)
        self._array, self._dtype, self._shard = open_array(folder, metadata), np.dtype(dtype), shard[0]
        self._held: list[np.ndarray] = []
        self._written = 0

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._count:
            self._write(np.concatenate(self._held))

    def append(self, rows: np.ndarray) -> None:
        """Take the next rows."""
        self._held.append(rows.astype(self._dtype, copy=False))
        if self._count >= self._shard:
            held = np.concatenate(self._held)
            whole = len(held) // self._shard * self._shard
            for first in range(0, whole, self._shard):
                self._write(held[first : first + self._shard])
            self._held = [held[whole:]]

    @property
    def _count(self) -> int:
        return sum(map(len, self._held))

    def _write(self, rows: np.ndarray) -> None:
        import tensorstore

        first, self._written = self._written, self._written + len(rows)
        with tensorstore.Transaction() as transaction:  # a shard is written once, whole
            self._array.with_transaction(transaction)[first : self._written].write(rows).result()


def list_files(metadata: dict[str, Any]) -> list[str]:
    """Return the names of the files that hold an array of rows, below its folder."""
    shape, shard = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
    rest = "/0" * (len(shape) - 1)
    return [f"c/{index}{rest}" for index in range(-(-shape[0] // shard[0]))]
