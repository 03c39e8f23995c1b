"""What it costs to see whether an input was edited: a volume of many small chunks, unchanged, edited and touched.

    python -m benchmarks.bench_inputs [--side N] [--rounds N] [--write]

The volume has N x N x N chunks, each in a file of its own; 47 are 103,823.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.inputs import Inputs

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "inputs.md"
CHUNK = 8


def write_volume(path: Path, side: int) -> Volume:
    """Write noise, whose chunks are as long as their voxels."""
    volume = Volume.create(path, (side * CHUNK,) * 3, (8, 8, 8), np.uint8, chunk_vx=(CHUNK,) * 3)
    rng = np.random.default_rng(0)
    for z in range(0, side * CHUNK, CHUNK):
        volume.data[z : z + CHUNK] = rng.integers(0, 256, (CHUNK, side * CHUNK, side * CHUNK), np.uint8)
    return volume


def look(volume: Volume, folder: Path, *, trust: bool = False) -> bool:
    """Do what a run does before its first block; return whether the volume has changed."""
    inputs = Inputs(folder, trust=trust)
    inputs.identify("raw", Volume.open(volume.path))
    changed = inputs.changed
    inputs.keep()
    return changed


def measure(do: Callable[[], bool]) -> tuple[bool, float, float]:
    """Return what it returned, and its seconds on the wall and on the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    changed = do()
    return changed, time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Measure and print, and write with --write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=47)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        volume, folder = write_volume(Path(name) / "v.zarr/raw", options.side), Path(name) / "run"

        def edit() -> None:
            volume.data[9, 9, 9] ^= 1

        def touch() -> None:
            for file in volume.path.rglob("*"):
                os.utime(file)

        cases: list[tuple[str, Callable[[], None], int, bool]] = [
            ("first run: every file is read", lambda: None, 1, False),
            ("next run, unchanged", lambda: None, options.rounds, False),
            ("next run, one voxel edited", edit, options.rounds, False),
            ("next run, every file touched: all are read again", touch, 1, False),
            ("unchanged, `trust_inputs`", lambda: None, options.rounds, True),
        ]
        rows = []
        for case, before, rounds, trust in cases:
            found = []
            for _ in range(rounds):
                before()
                found.append(measure(lambda trust=trust: look(volume, folder, trust=trust)))  # type: ignore[misc]
            wall, processor = ([one[column] for one in found] for column in (1, 2))
            said = {True: "changed", False: "the same"}[found[0][0]]
            assert len({one[0] for one in found}) == 1
            spread = f"{statistics.median(wall):.2f} s" + (
                f" ({min(wall):.2f} to {max(wall):.2f})" if rounds > 1 else ""
            )
            rows.append((case, said, spread, f"{statistics.median(processor):.2f} s"))
    table = to_markdown(("", "said", "wall, median", "processor"), rows)
    page = (
        f"# Edited inputs: what it costs to see them\n\n{options.side**3:,} chunks, each a file; "
        f"one look at one input, with its record written.\n\n{table}\n\n{describe_run()}\n"
    )
    print(page)
    if options.write:
        RESULTS.write_text(page)


if __name__ == "__main__":
    main()
