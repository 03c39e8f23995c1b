"""Labels wherever they lie, seen one way: a box of them can be read, and they tell what they know of their place."""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.readers import Box, first_line
from neuroadda.volumes.stacks import BROKEN

MAX_CHUNK_BYTES = 2**30
REL_TOLERANCE = 1e-3

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class LabelArray:
    """An array of labels.

    Attributes
    ----------
    name
        Where it lies, for people.
    shape
        zyx; None if it ends nowhere (what is not stored is 0).
    dtype
        As stored.
    stored
        Returns a box of voxels, counted from the array's first, or fails as its library does.
    voxel_size_nm, offset_nm
        zyx, where the source says.
    rank
        Of the proposal it is meant for, where the source says.
    parts
        Boxes that together hold all labels; None if there are too many to look through.
    notes
        What people should know of it.
    """

    name: str
    shape: Zyx | None
    dtype: np.dtype[Any]
    stored: Callable[[Box], np.ndarray]
    voxel_size_nm: ZyxFloat | None = None
    offset_nm: ZyxFloat | None = None
    rank: int | None = None
    parts: tuple[Box, ...] | None = None
    notes: tuple[str, ...] = ()

    def read(self, box: Box) -> np.ndarray:
        """Return a box of voxels.

        Raises
        ------
        UserError
            If they cannot be read.
        """
        try:
            return np.asarray(self.stored(box))
        except BROKEN as error:
            raise UserError(f"its labels cannot be read: {first_line(error)}", self.name) from error


def same_size(first: ZyxFloat, second: ZyxFloat) -> bool:
    """Tell whether two voxel sizes are the same but for the rounding of a file format."""
    return all(math.isclose(a, b, rel_tol=REL_TOLERANCE) for a, b in zip(first, second, strict=True))


def describe_size(size: ZyxFloat) -> str:
    """Return a voxel size as ``40 x 4 x 4 nm (zyx)``."""
    return " x ".join(f"{s:g}" for s in size) + " nm (zyx)"


def parse_metadata(model: type[M], data: bytes, where: str) -> M:
    """Return JSON metadata as `model`.

    Raises
    ------
    UserError
        If it is not that.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"the metadata is malformed: {key}: {first['msg']}", where) from error


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
