"""How far a training is, from its folder alone; torch is not imported."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroadda.backbones.card import CARD
from neuroadda.config import load_config_file
from neuroadda.errors import UserError
from neuroadda.locks import LockState, read_lock
from neuroadda.runs.folder import CONFIG
from neuroadda.runs.health import GO_ON, Health, say_end
from neuroadda.training.history import METRICS, SMOOTHED, TrainingHistory
from neuroadda.wording import format_seconds

PLACES = ("", "train", "round_*/train", "round_*/left_one_out")
"""Of trainings, in the folder of a run."""


@dataclass(frozen=True)
class TrainingStatus:
    """How far a training is.

    Attributes
    ----------
    iteration, iterations
        How many are done, and how many there are.
    checkpoint
        The iteration that it would go on from; 0 without one.
    loss, smoothed_loss
        Of the last iteration, and the mean of the last `SMOOTHED`; None before the first.
    learning_rate
        Of the last iteration.
    iterations_per_second, eta_seconds
        Validations included; None of one that is not at work. With `patience`, the training may end earlier.
    validated, validation
        The iteration after which was validated last, and the metrics; None before the first.
    backbone
        Where its backbone lies; None where there is none yet.
    """

    health: Health
    iteration: int
    iterations: int
    checkpoint: int
    loss: float | None
    smoothed_loss: float | None
    learning_rate: float | None
    iterations_per_second: float | None
    eta_seconds: float | None
    validated: int | None
    validation: dict[str, float] | None
    backbone: str | None

    def describe(self) -> list[str]:
        """Return lines on loss, speed, time left and the last validation, as far as they are known."""
        told = []
        if self.smoothed_loss is not None:
            told.append(f"loss {self.smoothed_loss:.4g} (mean of the last {min(SMOOTHED, self.iteration)} iterations)")
        if self.learning_rate is not None:
            told.append(f"learning rate {self.learning_rate:.3g}")
        if (speed := self.iterations_per_second) is not None:
            told.append(f"{speed:.3g} iterations/s" if speed >= 1 else f"{1 / speed:.3g} s an iteration")
        if self.eta_seconds is not None:
            told.append(f"about {format_seconds(self.eta_seconds)} left")
        lines = [", ".join(told)] if told else []
        if self.validation is not None:
            metrics = ", ".join(f"{name} {value:.4g}" for name, value in self.validation.items())
            lines.append(f"validation after iteration {self.validated:,}: {metrics}")
        return lines

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data, as a task of a run's status."""
        told = {key: value for key, value in vars(self).items() if key != "health"}
        return {"stage": "train", "state": self.health.state} | told


def look_at_training(folder: Path, history: TrainingHistory | None = None) -> TrainingStatus | None:
    """Return how far the training in a folder is; None if there is none.

    Parameters
    ----------
    history
        Of the folder, which is read on; without it, all that was logged is read.
    """
    config = _read_config(folder)
    if config is None:
        return None
    name, iterations = config
    history = (history or TrainingHistory(folder)).refresh()
    lock = read_lock(folder)
    checkpoint = max((int(each.name) for each in (folder / "checkpoints").glob("[0-9]*")), default=0)
    iteration = max(checkpoint, max(history.losses, default=0))
    card = folder / "backbone" / CARD
    health = _judge(folder, name, iteration, iterations, checkpoint, bool(card.exists()), lock)
    running = lock is not None and health.state == "running"
    speed = history.measure_speed(lock.since) if lock is not None and running else None
    validated = max(history.validations, default=None)
    return TrainingStatus(
        health=health,
        iteration=iteration,
        iterations=iterations,
        checkpoint=checkpoint,
        loss=_last(history.losses),
        smoothed_loss=history.smoothed_loss,
        learning_rate=_last(history.rates),
        iterations_per_second=speed,
        eta_seconds=(iterations - iteration) / speed if speed else None,
        validated=validated,
        validation=None if validated is None else history.validations[validated],
        backbone=str(card.parent) if card.exists() else None,
    )


def find_trainings(folder: Path) -> dict[str, Path]:
    """Return the folders of the trainings of a run, by their names in its folder, the newest last.

    A training's own folder (``.``), that of a run with a training in ``train``, or that of an adaptation with its rounds.
    """
    found = [path for place in PLACES for path in folder.glob(f"{place}/{CONFIG}" if place else CONFIG)]
    found.sort(key=lambda path: (path.stat().st_mtime, path))
    places = {path.parent.relative_to(folder).as_posix(): path.parent for path in found}
    return {name: place for name, place in places.items() if _read_config(place) is not None}


def look_at_trainings(folder: Path) -> dict[str, TrainingStatus]:
    """Return how far each training is that `find_trainings` finds."""
    looked = {name: look_at_training(place) for name, place in find_trainings(folder).items()}
    return {name: status for name, status in looked.items() if status is not None}


def _judge(
    folder: Path, name: str, iteration: int, iterations: int, checkpoint: int, trained: bool, lock: LockState | None
) -> Health:
    done = f"{iteration:,} of {iterations:,} iterations are done"
    if lock is not None and lock.state == "held":
        return Health("running", f"Running: {name}, {done}{_say_age(folder / METRICS)}.", "")
    if trained and (lock is None or lock.state == "finished" or checkpoint == iterations):
        used = f"neuroadda segment RAW --backbone {folder / 'backbone'} -o OUT"
        return Health(
            "finished", f"Finished: {name}, {done}; the backbone is {folder / 'backbone'}.", f"Use it: {used}"
        )
    state, first = say_end("stopped" if lock is None else lock.state)
    kept = f"it goes on from the checkpoint of iteration {checkpoint:,}" if checkpoint else "there is no checkpoint yet"
    return Health(state, f"{first}: {name}, {done}; {kept}.", GO_ON if checkpoint else "Run the same command again.")


def _say_age(file: Path) -> str:
    with suppress(OSError):
        return f"; the last was logged {format_seconds(max(0.0, time.time() - file.stat().st_mtime))} ago"
    return ""


def _read_config(folder: Path) -> tuple[str, int] | None:
    """Return name and iterations of the training in a folder."""
    try:
        config = load_config_file(folder / CONFIG)
        config["samples"]
        return str(config["name"]), int(config["iterations"])
    except (UserError, LookupError, TypeError, ValueError):
        return None


def _last(rows: dict[int, float]) -> float | None:
    return next(reversed(rows.values()), None)
