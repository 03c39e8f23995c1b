import numpy as np
from funlib.geometry import Coordinate, Roi
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.segmentation.edges import Edges, collect_edges
from neuroadda.segmentation.ids import capacity_of, to_global, to_local
from tests.segmentation.synthetic import noisy_affs


def by_hand(affs, fragments):
    """Return {(u, v): (sum, count)} by looking at every voxel."""
    found: dict[tuple[int, int], list[int]] = {}
    for p in np.ndindex(fragments.shape):
        for axis in range(3):
            q = list(p)
            q[axis] -= 1
            if q[axis] < 0:
                continue
            u, v = sorted((int(fragments[p]), int(fragments[tuple(q)])))
            if u and v and u != v:
                found.setdefault((u, v), []).append(int(affs[(axis, *p)]))
    return {pair: (sum(values), len(values)) for pair, values in found.items()}


def as_dict(edges: Edges):
    return {
        (int(u), int(v)): (int(s), int(n)) for u, v, s, n in zip(edges.u, edges.v, edges.sum, edges.count, strict=True)
    }


@given(shape=st.tuples(*[st.integers(1, 6)] * 3), ids=st.integers(1, 6), seed=st.integers(0, 1000))
def test_edges_are_those_seen_by_hand(shape, ids, seed):
    rng = np.random.default_rng(seed)
    fragments = rng.integers(0, ids + 1, shape).astype(np.uint64)
    affs = rng.integers(0, 256, (3, *shape)).astype(np.uint8)
    assert as_dict(collect_edges(affs, fragments)) == by_hand(affs, fragments)


@given(block=st.tuples(*[st.integers(2, 6)] * 3), seed=st.integers(0, 1000))
def test_each_edge_is_owned_by_one_block_with_the_statistics_of_the_whole_volume(block, seed):
    shape = (5, 9, 8)
    rng = np.random.default_rng(seed)
    grid = BlockGrid.make(Roi((0, 0, 0), shape), Coordinate(1, 1, 1), block)
    capacity = capacity_of(grid)
    fragments = np.zeros(shape, np.uint64)
    for b in grid.blocks():
        local = rng.integers(0, 4, tuple(b.write_roi.shape))
        fragments[b.write_roi.to_slices()] = to_global(local, b.index, capacity)
    affs = rng.integers(0, 256, (3, *shape)).astype(np.uint8)
    parts = []
    for b in grid.blocks():
        read = b.write_roi.grow(Coordinate(1, 1, 1), Coordinate(0, 0, 0)).intersect(grid.roi)
        low = tuple(b.write_roi.begin - read.begin)
        parts.append(collect_edges(affs[(slice(None), *b.write_roi.to_slices())], fragments[read.to_slices()], low))
        assert all(
            b.index in pair
            for pair in zip(*(to_local(e, capacity)[0] for e in (parts[-1].u, parts[-1].v)), strict=True)
        )
    merged = [item for part in parts for item in as_dict(part).items()]
    assert len({pair for pair, _ in merged}) == len(merged)
    assert dict(merged) == as_dict(collect_edges(affs, fragments))


def test_ids_say_which_block_they_are_of():
    grid = BlockGrid.make(Roi((0, 0, 0), (4, 4, 4)), Coordinate(1, 1, 1), (2, 2, 2))
    capacity = capacity_of(grid)
    local = np.arange(capacity + 1)
    seen = set()
    for block in range(len(grid)):
        ids = to_global(local, block, capacity)
        assert ids[0] == 0
        blocks, numbers = to_local(ids[1:], capacity)
        assert (blocks == block).all()
        assert (numbers == np.arange(capacity)).all()
        seen |= set(ids[1:].tolist())
    assert len(seen) == len(grid) * capacity


def test_no_edges_between_nothing():
    assert len(collect_edges(noisy_affs((2, 4, 4)), np.zeros((2, 4, 4), np.uint64)).u) == 0
