"""What a process has used so far: processor time and memory."""

import re
import resource
import sys
import time
from pathlib import Path


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
