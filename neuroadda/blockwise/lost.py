"""Blocks that are done by the ledger, but whose output is gone: found at the start of a run, and done again."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import Task
from neuroadda.ledger.base import Ledger


class Lost(NamedTuple):
    """Blocks that are done, but not all of whose output is there, and what makes the next run do them again."""

    blocks: list[int]
    redo: Callable[[], None]


def find_lost(task: Task, ledger: Ledger) -> Lost:
    """Find the blocks of a task with an instance that lost output: files that were deleted, or not copied.

    It lists the output's files: some microseconds each.
    """
    # The ledger first: what is done by then is written by the time that the output is looked at.
    done = ledger.done_mask(task.key, len(task.grid)) & task.blocks.to_mask()
    written = task.bound.written(task)
    lost = np.flatnonzero(done & ~written.find()).tolist() if done.any() else []
    return Lost(lost, make_redo(task, ledger, written, lost))


def make_redo(task: Task, ledger: Ledger, written: Written, blocks: list[int]) -> Callable[[], None]:
    """Return what forgets blocks and removes what is there of them, so that the next run does them again."""

    def redo() -> None:
        ledger.forget(task.key, blocks)  # first: nothing is done without its data
        for index in blocks:
            written.remove(task.grid[index])

    return redo
