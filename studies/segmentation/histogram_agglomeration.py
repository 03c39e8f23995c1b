"""Agglomeration by any score of the histogram of affinities between two regions: how a mean, a quantile or a mix of both would do.

For a study: plain where `neuroadda.segmentation.rag` is fast.
"""

import heapq

import numba
import numpy as np

from neuroadda.segmentation.rag import Merges

MEAN, QUANTILE, BOTH, CONTRAHARMONIC = 0, 1, 2, 3
SCORES = {"mean": MEAN, "quantile": QUANTILE, "both": BOTH, "contraharmonic": CONTRAHARMONIC}


def count_histograms(affs: np.ndarray, fragments: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return uint64 columns u < v, sorted, and int64[edges, 256]: how often each uint8 affinity occurs between two fragments."""
    ids, base = fragments.astype(np.int64), int(fragments.max(initial=0)) + 1
    keys, values = [], []
    for axis, channel in enumerate(affs):
        here = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        lower, upper = ids[tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))], ids[here]
        touching = (lower != upper) & (lower > 0) & (upper > 0)
        a, b = lower[touching], upper[touching]
        keys.append(np.minimum(a, b) * base + np.maximum(a, b))
        values.append(channel[here][touching])
    pairs, edge = np.unique(np.concatenate(keys), return_inverse=True)
    counts = np.bincount(edge * 256 + np.concatenate(values), minlength=len(pairs) * 256)
    return (pairs // base).astype(np.uint64), (pairs % base).astype(np.uint64), counts.reshape(-1, 256)


def merge_histograms(
    u: np.ndarray,
    v: np.ndarray,
    counts: np.ndarray,
    sizes: np.ndarray,
    kind: int,
    limit: float,
    quantile: float = 0.5,
    bins: int = 256,
    size_power: float = 0.0,
) -> Merges:
    """Return the merges, their scores being the thresholds at which they are done.

    Parameters
    ----------
    kind
        One minus: the mean; the quantile; the mean of both; or a mean of affinities weighted by themselves (contraharmonic).
    quantile, bins
        Of the histogram.
    size_power
        Scores are multiplied by (the smaller region's voxels / 1000) to this power, at most by 1: small regions merge early.
    """
    binned = counts.reshape(len(counts), bins, 256 // bins).sum(axis=2)
    ends = u.astype(np.int64), v.astype(np.int64)
    kept, gone, scores = _merge(len(sizes), *ends, binned, sizes, kind, limit, quantile, size_power)
    return Merges(kept.astype(np.uint64), gone.astype(np.uint64), scores)


@numba.njit(cache=True)
def _score(counts, kind, quantile):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    total, weighted, squared = 0.0, 0.0, 0.0
    for b in range(len(counts)):
        level = (b + 0.5) / len(counts)
        total += counts[b]
        weighted += counts[b] * level
        squared += counts[b] * level * level
    if kind == MEAN:
        return 1 - weighted / total
    if kind == CONTRAHARMONIC:
        return 1 - squared / weighted
    seen, found = 0.0, 0
    while seen + counts[found] < quantile * total:
        seen += counts[found]
        found += 1
    at = 1 - (found + 0.5) / len(counts)
    return at if kind == QUANTILE else (at + 1 - weighted / total) / 2


@numba.njit(cache=True)
def _merge(n, u, v, counts, sizes, kind, limit, quantile, size_power):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Merge greedily; return the merges (region kept, region gone, score)."""
    counts, size = counts.copy(), sizes.astype(np.float64)
    # edge_of[region][other] is their edge.
    edge_of = [numba.typed.Dict.empty(numba.int64, numba.int64) for _ in range(n)]
    plain = np.zeros(len(u))
    factor = size_power > 0
    heap = [(0.0, 0, 0, 0) for _ in range(0)]
    stamp = np.zeros(len(u), np.int64)
    for e in range(len(u)):
        edge_of[u[e]][v[e]] = e
        edge_of[v[e]][u[e]] = e
        plain[e] = _score(counts[e], kind, quantile)
        score = plain[e]
        if factor:
            score *= min(1.0, min(size[u[e]], size[v[e]]) / 1000) ** size_power
        heap.append((score, e, 0, u[e]))
    heap_ = [h for h in heap if h[0] < limit]
    heapq.heapify(heap_)
    other_end = u + v
    done, risen = 0, np.zeros(n)
    keeps, goes, scores = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    while len(heap_) > 0:
        score, e, seen, a = heapq.heappop(heap_)
        if stamp[e] != seen:
            continue
        b = other_end[e] - a
        if factor:  # regions have grown, so the score may have risen
            grown = plain[e] * min(1.0, min(size[a], size[b]) / 1000) ** size_power
            if grown > score:
                if grown < limit:
                    heapq.heappush(heap_, (grown, e, seen, a))
                continue
        keep, gone = (a, b) if len(edge_of[a]) >= len(edge_of[b]) else (b, a)
        stamp[e] = -1
        level = max(score, risen[keep], risen[gone])
        keeps[done], goes[done], scores[done] = keep, gone, level
        done += 1
        risen[keep] = level
        size[keep] += size[gone]
        del edge_of[keep][gone]
        for other, f in edge_of[gone].items():
            if other == keep:
                continue
            del edge_of[other][gone]
            if other in edge_of[keep]:
                g = edge_of[keep][other]
                counts[g] += counts[f]
                stamp[f] = -1
                plain[g] = _score(counts[g], kind, quantile)
            else:
                g = f
                edge_of[keep][other] = f
                edge_of[other][keep] = f
            other_end[g] = keep + other
            stamp[g] += 1
            renewed = plain[g]
            if factor:
                renewed *= min(1.0, min(size[keep], size[other]) / 1000) ** size_power
            if renewed < limit:
                heapq.heappush(heap_, (renewed, g, stamp[g], keep))
    return keeps[:done], goes[:done], scores[:done]
