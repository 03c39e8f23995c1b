"""Measure the graph's part of a large segmentation: from edge files to the lookup table.

    python -m benchmarks.bench_graph [--sizes 10^6 10^7] [--threshold T] [--write]

Simulates edge files in a temporary folder through the stages' own writer, then runs every level of the agglomeration and the
components on them, each stage in a fresh process with one thread, so that its peak memory is its own (imports included).
Up to 10^6 edges the merges must be those of the whole graph at once. ``--write`` writes docs/results/graph.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.task import Task
from neuroadda.cli.console import print_table
from neuroadda.segmentation.agglomerate import AgglomerateLevel, count_levels, level_grid, read_merges
from neuroadda.segmentation.blockfiles import block_file, write_columns
from neuroadda.segmentation.components import Components
from neuroadda.segmentation.edges import Edges, read_edges
from neuroadda.segmentation.ids import capacity_of
from neuroadda.segmentation.rag import FULL, Rag, contract
from neuroadda.wording import format_bytes

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "graph.md"
BLOCK_VX = (250, 250, 250)
SITES = (30, 32, 30)  # fragments of a block along each axis
TUBE = 3  # sites across a neurite
SIZES = {"10^6": (2, 2, 3), "10^7": (5, 5, 5), "10^8": (10, 10, 12)}  # blocks along z, y, x
CHECKED = ("10^6",)
LIMIT = 0.95


def make_grid(size: str) -> BlockGrid:
    """Return the grid of the fragments."""
    return BlockGrid.make(Roi((0, 0, 0), Coordinate(SIZES[size]) * Coordinate(BLOCK_VX)), Coordinate(1, 1, 1), BLOCK_VX)


def write_files(folder: Path, size: str) -> None:
    """Write the edge files of all blocks.

    Fragments are the sites of a lattice, each with its six neighbours. Neurites are tubes that wander along z through the whole
    volume; the mean affinity of an edge is high within one and low between two, with a wide spread (beta distributions).
    """
    grid = make_grid(size)
    for block in grid.blocks():
        write_block(folder, grid, block.index)


def write_block(folder: Path, grid: BlockGrid, index: int) -> None:
    """Write the edges that a block owns: those of its sites to their lower neighbours."""
    rng, capacity = np.random.default_rng([1, index]), capacity_of(grid)
    origin = np.array(grid[index].position) * SITES
    sites = np.stack(np.meshgrid(*map(np.arange, SITES), indexing="ij"), axis=-1).reshape(-1, 3) + origin
    us, vs, same = [], [], []
    for axis in range(3):
        upper = sites[sites[:, axis] > 0]
        lower = upper - np.eye(3, dtype=int)[axis]
        us.append(_fragment(lower, grid, capacity))
        vs.append(_fragment(upper, grid, capacity))
        same.append(_neurite(lower) == _neurite(upper))
    u, v, one = np.concatenate(us), np.concatenate(vs), np.concatenate(same)
    count = rng.geometric(1 / 200, len(u))
    mean = np.where(one, rng.beta(5, 1.5, len(u)), rng.beta(1.5, 6, len(u)))
    order = np.lexsort((v, u))
    columns = (u, v, np.rint(mean * FULL * count).astype(np.int64), count)
    edges = Edges(*(column[order] for column in columns))
    sizes = rng.geometric(1 / 500, len(sites))
    write_columns(block_file(folder / "edges", index), **vars(edges), sizes=sizes)


def _fragment(sites: np.ndarray, grid: BlockGrid, capacity: int) -> np.ndarray:
    blocks = np.ravel_multi_index(tuple((sites // SITES).T), grid.counts)
    local = np.ravel_multi_index(tuple((sites % SITES).T), SITES) + 1
    return (blocks * capacity + local).astype(np.uint64)


def _neurite(sites: np.ndarray) -> np.ndarray:
    z, y, x = sites.T
    y, x = (y + np.rint(4 * np.sin(z / 9)).astype(int)) // TUBE, (x + np.rint(4 * np.cos(z / 11)).astype(int)) // TUBE
    return (y + 10) * 10_000_000 + x + 10


def make_tasks(folder: Path, size: str, threshold: float) -> list[Task]:
    """Return the tasks of the graph, as a segmentation has them."""
    grid, below, tasks = make_grid(size), folder / "edges", []
    for level in range(count_levels(grid)):
        stage = AgglomerateLevel(limit=LIMIT, level=level, blocks=grid)
        tasks.append(Task.make(stage, {"below": (below, "")}, folder / f"level_{level}", level_grid(grid, level)))
        below = Path(tasks[-1].output)
    inputs = {"edges": (folder / "edges", "")} | {task.name: (Path(task.output), "") for task in tasks}
    whole = BlockGrid.make(grid.roi, Coordinate(1, 1, 1), tuple(grid.roi.shape))
    return [*tasks, Task.make(Components(threshold=threshold, blocks=grid), inputs, folder / "lut", whole)]


def run_task(folder: Path, size: str, threshold: float, number: int) -> dict[str, Any]:
    """Run all blocks of a task in this process; return what it cost."""
    task = make_tasks(folder, size, threshold)[number]
    task.bound.create_output(task)
    function = task.bound.open(task)
    started, cpu_started = time.perf_counter(), time.process_time()
    reports = [function(block) for block in task.grid.blocks()]
    return {
        "stage": task.name,
        "blocks": len(task.grid),
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu_started,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "edges": sum(r.get("edges", 0) for r in reports),
        "largest": max(r.get("edges", 0) for r in reports),
        "segments": reports[-1].get("segments"),
    }


def check(folder: Path, size: str) -> None:
    """Raise AssertionError if the merges of all levels are not those of the whole graph."""
    grid = make_grid(size)
    parts = [read_edges(folder / "edges", index) for index in range(len(grid))]
    u, v, sum_, count = (np.concatenate([getattr(p, name) for p in parts]) for name in ("u", "v", "sum", "count"))
    whole = contract(Rag(u, v, sum_, count, u, v), LIMIT).merges
    blocks = list(read_merges(folder / f"level_{level}" for level in range(count_levels(grid))))
    found = {name: np.concatenate([part[name] for part in blocks]) for name in ("u", "v", "score")}
    order, right = (np.lexsort((columns["v"], columns["u"])) for columns in (found, vars(whole)))
    assert all((found[name][order] == vars(whole)[name][right]).all() for name in found), (
        "other merges than the whole's"
    )


def measure(folder: Path, sizes: list[str], threshold: float) -> list[dict[str, str]]:
    """Run every stage in its own process; return the table's rows."""
    rows = []
    for size in sizes:
        _run_child("write", folder / size, size)
        total = 0
        for number in range(len(make_tasks(folder / size, size, threshold))):
            found = json.loads(_run_child("run", folder / size, size, threshold, number))
            total = total or found["edges"]
            rows.append(
                {
                    "edges": f"{total:,}",
                    "stage": found["stage"],
                    "blocks": f"{found['blocks']:,}",
                    "edges in": f"{found['edges']:,}" if found["edges"] else "",
                    "largest block": f"{found['largest']:,}" if found["edges"] else "",
                    "segments": "" if found["segments"] is None else f"{found['segments']:,}",
                    "seconds": f"{found['seconds']:.2f}",
                    "CPU seconds": f"{found['cpu']:.2f}",
                    "CPU ns an edge of all": f"{found['cpu'] / total * 1e9:.0f}",
                    "peak memory": format_bytes(found["peak"]),
                }
            )
            print_table(size, [rows[-1]])
        if size in CHECKED:
            _run_child("check", folder / size, size)
    return rows


def _run_child(what: str, folder: Path, *arguments: object) -> str:
    """Run this tool in a process of its own; what fills memory here would count as the child's peak too."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, "-m", "benchmarks.bench_graph", "--child", json.dumps([what, str(folder), *arguments])]
    return subprocess.run(command, env={**os.environ, **threads}, check=True, stdout=subprocess.PIPE, text=True).stdout


def write_results(rows: list[dict[str, str]]) -> None:
    """Write the table as Markdown."""
    RESULTS.write_text(
        f"""# The graph: from edge files to the lookup table

Simulated edge files, one a block, as the stage writes them: {np.prod(SITES):,} fragments a block on a lattice, each with its six
neighbours; neurites are tubes through the whole volume, with high mean affinities inside and low ones between them. Every level of
the agglomeration, then the components with their lookup table; each stage in a fresh process with one thread, so that its peak
memory is its own, imports included. Blocks of a level are independent: workers share them. What a level takes in is what the one
below left, and the faces between its blocks. The merges of {", ".join(CHECKED)} edges were compared with those of the whole graph
at once: they are the same. Files came from the system's cache.

{describe_run()}

{to_markdown(rows[0], (row.values() for row in rows))}
""",
        encoding="utf-8",
    )


def main() -> None:
    """Measure, or (in a child process) do one step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, folder, *arguments = options.child
        result = {"write": write_files, "run": run_task, "check": check}[what](Path(folder), *arguments)
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as temporary:
        rows = measure(Path(temporary), options.sizes, options.threshold)
    if options.write:
        write_results(rows)


if __name__ == "__main__":
    main()
