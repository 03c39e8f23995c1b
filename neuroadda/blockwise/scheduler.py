"""The scheduler process of a run: daisy hands out the blocks of one task after another, and starts and restarts workers.

It is a process of its own, so that a run is stopped by killing a process group, whatever daisy is doing. Each task comes as a line
on standard input, since a ledger's URL may hold a password that no process list should show.
"""

import json
import logging
import os
import sys

import daisy.logging
import daisy.v2
import numpy as np
from daisy import _daisy
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid, BlockSet
from neuroadda.blockwise.launchers import open_launcher
from neuroadda.blockwise.launchers.base import Launcher, LauncherConfig
from neuroadda.config import Config
from neuroadda.errors import UserError
from neuroadda.processes import die_with_parent, peak_bytes

log = logging.getLogger("neuroadda.blockwise.scheduler")  # the module runs as __main__


class ScheduledTask(Config):
    """A task as the scheduler needs it: a line on its standard input.

    Attributes
    ----------
    name
        What daisy calls the task.
    blocks
        Those that are to be processed, as `BlockSet.dump` writes them.
    """

    name: str
    grid: BlockGrid
    blocks: str
    execution: Execution
    launch: LauncherConfig


def make_daisy_task(task: ScheduledTask, launcher: Launcher) -> daisy.v2.Task:
    """Return the daisy task of the blocks that are to be processed. The ledger keeps track of blocks, so daisy does not."""
    grid, execution = task.grid, task.execution
    todo = BlockSet.load(task.blocks, len(grid)).to_mask()
    # Workers take only a block's place from daisy; `BlockGrid.at` decides its ROIs.
    context, block = Coordinate(grid.context), Roi((0, 0, 0), grid.block)
    return daisy.v2.Task(
        task.name,
        total_roi=grid.roi.grow(context, context),
        read_roi=block.grow(context, context),
        write_roi=block,
        process_function=launcher.run_worker,
        read_write_conflict=False,  # blocks read only what earlier tasks have finished
        fit="shrink",
        max_workers=min(execution.workers, int(np.count_nonzero(todo))),
        max_retries=execution.retries,
        timeout=execution.block_timeout,
        max_worker_restarts=execution.worker_restarts,
        tracking_path=False,
        skip_mask=~todo.reshape(grid.counts),
    )


def run_task(task: ScheduledTask, launcher: Launcher) -> bool:
    """Hand out a task's blocks; return whether all were processed."""
    pipeline = daisy.v2.Pipeline([make_daisy_task(task, launcher)])
    # `daisy.v2.Server.run_blockwise` calls this too, but it first makes daisy start an interpreter for each worker.
    # docs/architecture.md says what that would cost.
    states, _ = _daisy._run_distributed_server(pipeline, None, None, host=task.execution.host, block_tracking=False)
    log.info("%s: scheduler's peak memory %d bytes", task.name, peak_bytes())
    return all(state.completed_count == state.total_block_count for state in states.values())


def main() -> None:
    """Run the tasks on standard input, and answer each with a line on standard output.

    An answer says whether all blocks were processed, or holds the arguments of a UserError where workers cannot be started.
    """
    die_with_parent()
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the run has ended")
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the log; libraries may print
    daisy.logging.set_log_basedir(None)
    ours = logging.getLogger("neuroadda")
    ours.addHandler(logging.StreamHandler())
    ours.setLevel(logging.INFO)

    def answer(what: bool | tuple[str, str | None, str | None]) -> None:
        os.write(answers, json.dumps(what).encode() + b"\n")

    def fail(error: UserError) -> None:
        answer((error.what, error.where, error.right))

    for line in sys.stdin:
        task = ScheduledTask.model_validate_json(line)
        try:
            task.launch.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail(UserError(f"workers cannot be started: {error.strerror}", str(task.launch.logs)))
            continue
        launcher = open_launcher(task.execution, task.launch, fail)
        done = run_task(task, launcher)
        launcher.over.set()
        answer(done)


if __name__ == "__main__":
    main()
