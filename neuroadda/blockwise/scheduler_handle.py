"""Starts, uses and stops the scheduler process of a run."""

import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockSet
from neuroadda.blockwise.launchers import cancel_jobs
from neuroadda.blockwise.task import Task, stage_modules
from neuroadda.blockwise.worker import WorkerConfig
from neuroadda.config import dump_config
from neuroadda.errors import UserError
from neuroadda.processes import copy_to_log, is_group_alive

IDLE_SECONDS = 5.0
KILLED_SECONDS = 1.0


class SchedulerHandle:
    """A scheduler process, as the run's own process sees it: started with the first task, and replaced after trouble.

    Parameters
    ----------
    logs
        Folder for the logs of the scheduler and its workers.
    """

    def __init__(self, execution: Execution, logs: Path) -> None:
        self._execution, self._logs = execution, logs.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: threading.Thread | None = None
        self._is_busy = False
        self._run = f"neuroadda-{secrets.token_hex(4)}"
        self._private = self._logs / "jobs"

    def start(self, task: Task, blocks: BlockSet, ledger_url: str, careful: bool) -> None:
        """Have blocks of a task processed; `wait` tells when. See `WorkerConfig` for `careful`."""
        if self._process is None:
            self._process = self._start_process()
        scheduled = {
            "name": f"{task.name}-{task.fingerprint[:12]}",
            "grid": dump_config(task.grid),
            "blocks": blocks.dump(),
            "execution": dump_config(self._execution),
            "launch": {
                "stage": task.name,
                "worker": WorkerConfig(task=task, ledger_url=ledger_url, careful=careful).model_dump_json(),
                "accelerated": task.bound.accelerated,
                "logs": str(self._logs / task.name),
                "preload": stage_modules(),
                "private": str(self._private),
                "run": self._run,
            },
        }
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the end of its answers tells that a scheduler has died
            self._process.stdin.write(json.dumps(scheduled).encode() + b"\n")
            self._process.stdin.flush()
        self._is_busy = True

    def wait(self, seconds: float) -> bool | None:
        """Return whether all blocks of the task were processed; None if that is not known after some seconds.

        Raises
        ------
        UserError
            If workers cannot be started.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        answer: Any = json.loads(self._process.stdout.readline() or "false")
        self._is_busy = answer is not True
        if answer is not True:
            self.stop()
        if isinstance(answer, list):
            raise UserError(*answer)
        return bool(answer)

    def stop(self) -> None:
        """End an idle scheduler. Kill a busy one with all its workers, also those that are jobs; their blocks are done again."""
        if self._process is None:
            return
        if not self._is_busy:
            with suppress(subprocess.TimeoutExpired):
                self._process.communicate(timeout=IDLE_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        _wait_for_end(self._process.pid)
        if self._log is not None:
            self._log.join(KILLED_SECONDS)
        self._process, self._is_busy = None, False
        cancel_jobs(self._execution, self._run)
        shutil.rmtree(self._private, ignore_errors=True)

    def _start_process(self) -> subprocess.Popen[bytes]:
        self._logs.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._private, ignore_errors=True)  # of a run that was killed
        if self._execution.is_cluster:
            self._private.mkdir(mode=0o700)
        printed, pipe = os.pipe()
        self._log = threading.Thread(target=copy_to_log, args=(printed, self._logs / "scheduler.log"), daemon=True)
        self._log.start()
        with open(pipe, "wb") as stderr:
            return subprocess.Popen(
                [sys.executable, "-m", "neuroadda.blockwise.scheduler", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                env=self._execution.environment,
            )


def _wait_for_end(group: int) -> None:
    """Wait until the processes of a group that was killed have ended; not for long, since one may hang in the kernel."""
    deadline = time.monotonic() + KILLED_SECONDS
    while is_group_alive(group) and time.monotonic() < deadline:
        time.sleep(0.002)
