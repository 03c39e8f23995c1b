"""Intervals: Student's of a mean of a few values, such as the scores of boxes, and that of a sum of estimates."""

from collections.abc import Iterable

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes half a second to import


def half_width(values: np.ndarray, level: float) -> float:
    """Return half of Student's interval of the mean of two values or more (float[n]) at a level such as 0.95."""
    return float(stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(len(values)))


def is_above_zero(values: np.ndarray, level: float) -> bool:
    """Whether Student's interval of a mean lies above 0; never that of a single value."""
    return len(values) > 1 and bool(values.mean() > half_width(values, level))


def lower_end(estimates: Iterable[tuple[float, float]]) -> float:
    """Return the lower end of the interval of a sum of independent estimates, of each of which it and its lower end are given.

    The distances to the lower ends add up as standard errors do (MOVER; Zou and Donner 2008, Statistics in Medicine 27:1693).
    """
    values, lows = np.array(list(estimates)).T
    return float(values.sum() - np.sqrt(((values - lows) ** 2).sum()))
