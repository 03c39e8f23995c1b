"""What a training has logged, from its folder alone; torch is not imported."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

METRICS, PICTURES = "metrics.jsonl", "pictures"
VALIDATION = "validation_"  # begins the names of a validation's metrics
SMOOTHED = 50  # iterations, of whose losses the mean is told


@dataclass
class TrainingHistory:
    """The log of a training, as far as it was read.

    Attributes
    ----------
    folder
        Of the training.
    losses, rates, times
        Loss, learning rate and time (seconds since the epoch; older logs lack it) by iteration, which ascends.
    validations
        Metrics by the iteration after which they were measured.
    """

    folder: Path
    losses: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    validations: dict[int, dict[str, float]] = field(default_factory=dict)
    _file: tuple[int, bytes] = (0, b"")  # its inode, which may be used again, and its first line, which holds a time
    _read_bytes: int = 0

    def refresh(self) -> "TrainingHistory":
        """Read what was logged since the last time: all of it where the file is another now."""
        try:
            with open(self.folder / METRICS, "rb") as file:
                about, first = os.fstat(file.fileno()), file.readline()
                if (about.st_ino, first) != self._file or about.st_size < self._read_bytes:
                    self._file, self._read_bytes = (about.st_ino, first), 0  # a training that goes on rewrites it
                    for rows in (self.losses, self.rates, self.times, self.validations):
                        rows.clear()
                file.seek(self._read_bytes)
                whole = file.read().rpartition(b"\n")[0]  # the last line may be half written
        except OSError:
            return self
        for line in whole.splitlines():
            self._take(line)
        self._read_bytes += len(whole) + 1 if whole else 0
        return self

    @property
    def smoothed_loss(self) -> float | None:
        """Mean loss of the last `SMOOTHED` iterations; None without any."""
        last = list(self.losses.values())[-SMOOTHED:]
        return sum(last) / len(last) if last else None

    def measure_speed(self, since: float) -> float | None:
        """Return the iterations a second that were done after a time, validations included; None before there are two."""
        times = [time for time in self.times.values() if time >= since]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else None

    def find_picture(self) -> tuple[int, Path] | None:
        """Return the newest picture and its iteration."""
        found = {int(file.stem): file for file in (self.folder / PICTURES).glob("*.png") if file.stem.isdecimal()}
        return max(found.items()) if found else None

    def _take(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            iteration = int(row["iteration"])
        except (ValueError, LookupError, TypeError):  # cut short by a kill
            return
        metrics = _keep_finite({k.removeprefix(VALIDATION): v for k, v in row.items() if k.startswith(VALIDATION)})
        if metrics:
            self.validations[iteration] = metrics
        kept = _keep_finite(row)
        if "loss" not in kept:
            return
        for rows, key in ((self.losses, "loss"), (self.rates, "lr"), (self.times, "time")):
            if key in kept:
                rows[iteration] = kept[key]


def _keep_finite(row: Mapping[str, Any]) -> dict[str, float]:
    return {key: value for key, value in row.items() if isinstance(value, int | float) and math.isfinite(value)}
