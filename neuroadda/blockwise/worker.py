"""A worker process: takes blocks from daisy until none are left, several at a time where the stage gains by that."""

import gc
import logging
from functools import partial

import daisy.v2

from neuroadda.blockwise.blocks import BlockFailed, BlockRunner, ProcessSpoiled
from neuroadda.blockwise.blockset import BlockSet
from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.ledger.writer import LedgerWriter
from neuroadda.blockwise.logs import log_events
from neuroadda.blockwise.overlap import Overlap
from neuroadda.blockwise.task import Task

log = logging.getLogger(__name__)


def work(task_json: str, blocks: str, ledger_url: str, careful: bool) -> None:
    """Do blocks until daisy has no more; a failing block is recorded and costs no worker.

    Daisy counts `blocks` (see `BlockSet.dump`) from 0 on. `careful` writes every record at once, so that no death of this process
    goes unnoticed, and does one block at a time, so that it is on account of that block.
    """
    task = Task.model_validate_json(task_json)
    numbered = BlockSet.load(blocks, len(task.grid))
    overlap = Overlap(1 if careful else task.bound.in_flight)
    with log_events(task.name):
        log.info("a worker starts")
        ledger = open_ledger(ledger_url)
        with LedgerWriter(ledger) as writer:
            # What was imported and opened is there to stay: there is no garbage in it to look for.
            run = BlockRunner(task, writer, careful=careful, apply=overlap.apply, on_open=gc.freeze)
            overlap.run(partial(_take_blocks, numbered, run))
        ledger.close()
        log.info("the worker leaves: no more blocks")


def _take_blocks(numbered: BlockSet, run: BlockRunner) -> None:
    """Do one block after another. A client holds one block and watches its time, so every thread has a client of its own."""
    client = daisy.v2.Client()
    while True:
        # Caught outside of the `with`, a failed block costs no worker; a spoiled process, a lost scheduler or ledger does.
        try:
            with client.acquire_block() as block:
                if block is None:
                    return
                run(numbered[block.write_roi.begin[0]])
        except ProcessSpoiled:
            raise
        except BlockFailed:
            continue  # it is on record
