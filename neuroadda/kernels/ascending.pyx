"""Steepest ascent over affinities: which neighbours are of one basin; see `segmentation.ascent`."""

import numpy as np
from libc.stdint cimport uint8_t, uint32_t

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
    cdef uint8_t[::1] best_ = np.empty(width, np.uint8), ways_ = np.empty(width, np.uint8)
    cdef uint8_t* best = &best_[0]
    cdef uint8_t* ways = &ways_[0]  # of each voxel of a row: down along an axis (1 << axis), up (16 << axis) or none (0)
    cdef uint8_t* row
    cdef Py_ssize_t z, y, x
    with nogil:
        for z in range(depth):
            for y in range(height):
                row = &links[z, y, 0]
                for x in range(width):
                    best[x], ways[x] = <uint8_t>(low - 1), 0
                # Of equal affinities, the first counts.
                if first_axis == 0 and z > 0:
                    take_higher(best, ways, &affs[0, z, y, 0], width, 1)
                    link_high(row, &affs[0, z, y, 0], width, high, 1)
                if y > 0:
                    take_higher(best, ways, &affs[1, z, y, 0], width, 2)
                    link_high(row, &affs[1, z, y, 0], width, high, 2)
                if width > 1:
                    take_higher(best + 1, ways + 1, &affs[2, z, y, 1], width - 1, 4)
                    link_high(row + 1, &affs[2, z, y, 1], width - 1, high, 4)
                if first_axis == 0 and z + 1 < depth:
                    take_higher(best, ways, &affs[0, z + 1, y, 0], width, 16)
                if y + 1 < height:
                    take_higher(best, ways, &affs[1, z, y + 1, 0], width, 32)
                if width > 1:
                    take_higher(best, ways, &affs[2, z, y, 1], width - 1, 64)
                for x in range(width):
                    row[x] |= (ways[x] & 7) | (ASCENDS if ways[x] != 0 else 0)
                if first_axis == 0 and z + 1 < depth:
                    link_back(&links[z + 1, y, 0], ways, width, 1)
                if y + 1 < height:
                    link_back(&links[z, y + 1, 0], ways, width, 2)
                link_back(row + 1, ways, width - 1, 4)
    return links_


cdef inline void take_higher(
    uint8_t* best, uint8_t* ways, const uint8_t* values, Py_ssize_t width, uint8_t way
) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(width):
        ways[x] = way if values[x] > best[x] else ways[x]
        best[x] = values[x] if values[x] > best[x] else best[x]


cdef inline void link_high(uint8_t* links, const uint8_t* values, Py_ssize_t width, int high, uint8_t bit) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(width):
        links[x] |= bit if values[x] >= high else 0


cdef inline void link_back(uint8_t* links, const uint8_t* ways, Py_ssize_t width, uint8_t bit) noexcept nogil:
    """Link voxels to those just below them whose way goes up to them."""
    cdef Py_ssize_t x
    for x in range(width):
        links[x] |= (ways[x] >> 4) & bit


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
    cdef uint8_t[::1] news_ = np.empty(width, np.uint8), none = np.zeros(width, np.uint8)
    cdef uint8_t* news = &news_[0]
    cdef Py_ssize_t z, y, x
    cdef uint32_t p = 0, root, other, member = 0, last = 0
    cdef uint32_t* along = [0, 0, 0, 0, 0xFFFFFFFF, 0, 0, 0]
    cdef uint8_t link
    cdef uint32_t* steps = [0, 0, 0, 0, 0, 0, 0, 0]  # to the lower voxel that a link goes to, of several the farthest
    cdef const uint8_t* flat = &links[0, 0, 0]
    for link in range(1, 8):
        steps[link] = <uint32_t>(height * width if link & 1 else (width if link & 2 else 0))
    with nogil:
        for z in range(depth):
            for y in range(height):
                keep_new(
                    news,
                    &links[z, y, 0],
                    &links[z - 1, y, 0] if z > 0 else &none[0],
                    &links[z, y - 1, 0] if y > 0 else &none[0],
                    width,
                    (1 if z > 0 else 0) | (2 if y > 0 else 0) | 4,
                )
                for x in range(width):
                    link = news[x]
                    parent[p] = p
                    other = parent[p - steps[link]]
                    member = (member & along[link]) | (other & ~along[link])
                    if link & (link - 1):  # more than one
                        member = find_short(parent, member)
                        if link & 2:
                            member = unite_roots(parent, member, find_short(parent, p - steps[2]))
                        if link & 4:
                            member = unite_roots(parent, member, find_short(parent, p - 1))
                    parent[p] = member
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


cdef inline void keep_new(
    uint8_t* news, const uint8_t* row, const uint8_t* lower_z, const uint8_t* lower_y, Py_ssize_t width, uint8_t inside
) noexcept nogil:
    """Keep the links of a row that tell anything new: not the last one of a square, whose other three are links, too.

    Inside a basin most links are of that kind, and are found row by row, many at once; a search for the roots is slow.
    """
    cdef Py_ssize_t x
    cdef uint8_t known
    news[0] = row[0] & inside & 3
    for x in range(1, width):
        known = row[x - 1] & ((lower_y[x] & 4) >> 1 | (lower_z[x] & 4) >> 2)  # squares in xy and xz
        known = known if row[x] & 4 else 0
        known |= (lower_y[x] & 1) & ((lower_z[x] & row[x]) >> 1)  # in yz
        news[x] = row[x] & inside & ~known


cdef inline uint32_t unite_roots(uint32_t* parent, uint32_t a, uint32_t b) noexcept nogil:
    if a < b:
        parent[b] = a
        return a
    parent[a] = b
    return b
