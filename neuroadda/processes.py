"""Processes: how they end with their parent or at a signal, where what they print goes, and what they have used so far."""

import ctypes
import io
import os
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from neuroadda.errors import RunStopped

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PR_SET_PDEATHSIG = 1
ENDED = ("Z", "X")  # states in /proc/PID/stat: a zombie, dead


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies (Linux), so that a killed run leaves no process behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def is_group_alive(group: int) -> bool:
    """Tell whether a process of a process group has not ended yet.

    A process that has ended stays in the process table until its parent collects it; in a container that can take long. On
    Linux it counts as ended.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    if sys.platform != "linux":
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may end meanwhile
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state not in ENDED:
                return True
    return False


def cpu_seconds() -> float:
    """Return the processor time of all threads of this process, its imports included."""
    return time.process_time()


def peak_bytes() -> int:
    """Return the most memory this process has held at once (resident).

    Linux tells it of the program that runs; the kernel's `ru_maxrss` may be that of the process that started it.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `RunStopped` inside the block (in the main thread; elsewhere nothing changes)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise RunStopped(signum)

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class LossyFile(io.FileIO):
    """A file that nothing depends on: what cannot be written, as on a full disk, is lost without an error."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write what there is room for."""
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data).cast("B"))


def open_log(file: Path) -> LossyFile:
    """Open a file to append to it; where it cannot be opened, all that is written is lost."""
    try:
        return LossyFile(file, "ab")
    except OSError:
        return LossyFile(os.devnull, "ab")


def print_to(file: Path) -> None:
    """Have what this process and its libraries print appended to a file; see `print_lossy`."""
    with open_log(file) as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    print_lossy()


def print_lossy() -> None:
    """Have this process go on when its standard output or error cannot be written, as where they are a file on a full disk."""
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(LossyFile(stream, "wb", closefd=False), "utf-8", "backslashreplace", write_through=True)
        for stream in (1, 2)
    )


def copy_to_log(pipe: int, file: Path) -> None:
    """Append what comes from a pipe to a file, until its end.

    For a process that dies when it cannot print, which no `print_lossy` prevents: daisy's server, which is compiled.
    """
    with open(pipe, "rb", buffering=0) as source, open_log(file) as log:
        while data := source.read(1 << 16):
            log.write(data)
