"""Why blocks fail: what an error says about its cause, how often it is worth another try, and what a person can do about it."""

import errno
import random
import re
import shlex
import socket
from collections.abc import Iterator
from typing import Literal, get_args

from neuroadda.errors import FULL_ERRNOS, UserError

Cause = Literal["transient", "memory", "user", "died", "error"]
"""Of a failed block: what may pass by itself, too little memory, something the user can mend, a worker that died in it, or any
other error. The same error in many blocks is a bug, else its blocks are poison; that is seen in the ledger, not in the error.
"""

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


def describe_cause(cause: Cause, blocks: int, bug_blocks: int) -> str:
    """Return what people call the cause of the same failure in so many blocks; from `bug_blocks` on, an error is a bug."""
    if cause == "error":
        return "bug" if blocks >= bug_blocks else "poison"
    return {"memory": "out of memory", "user": "needs your action", "died": "dead worker"}.get(cause, cause)


def advise(described: str, run: str, stage: str, blocks: str) -> str:
    """Return in a line what to do about failures of a described cause.

    Parameters
    ----------
    run
        What `neuroadda retry` is to be called with.
    blocks
        Of them, such as ``3,7``.
    """
    retry = f"neuroadda retry {shlex.quote(run)}"
    return {
        "transient": f"it was tried for a minute; when the connection, device or disk is back: {retry}",
        "out of memory": f"use fewer workers: {retry} --set segment.execution.workers=1; else smaller blocks, in another run",
        "needs your action": f"mend what it says, then: {retry}",
        "dead worker": f"it crashed, was killed (often for want of memory) or timed out; see its log, then: {retry}",
        "bug": f"mend it once for all of them, then: {retry}",
        "poison": f"look at the input of these blocks; to do them alone: {retry} --stage {stage} --blocks {blocks}",
    }[described]


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
