"""Which blocks of a task are still to be done; blocks that are done by the ledger, but whose output is gone, are done again."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import Task
from neuroadda.errors import warn
from neuroadda.ledger.base import Ledger
from neuroadda.volumes.storage.locations import to_location
from neuroadda.volumes.storage.urls import Url


class Lost(NamedTuple):
    """Blocks that are done, but not all of whose output is there, and what makes the next run do them again."""

    blocks: list[int]
    redo: Callable[[], None]

    def describe(self, stage: str) -> str:
        """Return in words how many blocks of a stage they are."""
        return f"{len(self.blocks)} blocks of {stage} are done, but not all of their output is there"


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


def forget_lost(task: Task, ledger: Ledger) -> None:
    """Make blocks be done again whose output was deleted since; an object store, where that hardly happens, is not listed."""
    if isinstance(to_location(task.output), Url):
        return
    lost = find_lost(task, ledger)
    if lost.blocks:
        warn(f"{lost.describe(task.name)}: done again", task.output)
        lost.redo()


def find_left(wanted: np.ndarray, task: Task, ledger: Ledger) -> np.ndarray:
    """Return bool, by block: which of those wanted the ledger does not have as done."""
    return np.asarray(wanted & ~ledger.done_mask(task.key, len(wanted)))


def without_failed(left: np.ndarray, task: Task, ledger: Ledger, since: float) -> np.ndarray:
    """Return bool, by block: which of those left have not failed at `since` or later."""
    todo = left.copy()
    for group in ledger.failures(task.key, since=since):
        todo[group.blocks] = False
    return todo
