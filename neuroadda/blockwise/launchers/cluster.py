"""Workers as jobs of a cluster: what Slurm and LSF have in common.

A job's script names a file of orders that only its user may read, since a cluster keeps scripts, command lines and environments of
jobs where others may see them, and orders hold the ledger's URL, maybe with a password.
"""

import json
import os
import secrets
import shlex
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from neuroadda.blockwise.execution import Execution, Job
from neuroadda.blockwise.launchers.base import Ending, Launcher, Orders, Patience, is_over
from neuroadda.errors import UserError

# Of the environment of who submits a job, what the cluster's commands need; the job's script makes the rest.
SUBMITTED = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG")
SUBMITTED_PREFIXES = ("SBATCH_", "SLURM_CONF", "LSF_", "LSB_DEFAULT", "BSUB_")
# Credentials and settings that workers need: they travel with the orders.
ORDERED_PREFIXES = ("AWS_", "FSSPEC_", "GOOGLE_", "NEUROADDA_")
SILENT = ("contact", "timed out", "temporarily", "try again", "not responding")
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
LAST_CHARACTERS = 300


class ClusterLauncher(Launcher):
    """Submits jobs, each of which runs `neuroadda.blockwise.job`; `jobs` has the number of each that is not known to have ended.

    Parameters
    ----------
    context
        Where daisy deals out the blocks, as DAISY_CONTEXT tells a worker.
    logs
        Folder with one file a worker.
    folder
        Of the user alone, seen by all nodes, for the orders.
    run
        Name of all jobs of the run.
    """

    poll_seconds: ClassVar[float]

    def __init__(self, execution: Execution, context: str, orders: Orders, logs: Path, folder: Path, run: str) -> None:
        self.execution, self.job, self.run = execution, execution.job_for(orders["accelerated"]), run
        self.stage, self.logs, self.context = orders["stage"], logs, context
        self._orders = folder / f"{secrets.token_hex(8)}.json"
        self._begun = self._orders.with_suffix(".begun")
        environment = {name: text for name, text in os.environ.items() if name.startswith(ORDERED_PREFIXES)}
        with open(os.open(self._orders, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"context": context, "environment": environment, "orders": orders}, file)
        self.jobs: dict[str, int] = {}
        self._started: set[int] = set()
        self._died = 0
        self._patience = Patience(context, execution.block_timeout)

    def start(self, number: int) -> None:
        """Submit a worker's job."""
        self._started.add(number)
        log = self.logs / f"worker-{number}.log"
        job = self.submit(write_script(self.job, self.execution, self._orders, log), log, f"{self.stage} {number}")
        self.jobs[job] = number

    def wait(self) -> dict[int, Ending]:
        """Return how jobs have ended, when at least one has."""
        while not (endings := self.find_ended()):
            if self._patience.is_exhausted():
                self.cancel(list(self.jobs))
                self._patience.begin()
            time.sleep(self.poll_seconds)
        if is_over(self.context):  # those that began too late have found no scheduler, and that is no death
            endings = dict.fromkeys(endings, Ending("left"))
        if any(ending.how == "left" for ending in endings.values()):
            self._patience.begin()
        for number, ending in endings.items():
            self._died += ending.how == "died"
            if self._died >= len(self._started) and not self._begun.exists():
                log = self.logs / f"worker-{number}.log"
                last = _read_last_line(log)
                raise UserError(
                    f"no worker's job could begin; the last ended with {ending.detail}: {last}",
                    "execution.launcher",
                    f"see {log}",
                )
        return endings

    def close(self) -> None:
        """Remove the orders."""
        self._orders.unlink(missing_ok=True)
        self._begun.unlink(missing_ok=True)

    @abstractmethod
    def submit(self, script: str, log: Path, comment: str) -> str:
        """Submit a job, which is not waited for; return its id."""

    @abstractmethod
    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel jobs."""

    @abstractmethod
    def find_ended(self) -> dict[int, Ending]:
        """Return how jobs have ended since the last call, by the number of their worker."""


def write_script(job: Job, execution: Execution, orders: Path, log: Path) -> str:
    """Return the script of a worker's job.

    It reads the system's profile, so that there are modules to load, but not the user's, which may do anything. It writes its log
    itself, since LSF shows none before a job has ended. Without a `python` of its own, the job finds what this process finds.
    """
    settings = {k: v for k, v in execution.settings.items() if k != "PYTHONPATH" or job.python is None}
    command = [job.python or sys.executable, "-m", "neuroadda.blockwise.job", str(orders)]
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
