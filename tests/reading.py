"""Read what somebody else has written and nobody may write to."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@contextmanager
def open_to_all() -> Iterator[Path]:
    """Yield a new folder that every user can enter; pytest's own are for one user."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for path, *_ in os.walk(folder):
            os.chmod(path, 0o755)
        shutil.rmtree(folder)


@contextmanager
def reading_only(folder: Path) -> Iterator[None]:
    """Make a folder unwritable, and be another user in the block where this one is root, whom no mode binds."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~WRITE | stat.S_IROTH)
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)


def look(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file and folder: what a writer would change."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in (folder, *folder.rglob("*"))
    }
