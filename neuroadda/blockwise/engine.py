"""Run a task over every block once, whatever dies."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from neuroadda.blockwise.blocks import BlockFailed, BlockRunner
from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.ledger.base import (
    BlockRecord,
    Failure,
    FailureGroup,
    Ledger,
    LedgerUnavailable,
    Summary,
    Worker,
)
from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.ledger.writer import LedgerWriter
from neuroadda.blockwise.task import Task, prepare_output
from neuroadda.config import dump_config
from neuroadda.errors import RunFailed, RunStopped, UserError

POLL_SECONDS = 0.1
PROGRESS_SECONDS = 0.5
USERS_FAULT = ("No space left", "Disk quota", "Read-only file system", "Permission denied")

Observer = Callable[[Task, Summary], None]


def run_task(
    task: Task,
    ledger_url: str,
    execution: Execution,
    logs: Path,
    *,
    overwrite: bool = False,
    observe: Observer = lambda task, summary: None,
) -> Task:
    """Run every block of `task` that the ledger does not have as done.

    Parameters
    ----------
    logs
        Folder for the workers' logs.
    overwrite
        Replace an output that was made with other parameters or inputs.
    observe
        Called with the task's progress, at least at the start and at the end.

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
    ledger = open_ledger(ledger_url)
    try:
        task = prepare_output(task, ledger, overwrite)
        # A single block gains nothing from a worker process, whose start takes seconds.
        serial = execution.launcher == "serial" or len(task.blocks) == 1
        since = time.time()
        with stop_on_signals():
            observe(task, ledger.summary(task.key))
            # A worker that dies takes its last records along. Blocks without a trace are done again, with every record written at
            # once, so that afterwards each block is known to be done or to have failed.
            for careful in (False, True):
                if not open_blocks(task, ledger, since).any():
                    break
                if serial:
                    _run_serial(task, ledger, execution, since, observe)
                else:
                    _run_processes(task, ledger, ledger_url, execution, logs, since, careful, observe)
        summary = ledger.summary(task.key)
        observe(task, summary)
        _raise_if_incomplete(task, summary, ledger, logs)
        return task
    finally:
        ledger.close()


def open_blocks(task: Task, ledger: Ledger, since: float) -> np.ndarray:
    """Return bool, by block: which are neither done nor failed at `since` or later."""
    todo = task.blocks.to_mask() & ~ledger.done_mask(task.key, len(task.grid))
    for group in ledger.failures(task.key, since=since):
        todo[group.blocks] = False
    return todo


def _run_serial(task: Task, ledger: Ledger, execution: Execution, since: float, observe: Observer) -> None:
    told = time.monotonic()
    with LedgerWriter(ledger) as writer:
        run = BlockRunner(task, writer)
        for index in np.flatnonzero(open_blocks(task, ledger, since)):
            try:
                run(int(index))
            except BlockFailed:
                writer.flush()
                _stop_early(task, ledger, execution, since)
            if time.monotonic() - told > PROGRESS_SECONDS:
                observe(task, ledger.summary(task.key))
                told = time.monotonic()


def _run_processes(
    task: Task,
    ledger: Ledger,
    ledger_url: str,
    execution: Execution,
    logs: Path,
    since: float,
    careful: bool,
    observe: Observer,
) -> None:
    plan = {
        "task": dump_config(task),
        "execution": dump_config(execution),
        "ledger": ledger_url,
        "since": since,
        "careful": careful,
        "parent": os.getpid(),
        "logs": str(logs),
    }
    logs.mkdir(parents=True, exist_ok=True)
    with open(logs / "scheduler.log", "ab") as log:
        scheduler = subprocess.Popen(
            [sys.executable, "-m", "neuroadda.blockwise.scheduler"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=execution.environment,
        )
        try:
            assert scheduler.stdin is not None
            with suppress(BrokenPipeError), scheduler.stdin:  # one that dies at once says so by its exit code
                scheduler.stdin.write(json.dumps(plan).encode())
            due = time.monotonic() + PROGRESS_SECONDS
            while scheduler.poll() is None:
                time.sleep(POLL_SECONDS)
                asked = time.monotonic()
                if asked > due:
                    with suppress(
                        LedgerUnavailable
                    ):  # workers have patience with it, and say when theirs is at its end
                        observe(task, ledger.summary(task.key))
                        _stop_early(task, ledger, execution, since)
                    # A ledger of millions of blocks is not to be busy with questions.
                    due = time.monotonic() + max(PROGRESS_SECONDS, 20 * (time.monotonic() - asked))
        finally:
            _kill_group(scheduler)
    if careful and scheduler.returncode != 0:
        _record_lost(task, ledger)


def _kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill the scheduler and its workers; what they had begun is done again, since blocks are idempotent."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _stop_early(task: Task, ledger: Ledger, execution: Execution, since: float) -> None:
    for group in ledger.failures(task.key, since=since):
        if len(group.blocks) >= execution.same_error_limit:
            raise _failure(task, group, f"stopped early: {len(group.blocks)} blocks failed with the same error")


def _record_lost(task: Task, ledger: Ledger) -> None:
    """Turn blocks whose worker died for good (killed, crashed, timed out) into failures."""
    now = time.time()
    failure = Failure(type="WorkerDied", message="the worker died or timed out in this block", traceback="")
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


def _raise_if_incomplete(task: Task, summary: Summary, ledger: Ledger, logs: Path) -> None:
    remaining = len(task.blocks) - summary.done
    if not remaining:
        return
    groups = ledger.failures(task.key)
    left = f"{remaining} of {len(task.blocks)} blocks are left"
    if not groups:
        raise RunFailed(f"{task.name}: {left}: the workers died; see {logs}")
    raise _failure(task, groups[0], left)


def _failure(task: Task, group: FailureGroup, left: str) -> UserError | RunFailed:
    text = f"{group.type}: {group.message} (block {group.blocks[0]})"
    if group.type == "UserError" or any(reason in group.message for reason in USERS_FAULT):
        return UserError(group.message, task.name, left)
    return RunFailed(f"{task.name}: {left}: {text}\n{group.traceback}".rstrip())


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `RunStopped` inside the block (in the main thread; elsewhere nothing changes)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise RunStopped(signum)

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
