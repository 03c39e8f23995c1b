"""Flood a map level by level; see `segmentation.seeded_watershed`."""

import numpy as np
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t


def flood_levels(const uint16_t[::1] level, uint32_t[::1] basins, const int64_t[::1] steps, int32_t levels, uint32_t border):
    """Flood `basins` in place; what is `border` keeps its number and is never entered.

    A voxel's neighbours are `steps` on in the array. All that is in `level` is below `levels`.
    """
    # A queue a level, linked through the voxels: each is in one queue, once.
    cdef int32_t[::1] following = np.full(level.shape[0], -1, np.int32)
    cdef int32_t[::1] head = np.full(levels, -1, np.int32)
    cdef int32_t[::1] tail = np.full(levels, -1, np.int32)
    cdef Py_ssize_t k
    cdef int64_t p, q
    cdef int32_t now
    with nogil:
        for p in range(level.shape[0]):
            if basins[p] != 0 and basins[p] != border:
                append(head, tail, following, level[p], <int32_t>p)
        for now in range(levels):
            p = head[now]
            while p >= 0:
                for k in range(steps.shape[0]):
                    q = p + steps[k]
                    if basins[q] == 0:
                        basins[q] = basins[p]
                        append(head, tail, following, max(<int32_t>level[q], now), <int32_t>q)
                p = following[p]


cdef inline void append(
    int32_t[::1] head, int32_t[::1] tail, int32_t[::1] following, int32_t level, int32_t p
) noexcept nogil:
    if head[level] < 0:
        head[level] = p
    else:
        following[tail[level]] = p
    tail[level] = p
