"""A run that was stopped, killed, waits or is at work is told as that at once, by `status` and by the dashboard."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from neuroadda.errors import RunStopped
from neuroadda.ledger.base import BlockRecord, TaskRecord, Worker
from neuroadda.ledger.open import open_ledger
from neuroadda.locks import lock_folder, read_lock
from neuroadda.runs.status import look_at_run
from neuroadda.viewing.dashboard.server import open_dashboard
from tests.holding import hold_writes
from tests.segmentation.synthetic import write_backbone, write_raw
from tests.waiting import Gate, descendants, wait_until, wait_until_gone

HEAR = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests in the background of a shell are deaf to it


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_raw(folder / "raw.zarr/raw", shape=(8, 60, 60))
    write_backbone(folder / "backbone")
    return folder


def start_predict(inputs: Path, output: Path, gate: Gate) -> subprocess.Popen[bytes]:
    options = ["--backbone", inputs / "backbone", "-o", output, "--set", "segment.block_vx=[4,20,20]"]
    command = [sys.executable, "-m", "neuroadda.cli", "predict", inputs / "raw.zarr/raw", *options]
    environment = hold_writes(output / "volumes.zarr/affs", gate)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([*map(str, command)], env=environment, preexec_fn=HEAR, **quiet)


def ask_dashboard(where: Path | str, **options: str) -> dict:
    with open_dashboard(where, **options) as dashboard:
        told: dict = {}

        def is_read() -> bool:
            told.update(dashboard.facts.overview())
            return bool(told["health"]) and not told["reading"]

        wait_until(is_read)
        if told["stages"]:
            told["detail"] = dashboard.facts.detail(told["stages"][0]["id"])
        return told


@pytest.mark.system
@pytest.mark.parametrize(
    ("signum", "state", "code"),
    [
        (signal.SIGINT, "stopped", 130),
        pytest.param(signal.SIGTERM, "stopped", 143, marks=pytest.mark.slow),
        (signal.SIGKILL, "killed", -9),
    ],
)
def test_how_a_run_ended_is_told_at_once(command, inputs, tmp_path, signum, state, code):
    output, gate = tmp_path / "run", Gate(tmp_path / "gate")
    gate.allow(3)
    process = start_predict(inputs, output, gate)
    wait_until(lambda: gate.passed == 3 and gate.held, process)
    wait_until(lambda: look_at_run(output).tasks[0]["running"], process)  # records are half a second behind
    found = look_at_run(output)
    assert found.health.state == found.tasks[0]["state"] == "running"
    assert ask_dashboard(output)["health"]["state"] == "running"

    family = descendants(process.pid)
    process.send_signal(signum)
    told = process.communicate()[1].decode()
    assert process.returncode == code
    assert "Traceback" not in told
    wait_until_gone(family)
    _, out, _ = command("status", output)
    first, *_, last = out.splitlines()
    assert first.startswith({"stopped": "Stopped: predict has ", "killed": "Killed ("}[state])
    assert "interrupted" in first
    assert last == "what to do next: Run the same command again to go on: what is done is kept."
    (task,) = json.loads(command("status", output, "--json")[1])
    assert (task["state"], task["running"], task["eta_seconds"]) == (state, 0, None)
    told = ask_dashboard(output)
    assert told["health"]["state"] == told["stages"][0]["state"] == state
    assert (told["stages"][0]["running"], told["stages"][0]["eta_seconds"]) == (0, None)
    assert not any(any(view["running"]) for view in told["detail"]["map"])
    assert not any(worker["running"] for worker in told["detail"]["workers"])
    # It goes on, and is then finished.
    gate.allow()
    process = start_predict(inputs, output, gate)
    assert process.wait() == 0, process.communicate()
    assert command("status", output)[1].startswith("Finished: ")


def register(url: str, output: Path, *statuses: str, stage: str = "predict") -> None:
    """Put a task of 8 blocks on record whose last record is ten minutes old, and blocks of it with these statuses."""
    ledger, when = open_ledger(url), time.time() - 600
    key = f"{stage}-{output}".ljust(64, "-")
    ledger.register(TaskRecord(fingerprint=key, stage=stage, blocks=8, voxels=80, output=str(output), created=when))
    known = {"fingerprint": key, "worker": Worker(host="node", pid=7), "started": when}
    for block, status in enumerate(statuses):
        done = {} if status == "running" else {"finished": when + 1, "seconds": 1.0, "voxels": 10}
        ledger.write([BlockRecord(block=block, status=status, **known, **done)])
    ledger.close()


@pytest.mark.parametrize(
    ("statuses", "state", "words"),
    [
        (["done"], "waiting", "no block of predict is at work; 1 of 8 blocks done"),
        (["done", "running"], "stalled", "The run's own process is there"),
        ([], "waiting", "their jobs wait in the cluster's queue"),
        (["done"] * 8, "running", "all 1 stages so far are done"),
    ],
)
def test_what_a_run_at_work_does_is_told_by_its_lock(tmp_path, statuses, state, words):
    register(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "affs", *statuses)
    with lock_folder(tmp_path):
        os.utime(tmp_path / ".lock", (time.time() - 700,) * 2)  # taken before the records
        health = look_at_run(tmp_path).health
        assert ask_dashboard(tmp_path)["health"] == vars(health)
    assert health.state == state
    assert words in f"{health.sentence} {health.advice}"
    ended = look_at_run(tmp_path)
    assert ended.health.state == "stopped"
    assert (ended.tasks[0]["state"] == "gone") == ("done" in statuses)  # no output is there


def test_a_run_that_goes_on_has_not_stalled(tmp_path):
    register(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "affs", "done", "running")
    with lock_folder(tmp_path):
        assert look_at_run(tmp_path).health.state == "running"


def test_a_run_that_ended_with_an_error_is_no_run_at_work(tmp_path):
    register(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "affs", "done", "running")
    with pytest.raises(OSError, match="disk"), lock_folder(tmp_path):
        raise OSError("disk")
    health = look_at_run(tmp_path).health
    assert health.state == "failed"
    assert "1 block was interrupted" in health.sentence
    assert health.advice


def test_a_lock_of_another_machine_says_only_what_is_sure(tmp_path):
    with lock_folder(tmp_path):
        pass
    assert read_lock(tmp_path).state == "finished"
    (tmp_path / ".lock").write_text("killed another-machine")
    assert read_lock(tmp_path) is None
    (tmp_path / ".lock").write_text("stopped another-machine")
    assert read_lock(tmp_path).state == "stopped"
    assert read_lock(tmp_path / "nowhere") is None


def test_looking_at_a_lock_does_not_keep_a_run_out(tmp_path):
    with lock_folder(tmp_path):
        assert read_lock(tmp_path).state == "held"
    file = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, (file,)).start()
    with lock_folder(tmp_path):
        pass


def test_blocks_that_an_earlier_run_left_are_not_running(command, tmp_path):
    url, key = f"sqlite:///{tmp_path}/ledger.db", f"predict-{tmp_path / 'affs'}".ljust(64, "-")
    register(url, tmp_path / "affs", "done", "running", "running", "running")
    with lock_folder(tmp_path):
        ledger = open_ledger(url)
        again = {"fingerprint": key, "worker": Worker(host="node", pid=8), "attempts": 1}
        ledger.write([BlockRecord(block=2, status="running", started=time.time() + 1, **again)])
        ledger.close()
        found, shown = look_at_run(tmp_path), ask_dashboard(tmp_path)
        told = command("status", tmp_path)[1]
    assert (found.health.state, found.tasks[0]["running"], found.tasks[0]["interrupted"]) == ("running", 1, 2)
    assert "2 blocks that were interrupted in an earlier run to be done again" in found.health.sentence
    assert "\tinterrupted\t" in told
    assert (shown["stages"][0]["running"], shown["health"]) == (1, vars(found.health))
    assert sum(worker["running"] for worker in shown["detail"]["workers"]) == 1
    found = look_at_run(tmp_path)  # nobody is at work: all were interrupted
    assert (found.tasks[0]["running"], found.tasks[0]["interrupted"]) == (0, 3)
    assert sum(worker["running"] for worker in ask_dashboard(tmp_path)["detail"]["workers"]) == 0


def test_a_run_that_has_not_come_to_its_ledger(command, tmp_path):
    def stop() -> None:
        with lock_folder(tmp_path / "run"):
            assert look_at_run(tmp_path / "run").health.state == "running"
            raise RunStopped(signal.SIGINT)

    with pytest.raises(RunStopped):
        stop()
    code, told, _ = command("status", tmp_path / "run")
    assert (code, told.splitlines()[0]) == (0, "Stopped: no stage had begun.")
    assert "Run the same command again" in told
    for place in ("nowhere", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        code, told, errors = command("status", tmp_path / place)
        assert (code, told, errors.count("\n")) == (2, "", 1)
        assert ("no run has begun" in errors) == (place == "nowhere")


@pytest.mark.parametrize("end", ["killed", "stopped", "failed"])
def test_a_run_that_ended_before_it_made_a_ledger_is_told_too(command, tmp_path, end):
    (tmp_path / ".lock").write_text(f"{end} {socket.gethostname()}")
    code, told, _ = command("status", tmp_path)
    assert code == 0
    assert told.lower().startswith(end)
    assert "no stage had begun" in told
    assert "Run the same command again" in told
