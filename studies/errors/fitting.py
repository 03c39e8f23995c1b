"""The likelihood of errors, from candidates whose truth is known."""

from collections.abc import Sequence

import numpy as np

from neuroadda.proofreading.candidates import Candidates
from neuroadda.proofreading.likelihood import Likelihood

PENALTY, STEPS, WEIGHT_OF_VOLUME = 1.0, 100, 200.0

Judged = tuple[Candidates, np.ndarray, float]
"""Candidates, bool: which are errors, and the threshold of their segmentation."""


def fit_likelihood(volumes: Sequence[Judged]) -> Likelihood:
    """Return the likelihood that candidates of some volumes give; see `studies.errors`."""
    described, truth, weights = [], [], []
    for candidates, errors, threshold in volumes:
        chosen = candidates.is_merge
        described.append(candidates.take(chosen).describe(threshold))
        truth.append(errors[chosen].astype(np.float64))
        weights.append(np.full(chosen.sum(), WEIGHT_OF_VOLUME / max(chosen.sum(), 1)))
    merge = _regress(np.concatenate(described), np.concatenate(truth), np.concatenate(weights))
    split = np.mean([errors[~candidates.is_merge].mean() for candidates, errors, _ in volumes])
    return Likelihood(tuple(round(float(w), 3) for w in merge), round(float(split), 3))  # type: ignore[arg-type] # four


def _regress(columns: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights of a logistic regression by Newton's method.

    All columns but the first, which is 1, are standardised, and have an L2 penalty. A column of one value has the weight 0.
    """
    mean, spread = columns.mean(axis=0), columns.std(axis=0)
    mean[0] = 0
    spread[spread == 0] = 1
    rows, found = (columns - mean) / spread, np.zeros(columns.shape[1])
    penalty = PENALTY * np.eye(len(found))
    penalty[0, 0] = 1e-6
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-np.clip(rows @ found, -30, 30)))
        slope = rows.T @ (weights * (truth - likely)) - penalty @ found
        curvature = (rows * (weights * likely * (1 - likely))[:, None]).T @ rows + penalty
        step = np.linalg.solve(curvature, slope)
        found = found + step
        if np.abs(step).max() < 1e-9:
            break
    found = found / spread
    return np.asarray(np.r_[found[0] - found[1:] @ mean[1:], found[1:]])
