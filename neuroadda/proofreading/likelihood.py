"""How likely a candidate is an error: a logistic function of what a run knows of the contact of its two sides.

The weights are from candidates of four volumes whose truth is known, on parts that were neither trained on nor used to judge the
queue (`python -m studies.errors.study`; docs/results/errors.md). They say what the affinities of a contact are worth as evidence: a
score above the threshold speaks against a merge the more, the larger the contact is.
"""

from dataclasses import dataclass

import numpy as np

Weights = tuple[float, float, float, float, float]


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

    def of(
        self, is_merge: np.ndarray, above: np.ndarray, contact: np.ndarray, smaller: np.ndarray, orphan: np.ndarray
    ) -> np.ndarray:
        """Return float64, 0 to 1; parameters are those of `describe`, and bool: which candidates are merges."""
        weights = np.where(is_merge[:, None], np.array(self.merge), np.array(self.split))
        logits = (describe(above, contact, smaller, orphan) * weights).sum(axis=1)
        return np.asarray(1 / (1 + np.exp(-logits)))


def describe(above: np.ndarray, contact: np.ndarray, smaller: np.ndarray, orphan: np.ndarray) -> np.ndarray:
    """Return float64[n, 5], what the weights are for.

    Parameters
    ----------
    above
        The score of the contact less the threshold.
    contact
        Number of its affinities.
    smaller
        Voxels of the smaller side.
    orphan
        bool, whether that side does not touch the border of the volume.

    Returns
    -------
    np.ndarray
        1; `above` times the logarithm of the contact; the logarithm of the contact over the smaller side's voxels to the power of
        2/3, which its surface grows with (a thin neck between large parts is low); the logarithm of the smaller side; orphan.
    """
    contact, smaller = np.maximum(contact, 1), np.maximum(smaller, 1)
    columns = (
        np.ones(len(contact)),
        above * np.log(contact),
        np.log(contact / smaller ** (2 / 3)),
        np.log(smaller),
        orphan,
    )
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


LIKELIHOOD = Likelihood(
    merge=(2.858, -1.907, 0.797, -0.338, 0.349),
    split=(-2.009, 0.224, 0.123, -0.011, -0.264),
)
