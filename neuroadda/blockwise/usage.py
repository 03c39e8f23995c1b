"""What a process has used so far: processor time and memory."""

import re
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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


def sum_cpu_seconds(blocks: Iterable[dict[str, Any]]) -> float:
    """Return the processor time of a task's workers, from the ledger's records of its blocks.

    A worker tells what it has used so far, since its start: the last word of each counts.
    """
    used: dict[tuple[str, int], float] = {}
    for block in blocks:
        worker = block["worker"]
        place = worker["host"], worker["pid"]
        used[place] = max(used.get(place, 0.0), worker["cpu_seconds"] or 0.0)
    return sum(used.values())
