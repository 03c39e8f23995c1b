"""A Slurm of one node for the jobs of runs, where it is installed."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOCAL_SLURM = Path(__file__).parents[2] / "tools" / "local_slurm.sh"


@dataclass(frozen=True)
class Slurm:
    """What runs submit their jobs to; it has no others.

    Attributes
    ----------
    prefix
        What its commands begin with, such as what runs them on another host.
    """

    prefix: Sequence[str]

    def jobs(self) -> list[str]:
        """Return the ids of all jobs that wait or run."""
        told = subprocess.run([*self.prefix, "squeue", "--noheader", "--format=%A"], stdout=subprocess.PIPE, check=True)
        return told.stdout.decode().split()

    def cancel(self, job: str) -> None:
        """Cancel a job, as its owner or its queue may."""
        subprocess.run([*self.prefix, "scancel", job], check=True)


@contextmanager
def local_slurm(folder: Path, prefix: Sequence[str]) -> Iterator[Slurm | None]:
    """Have a Slurm, whose settings lie in `folder`; None where there cannot be one."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("munged", "slurmctld", "slurmd", "squeue"))):
        yield None
        return
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    subprocess.run([*prefix, str(LOCAL_SLURM), "start", str(folder)], stdout=subprocess.DEVNULL, check=True)
    try:
        yield Slurm(prefix)
    finally:
        subprocess.run([*prefix, str(LOCAL_SLURM), "stop", str(folder)], check=True)
