"""A small volume and its network; clusters to run on: a real Slurm of one node, and a stand-in for LSF."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.distributed.clusters import TOOLS, Cluster, skip_without_slurm
from tests.segmentation.synthetic import write_backbone, write_raw

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_raw(folder / "raw.zarr/raw", shape=(24, 120, 120))
    write_backbone(folder / "backbone")
    return folder


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
