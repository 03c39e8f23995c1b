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
from funlib.geometry import Roi

from neuroadda.blockwise.blockset import BlockSet
from neuroadda.blockwise.engine import open_blocks
from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.task import Task
from neuroadda.blockwise.usage import peak_bytes
from neuroadda.blockwise.worker import die_with, work


def make_daisy_task(name: str, blocks: int, execution: Execution, function: Any) -> daisy.v2.Task:
    """Return a daisy task that deals out the numbers from 0 to `blocks`; its own tracking is off.

    Blocks do not touch each other's output, so daisy need not know where they lie: what it does not hear of costs nothing.
    """
    one = Roi((0,), (1,))
    return daisy.v2.Task(
        name,
        total_roi=Roi((0,), (blocks,)),
        read_roi=one,
        write_roi=one,
        process_function=function,
        read_write_conflict=False,
        fit="shrink",
        max_workers=execution.workers,
        max_retries=execution.retries,
        timeout=execution.block_timeout,
        max_worker_restarts=execution.worker_restarts,
        tracking_path=False,
    )


def main() -> int:
    """Run the plan on standard input; exit code 0 when daisy finished every block."""
    plan = json.load(sys.stdin)
    die_with(plan["parent"])
    task, execution = Task.model_validate(plan["task"]), Execution.model_validate(plan["execution"])
    ledger = open_ledger(plan["ledger"])
    blocks = BlockSet.of(open_blocks(task, ledger, plan["since"]))
    ledger.close()
    daisy.logging.set_log_basedir(Path(plan["logs"]))
    function = partial(work, task.model_dump_json(), blocks.dump(), plan["ledger"], plan["careful"], os.getpid())
    server = daisy.v2.Server()
    daisy_task = make_daisy_task(f"{task.name}-{task.fingerprint[:12]}", len(blocks), execution, function)
    states = server.run_blockwise([daisy_task], progress=False, host=execution.host, summary=False)
    print(f"{task.name}: scheduler's peak memory {peak_bytes()} bytes")
    return 0 if all(s.completed_count == s.total_block_count for s in states.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
