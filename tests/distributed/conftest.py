"""Clusters to run on: a real Slurm of one node, and a stand-in for LSF."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOOLS = HERE.parent.parent / "tools"

sys.path.insert(0, str(HERE.parent / "blockwise"))
sys.path.insert(0, str(HERE.parent / "segmentation"))


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


@pytest.fixture(scope="session")
def started_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    skip_without_slurm()
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([TOOLS / "local_slurm.sh", "start", folder], check=True, stdout=subprocess.DEVNULL)
    yield folder
    subprocess.run([TOOLS / "local_slurm.sh", "stop", folder], check=True)


@pytest.fixture
def slurm(started_slurm: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A Slurm without jobs, which this process's sbatch and squeue talk to."""
    monkeypatch.setenv("SLURM_CONF", str(started_slurm / "slurm.conf"))
    return Cluster("slurm", started_slurm, ("squeue", "--noheader", "--format=%A %T"), "scancel")


@pytest.fixture
def lsf(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """An LSF without jobs, whose bsub and bkill are first on the PATH."""
    folder = tmp_path_factory.mktemp("lsf")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("bsub", "bkill", "bjobs"):
        program = programs / name
        program.write_text(f"#!{sys.executable}\n{(HERE / 'fake_lsf.py').read_text()}")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LSF_ENVDIR", str(folder))
    return Cluster("lsf", folder, ("bjobs", "-noheader", "-o", "jobid stat"), "bkill")


@pytest.fixture(params=["slurm", "lsf"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Each kind of cluster."""
    found: Cluster = request.getfixturevalue(request.param)
    return found
