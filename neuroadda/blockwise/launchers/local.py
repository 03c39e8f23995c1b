"""Workers on this machine: forks of a process that has imported what they need (`multiprocessing`'s forkserver)."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from neuroadda.blockwise.launchers.base import Launcher, WorkerDied
from neuroadda.errors import UserError
from neuroadda.ledger.base import LedgerUnavailable
from neuroadda.processes import die_with_parent, print_to

PRELOAD = "neuroadda.blockwise.launchers.preload"
# One thread starts all processes and asks how they ended. The kernel ends the forkserver with the thread that started it, so that
# has to live as long as this process; and of two threads that ask for an exit code, multiprocessing tells one a wrong code.
STARTER = ThreadPoolExecutor(1)


class LocalLauncher(Launcher):
    """Starts workers as processes of this machine."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._forkserver = multiprocessing.get_context("forkserver")
        self._forkserver.set_forkserver_preload([PRELOAD, *self.config.preload])
        self._processes: set[Any] = set()

    def run(self, context: str, number: int) -> None:
        """Fork a worker and wait for its end."""
        log = self.config.logs / f"worker-{number}.log"
        heard, told = multiprocessing.Pipe(duplex=False)
        process = self._forkserver.Process(target=_be_worker, args=(context, self.config.worker, log, told))
        with heard:
            try:
                with told:
                    STARTER.submit(process.start).result()
            except (ConnectionError, EOFError) as error:
                raise WorkerDied("the forkserver has died") from error
            self._processes.add(process)
            wait([process.sentinel])
            code = STARTER.submit(lambda: process.exitcode).result()
            self._processes.remove(process)
            if code and heard.poll():
                with suppress(EOFError):  # it reported nothing
                    raise UserError(*heard.recv())
        if code:
            raise WorkerDied(f"exit code {code}")

    def kill_workers(self) -> None:
        """Kill all workers that have not left."""
        for process in list(self._processes):
            STARTER.submit(process.kill).result()


def _be_worker(context: str, worker: str, log: Path, told: Connection) -> None:
    """Work; report an error that no other worker would be spared, so that none is started in its place."""
    die_with_parent()
    print_to(log)
    from neuroadda.blockwise.worker import WorkerConfig, work

    os.environ["DAISY_CONTEXT"] = context
    try:
        work(WorkerConfig.model_validate_json(worker))
    except LedgerUnavailable:
        raise
    except UserError as error:  # of the ledger: those of blocks are recorded
        told.send((error.what, error.where, error.right))
        raise
