"""Clusters of four places to run on, as tests see them."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent.parent / "tools"


@dataclass(frozen=True)
class Cluster:
    """A cluster of four places: what a test asks of it."""

    launcher: str
    folder: Path
    list_jobs: tuple[str, ...]
    cancel: str

    def jobs(self) -> dict[str, str]:
        """Return the state of each job that is not over."""
        told = subprocess.run(self.list_jobs, capture_output=True, text=True, check=True).stdout
        return dict(line.split() for line in told.splitlines())

    def running(self) -> list[str]:
        """Return the jobs that run."""
        return [job for job, state in self.jobs().items() if state in ("RUNNING", "RUN")]

    def kill(self, job: str) -> None:
        """Cancel a job as a user would."""
        subprocess.run([self.cancel, job], check=True, stdout=subprocess.DEVNULL)


def skip_without_slurm(*further: str) -> None:
    """Skip a test that lacks a program or the right to start a Slurm."""
    lacking = [name for name in ("slurmctld", "slurmd", "munged", *further) if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"no Slurm: {', '.join(lacking)} missing (apt-get install slurm-wlm munge iproute2)")
    if os.getuid() != 0:
        pytest.skip("no Slurm: only root may start one")
