"""How far a training is, from its folder alone; torch is not imported."""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroadda.backbones.card import CARD
from neuroadda.blockwise.health import GO_ON, Health, say_end
from neuroadda.blockwise.run_folder import CONFIG
from neuroadda.config import load_config_file
from neuroadda.errors import UserError
from neuroadda.locks import read_lock
from neuroadda.wording import format_seconds

TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class TrainingStatus:
    """How far a training is.

    Attributes
    ----------
    iteration, iterations
        How many are done, and how many there are.
    checkpoint
        The iteration that it would go on from; 0 without one.
    loss
        Of the last iteration.
    backbone
        Where its backbone lies; None where there is none yet.
    """

    health: Health
    iteration: int
    iterations: int
    checkpoint: int
    loss: float | None
    backbone: str | None

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data, as a task of a run's status."""
        told = {key: value for key, value in vars(self).items() if key != "health"}
        return {"stage": "train", "state": self.health.state} | told


def look_at_training(folder: Path) -> TrainingStatus | None:
    """Return how far the training in a folder is; None if there is none."""
    try:
        config = load_config_file(folder / CONFIG)
        name, iterations = str(config["name"]), int(config["iterations"])
        config["samples"]
    except (UserError, LookupError, TypeError, ValueError):
        return None
    last = _read_last(folder / "metrics.jsonl")
    checkpoint = max((int(each.name) for each in (folder / "checkpoints").glob("[0-9]*")), default=0)
    iteration = max(checkpoint, int(last.get("iteration", 0)))
    card = folder / "backbone" / CARD
    health = _judge(folder, name, iteration, iterations, checkpoint, bool(card.exists()))
    backbone = str(card.parent) if card.exists() else None
    return TrainingStatus(health, iteration, iterations, checkpoint, last.get("loss"), backbone)


def _judge(folder: Path, name: str, iteration: int, iterations: int, checkpoint: int, trained: bool) -> Health:
    lock = read_lock(folder)
    done = f"{iteration:,} of {iterations:,} iterations are done"
    if lock is not None and lock.state == "held":
        return Health("running", f"Running: {name}, {done}{_say_age(folder / 'metrics.jsonl')}.", "")
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


def _read_last(metrics: Path) -> dict[str, Any]:
    """Return the last line of a loss; one that was cut short by a kill is passed over."""
    with suppress(OSError), open(metrics, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
        for line in reversed(file.read().splitlines()):
            with suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict) and "loss" in told:
                    return told
    return {}
