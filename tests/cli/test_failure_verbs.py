"""`neuroadda status`, `retry` and `logs` on a run whose blocks fail, and every exit code."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from neuroadda import errors
from neuroadda.errors import UserError
from neuroadda.flow import load_config
from neuroadda.ledger.base import BlockRecord, Failure, TaskRecord, Worker
from neuroadda.ledger.open import open_ledger
from neuroadda.runs.status import list_blocks, parse_blocks
from neuroadda.segmentation.pipeline import segment_volume
from neuroadda.volumes.arrays import Volume
from tests.holding import hold_writes
from tests.segmentation.synthetic import VOXEL_SIZE_NM, smooth_noise, write_backbone, write_raw
from tests.waiting import Gate, wait_until

WORKER = Worker(host="node1", pid=7)
CODES = Path(__file__).parents[2] / "docs/exit_codes.md"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    noise = (smooth_noise((8, 40, 80), (1, 4, 4)) * 255).astype(np.uint8)
    raw = Volume.create(folder / "v.zarr/raw", noise.shape, VOXEL_SIZE_NM, np.uint8, chunk_vx=(8, 20, 20))
    raw.write(raw.roi, noise)
    write_backbone(folder / "backbone")
    return folder


class Run:
    """A run in a folder of its own, with inputs of its own."""

    def __init__(self, inputs: Path, folder: Path) -> None:
        shutil.copytree(inputs, folder, dirs_exist_ok=True)
        self.folder, self.raw, self.output = folder, folder / "v.zarr/raw", folder / "run"
        self.config = folder / "config.json"
        segment = {
            "raw": str(self.raw),
            "backbone": str(folder / "backbone"),
            "output": str(self.output),
            "block_vx": [8, 20, 20],
            "execution": {"launcher": "serial"},
        }
        self.config.write_text(json.dumps({"segment": segment}))

    def damage(self) -> None:
        """Damage what four of the eight blocks read."""
        (self.raw / "0/1/3").write_bytes(b"not what blosc wrote")

    def mend(self, inputs: Path) -> None:
        shutil.rmtree(self.raw)
        shutil.copytree(inputs / "v.zarr/raw", self.raw)


SERIAL = "segment.execution.launcher=serial"


def test_failed_blocks_are_done_again_and_then_the_rest(command, inputs, tmp_path):
    run = Run(inputs, tmp_path)
    assert command("segment", "-c", run.config)[0] == 0
    whole = Volume.open(run.output / "volumes.zarr/segmentation").read()
    shutil.rmtree(run.output)
    run.damage()
    code, _, err = command("segment", "-c", run.config)
    assert code == 1
    assert "blocks are left: RuntimeError" in err
    assert err.count("Traceback") == 1

    code, out, _ = command("status", run.output)
    assert code == 0
    assert "predict: 4 blocks failed: poison" in out
    assert out.count("Traceback") == 1
    assert "what to do: " in out
    assert f"neuroadda retry {run.output}" in out
    assert f"logs: {run.output / 'logs/predict'}" in out
    (task,) = json.loads(command("status", run.output, "--json")[1])
    (failure,) = task["failures"]
    failed = failure["blocks"]
    assert len(failed) == failure["count"] == 4
    assert Path(task["logs"]).is_dir()

    code, out, _ = command("logs", run.output, "--failed")
    assert code == 0
    assert len(out.splitlines()) == len(failed)
    assert "(error)" in out
    code, out, _ = command("logs", run.output, "--stage", "predict", "--block", failed[0])
    assert f"block {failed[0]} failed" in out
    assert "Traceback" in out
    events = [json.loads(line) for line in command("logs", run.output, "--json")[1].splitlines()]
    assert {event["pid"] for event in events} == {os.getpid()}

    code, _, err = command("retry", run.output, "--set", SERIAL)
    assert code == 1
    assert f"predict: {len(failed)} of {len(failed)} blocks are left" in err
    run.mend(inputs)
    code, out, err = command("retry", run.output, "--blocks", failed[-1], "--set", SERIAL)
    assert code == 0, err
    assert out.strip() == str(run.output / "volumes.zarr/affs")
    (task,) = json.loads(command("status", run.output, "--json")[1])
    assert task["done"] == 8 - len(failed) + 1
    code, out, err = command("retry", run.output, "--stage", "fragments", "--set", SERIAL)
    assert code == 0, err
    assert [task["stage"] for task in json.loads(command("status", run.output, "--json")[1])] == [
        "predict",
        "fragments",
    ]
    code, out, err = command("retry", run.output, "--set", SERIAL, "--json")
    assert code == 0, err
    assert (Volume.open(json.loads(out)["output"]).read() == whole).all()
    assert command("retry", run.output, "--set", SERIAL)[0] == 0  # nothing is left


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "not the folder of a run"),
        (["run", "--stage", "predikt"], "no stage 'predikt'; one of: predict, fragments"),
        (["run", "--blocks", "3-"], "'3-' is no list of blocks"),
        (["run", "--blocks", "99"], "does not do block 99; there are 8"),
        (["run", "--stage", "edges", "--blocks", "1"], "fragments is not finished, and edges reads it"),
        (["run", "--set", "segment.block_vx=[2,2,2]"], "'segment.block_vx' is not for a run that has begun"),
        (["run", "--set", "segment.execution.worker=2"], "did you mean 'execution.workers'"),
        (["moved"], "this run was to be in"),
        (["lost"], "the run's ledger is not here"),
        (["run", "--ledger", "sqlite:///other.db"], "the ledger does not know this run"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_done_again_is_said_in_a_line(command, begun, monkeypatch, arguments, told):
    monkeypatch.chdir(begun.folder)
    before = sorted(begun.folder.rglob("*"))
    code, out, err = command("retry", *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.startswith("neuroadda: ")
    assert len(err.splitlines()) == 1
    assert [
        path for path in sorted(begun.folder.rglob("*")) if path not in before and "other.db" not in path.name
    ] == []


@pytest.fixture(scope="module")
def begun(inputs, tmp_path_factory):
    run = Run(inputs, tmp_path_factory.mktemp("begun"))
    segment_volume(load_config([run.config]).segment, upto="predict")
    for name in ("moved", "lost"):
        shutil.copytree(run.output, run.folder / name)
    config = json.loads((run.folder / "lost/config.json").read_text())
    config["resolved"]["output"] = str(run.folder / "lost")
    (run.folder / "lost/config.json").write_text(json.dumps(config))
    (run.folder / "lost/ledger.db").unlink()
    return run


def test_status_says_that_an_output_is_gone(command, inputs, tmp_path):
    run = Run(inputs, tmp_path)
    assert command("segment", "-c", run.config)[0] == 0
    assert command("status", run.output)[1].startswith("Finished")
    affs = run.output / "volumes.zarr/affs"
    shutil.rmtree(affs)
    code, out, _ = command("status", run.output)
    assert code == 0
    assert out.startswith("Incomplete: what predict wrote is gone.")
    assert "what to do next: The same command makes it again" in out
    tasks = json.loads(command("status", run.output, "--json")[1])
    assert [task["stage"] for task in tasks if task["state"] == "gone"] == ["predict"]
    assert [task["stage"] for task in tasks if task["state"] != "finished"] == ["predict"]
    assert command("segment", "-c", run.config)[0] == 0
    assert command("status", run.output)[1].startswith("Finished")


def test_status_groups_failures_by_cause_with_one_traceback_each(command, tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = open_ledger(url)
    ledger.register(TaskRecord(fingerprint="f" * 64, stage="predict", blocks=40, voxels=40, output="out"))

    def fail(blocks: range, cause: str, message: str) -> None:
        failure = Failure(type="Error", message=message, traceback=f"Traceback of {message}", cause=cause)
        known = {"fingerprint": "f" * 64, "worker": WORKER, "started": 0.0, "failure": failure}
        ledger.write([BlockRecord(block=block, status="failed", **known) for block in blocks])

    fail(range(3), "transient", "gone")
    fail(range(3, 5), "transient", "reset")
    fail(range(5, 15), "error", "a bug")
    fail(range(15, 16), "error", "odd\x1b[2J")
    fail(range(16, 17), "memory", "too much")
    fail(range(17, 18), "died", "the worker died")
    fail(range(18, 19), "user", "No space left")
    ledger.close()
    _, out, _ = command("status", tmp_path)
    heads = re.findall(r"^predict: (\d+) blocks failed: (.*)$", out, re.MULTILINE)
    assert {cause: int(count) for count, cause in heads} == {
        "transient": 5,
        "bug": 10,
        "poison": 1,
        "out of memory": 1,
        "dead worker": 1,
        "needs your action": 1,
    }
    assert out.count("what to do: ") == out.count("Traceback of") == len(heads)
    assert "Error: reset (blocks 3, 4)" in out
    assert "\x1b" not in out
    assert "Traceback of reset" not in out
    assert f"neuroadda retry {tmp_path} --stage predict --blocks 15" in out
    (task,) = json.loads(command("status", url, "--json")[1])
    assert task["logs"] is None
    assert {failure["message"]: failure["cause"] for failure in task["failures"]}["odd\x1b[2J"] == "poison"


def test_lists_of_blocks():
    assert parse_blocks("3,7,10-12,7") == [3, 7, 10, 11, 12]
    assert parse_blocks(list_blocks(range(100))) == list(range(20))
    for wrong in ("", "a", "3,", "-3", "3--4", "3;4"):
        with pytest.raises(UserError):
            parse_blocks(wrong)


# exit codes


def documented() -> set[int]:
    return {int(code) for code in re.findall(r"^\| (\d+) \|", CODES.read_text(), re.MULTILINE)}


def test_every_exit_code_is_documented(command):
    kinds = (errors.RunFailed, errors.UserError, errors.PersonNeeded)
    stopped = {errors.RunStopped(signum).exit_code for signum in (signal.SIGINT, signal.SIGTERM)}
    assert documented() == {0, *(kind.exit_code for kind in kinds)} | stopped
    code, out, _ = command("--help")
    assert code == 0
    told = re.sub(r"\s+", " ", out).partition("Exit codes: ")[2]
    assert {int(number) for number in re.findall(r"\b\d+\b", told)} == documented()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        ([], 2),
        (["frobnicate"], 2),
        (["info"], 2),
        (["info", "/nowhere"], 2),
        (["segment", "--config", "/nowhere.toml"], 2),
        (["status", "/nowhere"], 2),
        (["logs", "/nowhere"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_exit_codes_without_work(command, arguments, code):
    assert command(*arguments)[0] == code


def test_exit_code_1_where_the_reader_leaves():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "neuroadda.cli", "zoo", "list"]
    show = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert b"Traceback" not in show.stderr
    assert show.returncode == 1


def stop(command: list[str], signum: int, output: Path, gate: Gate) -> str:
    """Send a signal to a command that is held in the middle of its output; what it said, whose exit code must be the signal's."""
    gate.allow(1)
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests in the background of a shell are deaf to it
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=hold_writes(output, gate),
        preexec_fn=hear,
    )
    wait_until(lambda: gate.passed == 1 and gate.held, process)
    process.send_signal(signum)
    told = process.communicate()[1].decode()
    assert process.returncode == 128 + signum, told
    assert "Traceback" not in told
    return told


@pytest.mark.system
def test_exit_codes_where_a_command_is_stopped(inputs, tmp_path):
    command = [sys.executable, "-m", "neuroadda.cli"]
    phantom = [*command, "phantom", str(tmp_path / "p.zarr"), "--shape", "100", "100", "100"]
    stop(phantom, signal.SIGINT, tmp_path / "p.zarr", Gate(tmp_path / "gate of phantom"))

    write_raw(tmp_path / "raw.zarr/raw", shape=(24, 120, 120))
    segment = {
        "raw": str(tmp_path / "raw.zarr/raw"),
        "backbone": str(inputs / "backbone"),
        "output": str(tmp_path / "run"),
        "block_vx": [2, 20, 20],
        "execution": {"launcher": "serial"},
    }
    (tmp_path / "config.json").write_text(json.dumps({"segment": segment}))
    segmenting = [*command, "predict", "-c", str(tmp_path / "config.json")]
    told = stop(segmenting, signal.SIGTERM, tmp_path / "run/volumes.zarr/affs", Gate(tmp_path / "gate of predict"))
    assert "run the same command again to go on" in told
