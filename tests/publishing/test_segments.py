"""The table of segments: sizes, boxes and blocks, whatever the ids are and however blocks cut them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.publishing.segment_table import find_touching, join_parts, list_touching, measure_parts


@given(seed=st.integers(0, 2**32 - 1), side=st.integers(1, 7), background=st.booleans())
def test_the_table_is_that_of_the_whole_array(seed, side, background):
    rng = np.random.default_rng(seed)
    known = rng.integers(1, 2**64 - 4, 5, dtype=np.uint64)
    known = np.append(known, np.uint64(0)) if background else known
    ids = known[rng.integers(0, len(known), (6, 5, 7))]
    parts, held = [], {}
    counts = [-(-s // side) for s in ids.shape]
    for index, place in enumerate(np.ndindex(*counts)):
        begin = np.array(place) * side
        box = ids[tuple(slice(b, b + side) for b in begin)]
        part = measure_parts(box)
        parts.append(part | {"begin": part["begin"] + begin, "end": part["end"] + begin})
        for id_ in set(box.ravel().tolist()) - {0}:
            held.setdefault(id_, []).append(index)
    table = join_parts(parts)
    assert table.id.tolist() == sorted(held)
    for row, id_ in enumerate(table.id):
        inside = np.argwhere(ids == id_)
        assert table.voxels[row] == len(inside)
        assert np.array_equal(table.begin[row], inside.min(axis=0))
        assert np.array_equal(table.end[row], inside.max(axis=0) + 1)
        assert table.list_blocks(row).tolist() == held[int(id_)]


def test_nothing_is_a_table_without_rows():
    table = join_parts([measure_parts(np.zeros((2, 2, 2), np.uint64))] * 3)
    assert len(table.id) == len(table.voxels) == len(table.blocks) == 0


def test_a_surface_may_lie_in_the_block_before():
    grid = BlockGrid(offset=(0, 0, 0), shape=(8, 8, 8), block=(4, 4, 4), voxel_size=(1, 1, 1))
    ids = np.zeros((4, 4, 4), np.uint64)
    ids[0, 2, 0] = 9  # the block's first voxels along z and x
    parts = [measure_parts(np.zeros((4, 4, 4), np.uint64))] * 7 + [measure_parts(ids)]
    table = join_parts(parts)
    assert list_touching(table.list_blocks(0), grid).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert len(find_touching(table, np.array([0]), grid)) == 8
