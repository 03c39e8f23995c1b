"""Choose a setting and a threshold from the scores of a few boxes, and tell what the choice is worth on a box that it did not see.

The choice is the lowest mean VOI, averaged with that of the thresholds beside it. What it is worth comes from cross-validation:
each box is left out in turn, the choice is made on the others, and the box is scored with it. A choice from many ways fits boxes by
chance. So it is taken only where that score is better than the default's beyond the spread over boxes. There are two steps: the
threshold alone, at the default's setting, and everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroadda.intervals import half_width, is_above_zero

LEVEL = 0.95  # of the intervals that are told
GUARD, GUARD_OF_QUARTERS = 0.8, 0.9
"""Level of the interval of the gain that has to lie above 0. Quarters of a box are alike, so that their spread is too small."""


@dataclass(frozen=True)
class Estimate:
    """A mean over boxes, and its interval; None where one box cannot tell."""

    mean: float
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, values: np.ndarray, level: float = LEVEL) -> "Estimate":
        """Return that of float[boxes]."""
        mean = float(values.mean())
        if len(values) < 2:
            return cls(mean, None)
        half = half_width(values, level)
        return cls(mean, (mean - half, mean + half))

    def above_zero(self) -> "Estimate":
        """Return it with an interval that does not reach below 0, as of a VOI."""
        return self if self.interval is None else Estimate(self.mean, (max(0.0, self.interval[0]), self.interval[1]))

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + ("" if self.interval is None else " ({:.3f} to {:.3f})".format(*self.interval))

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"mean": self.mean, "interval": None if self.interval is None else list(self.interval)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Estimate":
        """Return what `to_data` returned."""
        return cls(
            float(data["mean"]), None if data["interval"] is None else (data["interval"][0], data["interval"][1])
        )


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    setting, threshold
        Their places in the table of scores.
    default_threshold
        Place of the threshold that goes with setting 0, the default.
    voi
        What it is worth on a box that it did not see.
    default
        What the default is worth on the same boxes.
    gain
        How far the VOI of the best choice is below the default's, box by box, where the box did not see it; None if there was none.
    why
        One sentence for people.
    """

    setting: int
    threshold: int
    default_threshold: int
    voi: Estimate
    default: Estimate
    gain: Estimate | None
    why: str

    @property
    def is_default(self) -> bool:
        """Whether nothing was changed."""
        return self.setting == 0 and self.threshold == self.default_threshold

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data, without the places."""
        gain = None if self.gain is None else self.gain.to_data()
        return {"voi": self.voi.to_data(), "default_voi": self.default.to_data(), "gain": gain, "why": self.why}


def choose(voi: np.ndarray, default_threshold: int, guard: float = GUARD, level: float = LEVEL) -> Choice:
    """Choose from the scores of every way on every box.

    Parameters
    ----------
    voi
        float[settings, boxes, thresholds]; setting 0 is the default.
    default_threshold
        Its place among the thresholds.
    guard, level
        Of the interval of the gain that has to lie above 0, and of the intervals that are told.
    """
    if voi.shape[1] < 2:
        return keep_default(voi, default_threshold, "one box alone cannot tell a better setting from chance", level)
    at_default = voi[0, :, default_threshold]
    steps = []
    for settings, what in ((1, "threshold"), (len(voi), "setting and threshold")):
        left_out = cross_validate(voi[:settings], default_threshold)
        steps.append((left_out, Estimate.of(at_default - left_out, level), settings, what))
    better = [step for step in steps if is_above_zero(at_default - step[0], guard)]
    if not better:
        gain = max((step[1] for step in steps), key=lambda one: one.mean)
        why = f"no choice lowers the VOI beyond the spread over boxes: by {gain}"
        return keep_default(voi, default_threshold, why, level, gain)
    left_out, gain, settings, what = min(better, key=lambda step: step[0].mean())
    setting, threshold = find_lowest(voi[:settings], default_threshold)
    return Choice(
        setting,
        threshold,
        default_threshold,
        Estimate.of(left_out, level).above_zero(),
        Estimate.of(at_default, level).above_zero(),
        gain,
        f"{what} chosen, each box scored at what is best on the others: VOI lower by {gain}",
    )


def keep_default(
    voi: np.ndarray, default_threshold: int, why: str, level: float = LEVEL, gain: Estimate | None = None
) -> Choice:
    """Return the choice of the default, for a reason."""
    worth = Estimate.of(voi[0, :, default_threshold], level).above_zero()
    return Choice(0, default_threshold, default_threshold, worth, worth, gain, f"the default is kept: {why}")


def cross_validate(voi: np.ndarray, default_threshold: int) -> np.ndarray:
    """Return float[boxes]: the VOI of each box at what is best on the others."""
    boxes = np.arange(voi.shape[1])
    chosen = [find_lowest(voi[:, boxes != box], default_threshold) for box in boxes]
    return np.array([voi[setting, box, threshold] for box, (setting, threshold) in zip(boxes, chosen, strict=True)])


def find_lowest(voi: np.ndarray, default_threshold: int) -> tuple[int, int]:
    """Return the place of the lowest mean in float[settings, boxes, thresholds], averaged with the thresholds beside it.

    Of equals it is the first setting's nearest to the default.
    """
    mean = np.pad(voi.mean(axis=1), ((0, 0), (1, 1)), mode="edge")
    smooth = (mean[:, :-2] + 2 * mean[:, 1:-1] + mean[:, 2:]) / 4
    settings, thresholds = np.nonzero(smooth <= smooth.min() + 1e-12)
    first = np.lexsort((thresholds, abs(thresholds - default_threshold), settings))[0]
    return int(settings[first]), int(thresholds[first])
