# distutils: language = c++
"""Add up the affinities between touching fragments; see `segmentation.contacts`."""

import numpy as np
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libcpp cimport bool as flag
from libcpp.algorithm cimport nth_element
from libcpp.vector cimport vector

from neuroadda.kernels.pairs cimport EMPTY, Table, find_slot, make_room, put

ctypedef fused Affinity:
    uint8_t
    uint16_t

cdef struct Edge:
    int64_t u
    int64_t v
    int64_t sum
    int64_t count
    int64_t squares


def add_up(const Affinity[:, :, :, ::1] affs, const uint64_t[:, :, ::1] fragments, tuple low, tuple quantiles=()):
    """Return int64 rows (u, v, sum, count, sum of squares, quantiles), u < v, in the order in which the pairs are met.

    `fragments` precede `affs` by `low` voxels along z, y, x: 0 or 1. Of the n affinities of a pair, a quantile of q percent is
    the one with q n // 100 before it in ascending order, at most the last.
    """
    cdef vector[Edge] edges
    # Of each affinity met, if quantiles are wanted: its value, and the number of its edge.
    cdef flag kept = len(quantiles) > 0
    cdef vector[uint16_t] met, ordered
    cdef vector[int32_t] owner
    cdef vector[int64_t] place
    cdef int64_t n, rank, begin, q
    cdef Table numbers
    cdef Py_ssize_t low_z = low[0], low_y = low[1], low_x = low[2]
    cdef Py_ssize_t axis, z, y, x, dz, dy, dx, i
    cdef Py_ssize_t depth = affs.shape[1], height = affs.shape[2], width = affs.shape[3]
    cdef const uint64_t* upper
    cdef const uint64_t* lower
    cdef const Affinity* values
    cdef uint64_t a, b, last_a, last_b
    cdef int64_t last
    cdef size_t slot
    with nogil:
        for axis in range(3):
            dz, dy, dx = axis == 0, axis == 1, axis == 2
            for z in range(max(0, dz - low_z), depth):
                for y in range(max(0, dy - low_y), height):
                    make_room(numbers, edges.size() + width)
                    upper = &fragments[z + low_z, y + low_y, low_x]
                    lower = &fragments[z + low_z - dz, y + low_y - dy, low_x] - dx
                    values = &affs[axis, z, y, 0]
                    # Neighbours along x mostly touch the same two fragments as the voxel before.
                    last_a = last_b = 0
                    last = 0
                    for x in range(max(0, dx - low_x), width):
                        a, b = lower[x], upper[x]
                        if a == b or a == 0 or b == 0:
                            continue
                        if last_a != a or last_b != b:
                            slot = find_slot(numbers, a, b)
                            if numbers[slot].low == EMPTY:
                                put(numbers, slot, a, b, edges.size())
                                edges.push_back(Edge(min(a, b), max(a, b), 0, 0, 0))
                            last_a, last_b, last = a, b, numbers[slot].value
                        edges[last].sum += values[x]
                        edges[last].count += 1
                        edges[last].squares += <int64_t>values[x] * values[x]
                        if kept:
                            met.push_back(values[x])
                            owner.push_back(<int32_t>last)
    rows = np.empty((edges.size(), 5 + len(quantiles)), np.int64)
    cdef int64_t[:, ::1] target = rows
    for i in range(<Py_ssize_t>edges.size()):
        target[i, 0], target[i, 1] = edges[i].u, edges[i].v
        target[i, 2], target[i, 3], target[i, 4] = edges[i].sum, edges[i].count, edges[i].squares
    if not kept:
        return rows
    # A counting sort: the affinities of one edge come together.
    place.resize(edges.size() + 1, 0)
    for i in range(<Py_ssize_t>edges.size()):
        place[i + 1] = place[i] + edges[i].count
    ordered.resize(met.size())
    for i in range(<Py_ssize_t>met.size()):
        ordered[place[owner[i]]] = met[i]
        place[owner[i]] += 1
    for column, quantile in enumerate(quantiles):
        q, axis = quantile, 5 + column
        for i in range(<Py_ssize_t>edges.size()):
            n = edges[i].count
            begin = place[i] - n
            rank = begin + min(q * n // 100, n - 1)
            nth_element(ordered.begin() + begin, ordered.begin() + rank, ordered.begin() + place[i])
            target[i, axis] = ordered[rank]
    return rows
