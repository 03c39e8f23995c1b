"""Workers on this machine: forks of a process that has imported what they need."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from neuroadda.blockwise.launchers.base import Ending, Launcher, Orders, Patience
from neuroadda.blockwise.processes import die_with

LOOK_SECONDS = 1.0


class LocalLauncher(Launcher):
    """Forks workers of this process, which has no threads, so that it may.

    Parameters
    ----------
    context
        Where daisy deals out the blocks, as DAISY_CONTEXT tells a worker.
    logs
        Folder with one file a worker.
    block_timeout
        Seconds that a block has.
    """

    def __init__(self, context: str, orders: Orders, logs: Path, block_timeout: float) -> None:
        # Workers find imported what is imported here: their own code, and the stage's.
        from neuroadda.blockwise.task import Task
        from neuroadda.blockwise.worker import work

        Task.model_validate_json(orders["task"]).import_stage()
        self._context, self._orders, self._logs, self._work = context, orders, logs, work
        self._at_work: dict[int, Any] = {}
        self._patience = Patience(context, block_timeout)

    def start(self, number: int) -> None:
        """Fork a worker."""
        arguments = os.getpid(), self._work, self._context, self._orders, self._logs / f"worker-{number}.log"
        worker = multiprocessing.get_context("fork").Process(target=_be_worker, args=arguments)
        worker.start()
        self._at_work[number] = worker

    def wait(self) -> dict[int, Ending]:
        """Return how workers have ended, when at least one has."""
        sentinels = [worker.sentinel for worker in self._at_work.values()]
        while not wait(sentinels, LOOK_SECONDS if self._patience.has_begun else None):
            if self._patience.is_exhausted():
                for worker in self._at_work.values():
                    worker.kill()
                    worker.join()
        codes = {number: worker.exitcode for number, worker in self._at_work.items() if worker.exitcode is not None}
        for number in codes:
            del self._at_work[number]
        if 0 in codes.values():
            self._patience.begin()
        return {
            number: Ending("died", f"exit code {code}") if code else Ending("left") for number, code in codes.items()
        }

    def close(self) -> None:
        """Leave the workers alone: they need nothing, and none outlives this process."""


def _be_worker(parent: int, work: Callable[..., None], context: str, orders: Orders, log: Path) -> None:
    die_with(parent)
    os.environ["DAISY_CONTEXT"] = context
    with open(log, "ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    work(orders["task"], orders["blocks"], orders["ledger"], orders["careful"])
