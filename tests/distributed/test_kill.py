"""Kill -9 whatever runs, resume, and compare every byte with an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.outputs import bind_output
from neuroadda.segmentation.pipeline import SegmentConfig, make_plan, segment
from neuroadda.segmentation.recovery import retry

PATIENCE_SECONDS = 240


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
    segment(config)
    return content(config)


def start(config: SegmentConfig) -> subprocess.Popen:
    file = Path(config.output).with_suffix(".json")
    file.write_text(json.dumps({"segment": config.model_dump(mode="json")}))
    return subprocess.Popen([sys.executable, "-m", "neuroadda.cli", "segment", "-c", str(file)], stderr=subprocess.PIPE)


def wait_for(condition: Callable[[], object], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.001)


def written(output: Path) -> int:
    """Return how many chunks or block files a stage has written."""
    return sum(1 for f in output.rglob("*") if f.is_file() and not f.name.startswith(".") and f.name != "task.json")


def worker_pids(run: int) -> list[int]:
    """Return the workers of a run: its scheduler's crew has forked them."""

    def children(pid: int) -> list[int]:
        try:
            return [
                int(child)
                for task in Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()
            ]
        except OSError:
            return []

    return [worker for scheduler in children(run) for crew in children(scheduler) for worker in children(crew)]


@pytest.mark.parametrize("store", ["sqlite", "mongo"])
def test_killed_workers_and_a_killed_run_leave_the_same_bytes(inputs, tmp_path, undisturbed, store, request):
    ledger = None if store == "sqlite" else request.getfixturevalue("mongo_url")
    config = configure(inputs, tmp_path / "run", ledger=ledger)
    plan = make_plan(config)
    for stage in ("predict", "agglomerate-0"):
        task, output = plan.task(stage), plan.output(stage)
        process = start(config)
        wait_for(lambda output=output: written(output) > 2 and worker_pids(process.pid), process)  # noqa: B023
        for worker in worker_pids(process.pid)[:1]:
            os.kill(worker, signal.SIGKILL)
        seen = written(output)
        wait_for(lambda output=output, seen=seen: written(output) > seen + 10, process)
        family = [process.pid, *worker_pids(process.pid)]
        process.kill()
        process.wait()
        wait_until_gone(family)
        assert not open_ledger(config.ledger_url).done_mask(bind_output(task).key, len(task.grid)).all(), (
            "killed too late to tell"
        )
    # By what the run has noted, but for the ledger, whose URL may hold a password.
    retry(Path(config.output), overrides=[] if ledger is None else [f"segment.ledger={ledger}"])
    assert content(config) == undisturbed


def wait_until_gone(pids: list[int]) -> None:
    """The kernel kills orphans by itself; wait until it has."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process outlived its run"
        time.sleep(0.001)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
