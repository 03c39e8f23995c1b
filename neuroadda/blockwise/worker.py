"""A worker process: it takes blocks from the scheduler until none are left, several at a time where the stage asks for that."""

import gc
import logging

import daisy.v2

from neuroadda.blockwise.block_runner import BlockFailed, BlockRunner, ProcessSpoiled
from neuroadda.blockwise.logs import log_events
from neuroadda.blockwise.overlap import Overlap
from neuroadda.blockwise.task import Task
from neuroadda.config import Config
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.writer import LedgerWriter

log = logging.getLogger(__name__)


class WorkerConfig(Config):
    """What a worker has to know.

    Attributes
    ----------
    careful
        Write every record at once and process one block at a time, so that no death of this process goes unnoticed, and the block
        that it died in is known.
    """

    task: Task
    ledger_url: str
    careful: bool = False


def work(config: WorkerConfig) -> None:
    """Process blocks until the scheduler has no more. A block that fails is recorded, and the worker goes on.

    The environment variable DAISY_CONTEXT says where the scheduler is.
    """
    task = config.task
    overlap = Overlap(1 if config.careful else task.bound.in_flight)
    with log_events(task.name):
        log.info("a worker starts")
        ledger = open_ledger(config.ledger_url)
        with LedgerWriter(ledger) as writer:
            # What was imported and opened stays for good: the garbage collector need not look at it again.
            run = BlockRunner(task, writer, careful=config.careful, apply=overlap.apply, on_open=gc.freeze)
            overlap.run(lambda: _take_blocks(task, run))
        ledger.close()
        log.info("the worker leaves: no more blocks")


def _take_blocks(task: Task, run: BlockRunner) -> None:
    """Process one block after another. A daisy client holds one block and watches its time, so every thread has its own client."""
    client = daisy.v2.Client()
    while True:
        # A failed block is caught outside of the `with`, so the worker goes on. A spoiled process or a lost scheduler ends it.
        try:
            with client.acquire_block() as block:
                if block is None:
                    return
                run(task.grid.at(task.grid.position_of(block.write_roi.begin)).index)
        except ProcessSpoiled:
            raise
        except BlockFailed:
            continue  # it is recorded
