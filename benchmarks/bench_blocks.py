"""Measure what a block costs beside its work: scheduling, the ledger, memory; also when a run is killed, and when all is done.

    python -m benchmarks.bench_blocks [--blocks N ...] [--workers N] [--mongo] [--write]

Blocks that do nothing but count how often they are done, in a grid of three axes. For each number of blocks a run, the same again
with all done, and in another folder a run whose processes are killed when half of its blocks are done, and then resumed. Each run
is a process of its own, so that its peak memory and that of its scheduler and workers can be told apart. With --mongo, the smallest
number of blocks also with MongoDB's protocol, by secantusd-py. With --write, the table goes to docs/results/blocks.md.
"""

import argparse
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from funlib.geometry import Coordinate, Roi

from benchmarks.counting_stage import COUNTS, HOLD, Count, read_counts
from benchmarks.machine import count_cpu, describe_run
from benchmarks.tables import to_markdown
from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.outputs import bind_output
from neuroadda.blockwise.task import Task
from neuroadda.cli.console import print_table
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.url import SQLITE
from neuroadda.wording import format_bytes

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "blocks.md"
SIZES = (10_000, 100_000, 1_000_000)
LOOK_SECONDS = 0.1


@dataclass
class Cost:
    """What a run took: seconds of the clock and of processors, and the most memory of a process of each kind, in bytes."""

    wall: float
    cpu: float
    peaks: dict[str, int]


def make_task(folder: Path, blocks: int) -> Task:
    """Bind as many blocks, in a grid as near to a cube as their number allows."""
    z = next(d for d in range(round(blocks ** (1 / 3)), 0, -1) if blocks % d == 0)
    y = next(d for d in range(math.isqrt(blocks // z), 0, -1) if blocks // z % d == 0)
    grid = BlockGrid.make(Roi((0, 0, 0), (z, y, blocks // z // y)), Coordinate(1, 1, 1), (1, 1, 1))
    return Task.make(Count(), {}, folder / "counted", grid)


def run(folder: Path, blocks: int, workers: int, ledger_url: str) -> None:
    """Run the task in this process."""
    run_task(make_task(folder, blocks), ledger_url, Execution(workers=workers), folder / "logs")


def measure(folder: Path, blocks: int, workers: int, ledger_url: str, stop_at: int | None = None) -> Cost:
    """Run the task in a process of its own, watch its family, and kill it once `stop_at` blocks are done, where the others wait."""
    if stop_at is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / HOLD).write_text(str(stop_at))
    child = json.dumps([str(folder), blocks, workers, ledger_url])
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bench_blocks", "--child", child], start_new_session=True
    )
    peaks: dict[str, int] = {}
    spent = 0.0
    counts = None
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        for kind, pid in _family(process.pid):
            peaks[kind] = max(peaks.get(kind, 0), _peak_bytes(pid))
        with suppress(OSError):  # a process has just ended
            spent = max(spent, count_cpu(process.pid))
        if stop_at is not None:
            if counts is None and (folder / "counted" / COUNTS).exists():
                counts = read_counts(folder / "counted")
            if counts is not None and np.count_nonzero(counts) >= stop_at:
                pids = [pid for _, pid in _family(process.pid)]
                os.killpg(process.pid, signal.SIGKILL)
                while any(_peak_bytes(pid) for pid in pids[1:]):  # the kernel ends the others
                    time.sleep(0.01)
                (folder / HOLD).unlink()
                break
        time.sleep(LOOK_SECONDS)
    if process.wait() and stop_at is None:
        raise SystemExit(f"the run of {blocks} blocks failed, see above")
    return Cost(time.perf_counter() - started, spent, peaks)


def _family(main: int) -> Iterator[tuple[str, int]]:
    yield "main", main
    for scheduler in _children(main):
        yield "scheduler", scheduler
        for helper in _children(scheduler):
            yield "forkserver", helper  # or multiprocessing's resource tracker, which is smaller
            for worker in _children(helper):
                yield "worker", worker


def _children(pid: int) -> list[int]:
    try:
        files = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    return [int(child) for text in files for child in text.split()]


def _peak_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def measure_size(folder: Path, blocks: int, workers: int, ledger: str | None = None) -> list[dict[str, str]]:
    """Run, run again, and in another folder kill and resume; return the table's rows."""
    whole, broken = folder / f"whole-{blocks}", folder / f"broken-{blocks}"
    store = "SQLite" if ledger is None else "MongoDB's protocol"

    def url(of: Path) -> str:
        return f"{SQLITE}{of / 'ledger.db'}" if ledger is None else ledger.replace("{name}", of.name)

    rows = []

    def tell(what: str, cost: Cost, done: int, of: Path, twice: str = "") -> None:
        size = format_bytes(sum(f.stat().st_size for f in of.glob("ledger.db*"))) if ledger is None else ""
        row = {"store": store, "blocks": f"{blocks:,}", "what": what, "of them done": f"{done:,}", "done twice": twice}
        clocks = {"": cost.wall, "CPU ": cost.cpu}
        row |= {f"{n}seconds": f"{v:.1f}" for n, v in clocks.items()}
        row |= {f"{n}ms a block": f"{1e3 * v / done:.3f}" if done else "" for n, v in clocks.items()}
        row |= {
            f"peak of {k}": format_bytes(cost.peaks[k]) if k in cost.peaks else ""
            for k in ("main", "scheduler", "forkserver", "worker")
        }
        rows.append(row | {"ledger": size})
        print_table(what, rows[-1:])

    tell("a run", measure(whole, blocks, workers, url(whole)), blocks, whole)
    assert (read_counts(whole / "counted") == 1).all(), "not every block was done once"
    tell("again, all done", measure(whole, blocks, workers, url(whole)), 0, whole)
    killed = measure(broken, blocks, workers, url(broken), stop_at=blocks // 2)
    before = int(np.count_nonzero(read_counts(broken / "counted")))
    tell("killed at half", killed, before, broken)
    cost = measure(broken, blocks, workers, url(broken))
    counts = read_counts(broken / "counted")
    done = int(counts.sum()) - before
    tell("resumed", cost, done, broken, f"{np.count_nonzero(counts > 1):,}")
    assert (counts >= 1).all(), "a block was left out"
    for of in (whole, broken):
        _check_ledger(of, blocks, url(of))
        shutil.rmtree(of)
    return rows


def _check_ledger(folder: Path, blocks: int, ledger_url: str) -> None:
    task = bind_output(make_task(folder, blocks))
    assert task is not None
    opened = open_ledger(ledger_url)
    assert opened.summary(task.key).done == blocks, "the ledger does not have every block as done"
    opened.close()


@contextmanager
def serve_mongo(folder: Path) -> Iterator[str]:
    """Run a server of MongoDB's protocol; yield the URL of a database of it, with ``{name}`` for the database."""
    program = shutil.which(
        "secantusd-py", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    if program is None:
        raise SystemExit("secantusd-py is not installed: pip install neuroadda[test]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--storage-path", str(folder / "data")]
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        while server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"mongodb://127.0.0.1:{port}/{{name}}?directConnection=true&retryWrites=false"
    finally:
        server.terminate()
        server.wait()


def write_results(rows: list[dict[str, str]], workers: int) -> None:
    """Write the table as Markdown."""
    RESULTS.write_text(
        f"""# What a block costs beside its work

Blocks that do nothing but count how often they are done, {workers} workers, start-up included. A run; the same again with all
done; and in another folder a run whose processes are killed (SIGKILL) when half of its blocks are done, and then resumed. "Done
twice" are blocks whose records the killed workers had not yet written, less than a second's. Memory is the most that a process
of each kind had, with imports; CPU seconds are those of all processes together, as seen ten times a second.

{describe_run()}

{to_markdown(rows[0], (row.values() for row in rows))}
""",
        encoding="utf-8",
    )


def main() -> None:
    """Measure and write, or (in a child process) run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, nargs="+", default=SIZES)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mongo", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, blocks, workers, ledger = options.child
        run(Path(folder), blocks, workers, ledger)
        return
    with tempfile.TemporaryDirectory(prefix="neuroadda-bench-") as temporary:
        folder = Path(temporary)
        rows = [row for blocks in options.blocks for row in measure_size(folder, blocks, options.workers)]
        if options.mongo:
            with serve_mongo(folder) as ledger:
                rows += measure_size(folder, min(options.blocks), options.workers, ledger)
    print_table("blocks", rows)
    if options.write:
        write_results(rows, options.workers)


if __name__ == "__main__":
    main()
