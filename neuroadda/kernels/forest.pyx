"""Sets of numbers as trees that point to their lowest member; see `segmentation.components`."""

import numpy as np
from libc.stdint cimport int64_t, uint64_t


def unite(int64_t[::1] parent, const int64_t[::1] u, const int64_t[::1] v):
    """Unite pairs in place; the lowest number is the root, so that the order of pairs does not matter."""
    cdef Py_ssize_t i
    cdef int64_t a, b
    with nogil:
        for i in range(u.shape[0]):
            a, b = find(parent, u[i]), find(parent, v[i])
            if a < b:
                parent[b] = a
            else:
                parent[a] = b


def number_roots(int64_t[::1] parent):
    """Return uint64: the set of each number, 1, 2, ... in the order of their lowest members."""
    numbers_ = np.zeros(parent.shape[0], np.uint64)
    cdef uint64_t[::1] numbers = numbers_
    cdef uint64_t last = 0
    cdef Py_ssize_t x
    cdef int64_t root
    with nogil:
        for x in range(parent.shape[0]):
            root = find(parent, x)
            if root == x:
                last += 1
            numbers[x] = last if root == x else numbers[root]
    return numbers_
