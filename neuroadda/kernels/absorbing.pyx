"""Merge small fragments with the neighbour of their highest affinity; see `segmentation.ascent`."""

import numpy as np
from libc.stdint cimport int64_t, uint8_t, uint32_t

from neuroadda.kernels.forest cimport find_short


def absorb(
    const uint8_t[:, :, :, ::1] affs,
    uint32_t[:, :, ::1] fragments,
    Py_ssize_t count,
    int first_axis,
    int low,
    int64_t min_size,
):
    """Merge fragments 1 to `count` in place, and return how many are left; they are numbered by their first voxel again.

    Edges of `low` or more are met in descending order, equal ones in the order of axes and voxels; each merges its two fragments
    unless both have `min_size` voxels by then.
    """
    cdef Py_ssize_t depth = affs.shape[1], height = affs.shape[2], width = affs.shape[3]
    cdef Py_ssize_t axis, z, y, x, step, begin, i
    cdef int64_t[::1] sizes = np.zeros(count + 1, np.int64)
    cdef int64_t[::1] places = np.zeros(257, np.int64)
    cdef uint32_t[::1] parent = np.arange(count + 1, dtype=np.uint32)
    cdef const uint8_t* values
    cdef const uint32_t* upper
    cdef const uint32_t* lower
    cdef uint32_t u, v, last = 0
    cdef int64_t place
    cdef int turn, a
    if count == 0:
        return 0
    cdef uint32_t[::1] flat = np.asarray(fragments).reshape(-1)
    cdef uint32_t[:, ::1] pairs = np.empty((0, 2), np.uint32)
    with nogil:
        for i in range(flat.shape[0]):
            sizes[flat[i]] += 1
    # A counting sort: the first turn counts the edges of each affinity, the second puts them in their places.
    for turn in range(2):
        with nogil:
            for axis in range(first_axis, 3):
                step = (height * width) if axis == 0 else (width if axis == 1 else 1)
                begin = 1 if axis == 2 else 0
                for z in range(1 if axis == 0 else 0, depth):
                    for y in range(1 if axis == 1 else 0, height):
                        values, upper = &affs[axis, z, y, 0], &fragments[z, y, 0]
                        lower = upper - step
                        for x in range(begin, width):
                            u, v, a = upper[x], lower[x], values[x]
                            if u == v or a < low or u == 0 or v == 0 or (sizes[u] >= min_size and sizes[v] >= min_size):
                                continue
                            if turn == 0:
                                places[256 - a] += 1
                            else:
                                place = places[255 - a]
                                places[255 - a] += 1
                                pairs[place, 0], pairs[place, 1] = u, v
        if turn == 0:
            places_ = np.cumsum(places)
            places = places_
            pairs = np.empty((places_[256], 2), np.uint32)
    with nogil:
        for i in range(pairs.shape[0]):
            u, v = find_short(&parent[0], pairs[i, 0]), find_short(&parent[0], pairs[i, 1])
            if u != v and (sizes[u] < min_size or sizes[v] < min_size):
                if v < u:
                    u, v = v, u
                parent[v] = u
                sizes[u] += sizes[v]
        for i in range(1, count + 1):
            u = parent[i]
            if u == <uint32_t>i:
                last += 1
                parent[i] = last
            else:
                parent[i] = parent[u]
        for i in range(flat.shape[0]):
            flat[i] = parent[flat[i]]
    return last
