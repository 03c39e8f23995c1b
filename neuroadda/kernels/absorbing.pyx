"""Merge small fragments with the neighbour of their highest affinity; see `segmentation.affinity_watershed`."""

import numpy as np
from libc.stdint cimport int64_t, uint8_t, uint32_t

from neuroadda.kernels.edge_lists cimport PAGE, Edge, EdgeLists, add_edge, count_pages, start_lists
from neuroadda.kernels.forest cimport find_short

cdef enum:
    LISTS = 3 * 256  # by axis, and by affinity: edges are sorted as they are found


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
    cdef Py_ssize_t axis, z, y, i, n = 0
    cdef Py_ssize_t* steps = [height * width, width, 1]
    cdef int64_t[::1] sizes = np.zeros(count + 1, np.int64)
    cdef uint32_t[::1] parent = np.arange(count + 1, dtype=np.uint32)
    cdef uint32_t[::1] numbers = np.zeros(count + 1, np.uint32)
    cdef uint32_t[::1] columns_ = np.empty(width + 1, np.uint32)
    cdef uint8_t[::1] marks_ = np.empty(width, np.uint8)
    cdef EdgeLists edges
    cdef uint32_t* columns
    cdef uint8_t* marks
    cdef uint32_t* row
    cdef uint32_t u, last = 0
    cdef int a
    if count == 0:
        return 0
    columns, marks = &columns_[0], &marks_[0]
    cdef uint32_t[::1] flat = np.asarray(fragments).reshape(-1)
    # Memory that no edge comes to is never really taken.
    cdef size_t pages = count_pages(LISTS, 3 * flat.shape[0])
    cdef uint32_t[:, ::1] edges_ = np.empty((pages * PAGE, 2), np.uint32)
    cdef uint32_t[::1] following = np.empty(pages, np.uint32)
    cdef size_t[::1] ends = np.empty(LISTS, np.uintp)
    edges.edges, edges.following, edges.ends = <Edge*>&edges_[0, 0], &following[0], &ends[0]
    start_lists(&edges, LISTS)
    with nogil:
        for z in range(depth):
            for y in range(height):
                row = &fragments[z, y, 0]
                for axis in range(first_axis, 3):
                    if (axis == 0 and z == 0) or (axis == 1 and y == 0):
                        continue
                    n = find_borders(columns, marks, row, row - steps[axis], axis == 2, width)
                    add_edges(&edges, 256 * axis, columns, n, &affs[axis, z, y, 0], row, row - steps[axis], low)
                # The borders along x come last: there one fragment's run of voxels ends, and the next begins.
                columns[n] = <uint32_t>width
                sizes[row[0]] += columns[0]
                for i in range(n):
                    sizes[row[columns[i]]] += columns[i + 1] - columns[i]
        for a in range(255, low - 1, -1):
            for axis in range(first_axis, 3):
                merge_along(&edges, 256 * axis + a, &parent[0], &sizes[0], min_size)
        for i in range(1, count + 1):
            u = find_short(&parent[0], <uint32_t>i)
            if numbers[u] == 0:
                last += 1
                numbers[u] = last
            numbers[i] = numbers[u]
        for i in range(flat.shape[0]):
            flat[i] = numbers[flat[i]]
    return last


cdef inline Py_ssize_t find_borders(
    uint32_t* columns, uint8_t* marks, const uint32_t* upper, const uint32_t* lower, Py_ssize_t begin, Py_ssize_t width
) noexcept nogil:
    """List the columns of a row in which two fragments meet, and return how many there are.

    Without a branch for each voxel: no processor foresees where fragments meet.
    """
    cdef Py_ssize_t x, n = 0
    for x in range(begin, width):
        marks[x] = upper[x] != lower[x]
    for x in range(begin, width):
        columns[n] = <uint32_t>x
        n += marks[x]
    return n


cdef inline void add_edges(
    EdgeLists* edges,
    Py_ssize_t first,
    const uint32_t* columns,
    Py_ssize_t n,
    const uint8_t* values,
    const uint32_t* upper,
    const uint32_t* lower,
    int low,
) noexcept nogil:
    cdef Py_ssize_t i, x
    for i in range(n):
        x = columns[i]
        if values[x] >= low:  # where a fragment is 0, no affinity is
            add_edge(edges, first + values[x], upper[x], lower[x])


cdef inline void merge_along(
    const EdgeLists* edges, size_t which, uint32_t* parent, int64_t* sizes, int64_t min_size
) noexcept nogil:
    cdef size_t page = which, end = edges.ends[which]
    while page != end // PAGE:
        merge_page(edges.edges + page * PAGE, PAGE, parent, sizes, min_size)
        page = edges.following[page]
    merge_page(edges.edges + page * PAGE, end % PAGE, parent, sizes, min_size)


cdef inline void merge_page(Edge* edges, size_t n, uint32_t* parent, int64_t* sizes, int64_t min_size) noexcept nogil:
    cdef size_t i, left = 0
    cdef uint32_t u, v
    # Most edges lie within one fragment by now. Those that plainly do are left out first, again without a branch for each.
    for i in range(n):
        edges[left] = edges[i]
        left += parent[edges[i].u] != parent[edges[i].v]
    for i in range(left):
        u, v = find_short(parent, edges[i].u), find_short(parent, edges[i].v)
        if u != v and (sizes[u] < min_size or sizes[v] < min_size):
            if sizes[u] < sizes[v]:  # so trees stay flat
                u, v = v, u
            parent[v] = u
            sizes[u] += sizes[v]
