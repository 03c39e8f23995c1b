"""One process at a time in a folder: a lock that ends with the process that holds it, however that dies, and tells how it ended."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock, Timeout

from neuroadda.errors import RunStopped, UserError

LOCK = ".lock"
LOOK_SECONDS = 0.3  # that somebody who looks at the lock can hold up one who takes it

End = Literal["finished", "failed", "stopped", "killed"]


@dataclass(frozen=True)
class LockState:
    """Whether a process holds a folder or, if none does, how the last one ended.

    Attributes
    ----------
    since
        When that began, seconds since the epoch; for ``killed``, when the folder was taken.
    """

    state: Literal["held"] | End
    since: float


@contextmanager
def lock_folder(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder, which is made if it is missing, by a lock on the file ``.lock`` in it; `read_lock` looks at it.

    Parameters
    ----------
    wait
        Wait while another process holds it: not for a run, which is refused, so that how it ended is not noted.

    Raises
    ------
    UserError
        If the folder cannot be written to or, unless `wait` is given, another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A soft lock, which filelock takes where flock is missing, would outlive a killed process.
        lock = FileLock(folder / LOCK, timeout=-1 if wait else LOOK_SECONDS, fallback_to_soft=False)
        lock.acquire()
    except Timeout as error:
        raise UserError("another run is at work in this folder", str(folder), "wait for it, or stop it") from error
    except OSError as error:
        raise UserError(f"the folder cannot be written to: {error.strerror}", str(folder)) from error
    end: End = "killed"  # what the file says while the lock is held, and after a death that nobody can note
    note = (lambda end: None) if wait else partial(_note_end, folder)
    try:
        note(end)
        end = "failed"
        yield
        end = "finished"
    except (RunStopped, KeyboardInterrupt):
        end = "stopped"
        raise
    finally:
        note(end)
        lock.release()


def read_lock(folder: Path) -> LockState | None:
    """Tell whether a process holds a folder or, if none does, how the last one ended; None if that is not known."""
    try:
        with open(folder / LOCK, "rb") as file:
            since = os.fstat(file.fileno()).st_mtime
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            end, _, host = file.read(400).decode(errors="replace").partition(" ")
    except BlockingIOError:
        return LockState("held", since)
    except OSError:  # no run was here, or the file system has no locks
        return None
    if end == "killed" and host != socket.gethostname():  # not every shared file system shows locks of other machines
        return None
    return next((LockState(known, since) for known in get_args(End) if known == end), None)


def _note_end(folder: Path, end: End) -> None:
    # A full disk, which is reported where the data is written, has room for what is written over.
    with suppress(OSError), open(folder / LOCK, "r+") as file:
        file.write(f"{end} {socket.gethostname()}")
        file.truncate()
