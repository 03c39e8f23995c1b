"""A hash table from pairs of numbers to a number: open addressing, linear probing, no tombstones.

It has a power of two of rows, at most half of them in use; `low` is EMPTY in the others.
"""

from libc.stdint cimport int64_t, uint64_t
from libcpp.vector cimport vector

from neuroadda.kernels.hashing cimport mix

cdef enum:
    EMPTY = -1

cdef struct Pair:
    int64_t low
    int64_t high
    int64_t value

ctypedef vector[Pair] Table


cdef inline int make_room(Table& table, size_t entries) except -1 nogil:
    """Have room in a table for so many entries, what is in it included."""
    cdef Table old
    cdef Pair pair
    cdef Pair empty = Pair(EMPTY, EMPTY, EMPTY)
    cdef size_t size = 16
    if 2 * entries <= table.size():
        return 0
    while size < 2 * entries:
        size *= 2
    old.swap(table)
    table.resize(size, empty)
    for pair in old:
        if pair.low != EMPTY:
            table[find_slot(table, pair.low, pair.high)] = pair
    return 0


cdef inline size_t find_slot(const Table& table, int64_t a, int64_t b) noexcept nogil:
    """Return the row of a pair (in either order), or the empty row where it would go."""
    cdef int64_t low = min(a, b), high = max(a, b)
    cdef size_t slot = find_home(table, low, high)
    while table[slot].low != EMPTY and (table[slot].low != low or table[slot].high != high):
        slot = (slot + 1) & (table.size() - 1)
    return slot


cdef inline void put(Table& table, size_t slot, int64_t a, int64_t b, int64_t value) noexcept nogil:
    """Fill the row that `find_slot` named."""
    table[slot] = Pair(min(a, b), max(a, b), value)


cdef inline void remove(Table& table, size_t slot) noexcept nogil:
    """Empty a row; those behind it move up, so that no search ends early."""
    cdef size_t last = table.size() - 1, gap = slot, home
    slot = (slot + 1) & last
    while table[slot].low != EMPTY:
        home = find_home(table, table[slot].low, table[slot].high)
        if ((slot - home) & last) >= ((slot - gap) & last):
            table[gap] = table[slot]
            gap = slot
        slot = (slot + 1) & last
    table[gap].low = EMPTY


cdef inline size_t find_home(const Table& table, int64_t low, int64_t high) noexcept nogil:
    """Return where the search for a pair begins."""
    return mix(<uint64_t>low * <uint64_t>0x9E3779B97F4A7C15ULL + <uint64_t>high) & (table.size() - 1)
