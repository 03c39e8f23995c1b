"""Why blocks fail: what an error says about its cause, and how often it is worth another try."""

import errno
import random
import re
import socket
from collections.abc import Iterator
from typing import get_args

from neuroadda.errors import FULL_ERRNOS, UserError
from neuroadda.ledger.base import Cause

# Beside those that Python makes a ConnectionError or a TimeoutError.
TRANSIENT_ERRNOS = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.EIO, errno.ESTALE, getattr(errno, "EREMOTEIO", errno.EIO)}
    | {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.ENOTCONN}
)
USER_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS}) | FULL_ERRNOS

# By their names, since what raises them is imported only where it is used: botocore, aiohttp, urllib3, http.client, pymongo, torch.
TRANSIENT_CLASSES = frozenset(
    {
        "AutoReconnect",
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectionError",
        "DistNetworkError",
        "HTTPClientError",
        "IncompleteRead",
        "ProtocolError",
    }
)
MEMORY_CLASSES = frozenset({"MemoryError", "OutOfMemoryError"})

LOST_DEVICE = re.compile(r"\bCUDA (driver )?error\b|\bCU(BLAS|DNN|SOLVER|FFT)_STATUS_|\bNCCL error\b")
NO_MEMORY = re.compile(
    r"out of memory|(can't|cannot|unable to) allocate memory|not enough memory|\bbad_?alloc|_STATUS_ALLOC_FAILED"
    r"|could not create a (primitive|memory object)$",  # oneDNN, of code and tensors
    re.IGNORECASE,
)
# oneDNN up to 3.12 compiles nothing more in a thread in which memory once did not do for code (uxlfoundation/oneDNN#5907).
LOST_COMPILER = re.compile(r"could not create a primitive$")
FULL_DISK = re.compile(r"No space left|Disk quota")
USERS_FAULT = re.compile(rf"{FULL_DISK.pattern}|Read-only file system|Permission denied")

PAUSES: dict[Cause, tuple[float, ...]] = {
    "transient": tuple(0.5 * 2**n for n in range(7)),  # a minute in all
    "memory": (1.0, 4.0),  # others on the machine may need less by then
}


def find_cause(error: BaseException) -> Cause:
    """Return the cause of an error, or of the one that it was raised from."""
    causes = [_classify(each) for each in _chain(error)]
    return next((cause for cause in get_args(Cause) if cause in causes), "error")


def is_process_spoiled(error: BaseException) -> bool:
    """Return whether nothing but another process can go on: this one has lost its GPU or what compiles for its CPU."""
    return any(
        _says(LOST_COMPILER, each) or (_says(LOST_DEVICE, each) and not _says(NO_MEMORY, each))
        for each in _chain(error)
    )


def choose_pause(cause: Cause, tries: int, block: int) -> float | None:
    """Return the seconds to wait before a block that failed `tries` times is tried again; None where that is in vain.

    The time doubles with each try and is spread by half of it, so that not all workers come back at once.
    """
    pauses = PAUSES.get(cause, ())
    if tries > len(pauses):
        return None
    return pauses[tries - 1] * random.Random(f"{block}/{tries}").uniform(0.5, 1.5)


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _says(pattern: re.Pattern[str], error: BaseException) -> bool:
    return pattern.search(str(error)) is not None


def _classify(error: BaseException) -> Cause:
    names = {kind.__name__ for kind in type(error).__mro__}
    number = error.errno if isinstance(error, OSError) else None
    if names & MEMORY_CLASSES or number == errno.ENOMEM or _says(NO_MEMORY, error):
        return "memory"
    if number in USER_ERRNOS or _says(USERS_FAULT, error):
        return "user"
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror) or number in TRANSIENT_ERRNOS:
        return "transient"
    if names & TRANSIENT_CLASSES or _says(LOST_DEVICE, error):
        return "transient"
    return "user" if isinstance(error, UserError) else "error"
