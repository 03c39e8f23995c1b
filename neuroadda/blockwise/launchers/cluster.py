"""Workers as jobs of a cluster: what Slurm and LSF have in common.

A job's script names a file that only its user may read, since a cluster keeps scripts, command lines and environments of jobs where
others may see them, and a worker has to know the ledger's URL, maybe with a password.
"""

import json
import logging
import os
import secrets
import shlex
import subprocess
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from neuroadda.blockwise.execution_config import Execution, Job
from neuroadda.blockwise.launchers.base import Launcher, WorkerDied
from neuroadda.errors import UserError

logger = logging.getLogger(__name__)

# Of the environment of who submits a job, what the cluster's commands need; the job's script makes the rest.
SUBMITTED = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG")
SUBMITTED_PREFIXES = ("SBATCH_", "SLURM_CONF", "LSF_", "LSB_DEFAULT", "BSUB_")
# Credentials and settings that workers need: they travel in the job's file.
CARRIED_PREFIXES = ("AWS_", "FSSPEC_", "GOOGLE_", "NEUROADDA_")
SILENT = ("contact", "timed out", "temporarily", "try again", "not responding")
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
LAST_CHARACTERS = 300


class Ending(NamedTuple):
    """How a job has ended.

    Attributes
    ----------
    how
        ``left``: the worker left by itself; ``died``; ``taken``: the cluster preempted the job, or lost its node.
    detail
        What is known of it, such as ``exit code 1, job 17``.
    """

    how: Literal["left", "died", "taken"]
    detail: str = ""


class ClusterLauncher(Launcher):
    """Submits jobs, each of which runs `neuroadda.blockwise.worker_job`.

    A job that the cluster takes away is submitted again. daisy does not count it as a worker that died.

    Attributes
    ----------
    program
        What submits a job.
    """

    program: ClassVar[str]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.job = self.execution.job_for(self.config.accelerated)
        self.lock = threading.Lock()
        self.jobs: set[str] = set()
        self._dismissed: set[str] = set()
        self._dismissing = threading.Lock()
        self._died = 0
        self._begun = self.config.private / f"{secrets.token_hex(8)}.begun"  # the first job that begins makes it

    def run(self, context: str, number: int) -> None:
        """Submit a worker's job and wait for its end."""
        file, log = self._write_file(context), self.config.logs / f"worker-{number}.log"
        script = write_script(self.job, self.execution, file, log)
        try:
            while True:
                job = self.submit(script, log, f"{self.config.stage} {number}")
                with self.lock:
                    self.jobs.add(job)
                ending = self.wait(job)
                with self.lock:
                    self.jobs.discard(job)
                if ending.how != "taken":
                    break
                logger.info("%s: worker %d is started again: %s", self.config.stage, number, ending.detail)
        finally:
            file.unlink(missing_ok=True)
        if ending.how == "died" and job not in self._dismissed:
            self._check_begun(ending, log)
            raise WorkerDied(ending.detail)

    def dismiss_waiting(self) -> None:
        """Cancel the jobs that are pending."""
        if not self.jobs or not self._dismissing.acquire(blocking=False):
            return
        try:
            waiting = self.list_waiting()
            self._dismissed.update(waiting)
            if waiting:
                self.cancel_waiting(waiting)
        except UserError as error:  # a job that is missed finds no scheduler when it begins
            logger.warning("%s: pending jobs were not cancelled: %s", self.config.stage, error)
        finally:
            self._dismissing.release()

    def kill_workers(self) -> None:
        """Cancel all jobs that have not ended."""
        with suppress(UserError):
            self.cancel(sorted(self.jobs))

    @abstractmethod
    def submit(self, script: str, log: Path, comment: str) -> str:
        """Submit a job; return its id at once."""

    @abstractmethod
    def wait(self, job: str) -> Ending:
        """Wait for a job's end."""

    @abstractmethod
    def list_waiting(self) -> list[str]:
        """Return the jobs that are pending."""

    @abstractmethod
    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel jobs."""

    def cancel_waiting(self, jobs: Sequence[str]) -> None:
        """Cancel those of some jobs that are still pending."""
        self.cancel(jobs)

    @staticmethod
    @abstractmethod
    def cancel_run(run: str) -> None:
        """Cancel all jobs of a run."""

    @staticmethod
    def list_remote_nodes(job: Job) -> list[str]:
        """Return the nodes where a job may run that are not this machine; none where the cluster does not say."""
        return []

    def _write_file(self, context: str) -> Path:
        file = self.config.private / f"{secrets.token_hex(8)}.json"
        environment = {name: text for name, text in os.environ.items() if name.startswith(CARRIED_PREFIXES)}
        told = {"context": context, "environment": environment, "worker": self.config.worker, "begun": str(self._begun)}
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            json.dump(told, opened)
        return file

    def _check_begun(self, ending: Ending, log: Path) -> None:
        """Give up when as many jobs died as there are workers, and not one could begin."""
        self._died += 1
        if self._died >= self.execution.workers and not self._begun.exists():
            what = f"no worker's job could begin; the last ended with {ending.detail}: {_read_last_line(log)}"
            self.fail(UserError(what, "execution.launcher", f"see {log}"))


def write_script(job: Job, execution: Execution, file: Path, log: Path) -> str:
    """Return the script of a worker's job.

    It reads the system's profile, so that there are modules to load, but not the user's, which may do anything. It writes its log
    itself, since LSF shows none before a job has ended. Without a `python` of its own, the job finds what this process finds.
    """
    settings = {k: v for k, v in execution.settings.items() if k != "PYTHONPATH" or job.python is None}
    command = [job.python or sys.executable, "-m", "neuroadda.blockwise.worker_job", str(file)]
    return "\n".join(
        [
            "#!/bin/bash",
            "[ ! -r /etc/profile ] || source /etc/profile",
            f"exec >> {shlex.quote(str(log))} 2>&1",
            "set -e",
            *job.setup,
            *(f"export {name}={shlex.quote(text)}" for name, text in settings.items()),
            f"exec {job.container or ''} {shlex.join(command)}",
            "",
        ]
    )


def submission_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a cluster's commands, and so its jobs, get of this process's environment: no secrets, no outer job."""
    return {k: v for k, v in environment.items() if k in SUBMITTED or k.startswith(SUBMITTED_PREFIXES)}


def run_command(command: Sequence[str], given: str = "", *, patient: bool = True) -> str:
    """Run a cluster's command, if `patient` again while the cluster does not answer; return what it printed.

    Raises
    ------
    UserError
        With what it says.
    """
    for pause in (*(PAUSES if patient else ()), None):
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, env=submission_environment(), check=False
        )
        if done.returncode == 0:
            return done.stdout
        if pause is None or not any(word in done.stderr.lower() for word in SILENT):
            break
        time.sleep(pause)
    raise refusal(command[0], done.stderr)


def refusal(program: str, told: str) -> UserError:
    """Return the error of a cluster's command that failed."""
    return UserError(f"{program}: {told.strip() or 'it failed'}".replace("\n", " "), "execution.job")


def _read_last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log; do the nodes see this folder?"
    return lines[-1][-LAST_CHARACTERS:] if lines else "its log is empty"
