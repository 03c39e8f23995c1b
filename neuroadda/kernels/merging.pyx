# distutils: language = c++
"""Merge regions by a weighted mean of affinities, the highest first; see `segmentation.rag`."""

import numpy as np
from libc.stdint cimport int32_t, int64_t, uint8_t
from libcpp.algorithm cimport make_heap, pop_heap, push_heap
from libcpp.pair cimport pair
from libcpp.vector cimport vector

from neuroadda.kernels.forest cimport find
from neuroadda.kernels.pairs cimport EMPTY, Table, find_slot, make_room, put, remove

# Of a C++ heap the largest comes first: score, edge and the edge's version are all negated.
ctypedef pair[double, pair[int32_t, int32_t]] Candidate


def merge(
    Py_ssize_t n,
    int64_t[::1] a,
    int64_t[::1] b,
    int64_t[::1] total,
    int64_t[::1] number,
    double limit,
    int64_t full,
    uint8_t[::1] held,
):
    """Merge regions 0 to n - 1 greedily; return each one's lowest member, the open edges, the merges and their scores.

    Edges run between `a` and `b`; their affinities times weights add up to `total`, in units of which `full` is an affinity of 1,
    and their weights to `number`. What merges do to them is done in place. An edge to a held region is never merged: its other
    end waits for it, and is held from then on.
    """
    cdef Py_ssize_t edges = a.shape[0]
    alive_, lowest_ = np.ones(edges, np.bool_), np.arange(n)
    merges_, scores_ = np.empty((n, 2), np.int64), np.empty(n)
    cdef int64_t[::1] lowest = lowest_, parent = np.arange(n)
    cdef uint8_t[::1] alive = alive_.view(np.uint8)
    cdef int64_t[:, ::1] merges = merges_
    cdef double[::1] scores = scores_
    cdef int32_t[::1] version = np.zeros(edges, np.int32)
    # Edges of a region are a linked list over half-edges: 2 e belongs to a[e], 2 e + 1 to b[e].
    cdef int32_t[::1] head = np.full(n, -1, np.int32), degree = np.zeros(n, np.int32)
    cdef int32_t[::1] following = np.full(2 * edges, -1, np.int32)
    cdef Table lookup
    cdef vector[Candidate] heap
    cdef Candidate best
    cdef double score
    cdef int64_t e, f, half, next_half, region, keep, gone, low, high, other, twin, stays, goes
    cdef size_t slot
    cdef Py_ssize_t done = 0
    with nogil:
        make_room(lookup, edges)
        for e in range(edges):
            for half in range(2 * e, 2 * e + 2):
                region = b[e] if half & 1 else a[e]
                following[half] = head[region]
                head[region] = <int32_t>half
                degree[region] += 1
            put(lookup, find_slot(lookup, a[e], b[e]), a[e], b[e], e)
            score = score_of(total[e], number[e], full)
            if score < limit:
                heap.push_back(to_candidate(score, e, 0))
        make_heap(heap.begin(), heap.end())

        while heap.size() > 0:
            pop_heap(heap.begin(), heap.end())
            best = heap.back()
            heap.pop_back()
            score, e = -best.first, -best.second.first
            if not alive[e] or version[e] != -best.second.second:
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
                next_half = following[half]
                f = half // 2
                if alive[f]:
                    other = b[f] if a[f] == gone else a[f]
                    remove(lookup, find_slot(lookup, gone, other))
                    slot = find_slot(lookup, keep, other)
                    twin = lookup[slot].value if lookup[slot].low != EMPTY else f
                    stays, goes = min(twin, f), max(twin, f)
                    if stays != goes:
                        total[stays] += total[goes]
                        number[stays] += number[goes]
                        version[stays] += 1
                        alive[goes] = False
                        score = score_of(total[stays], number[stays], full)
                        if score < limit:
                            heap.push_back(to_candidate(score, stays, version[stays]))
                            push_heap(heap.begin(), heap.end())
                    if stays == f:
                        if a[f] == gone:
                            a[f] = keep
                        else:
                            b[f] = keep
                        put(lookup, slot, keep, other, f)
                        following[half] = head[keep]
                        head[keep] = <int32_t>half
                        degree[keep] += 1
                half = next_half
            head[gone] = -1

        for region in range(n):
            lowest[region] = lowest[find(parent, region)]
        # A region that waits for none, and did not merge, never will.
        for e in range(edges):
            alive[e] = alive[e] and held[a[e]] and held[b[e]]
    return lowest_, alive_, merges_[:done], scores_[:done]


cdef inline double score_of(int64_t total, int64_t number, int64_t full) noexcept nogil:
    # Without weight, an edge neither merges nor changes those that it is added to.
    return 1.0 - <double>total / <double>(full * number) if number else 1.0


cdef inline Candidate to_candidate(double score, int64_t edge, int32_t version) noexcept nogil:
    return Candidate(-score, pair[int32_t, int32_t](<int32_t>-edge, -version))
