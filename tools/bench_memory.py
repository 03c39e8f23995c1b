"""Measure the memory of every stage at three sizes of a volume: 1, 8 and 64 times as large, the same blocks.

    python tools/bench_memory.py [--block Z Y X] [--blocks N] [--write]

Phantoms of N, 2 N and 4 N blocks an axis are segmented by the command itself, with a backbone of the zoo. Peaks are resident
memory of whole processes, libraries included: workers tell theirs to the ledger, schedulers to their log; what has one block is
done by the run's own process. `--write` writes docs/results/memory.md.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import name_processor

from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.task import bind_output
from neuroadda.config import Zyx, dump_config
from neuroadda.console import print_table
from neuroadda.formats import format_bytes, format_count
from neuroadda.segmentation.pipeline import SegmentConfig, make_plan
from neuroadda.volumes.phantom import PhantomConfig, write_phantom

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "memory.md"
BACKBONE = Path(__file__).parents[1] / "neuroadda" / "zoo" / "mouse_cortex_sssem"
TIMES = (1, 2, 4)
OWN = "the run's own process"


def measure(folder: Path, block_vx: Zyx, blocks: int, workers: int) -> tuple[str, dict[str, int]]:
    """Segment a phantom of so many blocks an axis; return what it is, and the peak bytes of processes by stage."""
    shape_vx = tuple(blocks * side for side in block_vx)
    raw, _ = write_phantom(PhantomConfig(shape_vx=shape_vx), folder / "phantom.zarr")
    settings = {"raw": str(raw.path), "backbone": str(BACKBONE), "output": str(folder / "run"), "block_vx": block_vx}
    config = SegmentConfig.model_validate(settings | {"execution": {"workers": workers}})
    path = folder / "run.json"
    path.write_text(json.dumps({"segment": dump_config(config)}))
    subprocess.run([sys.executable, "-m", "neuroadda.cli", "segment", "-c", str(path), "--json"], check=True)
    plan = make_plan(config)
    ledger = open_ledger(config.ledger_url)
    peaks: dict[str, int] = {}
    for task in plan.tasks:
        bound = bind_output(task)
        assert bound is not None
        done = ledger.blocks(bound.key)
        own = len(done) == 1
        name = f"{task.name}, {OWN}" if own else task.name
        peaks[name] = max(block["worker"]["peak_bytes"] for block in done)
    ledger.close()
    log = (folder / "run" / "logs" / "scheduler.log").read_text()
    for peak in re.findall(r"scheduler's peak memory (\d+) bytes", log):
        peaks["scheduler"] = max(peaks.get("scheduler", 0), int(peak))
    voxels = plan.tasks[0].grid.voxels()
    return f"{format_count(voxels, 'vx')}, {len(plan.tasks[0].grid)} blocks", peaks


def write_results(rows: list[dict[str, str]], options: argparse.Namespace) -> None:
    """Write the table as Markdown."""
    body = "\n".join(f"| {' | '.join(row.values())} |" for row in rows)
    block = " x ".join(map(str, options.block))
    RESULTS.write_text(
        f"""# Memory

The most memory that a process of each stage held (resident, libraries included), for phantoms of three sizes in blocks of {block}
voxels, with {options.workers} workers. Agglomeration has a level more for a larger volume: what a level's block holds grows with
that block's surface. The components stage holds a few bytes a fragment of the whole volume.

- {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {name_processor()}, {os.cpu_count()} cores, no GPU
- Command: `python {" ".join(["tools/bench_memory.py", *sys.argv[1:]])}`

| {" | ".join(rows[0])} |
|{"---|" * len(rows[0])}
{body}
""",
        encoding="utf-8",
    )


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--block", type=int, nargs=3, default=(16, 128, 128))
    parser.add_argument("--blocks", type=int, default=2, help="along each axis of the smallest volume")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    sizes = []
    for times in TIMES:
        with tempfile.TemporaryDirectory(prefix="neuroadda-memory-") as folder:
            sizes.append(measure(Path(folder), tuple(options.block), options.blocks * times, options.workers))
    names = list(dict.fromkeys(name for _, peaks in reversed(sizes) for name in peaks))
    rows = [
        {"process": name} | {title: format_bytes(peaks[name]) if name in peaks else "" for title, peaks in sizes}
        for name in names
    ]
    print_table("peak memory", rows)
    if options.write:
        write_results(rows, options)


if __name__ == "__main__":
    main()
