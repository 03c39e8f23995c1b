"""Make a ledger and the outputs agree: record what is written, forget what is not.

A block that is forgotten is done again and writes the same bytes, so what was made from it since is still right and stays.
"""

import os
import socket
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neuroadda.blockwise.outputs import Written, bind_output, read_key
from neuroadda.blockwise.resuming import make_redo
from neuroadda.blockwise.task import Task
from neuroadda.errors import UserError
from neuroadda.ledger.base import BlockRecord, Ledger, Worker
from neuroadda.volumes.storage.locations import to_location

BATCH = 1000
BROKEN = (
    ValueError,
    RuntimeError,
    KeyError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)  # what codecs say to damaged bytes


@dataclass(frozen=True)
class Finding:
    """Something in which a ledger and an output disagree, and what ends that.

    Attributes
    ----------
    blocks
        Those it is about; none where it is about the task.
    """

    stage: str
    what: str
    blocks: Sequence[int]
    mend: Callable[[], None]


def rebuild_task(task: Task, ledger: Ledger) -> int:
    """Record as done all blocks that are written and not on record; return how many that were.

    Their records say neither who did them nor how long it took: they have no tries, no seconds and no results.
    """
    bound = bind_output(task)
    if bound is None:
        return 0
    if ledger.task(bound.key) is None:
        ledger.register(bound.record)
    now, worker = time.time(), Worker(host=socket.gethostname(), pid=os.getpid())
    found = _find_unrecorded(bound, ledger)
    for first in range(0, len(found), BATCH):
        ledger.write(
            [
                BlockRecord(
                    fingerprint=bound.key,
                    block=index,
                    status="done",
                    worker=worker,
                    started=now,
                    finished=now,
                    voxels=bound.grid.voxels(bound.grid[index].write_roi),
                )
                for index in found[first : first + BATCH].tolist()
            ]
        )
    return len(found)


class TaskFindings(NamedTuple):
    """What is wrong with a task, and how many blocks are written and not done by the ledger: no harm, but done again."""

    findings: list[Finding]
    unrecorded: int


def check_task(task: Task, ledger: Ledger, *, at_work: bool, read: bool = False) -> TaskFindings:
    """Find where the ledger says of a task what its output does not bear out.

    Parameters
    ----------
    at_work
        A run is at work on it, so that blocks may be running.
    read
        Also read all that is done.
    """
    bound = bind_output(task)
    if bound is None:
        return TaskFindings([], 0)
    key, name, size = bound.key, bound.name, len(bound.grid)
    findings: list[Finding] = []

    def tell(what: str, blocks: Sequence[int], mend: Callable[[], None] | None = None) -> None:
        findings.append(Finding(name, what, blocks, mend or (lambda: ledger.forget(key, blocks))))

    known = ledger.task(key)
    wanted = bound.record
    if known is None or known.model_copy(update={"created": wanted.created}) != wanted:
        what = "the task is not on record" if known is None else "the task's record is not that of its output"
        if known is not None or key in ledger.recorded():
            tell(what, [], lambda: ledger.register(wanted))
    if foreign := ledger.outsiders(key, size):
        tell("recorded, but the grid has no such blocks", foreign)
    # The ledger first: what is done by then is written by the time that the output is looked at.
    done, running = ledger.done_mask(key, size), [] if at_work else _running(key, ledger, size)
    if running:
        tell("running, but no run is at work here", running)
    tissue = bound.blocks.to_mask()
    if (done & ~tissue).any():
        tell("done, but there is no tissue in them", np.flatnonzero(done & ~tissue).tolist())
    written = bound.bound.written(bound)
    there = written.find()
    done &= tissue
    if (done & ~there).any():
        lost = np.flatnonzero(done & ~there).tolist()
        tell("done, but not all of their output is there", lost, make_redo(bound, ledger, written, lost))
    if read and (broken := _find_broken(bound, written, np.flatnonzero(done & there))):
        tell("done, but their output cannot be read", broken, make_redo(bound, ledger, written, broken))
    return TaskFindings(findings, int(np.count_nonzero(there & tissue & ~done)))


def check_records(ledger: Ledger, outputs: set[str]) -> Iterator[Finding]:
    """Find what is recorded of tasks whose output is no more, at some places, and of tasks that are not known at all."""
    recorded = ledger.recorded()  # before the tasks: a task is registered before its blocks are
    tasks = ledger.tasks()
    there = {output: read_key(to_location(output)) for output in outputs}
    for known in tasks:
        if known.output in outputs and there[known.output] != known.fingerprint:
            yield Finding(known.stage, "the output of this record is gone", [], _reset(ledger, known.fingerprint))
    for key in sorted(set(recorded) - {known.fingerprint for known in tasks} - set(there.values())):
        yield Finding("unknown", f"blocks of a task that is not known: {key[:12]}", [], _reset(ledger, key))


def _find_unrecorded(bound: Task, ledger: Ledger) -> np.ndarray:
    written = bound.bound.written(bound).find() & bound.blocks.to_mask()
    return np.flatnonzero(written & ~ledger.done_mask(bound.key, len(bound.grid)))


def _running(key: str, ledger: Ledger, size: int) -> list[int]:
    return [record["block"] for record in ledger.blocks(key, "running") if 0 <= record["block"] < size]


def _find_broken(task: Task, written: Written, blocks: np.ndarray) -> list[int]:
    broken = []
    for index in blocks.tolist():
        try:
            written.read(task.grid[index])
        except BROKEN:  # and nothing else: what cannot be reached now is not to be deleted
            broken.append(index)
        except UserError:
            raise
        except Exception as error:
            told = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"block {index} of {task.name} cannot be read now ({told})", task.output) from error
    return broken


def _reset(ledger: Ledger, key: str) -> Callable[[], None]:
    return lambda: ledger.reset(key)
