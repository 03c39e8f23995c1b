"""Is MMD^2 more than chance, and how sure is it: permutations and bootstrap, by patch or by spatial block."""

import zlib
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, stdtrit  # scipy.stats takes half a second to import

from neuroadda.domains.kernel import FREQUENCIES, Method, sum_pairs
from neuroadda.domains.samples import check_blocks, check_samples
from neuroadda.errors import UserError

MAX_PATCHES = 2000
ROUNDING = 1e-10  # of MMD^2 in float64: equal splits of the points tie
AT_ONCE = 1000


def permutation_test(
    x: np.ndarray,
    y: np.ndarray,
    bandwidths: float | Sequence[float],
    *,
    x_blocks: np.ndarray | None = None,
    y_blocks: np.ndarray | None = None,
    permutations: int = 1000,
    seed: int = 0,
    max_patches: int = MAX_PATCHES,
    method: Method = "auto",
    frequencies: int = FREQUENCIES,
) -> float:
    """Return the p-value of "both samples are of one domain": (1 + #{permuted >= observed}) / (1 + permutations).

    Without blocks, single patches are exchanged between the samples. That is calibrated where patches are independent
    of each other; neighbouring patches of a volume are not, and then equal domains are called different far too often.
    A sample of more than `max_patches` is cut down to a seeded draw of as many, and p is that of the draw.

    With blocks, whole blocks are exchanged and MMD^2 is that between blocks (see `mmd.mmd2`). That is calibrated where
    blocks are exchangeable, however dependent patches are inside a block, so blocks should be larger than the distance
    over which the tissue is alike. All patches are used. G and H blocks can be split in only (G + H)! / (G! H!) ways,
    so few of them cannot give a small p: 4 and 4 no less than 1/70, 8 and 8 no less than 1/12870.

    Neither asks whether two domains differ as domains: a volume is one draw of its domain, and two volumes of one
    tissue differ too.

    Parameters
    ----------
    x, y
        float32[n, F], float32[m, F]: features of patches.
    bandwidths
        See `mmd.mmd2`. They should not depend on which patch is in which sample: a median over the pooled sample does not.
    x_blocks, y_blocks
        int[n], int[m]: the spatial block of each patch, or neither.
    permutations, seed
        How many, and of which seed.
    max_patches
        Of a sample, where patches are exchanged.
    method, frequencies
        See `kernel.sum_pairs`; where patches are exchanged the kernel is exact.

    Raises
    ------
    UserError
        If the samples cannot be compared, or a sample has fewer than two blocks, or blocks are of one sample only.
    """
    x, y = check_samples(x, y)
    if permutations < 1:
        raise UserError(f"{permutations} permutations", "permutations", "give at least one")
    rng = np.random.default_rng(seed)
    if x_blocks is not None and y_blocks is not None:
        groups = check_blocks(x, y, x_blocks, y_blocks)
    elif x_blocks is not None or y_blocks is not None:
        raise UserError("one sample has blocks, the other has none", "blocks", "give both or neither")
    else:
        if not 2 <= max_patches <= MAX_PATCHES:
            raise UserError(f"{max_patches} patches", "max_patches", f"give 2 to {MAX_PATCHES}")
        x, y = (rng.permutation(sample)[:max_patches] if len(sample) > max_patches else sample for sample in (x, y))
        groups, method = np.arange(len(x) + len(y)), "exact"
    sums = sum_pairs(x, y, groups, bandwidths, method=method, frequencies=frequencies, seed=seed)
    in_x = (np.arange(len(sums.sizes)) <= groups[: len(x)].max()).astype(np.float64)[None]
    observed = sums.mmd2_between_groups(in_x)[0]
    reached = 0
    for done in range(0, permutations, AT_ONCE):
        permuted = rng.permuted(in_x.repeat(min(AT_ONCE, permutations - done), axis=0), axis=1)
        reached += int((sums.mmd2_between_groups(permuted) >= observed - ROUNDING).sum())
    return (1 + reached) / (1 + permutations)


def bootstrap_mmd2(
    x: np.ndarray,
    y: np.ndarray,
    x_blocks: np.ndarray,
    y_blocks: np.ndarray,
    bandwidths: float | Sequence[float],
    *,
    resamples: int = 2000,
    seed: int = 0,
    method: Method = "auto",
    frequencies: int = FREQUENCIES,
) -> np.ndarray:
    """Return MMD^2 between blocks (see `mmd.mmd2`) of resamples: blocks of either sample, drawn with replacement.

    Kernel values are summed between blocks once; a resample is a small quadratic form of how often each block was drawn.
    A block drawn twice is paired with its copy nowhere: those pairs hold each patch beside itself (kernel 1) and its
    neighbours, and would lift every resample above the estimate. So resamples centre on the estimate. A resample that
    draws one block alone has no pairs and is drawn again.

    Draws of x depend only on the seed and x's blocks, so with one target as x, resample r is of the same target blocks
    for every source: differences between sources can be taken resample by resample. Draws of y depend on y's features
    too, as two sources share none of their blocks.

    Returns
    -------
    np.ndarray
        float64[resamples].

    Raises
    ------
    UserError
        If the samples cannot be compared or one has fewer than three blocks.
    """
    x, y = check_samples(x, y)
    groups = check_blocks(x, y, x_blocks, y_blocks)
    if resamples < 1:
        raise UserError(f"{resamples} resamples", "resamples", "give at least one")
    x_count = int(groups[: len(x)].max()) + 1
    y_count = int(groups.max()) + 1 - x_count
    for count, where in ((x_count, "sample x"), (y_count, "sample y")):
        if count < 3:
            raise UserError(f"{count} spatial blocks give no bootstrap", where, "draw patches from at least three")
    sums = sum_pairs(x, y, groups, bandwidths, method=method, frequencies=frequencies, seed=seed)
    draws = (
        draw_blocks(x_count, resamples, np.random.default_rng((seed, 0))),
        draw_blocks(y_count, resamples, np.random.default_rng((seed, 1, zlib.crc32(y.data)))),
    )
    in_x = np.pad(draws[0], ((0, 0), (0, y_count)))
    in_y = np.pad(draws[1], ((0, 0), (x_count, 0)))
    return sums.mmd2_between_groups(in_x, in_y)


def bootstrap_interval(
    x: np.ndarray,
    y: np.ndarray,
    x_blocks: np.ndarray,
    y_blocks: np.ndarray,
    bandwidths: float | Sequence[float],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    method: Method = "auto",
    frequencies: int = FREQUENCIES,
) -> tuple[float, float]:
    """Return the interval that holds MMD^2 with probability `level`, by bootstrap over spatial blocks.

    The `percentile_interval` of `bootstrap_mmd2`. It speaks of where in these volumes patches were drawn, not of other
    volumes of the domain. Where domains hardly differ it is too wide rather than too narrow.

    Raises
    ------
    UserError
        As `bootstrap_mmd2`, or if the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise UserError(f"level {level}", "level", "give a number between 0 and 1")
    values = bootstrap_mmd2(
        x, y, x_blocks, y_blocks, bandwidths, resamples=resamples, seed=seed, method=method, frequencies=frequencies
    )
    return percentile_interval(values, min(len(np.unique(x_blocks)), len(np.unique(y_blocks))), level)


def percentile_interval(values: np.ndarray, blocks: int, level: float) -> tuple[float, float]:
    """Return percentiles of bootstrap resamples, expanded for the number of blocks of the smaller sample.

    Resamples of G blocks spread by too little, as sqrt((G - 1) / G), and normal quantiles stand for Student's; so further
    percentiles are taken (Hesterberg 2015, "What teachers should know about the bootstrap", section 5.3).
    """
    tail = float(ndtr(np.sqrt(blocks / (blocks - 1)) * stdtrit(blocks - 1, (1 - level) / 2)))
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)


def draw_blocks(count: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return float64[resamples, count]: how often each block is drawn, at least two different ones each time."""
    draws = rng.multinomial(count, np.full(count, 1 / count), resamples)
    while (alone := (draws == count).any(1)).any():
        draws[alone] = rng.multinomial(count, np.full(count, 1 / count), int(alone.sum()))
    return draws.astype(np.float64)
