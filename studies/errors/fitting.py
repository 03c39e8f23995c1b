"""Weights of the likelihood, from candidates whose truth is known."""

from collections.abc import Sequence

import numpy as np

from neuroadda.proofreading.candidates import Candidates, gain_of
from neuroadda.proofreading.likelihood import Likelihood, Weights, describe

PENALTY, STEPS, WEIGHT_OF_VOLUME = 1.0, 100, 200.0

Judged = tuple[Candidates, np.ndarray, float]
"""Candidates, bool: which are errors, and the threshold of their segmentation."""


def fit_likelihood(volumes: Sequence[Judged], by_gain: bool) -> Likelihood:
    """Return the weights that candidates of some volumes give; see the plan in `studies.errors`."""
    return Likelihood(merge=_fit_kind(volumes, True, by_gain), split=_fit_kind(volumes, False, by_gain))


def _fit_kind(volumes: Sequence[Judged], is_merge: bool, by_gain: bool) -> Weights:
    rows, truth, weights = [], [], []
    for candidates, errors, threshold in volumes:
        chosen = candidates.is_merge == is_merge
        some = candidates.take(chosen)
        rows.append(describe(some.score - threshold, some.contact, some.smaller, some.orphan))
        truth.append(errors[chosen].astype(np.float64))
        weight = gain_of(some.size_a, some.size_b, 1) if by_gain else np.ones(len(some.a))
        weights.append(WEIGHT_OF_VOLUME * weight / weight.sum())
    found = _regress(np.concatenate(rows), np.concatenate(truth), np.concatenate(weights))
    return tuple(round(float(w), 3) for w in found)  # type: ignore[return-value] # five


def _regress(rows: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights of a logistic regression with an L2 penalty on all but the first, by Newton's method."""
    found, penalty = np.zeros(rows.shape[1]), PENALTY * np.eye(rows.shape[1])
    penalty[0, 0] = 1e-6
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-np.clip(rows @ found, -30, 30)))
        slope = rows.T @ (weights * (truth - likely)) - penalty @ found
        curvature = (rows * (weights * likely * (1 - likely))[:, None]).T @ rows + penalty
        step = np.linalg.solve(curvature, slope)
        found = found + step
        if np.abs(step).max() < 1e-9:
            break
    return found
