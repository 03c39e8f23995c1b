"""Check in under 8 minutes that prediction, training and ranking work on this machine's GPU, and write a page of results.

    python -m tools.gpu_check [--output docs/results/gpu.md] [--minutes 8]

On a machine without a GPU it runs its CPU half and the page says that the GPU half was not run. Exit code 1: a check failed.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.backbones.devices import count_cuda_devices
from tools.gpu_checks import CHECKS, ROOT, Check, Setting

UNRUN = "not run: there is no CUDA device here"
Row = tuple[str, str, str, str]  # name, device, result, seconds


def run_check(setting: Setting, name: str, check: Check, needs_gpu: bool) -> tuple[Row, bool]:
    """Run a check; return its row and whether it passed. One that fails does not keep the others from running."""
    began, passed = time.monotonic(), True
    if needs_gpu and not setting.on_gpu:
        told = UNRUN
    elif began > setting.deadline:
        told, passed = "not run: the time was over", False
    else:
        try:
            told = check(setting)
        except Exception as error:  # whatever a driver or a library raises is a result here
            told, passed = f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:300]}", False
    row = (name, setting.device, told, f"{time.monotonic() - began:.0f}")
    print(f"{name}: {told} ({row[-1]} s)", flush=True)
    return row, passed


def write_page(target: Path, on_gpu: bool, rows: Sequence[Row], passed: bool) -> None:
    """Write the page."""
    half = (
        "The GPU half ran."
        if on_gpu
        else "**The GPU half was not run**: there was no CUDA device. This is the CPU half."
    )
    busy = os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)
    lines = [
        "# GPU check",
        "",
        f"{half} {'All that ran passed.' if passed else 'A check failed, see below.'}",
        *(["", "The machine was busy with other work: speeds and seconds say nothing."] if busy else []),
        "",
        describe_run(f"{torch.cuda.get_device_name(0) if on_gpu else 'no GPU'}, torch {torch.__version__}"),
        "",
        to_markdown(("check", "device", "result", "seconds"), rows),
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run all checks, write the page, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs/results/gpu.md")
    parser.add_argument("--minutes", type=float, default=7.5, help="no check begins later")
    given = parser.parse_args(arguments)
    device = "cuda" if count_cuda_devices() else "cpu"
    with tempfile.TemporaryDirectory(prefix="neuroadda-gpu-check-") as folder:
        setting = Setting(Path(folder), device, time.monotonic() + 60 * given.minutes)
        ended = [run_check(setting, *check) for check in CHECKS]
    passed = all(ok for _, ok in ended)
    write_page(given.output, setting.on_gpu, [row for row, _ in ended], passed)
    print(f"page: {given.output}")
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
