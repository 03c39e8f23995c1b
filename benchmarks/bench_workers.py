"""What it costs to start a worker: a fork in the scheduler's forkserver, beside the interpreter that daisy starts for each worker.

    python -m benchmarks.bench_workers [--tasks N] [--waiting N] [--write]

Each way runs the same tasks: two empty blocks, two workers. It also measures what a worker costs the head node while it waits for
its job on a cluster: a thread of the scheduler here, a process in daisy's way. docs/architecture.md says what follows.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import daisy.logging
import daisy.v2
import numpy as np
from funlib.geometry import Coordinate, Roi

from benchmarks.machine import count_cpu, describe_run
from benchmarks.tables import to_markdown
from neuroadda.blockwise.engine import Engine
from neuroadda.blockwise.execution_config import LOOPBACK, Execution
from neuroadda.blockwise.grid import BlockGrid, BlockSet
from neuroadda.blockwise.launchers.base import Launcher, LauncherConfig
from neuroadda.blockwise.outputs import prepare_output
from neuroadda.blockwise.scheduler import ScheduledTask, run_task
from neuroadda.blockwise.task import Task
from neuroadda.blockwise.worker import WorkerConfig
from neuroadda.forecast.overhead import Empty
from neuroadda.ledger.open import open_ledger
from neuroadda.segmentation import pipeline

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "workers.md"
WORKERS = 2
assert pipeline  # a real run has imported every stage


def make_task(folder: Path, number: int) -> Task:
    """Return a task of as many empty blocks as there are workers."""
    grid = BlockGrid.make(Roi((0, 0, 0), (WORKERS, 1, 1)), Coordinate(1, 1, 1), (1, 1, 1))
    return Task.make(Empty(), {}, folder / f"empty-{number}", grid)


def measure_forks(folder: Path, tasks: int) -> tuple[float, float]:
    """Return CPU seconds and wall seconds a task, of the second and later tasks of a run."""
    with Engine(f"sqlite:///{folder / 'ledger.db'}", Execution(workers=WORKERS), folder / "logs") as engine:
        engine.run(make_task(folder, 0))
        before, started = count_cpu(os.getpid()), time.perf_counter()
        for number in range(1, tasks + 1):
            engine.run(make_task(folder, number))
        return (count_cpu(os.getpid()) - before) / tasks, (time.perf_counter() - started) / tasks


def work_in_new_interpreter(config: str) -> None:
    """Be a worker, in the process that daisy has started."""
    from neuroadda.blockwise.worker import work

    work(WorkerConfig.model_validate_json(config))


def measure_daisy(folder: Path, tasks: int) -> tuple[float, float]:
    """Return CPU seconds and wall seconds a task, by `daisy.v2.Server.run_blockwise`."""
    daisy.logging.set_log_basedir(folder / "logs")
    url, grid = f"sqlite:///{folder / 'ledger.db'}", make_task(folder, 0).grid
    ledger = open_ledger(url)
    before, started = _used(), time.perf_counter()
    for number in range(tasks):
        task = prepare_output(make_task(folder, number), ledger, False)
        block = Roi((0, 0, 0), grid.block)
        config = WorkerConfig(task=task, ledger_url=url).model_dump_json()
        function = partial(work_in_new_interpreter, config)
        scheduled = daisy.v2.Task(
            f"{number}", grid.roi, block, block, function, max_workers=WORKERS, tracking_path=False
        )
        states = daisy.v2.Server().run_blockwise(scheduled, progress=False, host=LOOPBACK, summary=False)
        assert all(state.completed_count == len(grid) for state in states.values())
    return (_used() - before) / tasks, (time.perf_counter() - started) / tasks


def _used() -> float:
    usage = getrusage(RUSAGE_CHILDREN)
    return time.process_time() + usage.ru_utime + usage.ru_stime


class Waiting(Launcher):
    """Its workers are jobs that have not begun; when all wait, memory is measured, and no job begins."""

    def __init__(self, config: LauncherConfig, count: int) -> None:
        super().__init__(Execution(workers=count, worker_restarts=0), config, print)
        self.count, self.begun, self.bytes = count, 0, 0
        self.read, self.write = os.pipe()

    def run(self, context: str, number: int) -> None:
        self.begun += 1
        if self.begun == self.count:
            self.bytes = read_memory(os.getpid())
            os.close(self.write)
        wait([self.read])

    def kill_workers(self) -> None:
        pass


def read_memory(pid: int) -> int:
    """Return the proportional set size of a process, in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def measure_thread(count: int) -> int:
    """Return the bytes that a waiting worker takes in the scheduler."""
    grid = BlockGrid.make(Roi((0, 0, 0), (count, 1, 1)), Coordinate(1, 1, 1), (1, 1, 1))
    config = LauncherConfig(stage="", worker="", accelerated=False, logs=Path(), preload=(), private=Path(), run="")
    launcher = Waiting(config, count)
    task = ScheduledTask(
        name="waiting", grid=grid, blocks=BlockSet.full(count).dump(), execution=launcher.execution, launch=config
    )
    before = read_memory(os.getpid())
    run_task(task, launcher)
    return (launcher.bytes - before) // count


def measure_process(count: int) -> int:
    """Return the bytes of an interpreter that has imported what daisy's worker process imports, and waits."""
    code = "import sys, daisy._subprocess_worker, cloudpickle; print(flush=True); sys.stdin.read()"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(count)]
    for process in processes:
        process.stdout.readline()
    sizes = [read_memory(process.pid) for process in processes]
    for process in processes:
        process.communicate()
    return int(np.mean(sizes))


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--waiting", type=int, default=20)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ways = {"a fork of the forkserver": measure_forks, "an interpreter by daisy": measure_daisy}
        costs = {
            way: measure(Path(folder) / str(number), options.tasks)
            for number, (way, measure) in enumerate(ways.items())
        }
    memory = [measure_thread(options.waiting), measure_process(options.waiting)]
    rows = [
        [way, f"{cpu / WORKERS:.3f}", f"{wall:.2f}", f"{size / 2**20:.2f}"]
        for (way, (cpu, wall)), size in zip(costs.items(), memory, strict=True)
    ]
    header = ["a worker is", "CPU s a worker", "wall s a task", "MiB on the head node while its job waits"]
    page = "\n".join(["# Starting a worker", "", to_markdown(header, rows), "", describe_run(), ""])
    print(page)
    if options.write:
        RESULTS.write_text(page)


if __name__ == "__main__":
    main()
