"""How likely a candidate is an error: of a merge, a logistic function of what a run knows of the contact of its two sides.

The weights are from candidates of four volumes whose truth is known, on parts that were neither trained on nor used to judge the
queue (`python -m studies.errors.study --fit`; docs/results/errors.md). A score far above the threshold speaks against a merge. Of
cuts, the parts hold too few errors to fit more than how many of them are errors.
"""

from dataclasses import dataclass

import numpy as np

Weights = tuple[float, float, float, float]


@dataclass(frozen=True)
class Likelihood:
    """How likely candidates of each kind are errors.

    Attributes
    ----------
    merge
        Weights of the columns of `describe`, whose sum a logistic function makes a likelihood of.
    split
        Likelihood of every cut.
    """

    merge: Weights
    split: float

    def of(self, is_merge: np.ndarray, described: np.ndarray) -> np.ndarray:
        """Return float64, 0 to 1, of candidates (bool: which are merges) that `describe` describes."""
        merge = 1 / (1 + np.exp(-(described * np.array(self.merge)).sum(axis=1)))
        return np.where(is_merge, merge, self.split)


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


LIKELIHOOD = Likelihood(merge=(7.578, -10.863, -0.189, -0.833), split=0.069)
