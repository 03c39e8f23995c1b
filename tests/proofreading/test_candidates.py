"""Links, merge trees and candidates of graphs that are known."""

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.kernels.merge_forest import find_joins, hang, sum_below
from neuroadda.proofreading.candidates import Candidates, find_candidates, gain_of, make_tree
from neuroadda.proofreading.likelihood import LIKELIHOOD, describe
from neuroadda.proofreading.regions import Regions, gather_regions
from neuroadda.segmentation.components import Numbering, connect_components
from neuroadda.segmentation.contacts import FULL
from neuroadda.segmentation.edges import Edges, collect_edges
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.ids import capacity_of
from neuroadda.segmentation.rag import contract
from tests.segmentation.synthetic import VOXEL_SIZE_NM, phantom_affs
from tests.segmentation.test_agglomerate import cut

SHAPE = (12, 100, 110)
THRESHOLD = 0.45


@pytest.fixture(scope="module")
def flooded() -> tuple[np.ndarray, np.ndarray]:
    """Affinities and fragments of a phantom; no affinity is 1, which only pieces of one fragment are, and few scores are equal."""
    _, affs = phantom_affs(SHAPE)
    noise = np.random.default_rng(0).integers(1, 60, affs.shape)
    affs = np.maximum(affs.astype(int) - noise, 0).astype(np.uint8)
    return affs, find_fragments(affs, VOXEL_SIZE_NM, Fragments(seed_distance_vx=4))


def gather(affs: np.ndarray, fragments: np.ndarray, block_vx=SHAPE, parts: int = 1) -> Regions:
    """Gather the regions of fragments that are cut by blocks; edges and merges come in parts."""
    grid = BlockGrid.make(Roi((0, 0, 0), SHAPE), Coordinate(1, 1, 1), block_vx)
    ids = cut(fragments, grid)
    edges = collect_edges(affs, ids)
    of = dict(zip(ids.ravel().tolist(), fragments.ravel().tolist(), strict=True))  # pieces of one fragment are one
    one = np.array([of[u] == of[v] for u, v in zip(edges.u.tolist(), edges.v.tolist(), strict=True)], bool)
    edges = Edges(edges.u, edges.v, np.where(one, FULL * edges.count, edges.sum), edges.count)
    merges = contract(edges.to_rag(), 0.95).merges
    first = np.array([0, *(len(np.unique(ids[block.write_roi.to_slices()])) for block in grid.blocks())]).cumsum()
    numbering = Numbering(first, capacity_of(grid))
    sizes, at_border = np.zeros(first[-1], np.int64), np.zeros(first[-1], bool)
    found, counts = np.unique(ids, return_counts=True)
    sizes[numbering.to_dense(found)] = counts
    for axis in range(3):
        at_border[numbering.to_dense(np.unique(ids.take([0, -1], axis=axis)))] = True
    split = [np.arange(len(edges.u))[part::parts] for part in range(parts)]
    return gather_regions(
        numbering,
        connect_components(numbering, [vars(merges)], THRESHOLD),
        sizes,
        at_border,
        [{name: column[part::parts] for name, column in vars(merges).items()} for part in range(parts)],
        (Edges(**{name: column[rows] for name, column in vars(edges).items()}) for rows in split),
        THRESHOLD,
    )


def show(found: Candidates) -> list[tuple]:
    sizes = [sorted(pair) for pair in zip(found.size_a.tolist(), found.size_b.tolist(), strict=True)]
    columns = (found.is_merge, found.score, found.contact, found.orphan, found.likelihood, found.gain)
    return list(zip(*(column.tolist() for column in columns), sizes, strict=True))


@pytest.mark.parametrize(("block_vx", "parts"), [(SHAPE, 7), ((12, 50, 50), 1), ((6, 25, 110), 3), ((5, 13, 17), 2)])
def test_candidates_do_not_depend_on_blocks_or_parts(flooded, block_vx, parts):
    whole = show(find_candidates(gather(*flooded), 200))
    assert len(whole) > 100
    assert {row[0] for row in whole} == {True, False}
    assert show(find_candidates(gather(*flooded, block_vx, parts), 200)) == whole


def test_a_cut_scores_what_its_merge_did_and_parts_what_the_tree_says(flooded):
    regions = gather(*flooded)
    tree = make_tree(regions)
    u, v, score = regions.merges
    within = regions.segment[u] == regions.segment[v]
    assert sorted(tree.links.score.tolist()) == pytest.approx(sorted(score[within].tolist()), abs=1e-12)
    size_a, size_b = tree.sides()
    whole = np.bincount(regions.segment, regions.sizes)
    assert (size_a + size_b == whole[regions.segment[tree.links.u]]).all()
    for row in range(0, len(size_a), 7):
        left = np.delete(np.arange(len(size_a)), row)
        parent, merge = hang(len(regions.sizes), tree.links.u[left], tree.links.v[left])
        ends = np.full(len(regions.sizes), tree.links.u[row])
        side = find_joins(parent, merge, ends, np.arange(len(regions.sizes))) >= 0
        assert (
            regions.sizes[side].sum() + regions.sizes[tree.links.u[row]] * (1 - side[tree.links.u[row]]) == size_a[row]
        )


def test_cuts_beside_each_other_gain_once():
    """Two neurons of 1000 voxels with three crumbs between them: after the best cut, the others gain next to nothing."""
    sizes = np.array([0, 1000, 1, 1, 1, 1000])
    pairs = np.array([[1, 2], [2, 3], [3, 4], [4, 5]])
    edges = Edges(
        pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64), np.array([200, 150, 190, 195]) * 9, np.full(4, 9)
    )
    merges = contract(edges.to_rag(), 0.95).merges
    numbering = Numbering(np.array([0, 5]), 5)
    lut = connect_components(numbering, [vars(merges)], 0.5)
    regions = gather_regions(numbering, lut, sizes[1:], np.ones(5, bool), [vars(merges)], iter([edges]), 0.5)
    found = find_candidates(regions, 10)
    assert len(found.a) == 4
    assert not found.is_merge.any()
    full = gain_of(np.array(1001), np.array(1002), int(sizes.sum()))
    assert found.gain[0] / found.likelihood[0] == pytest.approx(full, rel=0.01)
    assert (found.gain[1:] / found.likelihood[1:] < 0.02 * full).all()


@pytest.mark.parametrize("count", [0, 1, 4])
def test_graphs_without_edges_have_no_candidates(count):
    none, ids = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    edges = Edges(ids, ids, none, none)
    regions = gather_regions(
        Numbering(np.array([0, count]), max(count, 1)),
        np.arange(1, count + 1, dtype=np.uint64),
        np.full(count, 5),
        np.zeros(count, bool),
        [],
        iter([edges] * count),
        0.5,
    )
    assert len(find_candidates(regions, 10).a) == 0


def test_segments_that_were_dropped_are_no_side():
    """A lookup table has 0 for what is too small."""
    edges = Edges(np.array([1, 2], np.uint64), np.array([2, 3], np.uint64), np.array([100, 100]), np.array([2, 2]))
    regions = gather_regions(
        Numbering(np.array([0, 3]), 3),
        np.array([1, 0, 2], np.uint64),
        np.array([9, 1, 9]),
        np.zeros(3, bool),
        [],
        iter([edges]),
        0.5,
    )
    assert len(find_candidates(regions, 10).a) == 0


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_gain_is_the_fall_of_voi(a, b):
    """Of two parts of one neuron that become one segment, in a volume of nothing else."""
    share = np.array([a, b]) / (a + b)
    assert gain_of(np.array(a), np.array(b), a + b) == pytest.approx(-(share * np.log(share)).sum(), abs=1e-9)
    assert gain_of(np.array(a), np.array(b), 7) == gain_of(np.array(b), np.array(a), 7)


@given(st.integers(1, 30), st.data())
def test_joins_are_those_of_the_merges(number, data):
    pairs = data.draw(st.lists(st.tuples(st.integers(0, number - 1), st.integers(0, number - 1)), max_size=60))
    u, v = (np.array([pair[end] for pair in pairs], np.int64) for end in (0, 1))
    parent, merge = hang(number, u, v)
    part, expected = np.arange(number), np.full((number, number), -1)
    for index, (a, b) in enumerate(pairs):
        first, second = part == part[a], part == part[b]
        if part[a] != part[b]:
            expected[np.ix_(first, second)] = expected[np.ix_(second, first)] = index
            part[second] = part[a]
    a, b = (ends.ravel().copy() for ends in np.meshgrid(np.arange(number), np.arange(number), indexing="ij"))
    assert (find_joins(parent, merge, a, b) == expected.ravel()).all()
    kept = np.unique(expected[expected >= 0])
    below, total, first, last = sum_below(u[kept].copy(), v[kept].copy(), np.arange(number) + 1)
    assert sorted(set(range(number)) - set(below.tolist())) == sorted({int(np.flatnonzero(part == p)[0]) for p in part})
    for root in set(range(number)) - set(below.tolist()):
        assert total[root] == (np.flatnonzero(part == part[root]) + 1).sum()
        assert last[root] - first[root] == (part == part[root]).sum()


def test_likelihood_falls_with_the_evidence_against_a_merge_and_with_the_size():
    above, smaller = np.array([0.01, 0.2, 0.5, 0.5]), np.array([1000, 1000, 1000, 10**6])
    likely = LIKELIHOOD.of(np.ones(4, bool), describe(above, np.full(4, 100), smaller))
    assert 1 > likely[0] > likely[1] > likely[2] > likely[3] > 0


def test_every_cut_is_as_likely_whatever_its_size():
    """Sizes far beyond those that the likelihood was fitted on, and contacts of none, are no certain errors."""
    described = describe(np.array([-0.5, -0.01, -0.2]), np.array([0, 100, 10**7]), np.array([0, 10**3, 10**9]))
    likely = LIKELIHOOD.of(np.zeros(3, bool), described)
    assert len(set(likely.tolist())) == 1
    assert 0 < likely[0] < 0.5
