"""The scheduler process: daisy deals out the open blocks of one task after another to the crew.

It runs apart from the user's process, so that stopping a run is killing its process group, whatever daisy is doing. Orders come in
on standard input, a line for each task, since a ledger's URL may hold a password that no process list should show.
"""

import json
import multiprocessing
import os
import sys
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import daisy.logging
import daisy.v2
from funlib.geometry import Roi

from neuroadda.blockwise.crew import Crew
from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.post import hold_post
from neuroadda.blockwise.processes import die_with
from neuroadda.blockwise.usage import peak_bytes

POST_RESTARTS = 3


def make_daisy_task(name: str, blocks: int, execution: Execution, function: Any) -> daisy.v2.Task:
    """Return a daisy task that deals out the numbers from 0 to `blocks`; its own tracking is off.

    Blocks do not touch each other's output, so daisy need not know where they lie: what it does not hear of costs nothing. The one
    process that it starts calls `function`; workers come by themselves.
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
        max_workers=1,
        max_retries=execution.retries,
        timeout=execution.block_timeout,
        max_worker_restarts=POST_RESTARTS,
        tracking_path=False,
    )


def deal(orders: dict[str, Any], address: str, execution: Execution) -> bool:
    """Deal out a task's blocks; whether all were done."""
    task = make_daisy_task(orders["name"], orders["count"], execution, partial(hold_post, address, orders))
    states = daisy.v2.Server().run_blockwise([task], progress=False, host=execution.host, summary=False)
    with suppress(OSError):  # a full disk is no reason to give up
        print(f"{orders['name']}: scheduler's peak memory {peak_bytes()} bytes", flush=True)
    return all(state.completed_count == state.total_block_count for state in states.values())


def main() -> None:
    """Work on orders from standard input until there are no more; answer each with a line.

    It says whether all was done, or what a user has to mend first, as the arguments of a UserError.
    """
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the log; libraries may print
    setup = json.loads(sys.stdin.readline())
    die_with(setup["parent"])
    execution = Execution.model_validate(setup["execution"])
    daisy.logging.set_log_basedir(None)
    crew = Crew(execution, Path(setup["logs"]), setup["run"], Path(setup["private"]))
    hearing, telling = multiprocessing.Pipe(duplex=False)
    arguments = os.getpid(), answers, crew, setup["address"], telling
    process = multiprocessing.get_context("fork").Process(target=_be_crew, args=arguments)
    process.start()
    telling.close()
    try:
        hearing.recv()
        for line in sys.stdin:
            answer = deal(json.loads(line), setup["address"], execution)
            with suppress(EOFError):  # the crew has died
                if not answer and hearing.poll():
                    answer = hearing.recv()
            os.write(answers, json.dumps(answer).encode() + b"\n")
    finally:
        process.kill()
        process.join()


def _be_crew(scheduler: int, answers: int, crew: Crew, address: str, telling: Connection) -> None:
    die_with(scheduler)
    os.close(answers)  # or the engine would wait for a scheduler that has died
    crew.serve(address, telling)


if __name__ == "__main__":
    main()
