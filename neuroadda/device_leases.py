"""Devices of a machine shared out among the worker processes of all its runs: each takes the one that fewest hold."""

import fcntl
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from neuroadda.errors import UserError


@dataclass(frozen=True)
class Lease:
    """A device, held as long as the lease is kept; the kernel ends it with the process, however that dies.

    Attributes
    ----------
    device
        Such as ``cuda:1``; the processor needs no lease.
    """

    device: str = "cpu"
    _held: TextIO | None = None


def lease_device(devices: Mapping[str, str], folder: Path | None = None) -> Lease:
    """Take the device that the fewest processes hold, the first of those; any number may share one.

    Parameters
    ----------
    devices
        Name to what identifies it on this machine, whatever a process calls it (such as a GPU's UUID).
    folder
        Where the locks lie: of this user and machine, so that all runs here share fairly.

    Raises
    ------
    UserError
        If there are no devices, or the folder cannot be written to.
    """
    if not devices:
        raise UserError("there is no device to lease")
    folder = folder or Path(tempfile.gettempdir()) / f"neuroadda-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(folder / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one process at a time counts and takes
            found = {name: _find_seat(folder, identity) for name, identity in devices.items()}
            taken = min(found, key=lambda name: found[name][0])
            for name in found.keys() - {taken}:
                found[name][1].close()
    except OSError as error:
        raise UserError(f"devices cannot be leased: {error.strerror}", str(folder)) from error
    return Lease(taken, found[taken][1])


def _find_seat(folder: Path, identity: str) -> tuple[int, TextIO]:
    """Return how many leases of a device are held, and a file of it, now locked, that none of them has."""
    free: list[TextIO] = []
    held = 0
    while folder.joinpath(f"{identity}.{held + len(free)}").exists() or not free:
        seat: TextIO = open(folder / f"{identity}.{held + len(free)}", "a")  # noqa: SIM115 (the lock lasts as long as it is open)
        try:
            fcntl.flock(seat, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free.append(seat)
        except BlockingIOError:
            seat.close()
            held += 1
    for unused in free[1:]:
        unused.close()
    return held, free[0]
