"""From predictions to uncertainty, voxel by voxel, and from voxels to cells; arrays in, arrays out.

A score of 0 to 1 is a uint16 of 0 to 65535 (`FULL`), so that its sums are exact in any order.
"""

import math
from collections.abc import Iterable

import numpy as np

from neuroadda.config import Zyx
from neuroadda.segmentation.edges import collect_edges

FULL = 65535
BINS = 16
CERTAIN = 255  # the uint8 of affinity 1


def binary_entropy(probability: np.ndarray) -> np.ndarray:
    """Return the entropy (float64, bits) of yes-or-no events of these probabilities (0 to 1): 1 at one half."""
    yes = np.asarray(probability, np.float64)
    no = 1 - yes
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -(yes * np.log2(yes) + no * np.log2(no))
    return np.where((yes <= 0) | (no <= 0), 0.0, entropy)


def score_entropy(affs: np.ndarray) -> np.ndarray:
    """Return the mean over the channels of the binary entropy of each affinity.

    Parameters
    ----------
    affs
        uint8, shape (c, z, y, x).

    Returns
    -------
    np.ndarray
        uint16 score, shape (z, y, x).
    """
    table = np.rint(binary_entropy(np.arange(CERTAIN + 1) / CERTAIN) * FULL).astype(np.uint32)
    total = np.zeros(affs.shape[1:], np.uint32)
    for channel in affs:
        total += table[channel]
    return np.rint(total / len(affs)).astype(np.uint16)


def score_variance(members: Iterable[np.ndarray]) -> np.ndarray:
    """Return four times the variance of the affinities over several predictions (1 if half say 0 and half 1), mean over channels.

    Parameters
    ----------
    members
        At least one; each uint8, shape (c, z, y, x). They are taken one after another, so that they may be made on the way.

    Returns
    -------
    np.ndarray
        uint16 score, shape (z, y, x).
    """
    count, total, squares = 0, np.zeros((), np.int64), np.zeros((), np.int64)
    for member in members:
        values = member.astype(np.int64)
        total, squares, count = total + values, squares + values**2, count + 1
    spread = (count * squares - total**2).sum(axis=0)  # in whole numbers: equal predictions give exactly 0
    return np.rint(spread * (4 * FULL / (count**2 * CERTAIN**2 * len(total)))).astype(np.uint16)


def score_ambiguity(affs: np.ndarray, fragments: np.ndarray) -> np.ndarray:
    """Return how undecided it is whether touching fragments are one: the binary entropy of the mean affinity between them.

    Parameters
    ----------
    affs
        uint8, shape (3, z, y, x): the nearest neighbours in z, y, x.
    fragments
        Shape (z, y, x), ids below 2^32; 0 for nothing.

    Returns
    -------
    np.ndarray
        uint16 score, shape (z, y, x), of the voxels on both sides where two fragments touch (the most undecided pair counts); 0
        elsewhere.
    """
    edges = collect_edges(affs, fragments)
    score = np.zeros(fragments.shape, np.uint16)
    if len(edges.u) == 0:
        return score
    keys = edges.u << np.uint64(32) | edges.v  # ascending, as (u, v) are
    doubt = np.rint(binary_entropy(edges.mean) * FULL).astype(np.uint16)
    ids = fragments.astype(np.uint64)
    for axis in range(3):
        lower, upper = (
            tuple(part if a == axis else slice(None) for a in range(3)) for part in (slice(None, -1), slice(1, None))
        )
        a, b = ids[lower], ids[upper]
        touching = (a != b) & (a > 0) & (b > 0)
        u, v = np.minimum(a, b)[touching], np.maximum(a, b)[touching]
        values = doubt[np.searchsorted(keys, u << np.uint64(32) | v)]
        for side in (lower, upper):
            score[side][touching] = np.maximum(score[side][touching], values)
    return score


def reduce_to_cells(score: np.ndarray, tissue: np.ndarray, cell_vx: Zyx, histogram: bool = False) -> np.ndarray:
    """Return what is known of every cell.

    Parameters
    ----------
    score
        uint16, shape (z, y, x).
    tissue
        bool, of the same shape: the voxels that count.
    cell_vx
        Shape of a cell, zyx. Cells begin at the array's first voxel; the last ones may be cut by its end.
    histogram
        Whether the scores' distribution is wanted.

    Returns
    -------
    np.ndarray
        uint16 of 0 to 65535 for 0 to 1, shape (2 or 2 + BINS, ceil(shape / cell_vx)): mean score of the tissue; tissue as a part of
        the whole cell, of which what is cut off is none, rounded down, so that 65535 is tissue throughout; and the parts of the
        tissue with a score in each of BINS equal bins, which add up to 65535 where there is tissue.
    """
    places = [np.arange(n) // c for n, c in zip(score.shape, cell_vx, strict=True)]
    shape = tuple(int(p[-1]) + 1 for p in places)
    cells = ((places[0][:, None, None] * shape[1] + places[1][:, None]) * shape[2] + places[2])[tissue]
    size, values = int(np.prod(shape)), score[tissue]
    count = np.bincount(cells, minlength=size)
    known = np.maximum(count, 1)
    mean = np.bincount(cells, weights=values, minlength=size) / known  # float64 sums of whole numbers: exact
    channels = [np.rint(mean), count * FULL // math.prod(cell_vx)]
    if histogram:
        bins = values.astype(np.int64) * BINS // (FULL + 1)
        counts = np.bincount(cells * BINS + bins, minlength=size * BINS).reshape(size, BINS)
        # Rounding what has come together so far, and not each part, keeps the sum.
        reached = np.rint(np.cumsum(counts, axis=1) * FULL / known[:, None])
        channels.extend(np.diff(reached, axis=1, prepend=0).T)
    return np.stack(channels).astype(np.uint16).reshape(-1, *shape)
