"""Put a file or an array in its place only when it is whole."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from neuroadda.errors import UserError
from neuroadda.volumes.storage.locations import Location, move, neighbour, remove
from neuroadda.volumes.storage.nodes import GROUP_METADATA, is_array
from neuroadda.volumes.storage.urls import Url
from neuroadda.wholefiles import replacing

P = TypeVar("P", bound=Location)


@contextmanager
def placing(target: P, overwrite: bool = False) -> Iterator[P]:
    """Yield a hidden partial path beside `target`; it is renamed to `target` when the body succeeds, deleted when not.

    Raises
    ------
    UserError
        If `target` cannot be written, exists and `overwrite` is not set, or is a folder but no zarr array (never
        deleted).
    """
    check_free(target, overwrite)
    missing = [p for p in target.parents if not p.exists()]
    partial = neighbour(target, f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(partial)
        yield partial
        old = neighbour(target, f".{target.name}.old")
        remove(old)
        if isinstance(target, Url):  # moving it aside would copy it
            remove(target)
        elif target.exists():
            move(target, old)
        move(partial, target)
        remove(old)
    except BaseException as error:
        if target.parent.is_dir():
            remove(partial)
        _remove_empty_groups(missing)
        if isinstance(error, OSError):
            raise UserError(f"it cannot be written: {error.strerror or error}", str(target)) from error
        raise


def write_file(target: Location, content: bytes) -> None:
    """Write a file, whole; a second writer of the same content does no harm."""
    if isinstance(target, Url):
        target.write_bytes(content)
        return
    with replacing(target, shared=True) as partial:
        partial.write_bytes(content)


def check_free(target: Location, overwrite: bool) -> None:
    """Raise UserError if a target exists and is not to be overwritten, or is a folder but no zarr array."""
    if not target.exists():
        return
    if not overwrite:
        raise UserError("it exists already", str(target), "give --overwrite or another name")
    if target.is_dir() and not is_array(target) and any(target.iterdir()):
        raise UserError("this folder is not a zarr array and is not overwritten", str(target))


def check_writable(file: Path) -> None:
    """Raise UserError if a file cannot be written, before the work for it begins; nothing is left there.

    It tries: permissions alone do not tell, such as in /proc or as root.
    """
    if file.is_dir():
        raise UserError("this is a folder", str(file), "give the name of a file")
    there = nearest_folder(file.parent)
    if not there.is_dir():
        raise UserError("this is a file, where a folder is needed", str(there), "give another place")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"it cannot be written: {error.strerror or error}", str(file)) from error


def nearest_folder(place: Path) -> Path:
    """Return the place, or of what it lies in, the nearest that is there."""
    return next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())


def _remove_empty_groups(folders: list[Location]) -> None:
    """Delete folders that hold nothing but a zarr group's metadata, innermost first, up to one that holds more."""
    for folder in folders:
        if not folder.is_dir():
            continue
        if any(p.name not in GROUP_METADATA for p in folder.iterdir()):
            return
        remove(folder)
