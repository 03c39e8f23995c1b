"""What blocks cost: done for real, timed one by one, in processes like a run's workers, without scheduler and ledger."""

import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.overlap import Overlap
from neuroadda.blockwise.task import Task, stage_modules
from neuroadda.config import Config, dump_config
from neuroadda.errors import RunFailed
from neuroadda.processes import cpu_seconds, die_with_parent, peak_bytes

PEAK_ROUNDS = 3  # by then, all that blocks in flight hold has met


class BlockCost(Config):
    """What one block (its index) took, and what it left on disk and reported."""

    block: int
    seconds: float
    cpu_seconds: float
    bytes: int
    files: int
    results: dict[str, Any]


class TaskCost(Config):
    """The blocks of a task that were done."""

    grid: BlockGrid
    blocks: list[BlockCost]


class ProcessCost(Config):
    """What one process took for its tasks, which are of one stage.

    Attributes
    ----------
    start_seconds
        Until the first block could be done: what is imported only then, opening inputs, and what only a first block costs.
    start_cpu_seconds
        The same in processor time.
    peak_bytes
        The most memory at once.
    """

    tasks: list[TaskCost]
    start_seconds: float
    start_cpu_seconds: float
    peak_bytes: int


class StageCost(Config):
    """A stage's tasks, in the order they were given, and the processes' start (mean) and peak memory (highest)."""

    name: str
    tasks: list[TaskCost]
    start_seconds: float
    start_cpu_seconds: float
    peak_bytes: int


def measure_tasks(
    tasks: Sequence[Task],
    blocks: Sequence[Sequence[int]],
    execution: Execution,
    folder: Path,
) -> StageCost:
    """Do blocks of tasks of one stage, whose outputs are made again, with as many processes at once as there are workers.

    Parameters
    ----------
    blocks
        Of each task, those to be done, in this order.
    folder
        For notes and logs; it exists.

    Raises
    ------
    RunFailed
        If a block fails: the end of its traceback.
    """
    for task in tasks:
        task.bound.create_output(task)
    workers = min(len(tasks), 1 if execution.launcher == "serial" else execution.workers)
    shares = [list(range(first, len(tasks), workers)) for first in range(workers)]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, share in enumerate(shares):
            plan, log = folder / f"process-{number}.json", folder / f"process-{number}.log"
            work = [(dump_config(tasks[index]), list(blocks[index])) for index in share]
            notes = {"work": work, "preload": stage_modules()}
            plan.write_text(json.dumps(notes))
            with open(log, "wb") as errors:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "neuroadda.forecast.costs", str(plan)],
                        stdin=subprocess.DEVNULL,
                        stdout=errors,
                        stderr=errors,
                        start_new_session=True,  # Ctrl-C is for the caller, who ends them
                        env=execution.environment,
                    )
                )
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for number, process in enumerate(processes):
        if process.returncode != 0:
            told = (folder / f"process-{number}.log").read_text(errors="replace").strip()
            raise RunFailed(f"{tasks[0].name}: a sample failed: {told[-2000:] or process.returncode}")
    costs = [
        ProcessCost.model_validate_json((folder / f"process-{number}.json").read_text()) for number in range(workers)
    ]
    done = {
        index: cost for share, c in zip(shares, costs, strict=True) for index, cost in zip(share, c.tasks, strict=True)
    }
    return StageCost(
        name=tasks[0].name,
        tasks=[done[index] for index in range(len(tasks))],
        start_seconds=sum(c.start_seconds for c in costs) / workers,
        start_cpu_seconds=sum(c.start_cpu_seconds for c in costs) / workers,
        peak_bytes=max(c.peak_bytes for c in costs),
    )


def do_tasks(work: Sequence[tuple[Task, Sequence[int]]]) -> ProcessCost:
    """Do blocks of tasks of one stage in this process.

    The very first is done twice, since first times cost more; those of the last task, too, where a worker has several in flight.
    """
    entered = time.perf_counter()
    costs: list[TaskCost] = []
    start_seconds = start_cpu = 0.0
    for task, indices in work:
        stage, _lease = task.bound.take_device()
        function, output = stage.open(task), Path(task.output)
        blocks: list[BlockCost] = []
        for index in indices:
            block = task.grid[index]
            before = _weigh(output)
            first = not costs and not blocks
            if first:
                function(block)
                start_seconds, start_cpu = time.perf_counter() - entered, cpu_seconds()
            clock, cpu = time.perf_counter(), cpu_seconds()
            results = function(block)
            seconds, cpu = time.perf_counter() - clock, cpu_seconds() - cpu
            if first:
                start_seconds, start_cpu = max(0.0, start_seconds - seconds), max(0.0, start_cpu - cpu)
            size, files = (after - then for after, then in zip(_weigh(output), before, strict=True))
            cost = BlockCost(block=index, seconds=seconds, cpu_seconds=cpu, bytes=size, files=files, results=results)
            blocks.append(cost)
        costs.append(TaskCost(grid=task.grid, blocks=blocks))
    if stage.in_flight > 1:  # with several blocks at once, memory reaches its peak only when all have met in every way
        again = islice(cycle(indices), PEAK_ROUNDS * stage.in_flight)
        overlap = Overlap(stage.in_flight)

        def do_shared() -> None:
            for index in again:
                overlap.apply(function, task.grid[index])

        overlap.run(do_shared)
    return ProcessCost(tasks=costs, start_seconds=start_seconds, start_cpu_seconds=start_cpu, peak_bytes=peak_bytes())


def _weigh(folder: Path) -> tuple[int, int]:
    """Return bytes and number of all files in a folder."""
    sizes = [os.stat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names]
    return sum(sizes), len(sizes)


def main() -> int:
    """Do the tasks in the file named by the only argument, in a process forked like a worker; write there what they cost."""
    place = Path(sys.argv[1])
    plan = json.loads(place.read_text())
    die_with_parent()
    work = [(Task.model_validate(task), blocks) for task, blocks in plan["work"]]
    for module in plan["preload"]:
        importlib.import_module(module)
    worker = multiprocessing.get_context("fork").Process(target=_be_worker, args=(work, place))
    worker.start()
    worker.join()
    return int(worker.exitcode != 0)


def _be_worker(work: Sequence[tuple[Task, Sequence[int]]], place: Path) -> None:
    die_with_parent()
    place.write_text(do_tasks(work).model_dump_json())


if __name__ == "__main__":
    sys.exit(main())
