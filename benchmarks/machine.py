"""What a measurement was made on, and how."""

import datetime
import os
import platform
import sys
from pathlib import Path


def name_processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def describe_run(note: str = "no GPU") -> str:
    """Return the lines of a report that say when, on what, and by which command it was made."""
    machine = f"{name_processor()}, {os.cpu_count()} cores (load average {os.getloadavg()[0]:.1f} at the end), {note}"
    program, root = Path(sys.argv[0]).resolve(), Path(__file__).parents[1]
    module = ".".join(program.relative_to(root).with_suffix("").parts) if program.is_relative_to(root) else program.stem
    command = " ".join(["python", "-m", module, *sys.argv[1:]])
    return f"- {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {machine}\n- Command: `{command}`"


def count_cpu(pid: int) -> float:
    """Return the CPU seconds of a process and of all its descendants, also of those that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    children = [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    return own + sum(map(count_cpu, children))
