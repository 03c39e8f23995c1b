import numba
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.segmentation.pairs import EMPTY, find_slot, make_table, put, remove

pairs = st.tuples(st.integers(0, 6), st.integers(0, 6))


@numba.njit
def get(table, a, b):
    slot = find_slot(table, a, b)
    return table[slot, 2] if table[slot, 0] != EMPTY else EMPTY


@given(steps=st.lists(st.tuples(st.booleans(), pairs, st.integers(0, 99)), max_size=120))
def test_the_table_is_a_dictionary_of_unordered_pairs(steps):
    table, right = make_table(28), {}
    for is_put, (a, b), value in steps:
        slot = find_slot(table, a, b)
        key = min(a, b), max(a, b)
        if is_put:
            put(table, slot, a, b, value)
            right[key] = value
        elif key in right:
            remove(table, slot)
            del right[key]
        for x in range(7):
            for y in range(7):
                assert get(table, x, y) == right.get((min(x, y), max(x, y)), EMPTY)
