"""The crew of a run: one process that has imported what the stages need, and forks the workers of one task after another.

A worker that starts from nothing imports for about a second of processor time, as much as many a task has to do. The crew has no
threads, so that it may fork; daisy's server has many, and is another process.
"""

import multiprocessing
import os
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from typing import Any

from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.processes import die_with


@dataclass
class Crew:
    """Workers for the tasks that posts tell of (see `post`).

    Attributes
    ----------
    logs
        Folder that gets a folder of logs for each task, with one file a worker.
    """

    execution: Execution
    logs: Path
    _died: dict[str, int] = field(default_factory=dict, init=False)

    def serve(self, address: str, ready: Connection) -> None:
        """Work for one post after another, until the process is killed; say when posts may come."""
        with Listener(address, "AF_UNIX") as listener:
            ready.send(None)
            while True:
                try:
                    with listener.accept() as post:
                        context, orders = post.recv()
                        post.send(self._employ(context, orders))
                except (EOFError, OSError):  # the post was killed: daisy sends another, or gives the task up
                    traceback.print_exc()

    def _employ(self, context: str, orders: dict[str, Any]) -> bool:
        """Keep workers at work until all have left by themselves; false when too many died."""
        # Workers find imported what is imported here: their own code, and the stage's.
        from neuroadda.blockwise.task import Task
        from neuroadda.blockwise.worker import work

        task = Task.model_validate_json(orders["task"])
        key, logs = task.key, self.logs / task.name
        task.bound.rehearse()
        logs.mkdir(parents=True, exist_ok=True)
        address = re.sub(r"worker_id=-?\d+", "worker_id=-1", context)  # daisy counts on none of them

        def start(number: int) -> Any:
            worker = multiprocessing.get_context("fork").Process(
                target=_be_worker, args=(os.getpid(), work, address, orders, logs / f"worker-{number}.log")
            )
            worker.start()
            return worker

        at_work = {number: start(number) for number in range(min(self.execution.workers, orders["count"]))}
        patience = None
        while at_work:
            if not wait([worker.sentinel for worker in at_work.values()], patience):
                for worker in at_work.values():
                    worker.kill()  # frozen: its blocks' time is up, and others have done them
                    worker.join()
            for number, worker in list(at_work.items()):
                if worker.exitcode is None:
                    continue
                del at_work[number]
                if worker.exitcode == 0:
                    patience = (
                        self.execution.block_timeout
                    )  # one that left found nothing to do: the others are at their last block
                else:
                    print(f"{task.name}: worker {number} died (exit code {worker.exitcode})", flush=True)
                    self._died[key] = self._died.get(key, 0) + 1
                    if self._died[key] <= self.execution.worker_restarts:
                        at_work[number] = start(number)
        return self._died.get(key, 0) <= self.execution.worker_restarts


def _be_worker(crew: int, work: Callable[..., None], context: str, orders: dict[str, Any], log: Path) -> None:
    die_with(crew)
    os.environ["DAISY_CONTEXT"] = context
    with open(log, "ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    work(orders["task"], orders["blocks"], orders["ledger"], orders["careful"])
