"""Boxes of voxels from chunks that come one by one, such as the files of a server or the members of a zip."""

import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.locations import Location
from neuroadda.volumes.readers.source import Box

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


def by_chunks(
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
