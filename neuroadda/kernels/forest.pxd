"""The root of a tree, for all kernels that unite."""

from libc.stdint cimport int64_t, uint32_t


cdef inline int64_t find(int64_t[::1] parent, int64_t x) noexcept nogil:
    """Return the root of x; trees get flatter on the way."""
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


cdef inline uint32_t find_short(uint32_t* parent, uint32_t x) noexcept nogil:
    """As `find`, of numbers of 32 bits."""
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x
