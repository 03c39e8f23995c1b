"""Real processes train together: to the bits of one alone, whoever of them dies."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from neuroadda.config import dump_config
from neuroadda.training.config import TrainConfig
from neuroadda.training.state import TENSORS, find_state
from neuroadda.training.trainer import train_network
from tests.holding import hold_writes
from tests.ports import find_port
from tests.waiting import PATIENCE_SECONDS, Gate, children, descendants, wait_until, wait_until_gone

pytestmark = pytest.mark.system

Configure = Callable[..., TrainConfig]
COMMAND = ("-m", "neuroadda.cli", "train", "-c")


def write_config(path: Path, config: TrainConfig) -> Path:
    path.write_text(json.dumps({"train": dump_config(config)}))
    return path


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_by_torchrun(config: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    command = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, *options, *COMMAND, config)
    return start(*command, **environment)


def start_as_srun_does(*arguments: object, **environment: str) -> list[subprocess.Popen[str]]:
    port = find_port()
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost"}
    places = [{"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "MASTER_PORT": str(port)} for rank in "01"]
    return [start(*arguments, **(environment | step | place)) for place in places]


def communicate(job: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what a job says until its end; one that hangs is killed."""
    try:
        return job.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in (*descendants(job.pid), job.pid):
            os.kill(pid, signal.SIGKILL)
        raise


def hold_after(iterations: int, config: TrainConfig) -> tuple[Gate, dict[str, str]]:
    """Return a gate that holds the first process when it is to log one more iteration, and the environment for that."""
    gate = Gate(config.output.with_name("gate"))
    gate.allow(iterations)
    return gate, hold_writes(config.output / "metrics.jsonl", gate)


def find_rank(rank: int, torchrun: int) -> int:
    mark = f"\0RANK={rank}\0".encode()
    return next(pid for pid in children(torchrun) if mark in Path(f"/proc/{pid}/environ").read_bytes())


def state(config: TrainConfig) -> bytes:
    """Return the bytes of all tensors at a training's end: weights, statistics, average, optimizer."""
    found = find_state(config.output / "checkpoints")
    assert found is not None
    assert found[0].name == f"{config.iterations:08d}"
    return (found[0] / TENSORS).read_bytes()


@pytest.mark.parametrize("launcher", ["srun", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_two_processes_train_to_the_bits_of_one(configure: Configure, tmp_path: Path, launcher: str) -> None:
    options = {"accumulate": 2, "padded": 0.5, "ema": 0.9, "picture_every": 8, "workers": 1}
    alone, shared = (configure(output=str(tmp_path / name), **options) for name in ("alone", "shared"))
    card = train_network(alone)
    file = write_config(tmp_path / "config.json", shared)
    jobs = [start_by_torchrun(file)] if launcher == "torchrun" else start_as_srun_does(*COMMAND, file)
    said = [communicate(job) for job in jobs]
    assert [job.returncode for job in jobs] == [0] * len(jobs), said
    assert state(shared) == state(alone)
    for file_of_both in ("backbone/weights.safetensors", "pictures/00000008.png"):
        assert (shared.output / file_of_both).read_bytes() == (alone.output / file_of_both).read_bytes()
    losses = [
        [json.loads(line)["loss"] for line in (config.output / "metrics.jsonl").open()] for config in (alone, shared)
    ]
    assert losses[0] == losses[1]
    assert "".join(out for out, _ in said).count(f"{card.name}: 8 iterations") == 1  # the first one speaks
    # what is finished returns at once, and from more processes than one
    assert train_network(shared).digest == card.digest


def test_torchs_own_reduction_gives_the_same_to_rounding(configure: Configure, tmp_path: Path) -> None:
    options = {"accumulate": 4, "batch_norm": False, "workers": 0, "checkpoint_every": 8}
    ordered, alone, shared = (
        configure(output=str(tmp_path / name), reduction=reduction, **options)
        for name, reduction in (("ordered", "ordered"), ("alone", "ddp"), ("shared", "ddp"))
    )
    for config in (ordered, alone):
        train_network(config)
    jobs = start_as_srun_does(*COMMAND, write_config(tmp_path / "config.json", shared))
    said = [communicate(job) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    expected, *others = (load(state(config)) for config in (ordered, alone, shared))
    for other in others:
        for name, value in expected.items():
            if name.startswith("model."):
                torch.testing.assert_close(other[name], value, rtol=0, atol=2e-3)
    losses = [
        [json.loads(line)["loss"] for line in (config.output / "metrics.jsonl").open()]
        for config in (ordered, alone, shared)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert losses[0] == pytest.approx(losses[2], rel=1e-2)


def test_a_killed_process_ends_the_job_and_another_number_of_them_goes_on(configure: Configure, tmp_path: Path) -> None:
    options = {"accumulate": 2, "iterations": 60, "workers": 1}
    alone, shared = (configure(output=str(tmp_path / name), **options) for name in ("alone", "shared"))
    gate, environment = hold_after(5, shared)
    job = start_by_torchrun(write_config(tmp_path / "config.json", shared), **environment)
    wait_until(lambda: gate.held, job)
    family = descendants(job.pid)
    os.kill(find_rank(1, job.pid), signal.SIGKILL)
    _, errors = communicate(job)
    assert job.returncode == 1, errors
    wait_until_gone(family)
    found = find_state(shared.output / "checkpoints")
    assert found is not None
    assert 3 <= int(found[0].name) < 60, "killed too late to tell"
    train_network(shared)
    train_network(alone)
    assert state(shared) == state(alone)


@pytest.mark.slow
def test_torchrun_restarts_a_killed_process(configure: Configure, tmp_path: Path) -> None:
    options = {"accumulate": 2, "iterations": 60, "workers": 1}
    alone, shared = (configure(output=str(tmp_path / name), **options) for name in ("alone", "shared"))
    gate, environment = hold_after(5, shared)
    job = start_by_torchrun(write_config(tmp_path / "config.json", shared), "--max-restarts", "1", **environment)
    wait_until(lambda: gate.held, job)
    os.kill(find_rank(0, job.pid), signal.SIGKILL)
    gate.allow()
    _, errors = communicate(job)
    assert job.returncode == 0, errors
    train_network(alone)
    assert state(shared) == state(alone)


@pytest.mark.slow
def test_a_frozen_process_ends_the_others(configure: Configure, tmp_path: Path) -> None:
    """A machine that is cut off closes no connection: patience ends, of which this test has little."""
    config, imported = configure(accumulate=2), Gate(tmp_path / "imported")
    code = (
        "import datetime, pathlib, sys\n"
        "from neuroadda.training import distributed, trainer\n"
        "from neuroadda.cli import main\n"
        "from tests.waiting import Gate\n"
        f"Gate(pathlib.Path({str(imported.folder)!r})).go_through()\n"
        "distributed.PATIENCE = datetime.timedelta(seconds=60)\n"
        "main()\n"
    )
    gate, environment = hold_after(1, config)
    file = write_config(tmp_path / "config.json", config)
    first, second = start_as_srun_does("-c", code, "train", "-c", file, **environment)
    try:
        wait_until(
            lambda: len(imported.held) == 2, first
        )  # else the first could lose patience with the second's imports
        imported.allow()
        wait_until(lambda: gate.held, first)
        second.send_signal(signal.SIGSTOP)
        gate.allow()
        _, errors = communicate(first)
    finally:
        second.kill()
        second.communicate()
    assert first.returncode == 1
    assert "neuroadda: process 0 of 2 lost another one (" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_only_the_first_validates_and_all_stop_when_it_is_out_of_patience(configure: Configure, tmp_path: Path) -> None:
    config = configure(accumulate=2, validate_every=2, keep_best="voi", patience=2)
    code = (
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "from neuroadda.config import parse_config\n"
        "from neuroadda.training.config import TrainConfig\n"
        "from neuroadda.training.distributed import join_processes\n"
        "from neuroadda.training.ranks import find_rank\n"
        "from neuroadda.training.trainer import train_network\n"
        "file = Path(sys.argv[1])\n"
        "rank, calls = find_rank(os.environ), []\n"
        "def validate(backbone):\n"
        "    calls.append(backbone)\n"
        "    return {'voi': float(len(calls))}\n"
        "config = parse_config(TrainConfig, json.loads(file.read_text())['train'], 'test')\n"
        "with join_processes(rank, 'cpu') as processes:\n"
        "    card = train_network(config, validate, processes=processes)\n"
        "print(json.dumps([len(calls), card.iterations, card.metrics]))\n"
    )
    jobs = start_as_srun_does("-c", code, write_config(tmp_path / "config.json", config))
    said = [communicate(job) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    assert [json.loads(out.splitlines()[-1]) for out, _ in said] == [[3, 2, {"voi": 1.0}], [0, 2, {"voi": 1.0}]]
    found = find_state(config.output / "checkpoints")
    assert found is not None
    assert found[0].name == "00000006"
