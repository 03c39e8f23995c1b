"""Processes: how they end with their parent, and what they have used so far (processor time and memory)."""

import ctypes
import os
import re
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
ENDED = ("Z", "X")  # states in /proc/PID/stat: a zombie, dead


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
