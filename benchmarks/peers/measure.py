"""Run a command and report what it cost: wall seconds, CPU seconds and peak memory, of all its processes.

    python -S benchmarks/peers/measure.py REPORT.json COMMAND ...

The process adopts orphans (Linux), so that workers are counted whoever started them. Standard library alone: any interpreter runs
it, and a child's peak is at least that of the process that started it, so it has to be small.
"""

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command on the command line; return its exit code."""
    report, command = Path(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    started = time.perf_counter()
    process = subprocess.Popen(command)
    cpu, peak, code = 0.0, 0, 1
    while True:
        try:
            pid, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu += used.ru_utime + used.ru_stime
        peak = max(peak, used.ru_maxrss)
        if pid == process.pid:
            code = process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    report.write_text(json.dumps({"wall": wall, "cpu": cpu, "peak_bytes": peak * 1024}))
    return code


class Stages:
    """CPU seconds of the parts of a script, its finished child processes included."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what happens inside as a stage."""
        before = _cpu_seconds()
        yield
        self.cpu[name] = self.cpu.get(name, 0.0) + _cpu_seconds() - before

    def write(self, path: Path) -> None:
        """Write them as JSON."""
        path.write_text(json.dumps(self.cpu))


def _cpu_seconds() -> float:
    used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


if __name__ == "__main__":
    sys.exit(main())
