"""How far a training is, as `neuroadda status` tells: by what it has logged, and by its lock."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neuroadda.errors import RunStopped
from neuroadda.locks import lock_folder
from neuroadda.observing import RunObserver
from neuroadda.training.config import TrainConfig
from neuroadda.training.history import METRICS, SMOOTHED, TrainingHistory
from neuroadda.training.status import find_trainings, look_at_training
from neuroadda.training.trainer import train_network
from neuroadda.viewing.run_report import _read_losses

Configure = Callable[..., TrainConfig]
METRICS_OF = {"voi": 1.25, "adapted_rand_error": 0.5, "threshold": 0.4}


def write_log(folder: Path, *rows: dict[str, Any] | str, name: str = "small", iterations: int = 1000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"name": name, "iterations": iterations, "samples": []}))
    lines = [row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows]
    (folder / METRICS).write_text("".join(lines))


def count_up(first: int, last: int, begun: float = 1e9) -> list[dict[str, Any]]:
    return [
        {"iteration": i, "loss": 1 / i, "lr": 1e-3, "time": begun + 2.0 * (i - first)} for i in range(first, last + 1)
    ]


def test_it_tells_loss_speed_time_left_and_the_last_validation(configure: Configure, command: Any) -> None:
    config = configure(validate_every=2, checkpoint_every=2)
    seen: dict[str, Any] = {}

    class Watcher(RunObserver):
        def on_iteration(self, name: str, iteration: int, iterations: int, values: Any) -> None:
            if iteration == 5 and "loss" in values:
                (seen["data"],) = json.loads(command("status", config.output, "--json")[1])
                seen["text"] = command("status", config.output)[1]
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(RunStopped):
        train_network(config, lambda backbone: METRICS_OF, observer=Watcher())
    data, lines = seen["data"], seen["text"].splitlines()
    losses = [row["loss"] for row in map(json.loads, (config.output / METRICS).open()) if "loss" in row]
    assert data["smoothed_loss"] == pytest.approx(sum(losses) / 5)
    assert data["loss"] == losses[-1]
    assert data["eta_seconds"] == pytest.approx(3 / data["iterations_per_second"])
    assert data["learning_rate"] > 0
    assert (data["validated"], data["validation"]) == (4, METRICS_OF)
    assert lines[0].startswith("Running: small, 5 of 8 iterations are done")
    assert lines[1].startswith(f"loss {sum(losses) / 5:.4g} (mean of the last 5 iterations), learning rate ")
    assert lines[1].endswith(" left")
    assert lines[2] == "validation after iteration 4: voi 1.25, adapted_rand_error 0.5, threshold 0.4"
    stopped = look_at_training(config.output)
    assert stopped is not None
    assert (stopped.health.state, stopped.iterations_per_second, stopped.eta_seconds) == ("stopped", None, None)
    assert stopped.describe()[1:] == lines[2:3]


def test_the_loss_is_the_mean_of_the_last_and_the_speed_of_this_run(tmp_path: Path) -> None:
    write_log(
        tmp_path, *count_up(1, 100), {"iteration": 100, "validation_voi": 2.0, "time": 2e9}, *count_up(101, 200, 3e9)
    )
    history = TrainingHistory(tmp_path).refresh()
    assert len(history.losses) == 200
    assert history.smoothed_loss == pytest.approx(sum(1 / i for i in range(201 - SMOOTHED, 201)) / SMOOTHED)
    assert history.measure_speed(2.5e9) == pytest.approx(0.5)
    assert history.measure_speed(3.1e9) is None
    assert history.validations == {100: {"voi": 2.0}}


def test_what_is_no_number_or_cut_short_is_passed_over(tmp_path: Path, command: Any) -> None:
    rows = count_up(1, 3)
    no_number = {"iteration": 3, "validation_voi": float("nan"), "validation_adapted_rand_error": 0.25}
    write_log(tmp_path, *rows, no_number, '{"iteration": 4, "lo\n', "[1]\n", '{"iteration": 4, "loss": 0.1')
    history = TrainingHistory(tmp_path).refresh()
    assert list(history.losses) == [1, 2, 3]
    assert history.validations == {3: {"adapted_rand_error": 0.25}}
    assert list(_read_losses(tmp_path)[0].x) == [1, 2, 3]
    assert "validation after iteration 3: adapted_rand_error 0.25" in command("status", tmp_path)[1]
    write_log(tmp_path, {"iteration": 7, "loss": 0.5})  # a log of an earlier version
    (data,) = json.loads(command("status", tmp_path, "--json")[1])
    assert (data["iteration"], data["smoothed_loss"], data["learning_rate"]) == (7, 0.5, None)


def test_a_history_reads_on_and_begins_anew_with_a_new_file(tmp_path: Path) -> None:
    write_log(tmp_path, *count_up(1, 3))
    history = TrainingHistory(tmp_path).refresh()
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"iteration": 4, "loss": 0')
    assert list(history.refresh().losses) == [1, 2, 3]
    with (tmp_path / METRICS).open("a") as file:
        file.write(".25}\n")
    assert history.refresh().losses[4] == 0.25
    partial = tmp_path / "partial"
    partial.write_text(json.dumps({"iteration": 1, "loss": 9.0}) + "\n")  # it goes on from an earlier checkpoint
    partial.replace(tmp_path / METRICS)
    assert history.refresh().losses == {1: 9.0}
    (tmp_path / METRICS).unlink()
    assert TrainingHistory(tmp_path).refresh().smoothed_loss is None


def test_a_log_that_was_begun_anew_in_the_place_of_the_old_one_is_read_anew(tmp_path: Path) -> None:
    """Also where the file system gives it the same inode, and it is longer already."""
    write_log(tmp_path, *count_up(1, 3))
    history = TrainingHistory(tmp_path).refresh()
    write_log(tmp_path, *count_up(1, 9, begun=2e9))
    assert list(history.refresh().times.values()) == [2e9 + 2.0 * i for i in range(9)]


def test_pictures_of_others_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    history = TrainingHistory(tmp_path)
    assert history.find_picture() is None
    for name in ("00000900.png", "00001000.png", "1 copy.png", "2_b.png", "best.png"):
        (tmp_path / "pictures" / name).touch()
    assert history.find_picture() == (1000, tmp_path / "pictures/00001000.png")


def test_a_ledger_that_cannot_be_read_is_told_beside_the_training(tmp_path: Path, command: Any) -> None:
    write_log(tmp_path / "train", *count_up(1, 10), name="mine")
    code, out, err = command("status", tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("what to do next: Run the same command again")
    (tmp_path / "ledger.db").write_text("no database")
    code, out, err = command("status", tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert "train: Stopped: mine, 10 of 1,000 iterations are done" in out
    assert "ledger.db" in err


def test_trainings_of_a_run_are_found_and_told(tmp_path: Path, command: Any) -> None:
    write_log(tmp_path / "run/train", *count_up(1, 10), name="mine")
    with lock_folder(tmp_path / "run/train"):
        code, out, err = command("status", tmp_path / "run")  # before there is a ledger
    assert (code, err) == (0, "")
    assert out.startswith("train: Running: mine, 10 of 1,000 iterations are done")
    assert "\ntrain: loss " in out
    (data,) = json.loads(command("status", tmp_path / "run", "--json")[1])
    assert (data["name"], data["stage"], data["iteration"]) == ("train", "train", 10)
    adapted = tmp_path / "adapted"
    for number, place in enumerate(("round_1/train", "round_2/train", "round_2/left_one_out")):
        write_log(adapted / place, *count_up(1, 1 + number))
        os.utime(adapted / place / "config.json", (number, number))
    assert list(find_trainings(adapted)) == ["round_1/train", "round_2/train", "round_2/left_one_out"]
    (adapted / "config.json").write_text(json.dumps({"rounds": 2, "propose": {}}))
    out = command("status", adapted)[1]
    assert out.startswith("Stopped: 0 of 2 rounds are done.")
    assert "\nround_2/train: Stopped: small, 2 of 1,000" in out
    (data,) = json.loads(command("status", adapted, "--json")[1])
    assert [each["iteration"] for each in data["trainings"]] == [1, 2, 3]
