"""Distances between many domains at once, from features of their patches, and how sure they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuroadda.domains.distances import DistanceMatrix
from neuroadda.domains.inference import draw_blocks
from neuroadda.domains.kernel import sum_pairs
from neuroadda.domains.mmd import Bandwidth, choose_bandwidths
from neuroadda.errors import UserError
from neuroadda.zoo.embeddings import Embedding, check_comparable


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances between domains, and how sure they are.

    Attributes
    ----------
    matrix
        MMD, see `DistanceMatrix.from_mmd2`.
    resampled
        float64[resamples, n, n]: MMD of domains whose spatial blocks were drawn with replacement.
    bandwidths
        Of the kernel.
    """

    matrix: DistanceMatrix
    resampled: np.ndarray
    bandwidths: tuple[float, ...]


def measure_distances(
    embeddings: Mapping[str, Embedding], bandwidth: Bandwidth = "median", resamples: int = 1000, seed: int = 0
) -> Distances:
    """Return the MMD of all pairs of domains, embedded by one network in one way, and of bootstrap resamples.

    One kernel serves all pairs, or their distances were not of one space. As in `mmd.mmd2` with blocks, only pairs of
    patches of different spatial blocks count; the sums between all blocks of all domains are taken once, and each
    distance and resample is a quadratic form of them.

    Parameters
    ----------
    bandwidth
        Of the kernel: the "median" distance in the pooled sample of all domains, or "multi": the mean of kernels of a
        quarter to four times that.
    resamples, seed
        Of the bootstrap over spatial blocks.

    Raises
    ------
    UserError
        If there are fewer than two domains, embeddings are not comparable, or have fewer than three blocks.
    """
    names, samples = tuple(embeddings), list(embeddings.values())
    if len(names) < 2:
        raise UserError(f"{len(names)} domains have no distances", "domains", "give at least two")
    blocks, count = [], 0
    for name, sample in zip(names, samples, strict=True):
        check_comparable(samples[0], sample, name)
        numbers = np.unique(sample.blocks, return_inverse=True)[1]
        if numbers.max() < 2:
            raise UserError(f"{numbers.max() + 1} spatial blocks give no bootstrap", name, "at least three are needed")
        blocks.append(numbers + count)
        count += int(numbers.max()) + 1
    widths = _bandwidths(samples, bandwidth, seed)
    features = np.concatenate([sample.features for sample in samples])
    split = len(features) // 2
    sums = sum_pairs(features[:split], features[split:], np.concatenate(blocks), widths, seed=seed)
    # how often each block counts: once, then in every resample as often as it was drawn
    weights = np.zeros((len(names), 1 + resamples, count))
    for i, numbers in enumerate(blocks):
        first, size = int(numbers.min()), int(np.ptp(numbers)) + 1
        weights[i, 0, first : first + size] = 1
        weights[i, 1:, first : first + size] = draw_blocks(size, resamples, np.random.default_rng((seed, i)))
    mmd2 = np.zeros((1 + resamples, len(names), len(names)))
    for i in range(len(names)):
        for j in range(i):
            mmd2[:, i, j] = mmd2[:, j, i] = sums.mmd2_between_groups(weights[i], weights[j])
    return Distances(DistanceMatrix.from_mmd2(names, mmd2[0]), np.sqrt(np.maximum(mmd2[1:], 0)), widths)


def _bandwidths(samples: Sequence[Embedding], bandwidth: Bandwidth, seed: int) -> tuple[float, ...]:
    """The median over the pooled sample, to which each domain gives as many patches."""
    rng = np.random.default_rng(seed)
    least = min(len(sample.features) for sample in samples)
    drawn = [sample.features[rng.permutation(len(sample.features))[:least]] for sample in samples]
    return choose_bandwidths(np.concatenate(drawn[:1]), np.concatenate(drawn[1:]), bandwidth, seed)
