"""Which chunks of an array are stored: from the names of its files, a folder at a time, without opening one."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.nodes import find_n5
from neuroadda.volumes.storage.urls import ARRAY_METADATA, Url

PAGE = 10_000  # places yielded at once at most, however many one folder has
CHUNK_NAME = re.compile(r"\d+([./]\d+)*")  # 1.2.3 in one folder, or 1/2/3 in three


def file_vx(volume: Volume) -> Zyx:
    """Return the shape in voxels (zyx) of what one file holds: a chunk, or a shard of many."""
    z, y, x = (getattr(volume.data, "shards", None) or volume.data.chunks)[-3:]
    return int(z), int(y), int(x)


def list_stored(volume: Volume) -> Iterator[np.ndarray]:
    """Yield the places (int64, shape (n, 3), zyx) of the files that an array has, in units of `file_vx` and in no order.

    Every writer puts a chunk's file in its place whole (a rename, or one upload), so what is there is whole; an empty file is
    what a disk's failure leaves, and counts as not there.
    """
    in_n5 = find_n5(volume.path) is not None
    for places in _descend(_root(volume), (), volume.data.ndim):
        yield places[:, ::-1] if in_n5 else places[:, -3:]


def stored_file(volume: Volume, place: Zyx) -> Location:
    """Return where the file of a place lies, in an array as `Volume.create` makes it; one file has all channels."""
    names = [*([] if volume.channels is None else ["0"]), *map(str, place)]
    return _root(volume) / "/".join(names)


def _root(volume: Volume) -> Location:
    return volume.path / "c" if (volume.path / ARRAY_METADATA[1]).is_file() else volume.path


def _descend(folder: Location, above: tuple[int, ...], axes: int) -> Iterator[np.ndarray]:
    """Yield the places of the files below a folder, which the places `above` lead to."""
    files: list[tuple[int, ...]] = []
    for name, size in list_sizes(folder, below=axes - len(above) == 2):
        if not CHUNK_NAME.fullmatch(name):
            continue
        place = (*above, *map(int, re.split("[./]", name)))
        if len(place) == axes and size > 0:
            files.append(place)
            if len(files) == PAGE:
                yield np.array(files, np.int64)
                files.clear()
        elif len(place) < axes and size < 0:
            yield from _descend(folder / name, place, axes)
    if files:
        yield np.array(files, np.int64)


def list_sizes(folder: Location, below: bool = False) -> Iterator[tuple[str, int]]:
    """Yield name and size of what is in a folder, -1 for folders; nothing where there is none.

    Parameters
    ----------
    below
        At a URL, of all files below it, by their path: a store answers with a thousand names at once, but for one folder a
        request.
    """
    if isinstance(folder, Url):
        yield from folder.list_sizes(below)
        return
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"the folder cannot be read: {error.strerror}", str(folder)) from error
    with entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # a temporary name that is gone
                yield entry.name, -1 if entry.is_dir() else entry.stat().st_size
