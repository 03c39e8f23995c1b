"""Run tasks over every block once, whatever dies."""

import logging
import math
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import numpy as np

from neuroadda.blockwise.block_runner import BlockFailed, BlockRunner
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.failures import FULL_DISK
from neuroadda.blockwise.grid import BlockSet
from neuroadda.blockwise.launchers import check_launcher
from neuroadda.blockwise.logs import SERIAL, log_events
from neuroadda.blockwise.outputs import bind_output, prepare_output
from neuroadda.blockwise.resuming import find_left, forget_lost, without_failed
from neuroadda.blockwise.scheduler_handle import SchedulerHandle
from neuroadda.blockwise.task import Task
from neuroadda.errors import RIGHT_SPACE, RunFailed, UserError
from neuroadda.ledger.base import (
    BlockRecord,
    Failure,
    FailureGroup,
    Ledger,
    LedgerUnavailable,
    Summary,
    Worker,
)
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.writer import LedgerWriter
from neuroadda.processes import stop_on_signals

PROGRESS_SECONDS = 0.5
STUCK_SECONDS = 60.0

log = logging.getLogger(__name__)

Observer = Callable[[Task, Summary], None]


class Engine:
    """Runs tasks one after another, with one ledger and one scheduler process.

    Use it as a context manager: at the end no process is left.

    Parameters
    ----------
    logs
        Folder for the logs of the scheduler and its workers.
    observe
        Called with a task's progress, at least at the start and at the end.
    """

    def __init__(
        self,
        ledger_url: str,
        execution: Execution,
        logs: Path,
        *,
        observe: Observer = lambda task, summary: None,
    ) -> None:
        check_launcher(execution, ledger_url)
        self._ledger_url, self._execution, self._logs, self._observe = ledger_url, execution, logs, observe
        self._ledger = open_ledger(ledger_url)
        self._scheduler = SchedulerHandle(execution, logs)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scheduler.stop()
        self._ledger.close()

    def knows(self, task: Task) -> bool:
        """Tell whether the ledger has a task; also true where the task has no output yet."""
        bound = bind_output(task)
        return bound is None or self._ledger.task(bound.key) is not None

    def run(self, task: Task, *, overwrite: bool = False, blocks: Collection[int] | None = None) -> Task:
        """Run every block of `task` that the ledger does not have as done.

        Parameters
        ----------
        overwrite
            Replace an output that was made with other parameters or inputs.
        blocks
            Only these; by default all.

        Returns
        -------
        Task
            The task, with the instance of its output.

        Raises
        ------
        UserError
            If the output is another task's, or the blocks fail for something the user can mend (such as a full disk).
        RunFailed
            If blocks are left over.
        RunStopped
            On SIGINT or SIGTERM; no process is left behind.
        """
        ledger = self._ledger
        task = prepare_output(task, ledger, overwrite)
        forget_lost(task, ledger)
        wanted = task.blocks.to_mask()
        if blocks is not None:
            wanted &= np.isin(np.arange(len(wanted)), list(blocks))
        # On this machine, a single block gains nothing from a worker process. On a cluster it is a job, so that the head node only
        # schedules.
        serial = self._execution.launcher == "serial" or (len(task.blocks) == 1 and not self._execution.is_cluster)
        since = time.time()
        with stop_on_signals():
            self._observe(task, ledger.summary(task.key))
            # A worker that dies takes its last records along. Blocks without a trace are done again, with every record written at
            # once, so that afterwards each block is known to be done or to have failed.
            for careful in (False, True):
                left = find_left(wanted, task, ledger)
                todo = without_failed(left, task, ledger, since)
                if not todo.any():
                    break
                if serial:
                    self._run_serial(task, todo, since)
                else:
                    self._run_processes(task, todo, since, careful)
            else:
                left = find_left(wanted, task, ledger)
        self._observe(task, ledger.summary(task.key))
        if left.any():
            _raise_incomplete(task, left, int(wanted.sum()), ledger, self._logs)
        return task

    @property
    def _stuck_seconds(self) -> float:
        """Seconds without a record after which workers on this machine are stuck: a block's time, and once more for another worker.

        Jobs may wait in the queue for any time.
        """
        return math.inf if self._execution.is_cluster else 2 * self._execution.block_timeout + STUCK_SECONDS

    def _run_serial(self, task: Task, todo: np.ndarray, since: float) -> None:
        told, logs = time.monotonic(), self._logs / task.name
        logs.mkdir(parents=True, exist_ok=True)
        with log_events(task.name, logs / SERIAL), LedgerWriter(self._ledger) as writer:
            run = BlockRunner(task, writer)
            for index in np.flatnonzero(todo):
                try:
                    run(int(index))
                except BlockFailed:
                    writer.flush()
                    _stop_early(task, self._ledger, self._execution, since)
                if time.monotonic() - told > PROGRESS_SECONDS:
                    self._observe(task, self._ledger.summary(task.key))
                    told = time.monotonic()

    def _run_processes(self, task: Task, todo: np.ndarray, since: float, careful: bool) -> None:
        done = None
        try:
            self._scheduler.start(task, BlockSet.of(todo), self._ledger_url, careful)
            seen, changed = None, time.monotonic()
            while (done := self._scheduler.wait(PROGRESS_SECONDS)) is None:
                asked = time.monotonic()
                summary = None
                with suppress(LedgerUnavailable):  # workers have patience with it, and say when theirs is at its end
                    summary = self._ledger.summary(task.key)
                    self._observe(task, summary)
                    _stop_early(task, self._ledger, self._execution, since)
                if summary is None or summary != seen:
                    seen, changed = summary, asked
                elif asked - changed > self._stuck_seconds:
                    log.warning("%s: the scheduler hangs; another one goes on", task.name)
                    break
                # A ledger of millions of blocks is not to be busy with questions.
                if (done := self._scheduler.wait(20 * (time.monotonic() - asked))) is not None:
                    break
        finally:
            if done is None:
                self._scheduler.stop()
        if careful and not done:
            _record_died(task, self._ledger)


def run_task(
    task: Task,
    ledger_url: str,
    execution: Execution,
    logs: Path,
    *,
    overwrite: bool = False,
    observe: Observer = lambda task, summary: None,
) -> Task:
    """Run one task alone; see `Engine`."""
    with Engine(ledger_url, execution, logs, observe=observe) as engine:
        return engine.run(task, overwrite=overwrite)


def _stop_early(task: Task, ledger: Ledger, execution: Execution, since: float) -> None:
    for group in ledger.failures(task.key, since=since):
        if len(group.blocks) >= execution.same_error_limit:
            raise _failure(task, group, f"stopped early: {len(group.blocks)} blocks failed with the same error")


def _record_died(task: Task, ledger: Ledger) -> None:
    """Turn blocks whose worker died for good (killed, crashed, timed out) into failures."""
    now = time.time()
    failure = Failure(
        type="WorkerDied", message="the worker died or timed out in this block", traceback="", cause="died"
    )
    lost = [
        BlockRecord(
            fingerprint=task.key,
            block=block["block"],
            status="failed",
            worker=Worker.model_validate(block["worker"]),
            started=block["started"],
            finished=now,
            failure=failure,
        )
        for block in ledger.blocks(task.key, "running")
    ]
    if lost:
        ledger.write(lost)


def _raise_incomplete(task: Task, left: np.ndarray, wanted: int, ledger: Ledger, logs: Path) -> NoReturn:
    groups = [group for group in ledger.failures(task.key) if left[group.blocks].any()]
    told = f"{left.sum()} of {wanted} blocks are left"
    if not groups:
        raise RunFailed(f"{task.name}: {told}: the workers died; see {logs}")
    raise _failure(task, groups[0], told)


def _failure(task: Task, group: FailureGroup, left: str) -> UserError | RunFailed:
    if FULL_DISK.search(group.message):
        return UserError(f"{task.name} cannot be written: {group.message}", task.output, f"{RIGHT_SPACE}; {left}")
    if group.cause == "user" or group.type == "UserError":
        return UserError(group.message, task.name, left)
    text = f"{group.type}: {group.message} (block {group.blocks[0]})"
    return RunFailed(f"{task.name}: {left}: {text}\n{group.traceback}".rstrip())
