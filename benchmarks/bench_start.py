"""Measure how long the command and the library take to start.

    python -m benchmarks.bench_start [--times N] [--write]

Each program is started again and again, in turn; the least processor time of a start counts, which other work on the machine hardly
changes. ``--write`` writes docs/results/start.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import neuroadda as na
from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown

RESULTS = Path(__file__).parents[1] / "docs/results/start.md"
TEXT = """# Start-up

Processor time from the start of a program to its end, the least of {times} starts. A command imports only what it needs, since
torch alone takes more than a second.

{run}

{table}
"""


def list_programs(folder: Path) -> dict[str, list[str]]:
    """Return the arguments of Python for each program that is measured."""
    command = ["-m", "neuroadda.cli"]
    return {
        "python": ["-c", ""],
        "neuroadda --version": [*command, "--version"],
        "neuroadda --help": [*command, "--help"],
        "neuroadda segment --help": [*command, "segment", "--help"],
        "neuroadda info VOLUME": [*command, "info", str(folder / "made.zarr/raw")],
        "neuroadda zoo list": [*command, "zoo", "list"],
        "import neuroadda": ["-c", "import neuroadda"],
        "import numpy": ["-c", "import numpy"],
        "import torch": ["-c", "import torch"],
    }


def measure(arguments: list[str]) -> float:
    """Return the seconds of processor time of a program and of those that it starts."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {arguments}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure all programs in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="neuroadda-bench-") as folder:
        na.phantom(Path(folder) / "made.zarr", shape_vx=(4, 64, 64))
        programs = list_programs(Path(folder))
        rounds = [{name: measure(arguments) for name, arguments in programs.items()} for _ in range(options.times)]
    rows = [(f"`{name}`", f"{min(seconds[name] for seconds in rounds):.2f} s") for name in programs]
    text = TEXT.format(times=options.times, run=describe_run(), table=to_markdown(("program", "processor time"), rows))
    print(text)
    if options.write:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
