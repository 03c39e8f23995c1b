"""The root of a tree, for all kernels that unite."""

from libc.stdint cimport int64_t


cdef inline int64_t find(int64_t[::1] parent, int64_t x) noexcept nogil:
    """Return the root of x; trees get flatter on the way."""
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x
