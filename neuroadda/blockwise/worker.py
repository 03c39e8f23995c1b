"""A worker process: takes blocks from daisy until none are left."""

import ctypes
import logging
import os
import signal
import sys

import daisy.v2

from neuroadda.blockwise.blocks import BlockFailed, BlockRunner
from neuroadda.blockwise.blockset import BlockSet
from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.ledger.writer import LedgerWriter
from neuroadda.blockwise.task import Task

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (Linux), so that a killed run leaves no orphans."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it died before it could be asked for


def work(task_json: str, blocks: str, ledger_url: str, careful: bool, scheduler: int) -> None:
    """Do blocks until daisy has no more; a failing block is recorded and costs no worker.

    Daisy counts `blocks` (see `BlockSet.dump`) from 0 on.
    `careful` writes every record at once, so that no death of this process goes unnoticed.
    """
    die_with(scheduler)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    task = Task.model_validate_json(task_json)
    numbered = BlockSet.load(blocks, len(task.grid))
    client = daisy.v2.Client()
    ledger = open_ledger(ledger_url)
    with LedgerWriter(ledger) as writer:
        run = BlockRunner(task, writer, careful=careful)
        while True:
            # Caught outside of the `with`, a failed block costs no worker; a lost scheduler or ledger does end it.
            try:
                with client.acquire_block() as block:
                    if block is None:
                        break
                    run(numbered[block.write_roi.begin[0]])
            except BlockFailed:
                logging.exception("a block of %s failed", task.name)
    ledger.close()
