"""Forests of merges: which merge joined two regions, and what lies on either side of one; see `proofreading.merge_tree`."""

import numpy as np
from libc.stdint cimport int64_t


cdef inline int64_t climb(const int64_t[::1] parent, int64_t x) noexcept nogil:
    """Return the root of x; the tree stays as it is."""
    while parent[x] != x:
        x = parent[x]
    return x


def hang(Py_ssize_t number, const int64_t[::1] u, const int64_t[::1] v):
    """Join pairs in their order, the smaller tree below the larger; return int64 (parent, merge) of each number.

    `merge` is the index of the pair by which a number was hung below its parent; that of a root is the number of pairs. It grows on the
    way to the root, and the way is short: logarithmic.
    """
    parent_, merge_, weight_ = np.arange(number), np.full(number, u.shape[0], np.int64), np.ones(number, np.int64)
    cdef int64_t[::1] parent = parent_, merge = merge_, weight = weight_
    cdef int64_t a, b
    cdef Py_ssize_t i
    with nogil:
        for i in range(u.shape[0]):
            a, b = climb(parent, u[i]), climb(parent, v[i])
            if a == b:
                continue
            if weight[a] < weight[b]:
                a, b = b, a
            parent[b], merge[b] = a, i
            weight[a] += weight[b]
    return parent_, merge_


def find_joins(const int64_t[::1] parent, const int64_t[::1] merge, const int64_t[::1] a, const int64_t[::1] b):
    """Return int64: the merge that joined each pair, or -1 where none did (or both are one)."""
    found_ = np.full(a.shape[0], -1, np.int64)
    cdef int64_t[::1] found = found_
    cdef int64_t x, y, last
    cdef Py_ssize_t i
    with nogil:
        for i in range(a.shape[0]):
            x, y, last = a[i], b[i], -1
            while x != y:
                if merge[x] > merge[y]:
                    x, y = y, x
                if parent[x] == x:  # both are roots
                    last = -1
                    break
                last = merge[x]
                x = parent[x]
            found[i] = last
    return found_


def sum_below(const int64_t[::1] u, const int64_t[::1] v, const int64_t[::1] sizes):
    """Root the trees of a forest, each at its lowest number.

    Returns
    -------
    below
        int64, of each edge: the number at its lower end.
    total
        int64, of each number: the sizes of all that hang below it, and its own.
    first, last
        int64, of each number: those that hang below it, and it, are visited from `first` to before `last`.
    """
    cdef Py_ssize_t number = sizes.shape[0], edges = u.shape[0], i, x, y, top, at, visited = 0
    below_, total_ = np.full(edges, -1, np.int64), np.array(sizes)
    first_, last_ = np.full(number, -1, np.int64), np.zeros(number, np.int64)
    starts_, ends_ = np.zeros(number + 1, np.int64), np.concatenate([u, v])
    np.cumsum(np.bincount(ends_, minlength=number), out=starts_[1:])
    by_number_, stack_ = np.argsort(ends_, kind="stable"), np.empty(number + 1, np.int64)
    order_, above_ = np.empty(number, np.int64), np.full(number, -1, np.int64)
    cdef int64_t[::1] below = below_, total = total_, first = first_, last = last_, starts = starts_
    cdef int64_t[::1] by_number = by_number_, stack = stack_, order = order_, above = above_
    with nogil:
        for i in range(number):
            if first[i] >= 0:
                continue
            top, stack[0] = 1, i
            while top:
                top -= 1
                x = stack[top]
                first[x] = visited
                order[visited] = x
                visited += 1
                for at in range(starts[x], starts[x + 1]):
                    y = by_number[at] % edges
                    if below[y] >= 0:  # the way here
                        continue
                    below[y] = v[y] if u[y] == x else u[y]
                    above[below[y]] = x
                    stack[top] = below[y]
                    top += 1
        for at in range(number):
            last[order[at]] = at + 1
        for at in range(number - 1, -1, -1):
            x = order[at]
            if above[x] >= 0:
                total[above[x]] += total[x]
                last[above[x]] = max(last[above[x]], last[x])
    return below_, total_, first_, last_
