"""What a training writes for people: TensorBoard, metrics.jsonl, and pictures."""

import json
import time
from pathlib import Path
from types import TracebackType

import matplotlib.image
import numpy as np
from torch.utils.tensorboard import SummaryWriter

from neuroadda.observing import RunObserver
from neuroadda.training.history import METRICS, PICTURES


class TrainingLog:
    """Writes the log of a run; used as a context."""

    def __init__(self, folder: Path, name: str, iterations: int, done: int, observer: RunObserver) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name, self.iterations = folder, name, iterations
        self._metrics = folder / METRICS
        self._drop_after(done)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)
        self._observer = observer

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.close()

    def log(self, iteration: int, values: dict[str, float]) -> None:
        """Record the values of an iteration."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"iteration": iteration, **values, "time": round(time.time(), 3)}) + "\n")
        for key, value in values.items():
            self._board.add_scalar(key, value, iteration)
        self._observer.on_iteration(self.name, iteration, self.iterations, values)

    def draw(
        self, iteration: int, raw: np.ndarray, labels: np.ndarray, affs: np.ndarray, predicted: np.ndarray
    ) -> None:
        """Write a PNG of the middle section: raw, labels, true and predicted affinities (the nearest neighbours as z, y, x = RGB).

        Parameters
        ----------
        raw
            float zyx in -1..1, with context.
        labels, affs, predicted
            zyx, and czyx in 0..1.
        """
        z, shape = labels.shape[0] // 2, labels.shape
        crop = [slice((r - s) // 2, (r - s) // 2 + s) for r, s in zip(raw.shape, shape, strict=True)]
        grey = np.repeat(np.clip((raw[tuple(crop)][z, ..., None] + 1) / 2, 0, 1), 3, axis=-1)
        colours = np.random.default_rng(0).uniform(0.2, 1, (997, 3))
        colours[0] = 0
        index = np.where(labels[z] > 0, labels[z] % 996 + 1, 0)
        missing = max(0, 3 - len(affs))  # of networks that know single sections only: the neighbour in z, which is red
        rgb = [
            np.pad(np.moveaxis(np.asarray(a[:3, z], float), 0, -1), ((0, 0), (0, 0), (missing, 0)))
            for a in (affs, predicted)
        ]
        picture = np.concatenate([grey, colours[index], *rgb], axis=1)
        folder = self.folder / PICTURES
        folder.mkdir(exist_ok=True)
        final, partial = folder / f"{iteration:08d}.png", folder / ".partial"
        matplotlib.image.imsave(partial, np.ascontiguousarray(picture), format="png")
        partial.replace(final)  # the dashboard shows the newest

    def _drop_after(self, done: int) -> None:
        """Drop what was logged after the checkpoint that training goes on from: it will be logged again."""
        if not self._metrics.is_file():
            return
        kept = []
        for line in self._metrics.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                if json.loads(line)["iteration"] <= done:
                    kept.append(line)
            except (ValueError, KeyError):  # a line cut short by a kill
                continue
        partial = self._metrics.with_suffix(".partial")
        partial.write_text("".join(kept), encoding="utf-8")
        partial.replace(self._metrics)
