"""A hash table from pairs of numbers to a number, for compiled code: open addressing, linear probing, no tombstones.

numba's own typed dictionary takes several times the time and memory.
"""

import numba
import numpy as np

EMPTY = -1


@numba.njit(cache=True)
def make_table(entries: int) -> np.ndarray:  # pragma: no cover - compiled
    """Return an empty table, int64 rows of (low, high, value), with room for so many entries (at most 2^60)."""
    size = 16
    while size < 2 * entries:
        size *= 2
    table = np.empty((size, 3), np.int64)
    table[:, 0] = EMPTY
    return table


@numba.njit(cache=True)
def grow(table: np.ndarray) -> np.ndarray:  # pragma: no cover - compiled
    """Return a table of twice the room with the same pairs."""
    larger = make_table(len(table))
    for row in table:
        if row[0] != EMPTY:
            larger[find_slot(larger, row[0], row[1])] = row
    return larger


@numba.njit(cache=True)
def find_slot(table: np.ndarray, a: int, b: int) -> int:  # pragma: no cover - compiled
    """Return the row of a pair (in either order), or the empty row where it would go."""
    low, high = min(a, b), max(a, b)
    slot = int(_home(table, low, high))
    while table[slot, 0] != EMPTY and (table[slot, 0] != low or table[slot, 1] != high):
        slot = (slot + 1) & (len(table) - 1)
    return slot


@numba.njit(cache=True)
def put(table: np.ndarray, slot: int, a: int, b: int, value: int) -> None:  # pragma: no cover - compiled
    """Fill the row that `find_slot` named."""
    table[slot, 0], table[slot, 1], table[slot, 2] = min(a, b), max(a, b), value


@numba.njit(cache=True)
def remove(table: np.ndarray, slot: int) -> None:  # pragma: no cover - compiled
    """Empty a row; those behind it move up, so that no search ends early."""
    last = len(table) - 1
    gap = slot
    slot = (slot + 1) & last
    while table[slot, 0] != EMPTY:
        home = _home(table, table[slot, 0], table[slot, 1])
        if ((slot - home) & last) >= ((slot - gap) & last):
            table[gap] = table[slot]
            gap = slot
        slot = (slot + 1) & last
    table[gap, 0] = EMPTY


@numba.njit(cache=True)
def _home(table: np.ndarray, low: int, high: int) -> np.int64:  # pragma: no cover - compiled
    """Return where the search for a pair begins (the finaliser of splitmix64, Steele et al. 2014)."""
    x = np.uint64(low) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(high)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((x ^ (x >> np.uint64(31))) & np.uint64(len(table) - 1))
