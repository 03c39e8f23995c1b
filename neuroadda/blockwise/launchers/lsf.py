"""Workers as jobs of LSF."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from neuroadda.blockwise.execution_config import Job
from neuroadda.blockwise.launchers.cluster import ClusterLauncher, Ending, refusal, run_command, submission_environment


class LsfLauncher(ClusterLauncher):
    """Submits by ``bsub -K``, which stays until its job has ended, and ends with the job's exit code."""

    program = "bsub"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._waiting: dict[str, subprocess.Popen[str]] = {}

    def submit(self, script: str, log: Path, comment: str) -> str:
        """Submit a job; bsub says at once whether LSF takes it, and its id."""
        command = bsub_command(self.job, self.config.run, comment)
        with tempfile.TemporaryFile("w+") as errors:
            bsub = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=submission_environment(),
            )
            assert bsub.stdin is not None
            assert bsub.stdout is not None
            with suppress(BrokenPipeError), bsub.stdin:
                bsub.stdin.write(script)
            submitted = (re.match(r"Job <(\d+)> is submitted", line) for line in bsub.stdout)
            job = next((found[1] for found in submitted if found), None)
            if job is None:
                bsub.wait()
                errors.seek(0)
                raise refusal("bsub", errors.read())
        self._waiting[job] = bsub
        return job

    def wait(self, job: str) -> Ending:
        """Wait for the end of a job's bsub."""
        bsub = self._waiting[job]
        with bsub:
            code = bsub.wait()
        del self._waiting[job]
        return Ending("died", f"exit code {code}, job {job}") if code else Ending("left")

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel jobs, and the bsub that wait for them."""
        run_command(["bkill", *jobs])
        for job in jobs:
            if bsub := self._waiting.get(job):
                bsub.kill()

    def list_waiting(self) -> list[str]:
        """Return the jobs that are pending."""
        told = run_command(["bjobs", "-noheader", "-J", self.config.run, "-o", "jobid stat"])
        states = dict(line.split() for line in told.splitlines())
        return [job for job in sorted(self.jobs) if states.get(job) == "PEND"]

    @staticmethod
    def cancel_run(run: str) -> None:
        """Cancel all jobs of a run."""
        run_command(["bkill", "-J", run, "0"], patient=False)


def bsub_command(job: Job, run: str, comment: str) -> list[str]:
    """Return the command that submits a job whose script comes on standard input, and waits for it.

    LSF runs it again where its host fails.
    """
    return [
        "bsub",
        "-K",
        "-r",
        *("-J", run),
        *("-cwd", str(Path.cwd())),
        *("-Jd", comment),
        *("-o", "/dev/null"),  # the script writes its log; without this, LSF sends a mail
        *("-n", str(job.cpus)),
        *(("-R", "span[hosts=1]") if job.cpus > 1 else ()),
        *(("-q", job.queue) if job.queue else ()),
        *(("-P", job.account) if job.account else ()),
        *(("-gpu", f"num={job.gpus}") if job.gpus else ()),
        *(("-M", f"{_megabytes(job)}MB", "-R", f"rusage[mem={_megabytes(job)}MB]") if job.memory_gb else ()),
        *(("-W", str(round(job.hours * 60))) if job.hours else ()),
        *job.options,
    ]


def _megabytes(job: Job) -> int:
    return round((job.memory_gb or 0) * 1024)
