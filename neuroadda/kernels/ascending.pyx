"""Steepest ascent over affinities: which neighbours are of one basin; see `segmentation.ascent`."""

import numpy as np
from libc.stdint cimport int16_t, uint8_t, uint32_t

from neuroadda.kernels.forest cimport find_short

cdef enum:
    ASCENDS = 8  # beside the bits 1 << axis: the voxel has an edge that counts


def mark_links(const uint8_t[:, :, :, ::1] affs, int first_axis, int low, int high):
    """Return uint8, zyx: bit 1 << axis where a voxel links to its lower neighbour along that axis, 8 where any edge counts.

    Every voxel links to the neighbour of its highest affinity, if that is `low` or more (1 to 255); affinities of `high` or more
    always link. Axes below `first_axis` have no edges.
    """
    cdef Py_ssize_t depth = affs.shape[1], height = affs.shape[2], width = affs.shape[3]
    links_ = np.zeros((depth, height, width), np.uint8)
    if links_.size == 0:
        return links_
    cdef uint8_t[:, :, ::1] links = links_
    cdef int16_t[::1] best_ = np.empty(width, np.int16)
    cdef int16_t* best = &best_[0]
    cdef uint8_t* row
    # By the rank of a direction, which decides between equal affinities: lower z, y, x (6, 5, 4), upper ones (3, 2, 1), none (0).
    cdef Py_ssize_t* steps = [0, 1, width, height * width, 0, 0, 0]
    cdef uint8_t* bits = [0, 4, 2, 1, 4, 2, 1]
    cdef Py_ssize_t z, y, x
    cdef int rank
    with nogil:
        for z in range(depth):
            for y in range(height):
                for x in range(width):
                    best[x] = <int16_t>(low << 3)
                row = &links[z, y, 0]
                if first_axis == 0:
                    if z > 0:
                        raise_best(best, &affs[0, z, y, 0], width, 6)
                        link_high(row, &affs[0, z, y, 0], width, high, 1)
                    if z + 1 < depth:
                        raise_best(best, &affs[0, z + 1, y, 0], width, 3)
                if y > 0:
                    raise_best(best, &affs[1, z, y, 0], width, 5)
                    link_high(row, &affs[1, z, y, 0], width, high, 2)
                if y + 1 < height:
                    raise_best(best, &affs[1, z, y + 1, 0], width, 2)
                if width > 1:
                    raise_best(best + 1, &affs[2, z, y, 1], width - 1, 4)
                    link_high(row + 1, &affs[2, z, y, 1], width - 1, high, 4)
                    raise_best(best, &affs[2, z, y, 1], width - 1, 1)
                for x in range(width):
                    rank = best[x] & 7
                    row[x] |= ASCENDS if rank > 0 else 0
                    row[x + steps[rank]] |= bits[rank]
    return links_


cdef inline void raise_best(int16_t* best, const uint8_t* values, Py_ssize_t width, int16_t rank) noexcept nogil:
    cdef Py_ssize_t x
    cdef int16_t key
    for x in range(width):
        key = <int16_t>((<int16_t>values[x] << 3) | rank)
        best[x] = key if key > best[x] else best[x]


cdef inline void link_high(uint8_t* links, const uint8_t* values, Py_ssize_t width, int high, uint8_t bit) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(width):
        links[x] |= bit if values[x] >= high else 0


def number_basins(const uint8_t[:, :, ::1] links):
    """Return uint32, zyx, and their number: basins 1, 2, ... by their first voxel, 0 where no edge counts.

    Links out of the array do nothing.
    """
    cdef Py_ssize_t depth = links.shape[0], height = links.shape[1], width = links.shape[2]
    basins_ = np.empty((depth, height, width), np.uint32)
    if basins_.size == 0:
        return basins_, 0
    cdef uint32_t[::1] basins = basins_.reshape(-1)
    cdef uint32_t* parent = &basins[0]
    cdef Py_ssize_t z, y, x
    cdef uint32_t p = 0, root, other, last = 0
    cdef uint8_t link
    cdef const uint8_t* flat = &links[0, 0, 0]
    with nogil:
        for z in range(depth):
            for y in range(height):
                for x in range(width):
                    link = flat[p]
                    root = p
                    if link & 4 and x > 0:
                        root = find_short(parent, p - 1)
                    if link & 2 and y > 0:
                        root = unite_roots(parent, root, find_short(parent, p - <uint32_t>width))
                    if link & 1 and z > 0:
                        root = unite_roots(parent, root, find_short(parent, p - <uint32_t>(width * height)))
                    parent[p] = root
                    p += 1
        # A tree's root is its first voxel: what a voxel points to has its number already.
        for p in range(<uint32_t>basins.shape[0]):
            root = parent[p]
            if root == p:
                if flat[p] & ASCENDS:
                    last += 1
                    parent[p] = last
                else:
                    parent[p] = 0
            else:
                parent[p] = parent[root]
    return basins_, last


cdef inline uint32_t unite_roots(uint32_t* parent, uint32_t a, uint32_t b) noexcept nogil:
    if a < b:
        parent[b] = a
        return a
    parent[a] = b
    return b
