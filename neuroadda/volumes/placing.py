"""Put a file or an array in its place only when it is whole."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroadda.errors import UserError


@contextmanager
def placing(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a hidden partial path beside `target`; it is renamed to `target` when the body succeeds, deleted when not.

    Raises
    ------
    UserError
        If `target` cannot be written, exists and `overwrite` is not set, or is a folder but no zarr array (never
        deleted).
    """
    _check_free(target, overwrite)
    missing = [p for p in target.parents if not p.exists()]
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(partial)
        yield partial
        old = target.with_name(f".{target.name}.old")
        remove(old)
        if target.exists():
            target.rename(old)
        partial.rename(target)
        remove(old)
    except BaseException as error:
        if target.parent.is_dir():
            remove(partial)
        _remove_empty_groups(missing)
        if isinstance(error, OSError):
            raise UserError(f"it cannot be written: {error.strerror or error}", str(target)) from error
        raise


def remove(path: Path) -> None:
    """Delete a file or a folder, or nothing where there is nothing."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_free(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not overwrite:
        raise UserError("it exists already", str(target), "give --overwrite or another name")
    if target.is_dir() and not (target / ".zarray").is_file() and any(target.iterdir()):
        raise UserError("this folder is not a zarr array and is not overwritten", str(target))


def _remove_empty_groups(folders: list[Path]) -> None:
    """Delete folders that hold nothing but a zarr group's metadata, innermost first, up to one that holds more."""
    for folder in folders:
        if not folder.is_dir():
            continue
        if any(p.name != ".zgroup" for p in folder.iterdir()):
            return
        (folder / ".zgroup").unlink(missing_ok=True)
        folder.rmdir()
