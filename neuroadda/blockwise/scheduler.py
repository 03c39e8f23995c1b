"""The scheduler process: daisy deals out the blocks that the ledger does not have as done.

It runs apart from the user's process, so that stopping a run is killing its process group, whatever daisy is doing. The plan
comes in on standard input, since a ledger's URL may hold a password that no process list should show.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import daisy.logging
import daisy.v2
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.engine import open_blocks
from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.task import Task
from neuroadda.blockwise.usage import peak_bytes
from neuroadda.blockwise.worker import die_with, work


def make_daisy_task(task: Task, execution: Execution, function: Any, skip_mask: Any = None) -> daisy.v2.Task:
    """Return daisy's view of a task: the same grid, its own tracking off."""
    grid, context = task.grid, Coordinate(task.grid.context)
    block = Roi((0, 0, 0), grid.block)
    return daisy.v2.Task(
        f"{task.name}-{task.fingerprint[:12]}",
        total_roi=grid.roi.grow(context, context),
        read_roi=block.grow(context, context),
        write_roi=block,
        process_function=function,
        read_write_conflict=False,
        fit="shrink",
        max_workers=execution.workers,
        max_retries=execution.retries,
        timeout=execution.block_timeout,
        max_worker_restarts=execution.worker_restarts,
        tracking_path=False,
        skip_mask=skip_mask,
    )


def main() -> int:
    """Run the plan on standard input; exit code 0 when daisy finished every block."""
    plan = json.load(sys.stdin)
    die_with(plan["parent"])
    task, execution = Task.model_validate(plan["task"]), Execution.model_validate(plan["execution"])
    ledger = open_ledger(plan["ledger"])
    skip = ~open_blocks(task, ledger, plan["since"]).reshape(task.grid.counts)
    ledger.close()
    daisy.logging.set_log_basedir(Path(plan["logs"]))
    function = partial(work, task.model_dump_json(), plan["ledger"], plan["careful"], os.getpid())
    server = daisy.v2.Server()
    daisy_task = make_daisy_task(task, execution, function, skip.astype("uint8"))
    states = server.run_blockwise([daisy_task], progress=False, host=execution.host, summary=False)
    print(f"{task.name}: scheduler's peak memory {peak_bytes()} bytes")
    return 0 if all(s.completed_count == s.total_block_count for s in states.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
