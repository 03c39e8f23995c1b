"""Hierarchical agglomeration of a region adjacency graph by mean affinity, as a merge score for every edge.

The pair of regions with the highest mean affinity is merged first, and the statistics of edges that become parallel are added
(waterz: Funke et al. 2019, doi:10.1109/TPAMI.2018.2835450, with `OneMinus<MeanAffinity>`). The score of an edge is the smallest
threshold at which its two ends are one region; cutting all edges at a threshold then gives that threshold's segmentation.
"""

import heapq

import numba
import numpy as np

UNMERGED = np.float32(2.0)


def score_edges(
    u: np.ndarray, v: np.ndarray, sum_: np.ndarray, count: np.ndarray, limit: float, wanted: np.ndarray | None = None
) -> np.ndarray:
    """Return float32 merge scores (1 - affinity), `UNMERGED` where the ends never join below `limit`.

    Parameters
    ----------
    u, v
        Region ids of any size, one row an edge; a pair appears once.
    sum_, count
        Affinity sum (float64) and number (int64) of each edge.
    limit
        Scores at or above it are not computed: merging stops there.
    wanted
        bool, the edges whose scores are returned (all by default).
    """
    if len(u) == 0:
        return np.zeros(0, np.float32)
    ids, dense = np.unique(np.concatenate([u, v]), return_inverse=True)
    first, second = dense[: len(u)].astype(np.int64), dense[len(u) :].astype(np.int64)
    parent, height = _merge(len(ids), first, second, sum_.astype(np.float64), count.astype(np.float64), limit)
    chosen = np.ones(len(u), bool) if wanted is None else wanted
    return _join_heights(parent, height, first[chosen], second[chosen])


@numba.njit(cache=True)
def _merge(
    n: int, u: np.ndarray, v: np.ndarray, sum_: np.ndarray, count: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover - compiled
    """Merge greedily; return a forest (parent, height of the link to it) in which links rise towards the root."""
    edges = len(u)
    a, b = u.copy(), v.copy()
    total, number = sum_.copy(), count.copy()
    version = np.zeros(edges, np.int64)
    alive = np.ones(edges, np.bool_)
    # Edges of a region are a linked list over half-edges: 2 e belongs to a[e], 2 e + 1 to b[e].
    head = np.full(n, -1, np.int64)
    tail = np.full(n, -1, np.int64)
    degree = np.zeros(n, np.int64)
    next_ = np.full(2 * edges, -1, np.int64)
    lookup = numba.typed.Dict.empty(numba.int64, numba.int64)
    heap = [(0.0, np.int64(0), np.int64(0)) for _ in range(0)]  # typed, and empty
    for e in range(edges):
        for half, region in ((2 * e, a[e]), (2 * e + 1, b[e])):
            if head[region] < 0:
                head[region] = half
            else:
                next_[tail[region]] = half
            tail[region] = half
            degree[region] += 1
        lookup[min(a[e], b[e]) * n + max(a[e], b[e])] = e
        score = 1.0 - total[e] / number[e]
        if score < limit:
            heap.append((score, np.int64(e), np.int64(0)))
    heapq.heapify(heap)

    parent = np.arange(n)
    height = np.full(n, np.inf)
    size = np.ones(n, np.int64)
    top = np.arange(n)  # region -> root of its tree in the forest
    risen = np.zeros(n)  # region -> greatest height inside it

    while len(heap) > 0:
        score, e, stamp = heapq.heappop(heap)  # type: ignore[assignment]
        if not alive[e] or version[e] != stamp:
            continue
        keep, gone = a[e], b[e]
        if degree[keep] < degree[gone]:
            keep, gone = gone, keep
        alive[e] = False
        level = max(score, risen[keep], risen[gone])
        low, high = top[gone], top[keep]
        if size[low] > size[high]:
            low, high = high, low
        parent[low], height[low] = high, level
        size[high] += size[low]
        top[keep], risen[keep] = high, level

        half = head[gone]
        while half >= 0:
            following = next_[half]
            next_[half] = -1
            f = half // 2
            if alive[f]:
                other = b[f] if a[f] == gone else a[f]
                key = min(keep, other) * n + max(keep, other)
                twin = lookup[key] if key in lookup else np.int64(-1)
                if twin >= 0 and alive[twin]:
                    total[twin] += total[f]
                    number[twin] += number[f]
                    version[twin] += 1
                    alive[f] = False
                    renewed = 1.0 - total[twin] / number[twin]
                    if renewed < limit:
                        heapq.heappush(heap, (renewed, twin, version[twin]))
                else:
                    if a[f] == gone:
                        a[f] = keep
                    else:
                        b[f] = keep
                    lookup[key] = f
                    if head[keep] < 0:
                        head[keep] = half
                    else:
                        next_[tail[keep]] = half
                    tail[keep] = half
                    degree[keep] += 1
            half = following
        head[gone] = -1
    return parent, height


@numba.njit(cache=True)
def _join_heights(
    parent: np.ndarray, height: np.ndarray, u: np.ndarray, v: np.ndarray
) -> np.ndarray:  # pragma: no cover - compiled
    """Return the height at which the two ends of each edge join: the forest is shallow (union by size), heights rise upward."""
    scores = np.empty(len(u), np.float32)
    for e in range(len(u)):
        x, y, reached = u[e], v[e], 0.0
        while x != y:
            if height[x] <= height[y]:
                reached, x = height[x], parent[x]
            else:
                reached, y = height[y], parent[y]
            if reached == np.inf:
                break
        scores[e] = UNMERGED if reached == np.inf else reached
    return scores
