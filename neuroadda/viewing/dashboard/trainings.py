"""What the page shows of trainings: how far each is, its curves, and its newest picture."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.errors import UserError
from neuroadda.training.history import TrainingHistory
from neuroadda.training.status import find_trainings, look_at_training

MOST_POINTS = 300  # of a curve
MOST_CURVES = 4
NO_SCORE = "threshold"  # a metric that is neither better nor worse


class Trainings:
    """The trainings in the folder of a run, which are read again whenever they are asked for.

    Parameters
    ----------
    folder
        See `find_trainings`; None holds none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._histories: dict[Path, TrainingHistory] = {}
        self._reading = threading.Lock()

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._list())

    def describe(self) -> list[dict[str, Any]]:
        """Return how far each is as plain data, the newest last.

        ``version`` changes with what `curves` returns, and ``picture`` with the picture.
        """
        told = []
        with self._reading:
            for name, folder in self._list().items():
                history = self._history(folder)
                status, picture = look_at_training(folder, history), history.find_picture()
                if status is None:
                    continue
                facts = {"id": name, "facts": status.describe(), "health": vars(status.health)} | status.to_data()
                version = [len(history.losses), max(history.losses, default=0), len(history.validations)]
                told.append(facts | {"version": version, "picture": None if picture is None else picture[0]})
        return told

    def curves(self, name: str) -> list[dict[str, Any]]:
        """Return the loss, and metrics of the validations, each by iteration as ``x`` and ``y``; a loss is the mean around x.

        Raises
        ------
        UserError
            If there is no such training.
        """
        with self._reading:
            history = self._find(name).refresh()
            curves = [{"name": "loss", **_thin_out(history.losses)}] if history.losses else []
            names = dict.fromkeys(n for metrics in history.validations.values() for n in metrics if n != NO_SCORE)
            for metric in list(names)[:MOST_CURVES]:
                values = {i: metrics[metric] for i, metrics in history.validations.items() if metric in metrics}
                curves.append({"name": metric, "x": list(values), "y": list(values.values())})
        return curves

    def picture(self, name: str) -> bytes:
        """Return the newest picture, a PNG.

        Raises
        ------
        UserError
            If there is no such training, or no picture.
        """
        found = self._find(name).find_picture()
        if found is None:
            raise UserError("the training has drawn no picture", name)
        return found[1].read_bytes()

    def _list(self) -> dict[str, Path]:
        return {} if self._folder is None else find_trainings(self._folder)

    def _find(self, name: str) -> TrainingHistory:
        found = self._list()
        if name not in found:
            raise UserError("there is no such training", name)
        return self._history(found[name])

    def _history(self, folder: Path) -> TrainingHistory:
        return self._histories.setdefault(folder, TrainingHistory(folder))


def _thin_out(values: dict[int, float]) -> dict[str, list[float]]:
    """Return at most `MOST_POINTS` means of values that follow each other."""
    x, y = np.array(list(values), float), np.array(list(values.values()))
    starts = np.unique(np.linspace(0, len(x), MOST_POINTS, endpoint=False).astype(int))
    sizes = np.diff([*starts, len(x)])
    return {name: (np.add.reduceat(v, starts) / sizes).tolist() for name, v in (("x", x), ("y", y))}
