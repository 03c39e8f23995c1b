"""Do one block of a task and tell the ledger: the same code in a daisy worker and in the serial engine."""

import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from neuroadda.blockwise.execution_config import JOB_VARIABLES
from neuroadda.blockwise.failures import choose_pause, find_cause, is_process_spoiled
from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.task import BlockFunction, Task
from neuroadda.device_leases import Lease
from neuroadda.ledger.base import BlockRecord, Failure, Worker
from neuroadda.ledger.writer import LedgerWriter
from neuroadda.processes import cpu_seconds, peak_bytes

TRACEBACK_CHARACTERS = 4000

log = logging.getLogger(__name__)


class BlockFailed(Exception):
    """A block failed, and that is on record; the cause is chained. Other errors of a runner are the ledger's."""


class ProcessSpoiled(BlockFailed):
    """A block failed, and only another process can go on: this one has lost its GPU, say."""


def find_job() -> str | None:
    """Return the id of the cluster's job that this process runs in."""
    return next((os.environ[name] for name in JOB_VARIABLES if name in os.environ), None)


@dataclass
class BlockRunner:
    """Does blocks of one task in this process, in any of its threads.

    The device is taken and the inputs are opened at the first block, so that a failing set-up is on record too. What may pass by
    itself is tried again after a while, and `sleep` waits. `apply` calls the stage's function for a block; `on_open` is called once
    that is there.
    """

    task: Task
    writer: LedgerWriter
    careful: bool = False
    sleep: Callable[[float], object] = time.sleep
    apply: Callable[[BlockFunction, Block], dict[str, Any]] = lambda function, block: function(block)
    on_open: Callable[[], object] = lambda: None
    _lease: Lease = field(default_factory=Lease, init=False)
    _function: BlockFunction | None = field(default=None, init=False)
    _opening: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        """Know what every record says, which is not to be found out for each."""
        self._key = self.task.key
        self._worker = Worker(host=socket.gethostname(), pid=os.getpid(), job=find_job())

    def __call__(self, index: int) -> None:
        """Do block `index`.

        Raises
        ------
        BlockFailed
            If the stage raises, again and again where that may pass; it is recorded before.
        """
        block = self.task.grid[index]
        started, clock = time.time(), time.perf_counter()

        def record(**what: Any) -> None:
            self.writer.add(
                BlockRecord(**({"worker": self._worker} | what), fingerprint=self._key, block=index, started=started)
            )
            if self.careful:
                self.writer.flush()

        tries = 0
        while True:
            record(status="running", attempts=1)
            tries += 1
            try:
                results = self.apply(self._open(), block)
                break
            except Exception as error:
                failure = _describe(error)
                told = f"{failure.type}: {failure.message}"
                about = {"block": index, "cause": failure.cause}
                spoiled = is_process_spoiled(error)
                pause = None if spoiled else choose_pause(failure.cause, tries, index)
                if pause is None:
                    seconds = time.perf_counter() - clock
                    record(status="failed", failure=failure, finished=time.time(), seconds=seconds)
                    log.error("block %d failed: %s", index, told, extra=about | {"traceback": failure.traceback})
                    raise (ProcessSpoiled if spoiled else BlockFailed)(told) from error
            # Only here is the error gone, and with its traceback all memory that was held there.
            log.warning("block %d is tried again in %.1f s: %s", index, pause, told, extra=about)
            self.sleep(pause)
        seconds = time.perf_counter() - clock
        voxels = self.task.grid.voxels(block.write_roi)
        worker = self._worker.model_copy(update={"cpu_seconds": cpu_seconds(), "peak_bytes": peak_bytes()})
        record(status="done", worker=worker, results=results, finished=time.time(), seconds=seconds, voxels=voxels)

    def _open(self) -> BlockFunction:
        with self._opening:
            if self._function is None:
                stage, self._lease = self.task.bound.take_device()
                self._worker = self._worker.model_copy(update={"device": self._lease.device})
                self._function = stage.open(self.task)
                self.on_open()
            return self._function


def _describe(error: Exception) -> Failure:
    return Failure(
        type=type(error).__name__,
        message=str(error),
        traceback="".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:],
        cause=find_cause(error),
    )
