"""Measure the global step: from the edge and score files of a large segmentation to its lookup table.

    python tools/bench_components.py [--small]

Simulates files of 10^6, 10^7 and 10^8 edges in a temporary folder (6 GB), through the stages' own writers, then runs the
components stage on them, each case in a fresh process with one thread, so that its peak memory is its own (imports included).
Where there are up to 10^7 edges, scipy's connected components must be the same. Prints a table and writes it to
docs/results/components.md. ``--small`` leaves out 10^8, to try it: nothing is written to docs.
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from funlib.geometry import Coordinate, Roi
from machine import name_processor
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.task import Task
from neuroadda.console import print_table
from neuroadda.formats import format_bytes
from neuroadda.segmentation.agglomerate import read_scores
from neuroadda.segmentation.blockfiles import block_file, write_columns
from neuroadda.segmentation.components import Components, Lut, Numbering, connect_components
from neuroadda.segmentation.edges import Edges
from neuroadda.segmentation.ids import capacity_of, to_global

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "components.md"
BLOCK_VX = (250, 250, 250)
FRAGMENTS = (27_000, 33_000)  # a block
INSIDE, ACROSS = 83_250, 2_750  # edges within a block, and to each lower neighbour
SIZES = {"10^6": (1, 1, 12), "10^7": (1, 10, 12), "10^8": (10, 10, 12)}  # blocks along z, y, x
CHECKED = ("10^6", "10^7")

# size, threshold, min_voxels, files from the disk and not from the system's cache
CASES = [(size, threshold, 0, False) for threshold in (0.5, 0.1) for size in SIZES]
CASES += [("10^8", 0.5, 500, False), ("10^8", 0.1, 500, True)]


def make_grid(size: str) -> BlockGrid:
    """Return the grid of the fragments."""
    return BlockGrid.make(Roi((0, 0, 0), Coordinate(SIZES[size]) * Coordinate(BLOCK_VX)), Coordinate(1, 1, 1), BLOCK_VX)


def write_files(folder: Path, size: str) -> None:
    """Write the edge and score files of all blocks: random pairs and scores, edges sorted as `Edges` are."""
    grid = make_grid(size)
    capacity = capacity_of(grid)

    def draw(rng: np.random.Generator, block: int, n: int) -> np.ndarray:
        return to_global(rng.integers(1, _count_fragments(block) + 1, n), block, capacity)

    for block in grid.blocks():
        rng = np.random.default_rng([1, block.index])
        us, vs = [draw(rng, block.index, INSIDE)], [draw(rng, block.index, INSIDE)]
        for axis in range(3):
            lower = tuple(p - (i == axis) for i, p in enumerate(block.position))
            if min(lower) >= 0:
                us.append(draw(rng, grid.at(lower).index, ACROSS))
                vs.append(draw(rng, block.index, ACROSS))
        first, second = np.concatenate(us), np.concatenate(vs)
        u, v = np.unique(np.sort(np.stack([first, second]), axis=0)[:, first != second], axis=1)
        count = rng.integers(1, 500, len(u))
        edges = Edges(u, v, rng.random(len(u)) * count, count)
        sizes = rng.geometric(1 / 500, _count_fragments(block.index))
        write_columns(block_file(folder / "edges", block.index), **vars(edges), sizes=sizes)
        scores = rng.random(len(u), np.float32)
        write_columns(block_file(folder / "scores", block.index), u=u, v=v, score=scores)


def _count_fragments(block: int) -> int:
    return int(np.random.default_rng([0, block]).integers(*FRAGMENTS))


def run_case(folder: Path, size: str, threshold: float, min_voxels: int, cold: bool) -> dict:
    """Run the stage in this process."""
    grid = make_grid(size)
    stage = Components(threshold=threshold, min_voxels=min_voxels, blocks=grid)
    inputs = {name: (folder / name, "") for name in ("edges", "scores")}
    whole = BlockGrid.make(grid.roi, Coordinate(1, 1, 1), tuple(grid.roi.shape))
    task = Task.make(stage, inputs, folder / "lut", whole)
    stage.create_output(task)
    if cold:
        _forget(folder)
    one = {"u": np.ones(1, np.uint64), "v": np.ones(1, np.uint64), "score": np.zeros(1, np.float32)}
    connect_components(Numbering(np.array([0, 1]), 1), [one], 1.0)  # what numba compiled is loaded
    started, cpu_started = time.perf_counter(), time.process_time()
    found = stage.open(task)(whole[0])
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    edges = sum(len(read_scores(folder / "scores", index)["u"]) for index in range(len(grid)))
    return found | {"seconds": seconds, "cpu": cpu, "peak": peak, "edges": edges}


def _forget(folder: Path) -> None:
    """Ask the system to drop the files from its cache."""
    os.sync()
    for path in folder.rglob("*.npz"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def check(folder: Path, size: str, threshold: float) -> None:
    """Raise AssertionError if the written lookup table is not what scipy finds, numbered by first fragment."""
    grid = make_grid(size)
    numbering = Numbering.read(folder / "edges", grid)
    parts = [read_scores(folder / "scores", index) for index in range(len(grid))]
    u, v = (numbering.to_dense(np.concatenate([p[name][p["score"] < threshold] for p in parts])) for name in "uv")
    n = int(numbering.first[-1])
    segments, labels = connected_components(coo_array((np.ones(len(u), bool), (u, v)), shape=(n, n)), directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    table = Lut.open(folder / "lut").table
    assert segments == table.max(), f"{segments} components by scipy, {table.max()} by the stage"
    assert (np.argsort(np.argsort(first))[inverse] + 1 == table).all(), "other components than scipy's"


def measure(folder: Path, small: bool) -> list[dict[str, str]]:
    """Run every case in its own process; return the table's rows."""
    rows = []
    for size, threshold, min_voxels, cold in CASES:
        if small and size not in CHECKED:
            continue
        if not (folder / size).exists():
            _run_child("write", folder / size, size)
        found = json.loads(_run_child("run", folder / size, size, threshold, min_voxels, cold))
        if size in CHECKED:
            _run_child("check", folder / size, size, threshold)
        rows.append(
            {
                "edges": f"{found['edges']:,}",
                "fragments": f"{found['fragments']:,}",
                "threshold": str(threshold),
                "smallest segment": f"{min_voxels} voxels" if min_voxels else "any",
                "files in": "no cache" if cold else "the system's cache",
                "segments": f"{found['segments']:,}" + (" (as scipy's)" if size in CHECKED else ""),
                "seconds": f"{found['seconds']:.2f}",
                "CPU seconds": f"{found['cpu']:.2f}",
                "CPU ns an edge": f"{found['cpu'] / found['edges'] * 1e9:.0f}",
                "peak memory": format_bytes(found["peak"]),
            }
        )
        print_table(size, [rows[-1]])
    return rows


def _run_child(what: str, folder: Path, *arguments: object) -> str:
    """Run this tool in a process of its own; what fills memory here would count as the child's peak too."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    command = [sys.executable, __file__, "--child", json.dumps([what, str(folder), *arguments])]
    return subprocess.run(command, env={**os.environ, **threads}, check=True, stdout=subprocess.PIPE, text=True).stdout


def write_results(rows: list[dict[str, str]]) -> None:
    """Write the table as Markdown."""
    head = " | ".join(rows[0])
    body = "\n".join(f"| {' | '.join(row.values())} |" for row in rows)
    RESULTS.write_text(
        f"""# The global step: from edge and score files to the lookup table

Simulated files, one of edges and one of scores a block, as the stages write them: {FRAGMENTS[0]:,} to {FRAGMENTS[1]:,} fragments
a block, {INSIDE:,} edges between random fragments of it and {ACROSS:,} to each of its lower neighbours, scores uniform from 0 to 1.
The time is that of the components stage alone: number the fragments, stream the scores through union-find, write the table.
At threshold 0.5 nearly all fragments are one segment, at 0.1 most are small segments.

Each case in a fresh process with one thread: its peak memory is of the whole process, with imports. The files were written just
before, so they came from the system's cache, but where the system was asked to drop them ("no cache"; the host below a virtual
machine may have kept them). Others worked on the same cores (load average {os.getloadavg()[0]:.1f} at the end), so CPU
seconds stand beside the clock's.

- {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {name_processor()}, 1 of {os.cpu_count()} shared cores, no GPU
- Command: `python tools/bench_components.py`

| {head} |
|{"---|" * len(rows[0])}
{body}
""",
        encoding="utf-8",
    )


def main() -> None:
    """Measure and write, or (in a child process) do one step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, folder, *arguments = options.child
        result = {"write": write_files, "run": run_case, "check": check}[what](Path(folder), *arguments)
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as temporary:
        rows = measure(Path(temporary), options.small)
    if not options.small:
        write_results(rows)


if __name__ == "__main__":
    main()
