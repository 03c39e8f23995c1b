"""A segmentation whose workers are jobs of a real Slurm, started here; in two network namespaces too."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "segmentation")]
from synthetic import write_backbone, write_raw
from test_kill import configure, content

from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.segmentation.pipeline import SegmentConfig, segment

TOOLS = Path(__file__).parent.parent.parent / "tools"
LACKING = [program for program in ("slurmctld", "slurmd", "munged", "ip") if shutil.which(program) is None]

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="only root may start a Slurm"),
    pytest.mark.skipif(
        bool(LACKING), reason=f"missing: {', '.join(LACKING)} (apt-get install slurm-wlm munge iproute2)"
    ),
]

SLURM = {"launcher": "slurm", "workers": 4}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([TOOLS / "local_slurm.sh", "start", folder], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield
    subprocess.run([TOOLS / "local_slurm.sh", "stop", folder], check=True)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_raw(folder / "raw.zarr/raw", shape=(24, 120, 120))
    write_backbone(folder / "backbone")
    return folder


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory):
    config = configure(inputs, tmp_path_factory.mktemp("undisturbed"), execution={"launcher": "serial"})
    segment(config)
    return content(config)


def jobs() -> dict[str, str]:
    """Return the jobs that are not over, and their states."""
    told = subprocess.run(["squeue", "--noheader", "--format=%A %T"], capture_output=True, text=True, check=True)
    return dict(line.split() for line in told.stdout.splitlines())


def records(config: SegmentConfig) -> list[dict]:
    ledger = open_ledger(config.ledger_url)
    return [block for task in ledger.tasks() for block in ledger.blocks(task.fingerprint)]


def test_four_jobs_and_a_mongodb_ledger_give_the_bytes_of_a_local_run(slurm, inputs, tmp_path, undisturbed, mongo_url):
    config = configure(inputs, tmp_path / "run", execution=SLURM, ledger=mongo_url)
    segment(config)
    assert content(config) == undisturbed
    assert not jobs()
    assert not (tmp_path / "run/logs/orders").exists()
    predicted = [block["worker"]["job"] for block in records(config)]
    print(predicted)
