"""One process at a time in a folder: a lock that ends with the process that holds it, however that dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from neuroadda.errors import UserError

LOCK = ".lock"


@contextmanager
def lock_folder(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder, which is made if it is missing, by a lock on the file ``.lock`` in it.

    Parameters
    ----------
    wait
        Wait while another process holds it.

    Raises
    ------
    UserError
        If the folder cannot be written to or, unless `wait` is given, another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A soft lock, which filelock takes where flock is missing, would outlive a killed process.
        lock = FileLock(folder / LOCK, timeout=-1 if wait else 0, fallback_to_soft=False)
        lock.acquire()
    except Timeout as error:
        raise UserError("another run is at work in this folder", str(folder), "wait for it, or stop it") from error
    except OSError as error:
        raise UserError(f"the folder cannot be written to: {error.strerror}", str(folder)) from error
    try:
        yield
    finally:
        lock.release()


def read_lock(folder: Path) -> Literal["held"] | None:
    """Tell whether a process holds a folder; nothing is made."""
    try:
        with open(folder / LOCK, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError:  # no run was here, or the file system has no locks
        return None
    return None
