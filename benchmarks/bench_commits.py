"""Two checkouts side by side, in turn: a segmentation of real EM, and a task of empty blocks; time, memory, bytes of outputs.

    python -m benchmarks.bench_commits OTHER [--backbone FOLDER] [--seeds] [--rounds N] [--blocks N] [--write]

OTHER is the folder of another checkout with its kernels compiled. Both run in this environment. The volume is the test part of
mouse_cortex_sssem. An older checkout may need a backbone that it can read; and where it knows no way to find fragments but seeds,
--seeds has this one use them, too.
"""

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import neuroadda as na
from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.wording import format_bytes
from neuroadda.zoo.finding import builtin_folder

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "commits.md"
OUTPUTS = ("volumes.zarr", "edges", "merges", "lut")
METADATA = (".zattrs", "task.json")  # these hold random ids and fingerprints
EMPTY = """
import sys
from pathlib import Path
try:
    from neuroadda.blockwise.execution_config import Execution
    from neuroadda.forecast.overhead import _make_empty
except ImportError:
    from neuroadda.blockwise.execution import Execution
    from neuroadda.blockwise.overhead import _make_empty
from neuroadda.blockwise.engine import run_task
folder, blocks = Path(sys.argv[1]), int(sys.argv[2])
run_task(_make_empty(folder / "empty", blocks), f"sqlite:///{folder / 'ledger.db'}", Execution(workers=2), folder / "logs")
"""


@dataclass
class Measured:
    """What the rounds of one checkout took: wall seconds, and the peak memory of a worker and of the scheduler in bytes."""

    wall: list[float] = field(default_factory=list)
    worker: list[int] = field(default_factory=list)
    scheduler: list[int] = field(default_factory=list)


def run(checkout: Path, command: list[str], folder: Path, measured: Measured) -> None:
    """Run Python in a checkout and note what it took."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=checkout, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if process.wait():
        raise SystemExit(f"{command} failed in {checkout}")
    measured.wall.append(time.perf_counter() - started)
    with sqlite3.connect(folder / "ledger.db") as ledger:
        workers = [
            json.loads(row[0]) for row in ledger.execute("SELECT DISTINCT worker FROM blocks WHERE worker IS NOT NULL")
        ]
    measured.worker.append(max(worker["peak_bytes"] or 0 for worker in workers))
    log = (folder / "logs" / "scheduler.log").read_text()
    measured.scheduler.append(max(int(line.split()[-2]) for line in log.splitlines() if "peak memory" in line))


def digest_outputs(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a run's outputs."""
    files = (f for name in OUTPUTS for f in (folder / name).rglob("*") if f.is_file() and f.name not in METADATA)
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def describe_outputs(one: dict[str, str], other: dict[str, str]) -> str:
    """Say how many files of each output are equal to the byte."""
    counts: dict[str, list[bool]] = {}
    for file, sha in sorted(one.items()):
        folder, *rest = Path(file).parts
        counts.setdefault(f"{folder}/{rest[0]}" if folder == OUTPUTS[0] else folder, []).append(other.get(file) == sha)
    told = "\n".join(f"- {output}: {sum(equal)} of {len(equal)}" for output, equal in counts.items())
    return f"The segmentation's outputs have {len(one)} and {len(other)} files. Equal to the byte:\n\n{told}"


def write_config(folder: Path, backbone: Path, seeds: bool) -> Path:
    """Write the config of a segmentation into `folder` and return its path."""
    segment = {"raw": str(folder / "test.zarr/raw"), "backbone": str(backbone), "any_voxel_size": True}
    segment |= {"predict": {"precision": "float32"}, "block_vx": [24, 256, 256], "output": str(folder / "run")}
    if seeds:
        segment["fragments"] = {"method": "seeds"}
    path = folder / f"run{'_seeds' * seeds}.json"
    path.write_text(json.dumps({"segment": segment}))
    return path


def compare(
    checkouts: dict[str, Path], configs: dict[str, Path], rounds: int, blocks: int, folder: Path
) -> tuple[list[list[str]], str]:
    """Return the table's rows, and a sentence on the outputs."""
    segment = {name: ["-m", "neuroadda.cli", "segment", "-c", str(config)] for name, config in configs.items()}
    empty = {name: ["-c", EMPTY, str(folder / "empty"), str(blocks)] for name in checkouts}
    cases = {
        "segment 24 x 512 x 512": (segment, folder / "run"),
        f"{blocks:,} empty blocks": (empty, folder / "empty"),
    }
    rows, digests = [], {}
    for case, (commands, output) in cases.items():
        measured = {name: Measured() for name in checkouts}
        for number in range(rounds):
            turn = list(checkouts) if number % 2 == 0 else list(checkouts)[::-1]
            for name in turn:
                run(checkouts[name], commands[name], output, measured[name])
                digests[case, name] = digest_outputs(output)
        old, new = measured.values()
        for what in ("wall", "worker", "scheduler"):
            pair = [statistics.median(getattr(one, what)) for one in (old, new)]
            ratios = [n / o for o, n in zip(getattr(old, what), getattr(new, what), strict=True)]
            shown = [f"{v:.2f} s" if what == "wall" else format_bytes(v) for v in pair]
            unit = {"wall": "wall", "worker": "peak of a worker", "scheduler": "peak of the scheduler"}[what]
            rows.append([case, unit, *shown, f"{pair[1] / pair[0]:.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"])
    (case, *_) = cases
    return rows, describe_outputs(*(digests[case, name] for name in checkouts))


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("--backbone", type=Path, default=builtin_folder() / "fly_larva_l1_sstem")
    parser.add_argument("--seeds", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=100_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    checkouts = {"other": options.other.resolve(), "this": ROOT}
    names = [
        subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=path, capture_output=True, text=True).stdout.strip()
        for path in checkouts.values()
    ]
    data = Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data"))
    with tempfile.TemporaryDirectory() as name:
        folder, backbone = Path(name), options.backbone.resolve()
        na.import_volume(data / "mouse_cortex_sssem_test.hdf", folder / "test.zarr")
        configs = {which: write_config(folder, backbone, options.seeds and which == "this") for which in checkouts}
        rows, outputs = compare(checkouts, configs, options.rounds, options.blocks, folder)
    table = to_markdown(["case", "", *names, "ratio of medians", "ratios of rounds"], rows)
    head = f"# {names[1]} beside {names[0]}\n\n{options.rounds} rounds in turn, two workers."
    page = "\n\n".join([head, table, outputs, describe_run()]) + "\n"
    print(page)
    if options.write:
        RESULTS.write_text(page)


if __name__ == "__main__":
    main()
