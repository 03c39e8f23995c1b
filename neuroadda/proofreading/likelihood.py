"""How likely a candidate is an error: a logistic function of what a run knows of the contact of its two sides.

The weights are from candidates of four volumes whose truth is known, on parts that were neither trained on nor used to judge the
queue (`python -m studies.errors.study --fit`; docs/results/errors.md). A score far above the threshold speaks against a merge.
"""

from dataclasses import dataclass

import numpy as np

Weights = tuple[float, float, float, float]


@dataclass(frozen=True)
class Likelihood:
    """A logistic function for each kind of candidate.

    Attributes
    ----------
    merge, split
        Weights of the columns of `describe`.
    """

    merge: Weights
    split: Weights

    def of(self, is_merge: np.ndarray, described: np.ndarray) -> np.ndarray:
        """Return float64, 0 to 1, of candidates (bool: which are merges) that `describe` describes."""
        weights = np.where(is_merge[:, None], np.array(self.merge), np.array(self.split))
        return np.asarray(1 / (1 + np.exp(-(described * weights).sum(axis=1))))


def describe(above: np.ndarray, contact: np.ndarray, smaller: np.ndarray) -> np.ndarray:
    """Return float64[n, 4], what the weights are for.

    Parameters
    ----------
    above
        The score of the contact less the threshold.
    contact
        Number of its affinities.
    smaller
        Voxels of the smaller side.

    Returns
    -------
    np.ndarray
        1; `above`; the logarithm of the contact over the smaller side's voxels to the power of 2/3, which its surface grows with (a
        thin neck between large parts is low); the logarithm of the smaller side.
    """
    contact, smaller = np.maximum(contact, 1), np.maximum(smaller, 1)
    columns = (np.ones(len(contact)), above, np.log(contact / smaller ** (2 / 3)), np.log(smaller))
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


LIKELIHOOD = Likelihood(
    merge=(7.578, -10.863, -0.189, -0.833),
    split=(-15.327, 3.353, 0.96, 1.393),
)
