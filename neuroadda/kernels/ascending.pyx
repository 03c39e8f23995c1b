"""Steepest ascent over affinities: which neighbours are of one basin; see `segmentation.affinity_watershed`."""

import numpy as np
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

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
    cdef uint8_t[::1] ways_ = np.empty(width, np.uint8), none_ = np.zeros(width, np.uint8)
    cdef uint8_t[::1] along_x = np.zeros(width + 1, np.uint8)  # 0 before the first voxel and after the last one
    cdef uint8_t* ways = &ways_[0]
    cdef const uint8_t* none = &none_[0]
    cdef bint below, above
    cdef Py_ssize_t z, y
    with nogil:
        for z in range(depth):
            below, above = first_axis == 0 and z > 0, first_axis == 0 and z + 1 < depth
            for y in range(height):
                memcpy(&along_x[1], &affs[2, z, y, 1], width - 1)
                choose_ways(
                    ways,
                    &affs[0, z, y, 0] if below else none,
                    &affs[1, z, y, 0] if y > 0 else none,
                    &along_x[0],
                    &affs[0, z + 1, y, 0] if above else none,
                    &affs[1, z, y + 1, 0] if y + 1 < height else none,
                    width,
                    <uint8_t>low,
                    <uint8_t>high,
                )
                link_down(&links[z, y, 0], ways, width)
                if above:
                    link_up(&links[z + 1, y, 0], ways, width, 1)
                if y + 1 < height:
                    link_up(&links[z, y + 1, 0], ways, width, 2)
                link_up(&links[z, y, 0] + 1, ways, width - 1, 4)
    return links_


cdef inline void choose_ways(
    uint8_t* ways,
    const uint8_t* lower_z,
    const uint8_t* lower_y,
    const uint8_t* along_x,
    const uint8_t* upper_z,
    const uint8_t* upper_y,
    Py_ssize_t width,
    uint8_t low,
    uint8_t high,
) noexcept nogil:
    """Set for each voxel of a row the bit 1 << axis where it links down, 16 << axis where up, 8 where any edge counts."""
    cdef Py_ssize_t x
    cdef uint8_t best, way
    for x in range(width):
        # Of equal affinities, the first counts.
        best, way = <uint8_t>(low - 1), 0
        way = 1 | ASCENDS if lower_z[x] > best else way
        best = max(best, lower_z[x])
        way = 2 | ASCENDS if lower_y[x] > best else way
        best = max(best, lower_y[x])
        way = 4 | ASCENDS if along_x[x] > best else way
        best = max(best, along_x[x])
        way = 16 | ASCENDS if upper_z[x] > best else way
        best = max(best, upper_z[x])
        way = 32 | ASCENDS if upper_y[x] > best else way
        best = max(best, upper_y[x])
        way = 64 | ASCENDS if along_x[x + 1] > best else way
        way |= 1 if lower_z[x] >= high else 0
        way |= 2 if lower_y[x] >= high else 0
        way |= 4 if along_x[x] >= high else 0
        ways[x] = way


cdef inline void link_down(uint8_t* links, const uint8_t* ways, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(width):
        links[x] |= ways[x] & 15


cdef inline void link_up(uint8_t* links, const uint8_t* ways, Py_ssize_t width, uint8_t bit) noexcept nogil:
    """Link the voxels above a row to those of it that go up to them."""
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
    cdef uint8_t link
    # By the links of a voxel: how far the one along z or y goes (z if there are both), and all ones if there is only that along x.
    cdef uint32_t* steps = [0, 0, 0, 0, 0, 0, 0, 0]
    cdef uint32_t* only_x = [0, 0, 0, 0, 0xFFFFFFFF, 0, 0, 0]
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
                # Most voxels have one link or none, and take what it points to; which it is, no processor foresees: no branches.
                for x in range(width):
                    link = news[x]
                    parent[p] = p
                    other = parent[p - steps[link]]
                    member = (member & only_x[link]) | (other & ~only_x[link])  # what the voxel before points to, or `other`
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
    """Keep the links of a row that join anything: not one that closes a square of four links.

    In the interior of a basin most links close one. They are found many at once, while a search for the roots takes them singly.
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
