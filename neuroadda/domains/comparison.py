"""A source and a target compared by the MMD^2 of their features: how far, and how surely."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from neuroadda.config import Config
from neuroadda.domains.baselines import frechet_distance
from neuroadda.domains.inference import bootstrap_mmd2, percentile_interval, permutation_test
from neuroadda.domains.mmd import Bandwidth, choose_bandwidths, mmd2
from neuroadda.zoo.embeddings import Embedding, NetworkRole, Pooling, check_comparable


class MmdConfig(Config):
    """How the MMD^2 of a source and a target is estimated.

    Attributes
    ----------
    network
        Which network's features are compared: each source's "own", or for all a common "reference", the zoo's
        generalist.
    pooling
        How the features of a patch become one vector.
    bandwidth
        Bandwidth of the kernel: the "median" distance in the pooled sample, or "multi": the mean of kernels of a quarter to four
        times that.
    unbiased
        The unbiased estimator of MMD^2 between spatial blocks, or the biased one of all patches; see
        `neuroadda.domains.mmd.mmd2`.
    permutations
        How many permutations the test of the p-value makes.
    resamples
        How many bootstrap samples the intervals are taken from.
    level
        Confidence level of the intervals.
    seed
        Seed of permutations and bootstrap.
    """

    network: NetworkRole = "own"
    pooling: Pooling = "max"
    bandwidth: Bandwidth = "multi"
    unbiased: bool = True
    permutations: Annotated[int, Field(gt=0, le=10**7)] = 1000
    resamples: Annotated[int, Field(gt=0, le=10**7)] = 2000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Comparison:
    """How far a source is from a target.

    Attributes
    ----------
    mmd2
        The estimate.
    resamples
        float64 (R,): bootstrap over spatial blocks.
    blocks
        How many spatial blocks the smaller sample has.
    p
        Of the permutation test of spatial blocks: that both are of one domain.
    frechet
        Frechet distance of the same features.
    """

    mmd2: float
    resamples: np.ndarray
    blocks: int
    p: float
    frechet: float

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of MMD^2."""
        return percentile_interval(self.resamples, self.blocks, level)

    def gap(self, other: "Comparison", level: float) -> tuple[float, float]:
        """Return how much farther `other` is by the MMD, and the lower end of its interval.

        The difference is taken resample by resample: the target's blocks are the same.
        """
        differences = to_mmd(other.resamples) - to_mmd(self.resamples)
        low, _ = percentile_interval(differences, min(self.blocks, other.blocks), level)
        return float(to_mmd(other.mmd2) - to_mmd(self.mmd2)), low


def compare_embeddings(target: Embedding, source: Embedding, config: MmdConfig, name: str) -> Comparison:
    """Compare the features of a target and of a source, both by one network.

    Raises
    ------
    UserError
        If they are not comparable, or one has fewer than three spatial blocks.
    """
    check_comparable(target, source, name)
    x, y, x_blocks, y_blocks = target.features, source.features, target.blocks, source.blocks
    widths, seed = choose_bandwidths(target.features, source.features, config.bandwidth, config.seed), config.seed
    value = estimate_mmd2(target, source, config)
    # the bootstrap is of the unbiased estimator, whose resamples centre on it
    shift = 0.0 if config.unbiased else value - mmd2(x, y, widths, x_blocks=x_blocks, y_blocks=y_blocks, seed=seed)
    return Comparison(
        value,
        bootstrap_mmd2(x, y, x_blocks, y_blocks, widths, resamples=config.resamples, seed=seed) + shift,
        min(len(np.unique(x_blocks)), len(np.unique(y_blocks))),
        permutation_test(
            x, y, widths, x_blocks=x_blocks, y_blocks=y_blocks, permutations=config.permutations, seed=seed
        ),
        frechet_distance(x, y),
    )


def estimate_mmd2(target: Embedding, source: Embedding, config: MmdConfig) -> float:
    """Return MMD^2 of two embeddings by the bandwidth and estimator of `config`."""
    x_blocks, y_blocks = (target.blocks, source.blocks) if config.unbiased else (None, None)
    return mmd2(
        target.features,
        source.features,
        choose_bandwidths(target.features, source.features, config.bandwidth, config.seed),
        config.unbiased,
        x_blocks=x_blocks,
        y_blocks=y_blocks,
        seed=config.seed,
    )


def to_mmd(mmd2: ArrayLike) -> np.ndarray:
    """Return the root of MMD^2, and 0 where that is below."""
    return np.sqrt(np.maximum(mmd2, 0))
