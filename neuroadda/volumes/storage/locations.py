"""Where arrays and files lie: a path of this machine, or a URL. Code that is given a `Location` need not know which it is."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

from neuroadda.errors import UserError
from neuroadda.volumes.storage.urls import Url

Location = Path | Url
P = TypeVar("P", bound=Location)


def to_location(location: Location | str | os.PathLike[str]) -> Location:
    """Return a path, or a URL where the text is one; ``file://`` is a path.

    Raises
    ------
    UserError
        If the text is empty, which would be the current folder, has a NUL in it, or is neither, such as an array in memory.
    """
    if isinstance(location, Url):
        return location
    if isinstance(location, os.PathLike):
        return Path(location)
    if not isinstance(location, str):
        kind = type(location)
        is_array = hasattr(location, "__array__")
        right = (
            "numpy.save it, and import_volume('it.npy', 'it.zarr/raw', voxel_size_nm=(z, y, x))" if is_array else None
        )
        raise UserError(f"{kind.__module__}.{kind.__qualname__} is no path, URL or Volume", None, right)
    if not location:
        raise UserError("a path is empty", None, "give a path or a URL; . is the current folder")
    if "\0" in location:
        raise UserError("a path has the character NUL in it", repr(location), "no file has such a name")
    if location.startswith("file://"):
        return Path(location.removeprefix("file://"))
    return Url(location) if "://" in location else Path(location)


def to_folder(location: Location | str, what: str, right: str = "see docs/storage.md") -> Path:
    """Return a path; raise UserError for a URL, where `what` must be a folder of this machine; `right` tells what to do instead."""
    found = to_location(location)
    if isinstance(found, Url):
        raise UserError(f"{what} must be a folder of this machine", str(found), right)
    return found


def to_name(path: str) -> str:
    """Return a path below a folder in its plain form: ``./a//b/`` is ``a/b``; see `leaves` for ``..``."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def leaves(name: str) -> bool:
    """Tell whether a path may lead out of its folder."""
    return ".." in name.split("/")


def is_inside(location: Location, folder: Location) -> bool:
    """Tell whether a location lies in a folder, or is it."""
    return folder.resolve() in (location.resolve(), *location.resolve().parents)


def neighbour(location: P, name: str) -> P:
    """Return the location of another name beside one, of the same kind."""
    return cast(P, location.with_name(name))


def move(source: P, target: P) -> None:
    """Rename a file or an array; at a URL the array is there when it is whole."""
    source.rename(target)  # type: ignore[arg-type]


def remove(location: Location) -> None:
    """Delete a file or a folder, or nothing where there is nothing."""
    if isinstance(location, Url):
        location.remove()
    elif location.is_dir() and not location.is_symlink():
        shutil.rmtree(location)
    else:
        location.unlink(missing_ok=True)


def remove_at_once(location: Location) -> None:
    """Delete an array or a folder so that no half of it is ever taken for the whole."""
    if isinstance(location, Url):
        location.remove()
        return
    aside = location.with_name(f".{location.name}.removed")
    shutil.rmtree(aside, ignore_errors=True)
    with suppress(FileNotFoundError):
        location.rename(aside)
        shutil.rmtree(aside)


def count_bytes(location: Location) -> int:
    """Return the bytes of all files below a location."""
    if isinstance(location, Url):
        return location.size()
    return sum(p.stat().st_size for p in location.rglob("*") if p.is_file())
