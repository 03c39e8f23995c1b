"""A training that is stopped leaves a checkpoint and no traceback, and goes on to the same weights."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.config import dump_config
from neuroadda.errors import RunStopped, UserError
from neuroadda.locks import lock_folder, read_lock
from neuroadda.observing import RunObserver
from neuroadda.training.config import TrainConfig
from neuroadda.training.state import find_state, load_state
from neuroadda.training.trainer import train_network
from tests.holding import hold_writes
from tests.training.test_processes import COMMAND, communicate, hold_after, start_as_srun_does, write_config
from tests.waiting import Gate, descendants, wait_until, wait_until_gone

Configure = Callable[..., TrainConfig]
HEAR = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests in the background of a shell are deaf to it


def newest(config: TrainConfig) -> int:
    found = find_state(config.output / "checkpoints")
    assert found is not None
    return load_state(found[0])[0].iteration


class Killer(RunObserver):
    """Sends this process signals after an iteration."""

    def __init__(self, iteration: int, *signums: int) -> None:
        self.iteration, self.signums = iteration, signums
        self.notes: list[str] = []

    def on_iteration(self, name: str, iteration: int, iterations: int, values: Any) -> None:
        if iteration == self.iteration:
            for signum in self.signums:
                os.kill(os.getpid(), signum)

    def on_note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.system
@pytest.mark.parametrize(("signum", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGINT, 0)])
def test_a_signal_to_all_processes_writes_a_checkpoint(
    configure: Configure, tmp_path: Path, signum: int, workers: int
) -> None:
    config = configure(workers=workers, checkpoint_every=100, iterations=40)
    (tmp_path / "config.json").write_text(json.dumps({"train": dump_config(config)}))
    gate = Gate(tmp_path / "gate")
    gate.allow(3)
    process = subprocess.Popen(
        [sys.executable, "-m", "neuroadda.cli", "train", "-c", str(tmp_path / "config.json")],
        env=hold_writes(config.output / "metrics.jsonl", gate) | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=HEAR,
        text=True,
    )
    wait_until(lambda: gate.held, process)
    family = descendants(process.pid)
    os.killpg(process.pid, signum)  # as a terminal does
    gate.allow()
    told = process.communicate()[0]
    assert process.returncode == 128 + signum, told
    assert "Traceback" not in told
    assert "run the same command again to go on" in told
    wait_until_gone(family)
    assert newest(config) == 4
    assert f"stopped after iteration 4 of {config.iterations}" in told
    state = read_lock(config.output)
    assert state is not None
    assert state.state == "stopped"


def test_a_stopped_training_goes_on_to_the_same_weights(configure: Configure, tmp_path: Path) -> None:
    whole = train_network(configure(output=str(tmp_path / "whole"), ema=0.9))
    config = configure(ema=0.9)
    for iteration in (2, 5, config.iterations):
        killer = Killer(iteration, signal.SIGINT)
        with pytest.raises(RunStopped, match="stopped by Ctrl-C"):
            train_network(config, observer=killer)
        assert newest(config) == iteration
        assert len(killer.notes) == 1
    assert train_network(config).digest == whole.digest


def test_it_goes_on_from_a_checkpoint_of_before_some_of_its_keys(configure: Configure, tmp_path: Path) -> None:
    whole = train_network(configure(output=str(tmp_path / "whole")))
    config = configure()
    with pytest.raises(RunStopped):
        train_network(config, observer=Killer(2, signal.SIGINT))
    (facts,) = config.output.glob("checkpoints/*/*.json")
    facts.write_text(
        json.dumps({k: v for k, v in json.loads(facts.read_text()).items() if k not in ("curve", "validated")})
    )
    assert train_network(config).digest == whole.digest


def test_a_second_signal_ends_it_at_once(configure: Configure) -> None:
    config = configure(checkpoint_every=3)
    with pytest.raises(RunStopped):
        train_network(config, observer=Killer(5, signal.SIGINT, signal.SIGINT))
    assert newest(config) == 3


@pytest.mark.parametrize("keep_best", [None, "voi"])
def test_a_validation_that_is_stopped_comes_first_in_the_next_run(
    configure: Configure, tmp_path: Path, keep_best: str | None
) -> None:
    def train(folder: str, *stops: int) -> Any:
        """Train, stopped in the validations of these numbers."""
        seen: list[int] = []
        left = list(stops)

        def validate(backbone: Backbone) -> dict[str, float]:
            if left and len(seen) == left[0]:
                os.kill(os.getpid(), signal.SIGTERM)
                pytest.fail("the signal waits for the end of the validation")  # pragma: no cover
            seen.append(backbone.card.iterations)
            return {"voi": abs(float(backbone.card.iterations) - 4)}

        config = configure(output=str(tmp_path / folder), validate_every=2, keep_best=keep_best, checkpoint_every=0)
        while left:
            with pytest.raises(RunStopped):
                train_network(config, validate)
            assert newest(config) == 2 * (len(seen) + 1)
            left.pop(0)
        card = train_network(config, validate)
        return seen, card.digest, card.metrics, card.iterations

    assert train("stopped", 0, 1, 3) == train("whole")


def test_two_trainings_in_one_folder_are_refused(configure: Configure) -> None:
    config = configure()
    with lock_folder(config.output), pytest.raises(UserError, match="another run is at work in this folder"):
        train_network(config)
    assert not (config.output / "config.json").exists()
    train_network(config)
    with lock_folder(config.output), pytest.raises(UserError, match="another run is at work in this folder"):
        train_network(config, overwrite=True)


def test_a_training_in_a_thread_needs_no_signals(configure: Configure) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(train_network, configure(iterations=2)).result().iterations == 2


def test_status_tells_what_a_training_does(configure: Configure, command: Callable[..., tuple[int, str, str]]) -> None:
    config = configure(checkpoint_every=2)

    def told() -> tuple[str, dict[str, Any]]:
        code, out, err = command("status", config.output)
        assert (code, err) == (0, "")
        (data,) = json.loads(command("status", config.output, "--json")[1])
        return out, data

    class Watcher(RunObserver):
        def on_iteration(self, name: str, iteration: int, iterations: int, values: Any) -> None:
            if iteration == 3:
                out, data = told()
                assert out.startswith("Running: small, 3 of 8 iterations are done; the last was logged")
                assert (data["state"], data["iteration"], data["checkpoint"], data["backbone"]) == (
                    "running",
                    3,
                    2,
                    None,
                )
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(RunStopped):
        train_network(config, observer=Watcher())
    out, data = told()
    first, second, *others = out.splitlines()
    assert [first, *others] == [
        "Stopped: small, 3 of 8 iterations are done; it goes on from the checkpoint of iteration 3.",
        "what to do next: Run the same command again to go on: what is done is kept.",
    ]
    assert second.startswith("loss ")
    assert "(mean of the last 3 iterations), learning rate " in second
    (config.output / ".lock").write_text((config.output / ".lock").read_text().replace("stopped", "killed"))
    assert told()[0].startswith("Killed (by SIGKILL")
    with pytest.raises(ZeroDivisionError), lock_folder(config.output):
        raise ZeroDivisionError
    assert told()[1]["state"] == "failed"
    train_network(config)
    out, data = told()
    assert out.startswith("Finished: small, 8 of 8 iterations are done; the backbone is ")
    assert (data["state"], data["backbone"]) == ("finished", str(config.output / "backbone"))
    assert data["loss"] > 0
    (config.output / ".lock").unlink()  # of a training that is older than the lock
    assert told()[1]["state"] == "finished"


@pytest.mark.system
def test_two_processes_stop_together(configure: Configure, tmp_path: Path) -> None:
    alone, shared = (
        configure(output=str(tmp_path / name), accumulate=2, iterations=12) for name in ("alone", "shared")
    )
    gate, environment = hold_after(3, shared)
    jobs = start_as_srun_does(*COMMAND, write_config(tmp_path / "config.json", shared), **environment)
    wait_until(lambda: gate.held, jobs[0])
    for job in jobs:
        job.send_signal(signal.SIGTERM)
    gate.allow()
    said = [communicate(job) for job in jobs]
    assert [job.returncode for job in jobs] == [143, 143], said
    assert "Traceback" not in str(said)
    assert newest(shared) == 4
    assert train_network(shared).digest == train_network(alone).digest
