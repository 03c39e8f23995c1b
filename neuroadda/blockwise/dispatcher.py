"""The scheduler process as the engine sees it: started at the first orders, told one task after another, replaced after trouble."""

import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from neuroadda.blockwise.blockset import BlockSet
from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.launchers.open import cancel_jobs
from neuroadda.blockwise.task import Task
from neuroadda.config import dump_config
from neuroadda.errors import UserError

LEAVE_SECONDS = 5.0


class Dispatcher:
    """Gives orders to a scheduler process, which lives until `stop`, with all the workers it has.

    Parameters
    ----------
    logs
        Folder for the logs of the scheduler and its workers.
    """

    def __init__(self, execution: Execution, logs: Path) -> None:
        self._execution, self._logs = execution, logs
        self._process: subprocess.Popen[bytes] | None = None
        self._is_busy = False
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._run = f"neuroadda-{secrets.token_hex(4)}"
        self._private = logs / "orders"

    def order(self, task: Task, blocks: BlockSet, ledger_url: str, careful: bool) -> None:
        """Have blocks of a task done; `wait` tells when. See `worker.work` for `careful`."""
        orders = {
            "name": f"{task.name}-{task.fingerprint[:12]}",
            "stage": task.name,
            "key": task.key,
            "accelerated": task.bound.accelerated,
            "task": task.model_dump_json(),
            "blocks": blocks.dump(),
            "count": len(blocks),
            "ledger": ledger_url,
            "careful": careful,
        }
        if self._process is None:
            self._start()
        self._send(orders)
        self._is_busy = True

    def wait(self, seconds: float) -> bool | None:
        """Return whether all blocks of the last orders were done; None if that is not known after some seconds.

        Raises
        ------
        UserError
            If workers cannot be started.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        answer = json.loads(self._process.stdout.readline() or "false")
        self._is_busy = answer is not True
        if answer is not True:
            self.stop()
        if isinstance(answer, list):
            raise UserError(*answer)
        return bool(answer)

    def stop(self) -> None:
        """Let an idle scheduler go. Kill a busy one and its workers, jobs too: what they had begun is done again."""
        if self._process is not None:
            if not self._is_busy:
                with suppress(subprocess.TimeoutExpired):
                    self._process.communicate(timeout=LEAVE_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process, self._is_busy = None, False
            cancel_jobs(self._execution, self._run)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
            shutil.rmtree(self._private, ignore_errors=True)

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="neuroadda-")
        self._logs.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._private, ignore_errors=True)  # of a run that was killed
        if self._execution.is_cluster:
            self._private.mkdir(mode=0o700)
        with open(self._logs / "scheduler.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "neuroadda.blockwise.scheduler"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=self._execution.environment,
            )
        setup = {
            "parent": os.getpid(),
            "execution": dump_config(self._execution),
            "logs": str(self._logs.absolute()),
            "address": str(Path(self._folder.name) / "crew"),
            "run": self._run,
            "private": str(self._private.absolute()),
        }
        self._send(setup)

    def _send(self, what: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # one that has died says so by the end of its answers
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
