"""Squared maximum mean discrepancy: how far two samples of features are from each other.

Gretton et al. 2012, "A kernel two-sample test", with a mean of Gaussian kernels.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.spatial.distance import pdist

from neuroadda.domains.kernel import FREQUENCIES, Method, sum_pairs
from neuroadda.domains.samples import check_blocks, check_samples
from neuroadda.errors import UserError

Bandwidth = Literal["median", "multi"]
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
MEDIAN_PAIRS = 200_000


def mmd2(
    x: np.ndarray,
    y: np.ndarray,
    bandwidths: float | Sequence[float],
    unbiased: bool = True,
    *,
    x_blocks: np.ndarray | None = None,
    y_blocks: np.ndarray | None = None,
    method: Method = "auto",
    frequencies: int = FREQUENCIES,
    seed: int = 0,
) -> float:
    """Return MMD^2 of two samples.

    Parameters
    ----------
    x, y
        float32[n, F], float32[m, F]: features of patches.
    bandwidths
        Of the Gaussian kernel, in units of the features; of several, the kernels are averaged (see `median_bandwidth`
        and `spread_bandwidths`).
    unbiased
        Eq. 3, whose mean over draws is MMD^2, so it falls below zero where the domains hardly differ; else eq. 5, which
        is never negative and too large by the order of 1 / n.
    x_blocks, y_blocks
        int[n], int[m]: the spatial block of each patch. Patches of one block are alike because they are neighbours,
        which makes the plain estimator too large by some 1 / (number of blocks). With blocks, the pairs inside a block
        are left out as the pair of a patch with itself is, which is unbiased where blocks are independent, and what
        `inference.bootstrap_interval` gives an interval of.
    method, frequencies, seed
        See `kernel.sum_pairs`.

    Raises
    ------
    UserError
        If the samples cannot be compared (different F, NaN, fewer than two patches), or blocks come with the biased
        estimator or for one sample only, or a bandwidth is not positive.
    """
    x, y = check_samples(x, y)
    n, m = len(x), len(y)
    if x_blocks is not None and y_blocks is not None:
        if not unbiased:
            raise UserError("the biased estimator takes no blocks", "mmd2", "leave out either")
        groups = check_blocks(x, y, x_blocks, y_blocks)
        sums = sum_pairs(x, y, groups, bandwidths, method=method, frequencies=frequencies, seed=seed)
        in_x = (np.arange(len(sums.sizes)) <= groups[:n].max()).astype(np.float64)[None]
        return float(sums.mmd2_between_groups(in_x)[0])
    if x_blocks is not None or y_blocks is not None:
        raise UserError("one sample has blocks, the other has none", "blocks", "give both or neither")
    groups = np.repeat((0, 1), (n, m))
    sums = sum_pairs(x, y, groups, bandwidths, method=method, frequencies=frequencies, seed=seed)
    (xx, xy), (_, yy) = sums.values
    if unbiased:
        return float(xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m))
    return float((xx + n) / n**2 + (yy + m) / m**2 - 2 * xy / (n * m))  # the kernel of a point with itself is 1


def median_bandwidth(x: np.ndarray, y: np.ndarray, seed: int = 0) -> float:
    """Return the median distance between two points of the pooled sample (Gretton et al. 2012, section 8).

    Of all pairs where these are at most 200,000, else of as many pairs drawn with `seed`, which puts the bandwidth
    within some 0.3 % of that of all pairs' quantiles.

    Raises
    ------
    UserError
        If the samples cannot be compared, or more than half of the pairs are of equal points.
    """
    pooled = np.concatenate(check_samples(x, y))
    n = len(pooled)
    if n * (n - 1) // 2 <= MEDIAN_PAIRS:
        distances = pdist(pooled)
    else:
        rng = np.random.default_rng(seed)
        first = rng.integers(0, n, MEDIAN_PAIRS)
        second = (first + rng.integers(1, n, MEDIAN_PAIRS)) % n
        steps = [slice(i, i + 4096) for i in range(0, MEDIAN_PAIRS, 4096)]
        distances = np.concatenate([np.linalg.norm(pooled[first[s]] - pooled[second[s]], axis=1) for s in steps])
    bandwidth = float(np.median(distances))
    if bandwidth <= 0:
        raise UserError("most patches have equal features", "median bandwidth", "is the embedding or the mask empty?")
    return bandwidth


def choose_bandwidths(x: np.ndarray, y: np.ndarray, bandwidth: Bandwidth, seed: int = 0) -> tuple[float, ...]:
    """Return the "median" distance in the pooled sample, or for "multi" a quarter to four times that."""
    median = median_bandwidth(x, y, seed)
    return (median,) if bandwidth == "median" else spread_bandwidths(median)


def spread_bandwidths(bandwidth: float, factors: Sequence[float] = FACTORS) -> tuple[float, ...]:
    """Return several bandwidths about one, so that differences of other scales than the median distance count too."""
    return tuple(bandwidth * factor for factor in factors)
