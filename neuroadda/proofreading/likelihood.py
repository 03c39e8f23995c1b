"""How likely a candidate is an error."""

from dataclasses import dataclass

import numpy as np

Weights = tuple[float, float, float, float]


@dataclass(frozen=True)
class Likelihood:
    """A logistic function of three numbers for each kind of candidate.

    Attributes
    ----------
    merge, split
        Weights of: 1, the score above the threshold, the logarithm of the contact over the smaller side's voxels to the power of
        2/3 (its surface, but for a factor), and whether the smaller side is an orphan.
    """

    merge: Weights
    split: Weights

    def of(
        self, is_merge: np.ndarray, above: np.ndarray, contact: np.ndarray, smaller: np.ndarray, orphan: np.ndarray
    ) -> np.ndarray:
        """Return float64, 0 to 1."""
        weights = np.where(is_merge[:, None], np.array(self.merge), np.array(self.split))
        logits = (describe(above, contact, smaller, orphan) * weights).sum(axis=1)
        return np.asarray(1 / (1 + np.exp(-logits)))


def describe(above: np.ndarray, contact: np.ndarray, smaller: np.ndarray, orphan: np.ndarray) -> np.ndarray:
    """Return float64[n, 4], what the weights are for."""
    share = np.log(np.maximum(contact, 1) / np.maximum(smaller, 1) ** (2 / 3))
    return np.stack([np.ones(len(share)), above, share, orphan.astype(np.float64)], axis=1)


LIKELIHOOD = Likelihood(merge=(0.0, -10.0, 0.0, 0.0), split=(0.0, 10.0, 0.0, 0.0))
