"""Hierarchical agglomeration of a region adjacency graph by mean affinity, exact also where only a part of the graph is known.

The pair of regions with the highest mean affinity is merged first, and the statistics of edges that become parallel are added
(Funke et al. 2019, doi:10.1109/TPAMI.2018.2835450; waterz with `OneMinus<MeanAffinity>`). The mean of two edges lies between
theirs, so a merge never makes an edge better than the better of the two: two regions that are each other's best neighbour will
merge whatever happens elsewhere. A part of the graph can therefore do its own merges, but for those that regions with edges
out of it take part in, or wait for; what is left of several parts together goes on as if there had been no parts
(Lu, Zlateski and Seung 2021, arXiv:2106.10795).

Two things make the result the same to the last bit: sums of affinities are integers, and equal scores are decided by the lowest
pair of fragments that an edge has ever stood for.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from neuroadda.segmentation.pairs import EMPTY, find_slot, make_table, put, remove

FULL = 255  # a sum is in units of 1 / 255, those of a uint8 affinity


@dataclass(frozen=True)
class Rag:
    """Edges between regions as columns; a region is known by its lowest fragment.

    Attributes
    ----------
    u, v
        uint64, u < v; a pair appears once.
    sum
        int64, sum of the uint8 affinities between them.
    count
        int64, number of affinities.
    first_u, first_v
        uint64, the lowest pair of fragments of those whose edges were added up.
    """

    u: np.ndarray
    v: np.ndarray
    sum: np.ndarray
    count: np.ndarray
    first_u: np.ndarray
    first_v: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence["Rag"]) -> "Rag":
        """Join the edges of several parts; edges of one pair are added up."""
        names = cls.__dataclass_fields__
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        order = np.lexsort([columns[name] for name in ("first_v", "first_u", "v", "u")])
        columns = {name: column[order] for name, column in columns.items()}
        u, v = columns["u"], columns["v"]
        starts = np.flatnonzero(np.r_[True, (u[1:] != u[:-1]) | (v[1:] != v[:-1])][: len(u)])
        if len(starts) == len(u):
            return cls(**columns)
        added = {name: np.add.reduceat(columns[name], starts) for name in ("sum", "count")}
        return cls(**({name: column[starts] for name, column in columns.items()} | added))

    def take(self, chosen: np.ndarray) -> "Rag":
        """Return the chosen edges (a mask, or indices)."""
        return Rag(**{name: column[chosen] for name, column in vars(self).items()})


@dataclass(frozen=True)
class Merges:
    """Merges as columns, in their order.

    Attributes
    ----------
    u, v
        uint64, the two regions, u < v; together they are region u.
    score
        float64, 1 - their mean affinity; it never falls. Uniting the pairs that score below a threshold gives that threshold's
        segmentation.
    """

    u: np.ndarray
    v: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Contracted:
    """What became of a graph.

    Attributes
    ----------
    merges
        All that are certain.
    rag
        The edges whose fate is open. Edges that can never score below the limit are gone.
    regions, renamed
        uint64, the regions that had edges, ascending, and what they are part of now.
    """

    merges: Merges
    rag: Rag
    regions: np.ndarray
    renamed: np.ndarray

    def rename(self, regions: np.ndarray) -> np.ndarray:
        """Return what other regions (uint64) are now; those without edges stay what they are."""
        if len(self.regions) == 0:
            return regions
        place = np.minimum(np.searchsorted(self.regions, regions), len(self.regions) - 1)
        return np.where(self.regions[place] == regions, self.renamed[place], regions)


def contract(rag: Rag, limit: float, frozen: np.ndarray | None = None) -> Contracted:
    """Do all merges below a limit that are certain.

    Parameters
    ----------
    rag
        The graph, or the part of it that is known.
    limit
        Scores (1 - mean affinity) at or above it do not merge.
    frozen
        uint64, regions with further edges that are not known here; none by default.
    """
    # Sorted by what decides between equal scores, an edge's place decides.
    rag = rag.take(np.lexsort((rag.first_v, rag.first_u)))
    regions, dense = np.unique(np.concatenate([rag.u, rag.v]), return_inverse=True)
    u, v = dense[: len(rag.u)], dense[len(rag.u) :]
    held = np.zeros(len(regions), bool) if frozen is None else np.isin(regions, frozen)
    total, number = rag.sum.copy(), rag.count.copy()
    lowest, kept, merged, scores = _merge(len(regions), u, v, total, number, limit, held)
    renamed = regions[lowest]
    # u and v have become the regions' current numbers, by which the edges are named anew.
    first, second = renamed[u[kept]], renamed[v[kept]]
    left = Rag(
        np.minimum(first, second),
        np.maximum(first, second),
        total[kept],
        number[kept],
        rag.first_u[kept],
        rag.first_v[kept],
    )
    return Contracted(Merges(regions[merged[:, 0]], regions[merged[:, 1]], scores), left, regions, renamed)


@numba.njit(cache=True)
def _merge(
    n: int, a: np.ndarray, b: np.ndarray, total: np.ndarray, number: np.ndarray, limit: float, held: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # pragma: no cover - compiled
    """Merge greedily in place; return each region's lowest member, the open edges, the merges and their scores.

    An edge to a held region is never merged: its other end waits for it, and is held from then on.
    """
    edges = len(a)
    version = np.zeros(edges, np.int32)
    alive = np.ones(edges, np.bool_)
    # Edges of a region are a linked list over half-edges: 2 e belongs to a[e], 2 e + 1 to b[e].
    head = np.full(n, -1, np.int32)
    degree = np.zeros(n, np.int32)
    next_ = np.full(2 * edges, -1, np.int32)
    lookup = make_table(edges)
    heap = [(0.0, np.int32(0), np.int32(0)) for _ in range(0)]  # typed, and empty
    for e in range(edges):
        for half, region in ((2 * e, a[e]), (2 * e + 1, b[e])):
            next_[half] = head[region]
            head[region] = half
            degree[region] += 1
        put(lookup, find_slot(lookup, a[e], b[e]), a[e], b[e], e)
        score = 1.0 - total[e] / (FULL * number[e])
        if score < limit:
            heap.append((score, np.int32(e), np.int32(0)))
    heapq.heapify(heap)

    parent = np.arange(n)
    lowest = np.arange(n)
    merges = np.empty((n, 2), np.int64)
    scores = np.empty(n, np.float64)
    done = 0

    while len(heap) > 0:
        score, e, stamp = heapq.heappop(heap)  # type: ignore[assignment]
        if not alive[e] or version[e] != stamp:
            continue
        keep, gone = a[e], b[e]
        if held[keep] or held[gone]:
            held[keep] = held[gone] = True
            continue
        if degree[keep] < degree[gone]:
            keep, gone = gone, keep
        alive[e] = False
        low, high = min(lowest[keep], lowest[gone]), max(lowest[keep], lowest[gone])
        merges[done, 0], merges[done, 1], scores[done] = low, high, score
        done += 1
        lowest[keep] = low
        parent[gone] = keep

        half = head[gone]
        while half >= 0:
            following = next_[half]
            f = half // 2
            if alive[f]:
                other = b[f] if a[f] == gone else a[f]
                remove(lookup, find_slot(lookup, gone, other))
                slot = find_slot(lookup, keep, other)
                twin = lookup[slot, 2] if lookup[slot, 0] != EMPTY else np.int64(f)
                stays, goes = min(twin, f), max(twin, f)
                if stays != goes:
                    total[stays] += total[goes]
                    number[stays] += number[goes]
                    version[stays] += 1
                    alive[goes] = False
                    renewed = 1.0 - total[stays] / (FULL * number[stays])
                    if renewed < limit:
                        heapq.heappush(heap, (renewed, np.int32(stays), version[stays]))
                if stays == f:
                    if a[f] == gone:
                        a[f] = keep
                    else:
                        b[f] = keep
                    put(lookup, slot, keep, other, f)
                    next_[half] = head[keep]
                    head[keep] = half
                    degree[keep] += 1
            half = following
        head[gone] = -1

    for region in range(n):
        root = region
        while parent[root] != root:
            parent[root] = parent[parent[root]]
            root = parent[root]
        lowest[region] = lowest[root]
    # A region that waits for none, and did not merge, never will.
    for e in range(edges):
        alive[e] = alive[e] and held[a[e]] and held[b[e]]
    return lowest, alive, merges[:done], scores[:done]
