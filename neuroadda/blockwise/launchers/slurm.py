"""Workers as jobs of Slurm."""

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from neuroadda.blockwise.execution_config import Job
from neuroadda.blockwise.launchers.base import POLL_SECONDS
from neuroadda.blockwise.launchers.cluster import ClusterLauncher, Ending, run_command
from neuroadda.errors import UserError

TAKEN = {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL"}
ENDED = TAKEN | {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY"}

FORGOTTEN = ("FAILED", 0)  # a controller that has lost its state


class SlurmLauncher(ClusterLauncher):
    """Submits by sbatch, and asks squeue once a second for all jobs of the run together.

    ``sbatch --wait`` would see the end of a job up to half a minute late; srun needs a way back from the nodes, and leaves its
    allocation idle where it is killed while it waits in the queue.
    """

    program = "sbatch"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._asked = 0.0
        self._states: dict[str, tuple[str, int]] | None = None

    def submit(self, script: str, log: Path, comment: str) -> str:
        """Submit a job; return its id."""
        command = sbatch_command(self.job, self.config.run, comment, log)
        job, _, _cluster = run_command(command, script).strip().partition(";")
        return job

    def wait(self, job: str) -> Ending:
        """Wait for a job's end. While Slurm does not answer, no job has ended."""
        submitted = time.monotonic()
        while True:
            asked, states = self._ask()
            # A state that is older than the job knows nothing of it.
            if states is not None and asked > submitted:
                state, status = states.get(job, FORGOTTEN)
                if state in ENDED:
                    return _describe(job, state, status)
            time.sleep(POLL_SECONDS)

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel jobs."""
        run_command(["scancel", *jobs])

    def list_waiting(self) -> list[str]:
        """Return the jobs that are pending."""
        _, states = self._ask()
        return [job for job, (state, _) in (states or {}).items() if state == "PENDING" and job in self.jobs]

    def cancel_waiting(self, jobs: Sequence[str]) -> None:
        """Cancel those of some jobs that are still pending."""
        run_command(["scancel", "--state=PENDING", *jobs])

    @staticmethod
    def cancel_run(run: str) -> None:
        """Cancel all jobs of a run."""
        run_command(["scancel", f"--name={run}"], patient=False)

    @staticmethod
    def list_remote_nodes(job: Job) -> list[str]:
        """Return the nodes where a job may run that are not this machine; none where Slurm does not say."""
        here = {"localhost", socket.gethostname(), socket.gethostname().partition(".")[0]}
        partition = [f"--partition={job.queue}"] if job.queue else []
        with suppress(UserError):
            return sorted(
                {*run_command(["sinfo", "--noheader", "--format=%n", *partition], patient=False).split()} - here
            )
        return []

    def _ask(self) -> tuple[float, dict[str, tuple[str, int]] | None]:
        """Return when squeue was asked last, and state and exit status of the run's jobs by id; None where it did not answer.

        squeue remembers ended jobs for minutes.
        """
        with self.lock:
            if time.monotonic() - self._asked > POLL_SECONDS:
                self._asked, self._states = time.monotonic(), _list_jobs(self.config.run)
            return self._asked, self._states


def _list_jobs(run: str) -> dict[str, tuple[str, int]] | None:
    columns = "JobID:32,State:32,exit_code:32"
    with suppress(UserError):
        told = run_command(
            ["squeue", "--noheader", f"--name={run}", "--states=all", f"--Format={columns}"], patient=False
        )
        return {job: (state, int(status)) for job, state, status in map(str.split, told.splitlines())}
    return None


def sbatch_command(job: Job, run: str, comment: str, log: Path) -> list[str]:
    """Return the command that submits a job whose script comes on standard input.

    Slurm may requeue it where it preempts it; a job that is cancelled instead is replaced by the run.
    """
    return [
        "sbatch",
        "--parsable",
        f"--job-name={run}",
        f"--comment={comment}",
        f"--chdir={Path.cwd()}",
        f"--output={log}",
        "--open-mode=append",
        "--requeue",
        "--ntasks=1",
        f"--cpus-per-task={job.cpus}",
        *([f"--partition={job.queue}"] if job.queue else []),
        *([f"--account={job.account}"] if job.account else []),
        *([f"--gres=gpu:{job.gpus}"] if job.gpus else []),
        *([f"--mem={round(job.memory_gb * 1024)}M"] if job.memory_gb else []),
        *([f"--time={round(job.hours * 60)}"] if job.hours else []),
        *job.options,
    ]


def _describe(job: str, state: str, status: int) -> Ending:
    if state == "COMPLETED":
        return Ending("left")
    code = os.waitstatus_to_exitcode(status)
    return Ending("taken" if state in TAKEN else "died", f"{state.lower()} (exit code {code}), job {job}")
