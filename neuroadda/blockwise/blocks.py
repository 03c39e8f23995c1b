"""Do one block of a task and tell the ledger: the same code in a daisy worker and in the serial engine."""

import os
import socket
import time
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from neuroadda.blockwise.ledger.base import BlockRecord, Failure, Worker
from neuroadda.blockwise.ledger.writer import LedgerWriter
from neuroadda.blockwise.task import BlockFunction, Task
from neuroadda.blockwise.usage import cpu_seconds, peak_bytes

TRACEBACK_CHARACTERS = 4000


class BlockFailed(Exception):
    """A block failed, and that is on record; the cause is chained. Other errors of a runner are the ledger's."""


@dataclass
class BlockRunner:
    """Does blocks of one task in this process; inputs are opened at the first block, so that a failing set-up is on record too."""

    task: Task
    writer: LedgerWriter
    device: str = "cpu"
    careful: bool = False
    _function: BlockFunction | None = field(default=None, init=False)

    @cached_property
    def _known(self) -> dict[str, Any]:
        worker = Worker(host=socket.gethostname(), pid=os.getpid(), device=self.device)
        return {"fingerprint": self.task.key, "worker": worker}

    def __call__(self, index: int) -> None:
        """Do block `index`.

        Raises
        ------
        BlockFailed
            If the stage raises; it is recorded before.
        """
        block = self.task.grid[index]
        started = time.time()

        def record(**what: Any) -> None:
            self.writer.add(BlockRecord(**(self._known | what), block=index, started=started))
            if self.careful:
                self.writer.flush()

        record(status="running", attempts=1)
        clock = time.perf_counter()
        try:
            if self._function is None:
                self._function = self.task.bound.open(self.task)
            results = self._function(block)
        except Exception as error:
            failure = Failure(
                type=type(error).__name__,
                message=str(error),
                traceback=traceback.format_exc()[-TRACEBACK_CHARACTERS:],
            )
            seconds = time.perf_counter() - clock
            record(status="failed", failure=failure, finished=time.time(), seconds=seconds)
            raise BlockFailed(f"{failure.type}: {failure.message}") from error
        seconds = time.perf_counter() - clock
        voxels = self.task.grid.voxels(block.write_roi)
        used = {"cpu_seconds": cpu_seconds(), "peak_bytes": peak_bytes()}
        worker = self._known["worker"].model_copy(update=used)
        record(status="done", worker=worker, results=results, finished=time.time(), seconds=seconds, voxels=voxels)
