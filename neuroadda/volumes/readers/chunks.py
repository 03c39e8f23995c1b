"""Boxes of voxels from chunks that come one by one, such as the files of a server or the members of a zip."""

import math
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.readers.source import Box
from neuroadda.volumes.storage.completeness import describe_missing
from neuroadda.volumes.storage.locations import Location

FETCHES = 8
MAX_CHUNK_BYTES = 2**30
MAX_METADATA_BYTES = 16 * 2**20
SLACK_BYTES = 2**20


def read_file(location: Location, limit: int) -> bytes | None:
    """Return a file's bytes, or None if there is none.

    Raises
    ------
    UserError
        If it cannot be read or has more than `limit` bytes.
    """
    try:
        if not isinstance(location, Path):
            return location.read_at_most(limit)
        with location.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"it cannot be read ({error.strerror})", str(location)) from error
    if len(data) > limit:
        raise UserError(f"the file has more than {limit} bytes", str(location))
    return data


class Chunks:
    """Reads boxes, given what fetches the chunk at a voxel, or None where nothing is stored.

    Attributes
    ----------
    total
        The number of chunks in the volume.
    missing
        The first voxels of those that were asked for and are not stored.
    """

    def __init__(
        self,
        fetch_chunk: Callable[[Zyx], np.ndarray | None],
        shape: Zyx,
        side: Zyx,
        dtype: np.dtype[Any],
        fill: int = 0,
    ) -> None:
        self.fetch_chunk, self.side, self.dtype, self.fill = fetch_chunk, side, dtype, fill
        self.total = math.prod(math.ceil(n / s) for n, s in zip(shape, side, strict=True))
        self.missing: set[Zyx] = set()

    def __call__(self, box: Box) -> np.ndarray:
        """Return a box of voxels."""
        out = np.full([s.stop - s.start for s in box], self.fill, self.dtype)
        firsts = list(product(*(range(s.start // n * n, s.stop, n) for s, n in zip(box, self.side, strict=True))))
        with ThreadPoolExecutor(FETCHES) as pool:
            for begin in range(0, len(firsts), FETCHES):  # few chunks in memory at once
                some = firsts[begin : begin + FETCHES]
                for first, chunk in zip(some, pool.map(self.fetch_chunk, some), strict=True):
                    if chunk is None:
                        self.missing.add(first)  # type: ignore[arg-type]
                    else:
                        paste(out, box, chunk, first)  # type: ignore[arg-type]
        return out

    def describe(self) -> tuple[str, ...]:
        """Return notes on the chunks that are not stored, after all were asked for.

        Raises
        ------
        UserError
            If none is.
        """
        if len(self.missing) == self.total:
            raise UserError(
                f"none of its {self.total} chunks is stored: the volume is empty", None, "check the address"
            )
        return (describe_missing(len(self.missing), self.total, self.fill),) if self.missing else ()


def paste(out: np.ndarray, box: Box, chunk: np.ndarray, first_vx: Zyx) -> None:
    """Copy into `out`, which shows `box`, the part of `chunk` that lies in it; `first_vx` is the chunk's first voxel."""
    into, taken = [], []
    for side, first, size in zip(box, first_vx, chunk.shape, strict=True):
        begin, end = max(side.start, first), min(side.stop, first + size)
        if begin >= end:
            return
        into.append(slice(begin - side.start, end - side.start))
        taken.append(slice(begin - first, end - first))
    out[tuple(into)] = chunk[tuple(taken)]


def gunzip(data: bytes, limit: int) -> bytes:
    """Return what gzip packed.

    Raises
    ------
    ValueError
        If that is more than `limit` bytes.
    """
    unpacked = zlib.decompressobj(31).decompress(data, limit + 1)
    if len(unpacked) > limit:
        raise ValueError(f"a chunk unpacks to more than {limit} bytes")
    return unpacked
