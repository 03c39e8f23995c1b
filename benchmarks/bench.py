"""Measure every stage at three sizes of a volume, 1, 8 and 64 times as large in the same blocks: speed, processor time, memory.

    python -m benchmarks.bench [--block Z Y X] [--blocks N] [--workers N] [--write]

Phantoms of N, 2 N and 4 N blocks an axis are segmented by the command itself, with a backbone of the zoo. Peaks are resident
memory of whole processes, libraries included: workers tell theirs to the ledger, schedulers to their log; what has one block is
done by the run's own process. `--write` writes docs/results/bench.md.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.blockwise.outputs import bind_output
from neuroadda.cli.console import print_table
from neuroadda.config import Zyx, dump_config
from neuroadda.evaluation.cost import wall_seconds
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.usage import sum_usage
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import make_plan
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.wording import format_bytes, format_count

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "bench.md"
BACKBONE = Path(__file__).parents[1] / "neuroadda" / "zoo" / "data" / "mouse_cortex_sssem"
TIMES = (1, 2, 4)


def measure(folder: Path, block_vx: Zyx, blocks: int, workers: int) -> tuple[str, list[dict[str, str]]]:
    """Segment a phantom of so many blocks an axis; return what it is, and a row a stage."""
    shape_vx = tuple(blocks * side for side in block_vx)
    raw, _ = write_phantom(PhantomConfig(shape_vx=shape_vx), folder / "phantom.zarr")
    settings = {"raw": str(raw.path), "backbone": str(BACKBONE), "output": str(folder / "run"), "block_vx": block_vx}
    config = SegmentConfig.model_validate(settings | {"execution": {"workers": workers}})
    path = folder / "run.json"
    path.write_text(json.dumps({"segment": dump_config(config)}))
    subprocess.run([sys.executable, "-m", "neuroadda.cli", "segment", "-c", str(path), "--json"], check=True)
    plan = make_plan(config)
    ledger = open_ledger(config.ledger_url)
    rows = []
    for task in plan.tasks:
        bound = bind_output(task)
        assert bound is not None
        summary, usage = ledger.summary(bound.key), sum_usage(ledger, bound.key)
        own = summary.done == 1  # what that process has used so far is not this stage's alone
        rows.append(
            {
                "stage": task.name + (", the run's own process" if own else ""),
                "blocks": f"{summary.done:,}",
                "first start to last end": f"{wall_seconds(summary):.2f} s",
                "rate": format_count(summary.voxels / max(wall_seconds(summary), 1e-6), "vx/s"),
                "CPU, with start-up": "" if own else f"{usage.cpu_seconds:.2f} s",
                "peak of a process": format_bytes(usage.peak_bytes or 0),
            }
        )
    ledger.close()
    log = (folder / "run" / "logs" / "scheduler.log").read_text()
    peaks = [int(peak) for peak in re.findall(r"scheduler's peak memory (\d+) bytes", log)]
    rows.append(dict.fromkeys(rows[0], "") | {"stage": "schedulers", "peak of a process": format_bytes(max(peaks))})
    voxels = plan.tasks[0].grid.voxels()
    return f"{format_count(voxels, 'vx')}, {len(plan.tasks[0].grid):,} blocks", rows


def write_results(sizes: list[tuple[str, list[dict[str, str]]]], options: argparse.Namespace) -> None:
    """Write the tables as Markdown."""
    block = " x ".join(map(str, options.block))
    lines = [
        "# Every stage at three sizes",
        "",
        f"Phantoms in blocks of {block} voxels, {options.workers} workers. Peaks are of whole processes, libraries included. The",
        "agglomeration has more levels for a larger volume: a block of a level holds what is left on the faces between those",
        "below. The components stage holds a few bytes a fragment of the whole volume.",
        "",
        describe_run(),
    ]
    for title, rows in sizes:
        lines += ["", f"## {title}", "", to_markdown(rows[0], (row.values() for row in rows))]
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
        with tempfile.TemporaryDirectory(prefix="neuroadda-bench-") as folder:
            sizes.append(measure(Path(folder), tuple(options.block), options.blocks * times, options.workers))
        print_table(*sizes[-1])
    if options.write:
        write_results(sizes, options)


if __name__ == "__main__":
    main()
