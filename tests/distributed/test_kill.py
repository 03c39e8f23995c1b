"""Kill -9 whatever runs, resume, and compare every byte with an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neuroadda.blockwise.outputs import bind_output
from neuroadda.ledger.open import open_ledger
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import make_plan, segment_volume
from neuroadda.segmentation.recovery import retry
from tests.holding import hold_writes
from tests.waiting import Gate, descendants, wait_until, wait_until_gone

pytestmark = pytest.mark.system


def configure(inputs: Path, output: Path, **options) -> SegmentConfig:
    known = {
        "raw": str(inputs / "raw.zarr/raw"),
        "backbone": str(inputs / "backbone"),
        "output": str(output),
        "block_vx": (4, 20, 20),
        "predict": {"precision": "float32"},
        "fragments": {"seed_distance_vx": 4, "boundary": 0.5},
        "components": {"threshold": 0.3},
        "execution": {"workers": 2},
    }
    return SegmentConfig.model_validate(known | options)


def content(config: SegmentConfig) -> dict[str, bytes]:
    """Return the bytes of every file of the run's outputs but the tags, which name the instance."""
    folder = Path(config.output)
    outputs = [folder / name for name in ("volumes.zarr", "edges", "merges", "lut")]
    # A writer that is killed in the middle of a chunk leaves the temporary file it was to rename, which no reader sees.
    files = (f for output in outputs for f in sorted(output.rglob("*")) if f.is_file() and f.suffix != ".partial")
    return {str(f.relative_to(folder)): f.read_bytes() for f in files if f.name not in (".zattrs", "task.json")}


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory):
    config = configure(inputs, tmp_path_factory.mktemp("undisturbed"), execution={"launcher": "serial"})
    segment_volume(config)
    return content(config)


def start(config: SegmentConfig, environment: dict[str, str]) -> subprocess.Popen:
    file = Path(config.output).with_suffix(".json")
    file.write_text(json.dumps({"segment": config.model_dump(mode="json")}))
    command = [sys.executable, "-m", "neuroadda.cli", "segment", "-c", str(file)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)


def wait_for_writes(process: subprocess.Popen, gate: Gate, number: int) -> list[int]:
    """Let a stage write so many files and no more; return the processes that are held in the middle of the next."""
    gate.allow(number)
    wait_until(lambda: gate.passed == number and gate.held, process)
    return gate.held


@pytest.mark.parametrize("store", ["sqlite", pytest.param("mongo", marks=pytest.mark.slow)])
def test_killed_workers_and_a_killed_run_leave_the_same_bytes(inputs, tmp_path, undisturbed, store, request):
    ledger = None if store == "sqlite" else request.getfixturevalue("mongo_url")
    config = configure(inputs, tmp_path / "run", ledger=ledger)
    plan = make_plan(config)
    for stage in ("predict", "agglomerate-0"):
        task, gate = plan.task(stage), Gate(tmp_path / f"gate of {stage}")
        process = start(config, hold_writes(plan.output(stage), gate))
        worker = wait_for_writes(process, gate, 3)[0]
        assert worker != process.pid
        os.kill(worker, signal.SIGKILL)
        wait_for_writes(process, gate, 14)
        family = [process.pid, *descendants(process.pid)]
        process.kill()
        process.wait()
        wait_until_gone(family)
        assert not open_ledger(config.ledger_url).done_mask(bind_output(task).key, len(task.grid)).all(), (
            "killed too late to tell"
        )
    # By what the run has noted, but for the ledger, whose URL may hold a password.
    retry(Path(config.output), ledger=ledger)
    assert content(config) == undisturbed
