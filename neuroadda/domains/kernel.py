"""The kernel, a mean of Gaussians; its sums over pairs of patches; and the MMD^2 between groups that follows from them.

All that MMD needs of two samples are sums of kernel values between groups of points, so these are computed once, in one
pass over the pooled points: exactly by tiles, or by random Fourier features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuroadda.errors import UserError

Method = Literal["auto", "exact", "random_features"]

EXACT_LIMIT = 20_000  # points a sample above which "auto" is random features
MAX_GROUPS = 4096  # the sums between groups are a matrix of this size squared, in float64
TILE = 1024  # 4 MB of float32: in cache, and a product large enough to share between threads
FREQUENCIES = 2048


@dataclass(frozen=True, eq=False)
class PairSums:
    """Sums of kernel values over pairs of distinct points, group by group.

    Attributes
    ----------
    values
        float64[G, G], symmetric: sum of k(i, j) over i in group g, j in group h, i != j.
    sizes
        int64[G]: points of each group.
    """

    values: np.ndarray
    sizes: np.ndarray

    def mmd2_between_groups(self, in_x: np.ndarray, in_y: np.ndarray | None = None) -> np.ndarray:
        """Return MMD^2 of samples made of whole groups, from pairs of points of different groups only.

        This is the unbiased estimator (Gretton et al. 2012, eq. 3) where points of different groups are independent and
        points of one group are not: as that leaves out the pair of a point with itself, this leaves out the pairs
        inside a group (and those between copies of a group that is in a sample twice). With one point a group the two
        are the same.

        Parameters
        ----------
        in_x, in_y
            float64[R, G]: how many times each group is in either sample (0, 1, ...), in each of R cases; no group is in
            both. Without `in_y`, y is each group once that is not in x, which takes half the time.

        Returns
        -------
        np.ndarray
            float64[R]; NaN where a sample has fewer than two different groups.
        """
        inside = np.diagonal(self.values)
        to_x = in_x @ self.values
        xx = (to_x * in_x).sum(1) - in_x**2 @ inside
        if in_y is None:
            in_y = 1 - in_x
            xy = (to_x * in_y).sum(1)
            yy = self.values.sum() - inside.sum() - xx - 2 * xy
        else:
            xy = (to_x * in_y).sum(1)
            yy = ((in_y @ self.values) * in_y).sum(1) - in_y**2 @ inside
        points_x, points_y = in_x * self.sizes, in_y * self.sizes
        n, m = points_x.sum(1), points_y.sum(1)
        with np.errstate(invalid="ignore"):
            return xx / (n**2 - (points_x**2).sum(1)) + yy / (m**2 - (points_y**2).sum(1)) - 2 * xy / (n * m)


def gaussian_kernel(x: np.ndarray, y: np.ndarray, bandwidths: Sequence[float]) -> np.ndarray:
    """Return the mean over bandwidths s of ``exp(-||x - y||^2 / (2 s^2))``, as float32[n, m], of float32[n, F] and [m, F].

    Distances come from one matrix product, so both should lie about the origin: rounding grows with their norms.
    """
    exponents = x @ y.T
    exponents -= 0.5 * np.einsum("ij,ij->i", x, x)[:, None]
    exponents -= 0.5 * np.einsum("ij,ij->i", y, y)[None]
    np.minimum(exponents, 0, out=exponents)
    if len(bandwidths) == 1:
        exponents *= np.float32(bandwidths[0] ** -2)
        return np.exp(exponents, out=exponents)
    total, term = np.zeros_like(exponents), np.empty_like(exponents)
    for s in bandwidths:
        np.multiply(exponents, np.float32(s**-2), out=term)
        total += np.exp(term, out=term)
    total /= np.float32(len(bandwidths))
    return total


def sum_pairs(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    bandwidths: float | Sequence[float],
    *,
    method: Method = "auto",
    frequencies: int = FREQUENCIES,
    seed: int = 0,
    tile: int = TILE,
) -> PairSums:
    """Sum the kernel over the pairs of two pooled samples, group by group.

    Parameters
    ----------
    x, y
        float32[n, F], float32[m, F].
    groups
        int[n + m]: the group of each point of x, then of y; dense numbers from 0.
    bandwidths
        One, or several whose kernels are averaged.
    method
        "exact" takes time n m F and the memory of some tiles. "random_features" (Rahimi and Recht 2007) takes time
        (n + m) F `frequencies` and has a relative error of the order of 1 / sqrt(frequencies). "auto" is exact up to
        20,000 points a sample.
    frequencies
        Of random features, each one a cosine and a sine.
    seed
        Of the frequencies; the same seed, bandwidths and F give the same ones.
    tile
        Points a side of a tile.

    Raises
    ------
    UserError
        If a bandwidth is not positive and finite, or so small that distances overflow, or there are too many groups.
    """
    widths = check_bandwidths(bandwidths)
    if method not in ("auto", "exact", "random_features"):
        raise UserError(f"no method {method!r}", "method", "auto, exact or random_features")
    if frequencies < 1:
        raise UserError(f"{frequencies} frequencies", "frequencies", "give at least one")
    sizes = np.bincount(groups)
    if len(sizes) > MAX_GROUPS:
        raise UserError(f"{len(sizes)} blocks are too many", "blocks", f"give at most {MAX_GROUPS}, so larger ones")
    scale = max(widths)
    points = np.concatenate((x, y))
    points -= points.mean(0, dtype=np.float64).astype(np.float32)
    points /= np.float32(scale)
    widths = tuple(s / scale for s in widths)
    if (np.diff(groups) < 0).any():
        points = points[np.argsort(groups, kind="stable")]
    if method == "auto":
        method = "exact" if max(len(x), len(y)) <= EXACT_LIMIT else "random_features"
    with np.errstate(over="ignore", invalid="ignore"):
        if method == "exact":
            values = _sum_by_tiles(points, sizes, widths, tile)
        else:
            drawn = _draw_frequencies(points.shape[1], widths, frequencies, seed)
            values = _sum_by_features(points, sizes, drawn, tile)
    if not np.isfinite(values).all():
        raise UserError(f"bandwidth {scale:g} is nothing beside the features", "bandwidths", "give a larger one")
    return PairSums(values, sizes)


def check_bandwidths(bandwidths: float | Sequence[float]) -> tuple[float, ...]:
    """Return the bandwidths as a tuple.

    Raises
    ------
    UserError
        If there is none, or one is not positive and finite.
    """
    widths = tuple(float(s) for s in np.atleast_1d(np.asarray(bandwidths, np.float64)))
    wrong = [s for s in widths if not (np.isfinite(s) and s > 0)]
    if wrong or not widths:
        raise UserError(f"bandwidth {wrong[0] if wrong else 'missing'}", "bandwidths", "give positive, finite numbers")
    return widths


def _sum_by_tiles(points: np.ndarray, sizes: np.ndarray, widths: Sequence[float], tile: int) -> np.ndarray:
    starts = np.cumsum(sizes) - sizes
    values = np.zeros((len(sizes), len(sizes)))
    for i in range(0, len(points), tile):
        rows, row_starts = _groups_within(starts, i, i + tile)
        for j in range(i, len(points), tile):
            columns, column_starts = _groups_within(starts, j, j + tile)
            kernel = gaussian_kernel(points[i : i + tile], points[j : j + tile], widths)
            if i == j:
                np.fill_diagonal(kernel, 0)
            sums = np.add.reduceat(kernel, column_starts, axis=1).astype(np.float64)  # pairwise: float32 is enough here
            sums = np.add.reduceat(sums, row_starts, axis=0)
            if i == j:
                values[rows, columns] += (sums + sums.T) / 2  # which rounding tells apart
            else:
                values[rows, columns] += sums
                values[columns, rows] += sums.T
    return values


def _sum_by_features(points: np.ndarray, sizes: np.ndarray, frequencies: np.ndarray, chunk: int) -> np.ndarray:
    starts = np.cumsum(sizes) - sizes
    cosines, sines = np.zeros((2, len(frequencies), len(sizes)))
    for i in range(0, len(points), chunk):
        groups, group_starts = _groups_within(starts, i, i + chunk)
        angles = frequencies @ points[i : i + chunk].T
        cosines[:, groups] += np.add.reduceat(np.cos(angles), group_starts, axis=1)
        sines[:, groups] += np.add.reduceat(np.sin(angles, out=angles), group_starts, axis=1)
    values = (cosines.T @ cosines + sines.T @ sines) / len(frequencies)
    values[np.diag_indices(len(sizes))] -= sizes  # of a point with itself: cos^2 + sin^2
    return values


def _draw_frequencies(features: int, widths: Sequence[float], count: int, seed: int) -> np.ndarray:
    """Draw float32[about count, F] from the kernel's spectrum, orthogonal in sets of F, which lowers the variance.

    Yu et al. 2016, "Orthogonal random features"; each bandwidth gets the same number.
    """
    rng = np.random.default_rng(seed)
    each = -(-count // len(widths))
    sets = []
    for s in widths:
        for first in range(0, each, features):
            directions = np.linalg.qr(rng.standard_normal((features, features)))[0].T
            lengths = np.sqrt(rng.chisquare(features, (features, 1)))
            sets.append((directions * lengths / s)[: each - first])
    return np.concatenate(sets).astype(np.float32)


def _groups_within(starts: np.ndarray, start: int, stop: int) -> tuple[slice, np.ndarray]:
    """Return the groups that points ``start:stop`` belong to, and where in there each begins."""
    first = int(np.searchsorted(starts, start, side="right")) - 1
    last = int(np.searchsorted(starts, stop, side="left"))
    return slice(first, last), np.maximum(starts[first:last] - start, 0)
