"""Measure what proposing boxes in a volume of 10^12 voxels costs, from the uncertainty map on.

    python -m benchmarks.bench_propose [--scale S] [--keep FOLDER]

Writes simulated maps of 10,000^3 voxels (cells of 8 x 32 x 32) into a temporary folder, then finds the candidates and
chooses, each case in a fresh process with one thread, so that its peak memory is its own (imports included). Prints a
table and writes it to docs/results/propose.md. ``--scale 0.1`` is a tenth of the cells along z, to try it: nothing is
written to docs.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.active.pool import find_candidates
from neuroadda.active.strategies import ChooseConfig, choose
from neuroadda.cli.console import print_table
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.wording import format_bytes

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "propose.md"
CELLS = (1250, 313, 313)
CELL_VX, VOXEL_NM = (8, 32, 32), (32, 8, 8)
CHUNK = (8, 16, 16)  # blocks of 64 x 512 x 512 voxels
SHAPE, STRIDE = (4, 4, 4), (2, 2, 2)
BINS = 16
FULL = 65535

CASES: dict[str, tuple[str, str, dict]] = {
    "max": ("max", "mean", {}),
    "median": ("median", "mean", {}),
    "random": ("random", "mean", {}),
    "diverse, k-centre": ("diverse", "mean", {}),
    "median+diverse, facility": ("median+diverse", "mean", {"method": "facility"}),
    "median, 16 boxes 20 um apart": ("median", "mean", {"count": 16, "min_distance_nm": 20_000}),
    "max, boxes scored by their median": ("max", "median", {}),
    "median, boxes scored by their median": ("median", "median", {}),
}


def write_map(path: Path, bins: int, scale: float) -> None:
    """Write a simulated uncertainty map: smooth noise and a little white noise, in a mask of three quarters."""
    shape = (round(CELLS[0] * scale), *CELLS[1:])
    cell_nm = [c * v for c, v in zip(CELL_VX, VOXEL_NM, strict=True)]
    grid = Volume.create(path, shape, cell_nm, np.uint16, channels=2 + bins, chunk_vx=CHUNK, attrs={"bins": bins})
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal((40, 12, 12), dtype=np.float32)
    histograms = _tabulate_histograms()
    y, x = np.mgrid[: shape[1], : shape[2]]
    tissue = np.hypot(y / shape[1] - 0.5, x / shape[2] - 0.5) < 0.49
    for begin in range(0, shape[0], CHUNK[0]):
        z = np.arange(begin, min(begin + CHUNK[0], shape[0]))
        places = np.meshgrid(z * 39 / CELLS[0], *(np.arange(n) * 11 / n for n in shape[1:]), indexing="ij")
        mean = 0.35 + 0.12 * map_coordinates(coarse, places, order=1)
        mean += rng.standard_normal(mean.shape, dtype=np.float32) * np.float32(0.03)
        mean = np.clip(mean, 0, 1)
        slab = np.zeros((2 + bins, *mean.shape), np.uint16)
        slab[0], slab[1] = mean * FULL * tissue, FULL * tissue
        if bins:
            shares = np.moveaxis(histograms[(mean * 255).astype(np.uint8)], -1, 0)
            noise = rng.integers(0, 64, shares.shape, np.uint16)  # digits that do not compress
            slab[2:] = (shares + noise) * tissue
        grid.data[:, begin : begin + len(z)] = slab


def _tabulate_histograms() -> np.ndarray:
    """Return uint16[256, bins]: how scores spread about each mean, as a triangle two tenths wide to either side."""
    centres = (np.arange(BINS) + 0.5) / BINS
    shares = np.maximum(0.2 - np.abs(centres - np.linspace(0, 1, 256)[:, None]), 0)
    return (shares / shares.sum(axis=1, keepdims=True) * (FULL - 64)).astype(np.uint16)


def run_case(name: str, folder: Path) -> dict:
    """Run one case in this process."""
    strategy, reading, options = CASES[name]
    config = ChooseConfig(strategy=strategy, **{"count": 4, **options})
    grid = Volume.open(folder / f"{reading}.zarr" / "cells")
    before = time.perf_counter(), time.process_time()
    candidates = find_candidates(grid, SHAPE, STRIDE, reading=reading, min_tissue=0.9)
    between = time.perf_counter(), time.process_time()
    chosen, reasons = choose(candidates, config, _look)
    after = time.perf_counter(), time.process_time()
    return {
        "find": (between[0] - before[0], between[1] - before[1]),
        "choose": (after[0] - between[0], after[1] - between[1]),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "candidates": len(candidates),
        "chosen": len(chosen),
        "first": reasons[0],
    }


def _look(boxes: Sequence[RoiConfig]) -> np.ndarray:
    """Return an appearance that costs nothing: waves across the volume."""
    return np.sin(np.array([box.offset_nm for box in boxes])[:, :, None] / np.geomspace(1e3, 1e5, 16)).reshape(
        len(boxes), -1
    )


def measure(folder: Path) -> list[dict[str, str]]:
    """Run every case in its own process; return the table's rows."""
    rows = []
    for name in CASES:
        found = json.loads(_run_child("--case", name, "--keep", str(folder)))
        rows.append(
            {
                "strategy": name,
                "candidates": f"{found['candidates']:,}",
                "chosen": str(found["chosen"]),
                "finding (CPU)": "{:.1f} s ({:.1f} s)".format(*found["find"]),
                "choosing (CPU)": "{:.1f} s ({:.1f} s)".format(*found["choose"]),
                "together (CPU)": f"{found['find'][0] + found['choose'][0]:.1f} s "
                f"({found['find'][1] + found['choose'][1]:.1f} s)",
                "peak memory": format_bytes(found["peak"]),
                "the first because": found["first"],
            }
        )
        print_table(name, [rows[-1]])
    return rows


def _run_child(*arguments: str) -> str:
    """Run this tool in a process of its own; what fills memory here would count as the child's peak too."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, "-m", "benchmarks.bench_propose", *arguments]
    return subprocess.run(command, env={**os.environ, **threads}, check=True, stdout=subprocess.PIPE, text=True).stdout


def write_results(rows: list[dict[str, str]]) -> None:
    """Write the table as Markdown."""
    shape, chunk, box = (" x ".join(map(str, n)) for n in (CELLS, CHUNK, SHAPE))
    RESULTS.write_text(
        f"""# Proposing boxes in a volume of 10^12 voxels: time and memory

The uncertainty map of 10,000^3 voxels is simulated: {shape} cells of 8 x 32 x 32 voxels (256 nm), in chunks of {chunk} as blocks
of 64 x 512 x 512 voxels write them; smooth noise in a round mask. Boxes are {box} cells (1 um), half overlapping along each axis,
with 90 % tissue. Where boxes are scored by their median voxel the map holds histograms of {BINS} bins, nine times the data.
Appearance costs nothing here; a backbone's embedding of the 512 boxes of the shortlist comes on top.

Each case in a fresh process with one thread: its peak memory is of the whole process, with imports. The maps were written just
before, so much of them came from the system's cache. Others worked on the same cores, so CPU seconds stand beside the clock's.

{describe_run("1 thread, no GPU")}

{to_markdown(rows[0], (row.values() for row in rows))}
""",
        encoding="utf-8",
    )


def main() -> None:
    """Measure and write, or (in a child process) run one case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--keep", type=Path, help="a folder for the maps; they stay, and are used again")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run_case(options.case, options.keep)))
        return
    if options.write is not None:
        write_map(options.keep, options.write, options.scale)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for reading, bins in (("mean", 0), ("median", BINS)):
            if not (path := folder / f"{reading}.zarr").exists():
                _run_child("--write", str(bins), "--keep", str(path / "cells"), "--scale", str(options.scale))
        rows = measure(folder)
        if options.scale == 1:
            write_results(rows)


if __name__ == "__main__":
    main()
