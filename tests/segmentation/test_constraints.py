"""Merges and splits on the region graph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.segmentation.components import Numbering, connect_components
from neuroadda.segmentation.constraints import constrain
from neuroadda.segmentation.contacts import FULL
from neuroadda.segmentation.edges import Edges
from neuroadda.segmentation.rag import contract

BLOCKS, CAPACITY = 4, 1000


def pairs(*values) -> np.ndarray:
    return np.array(values, np.int64).reshape(-1, 2)


class Graph:
    """Fragments 0 to n - 1, spread over blocks, with edges of (u, v, mean affinity, count)."""

    def __init__(self, count: int, edges) -> None:
        self.numbering = Numbering(np.linspace(0, count, BLOCKS + 1).astype(np.int64), CAPACITY)
        u, v, mean, weight = (np.array(column) for column in zip(*edges, strict=True))
        self.block = np.searchsorted(self.numbering.first, np.maximum(u, v), side="right") - 1  # as the upper voxel's
        ids = [self.to_ids(np.minimum(u, v)), self.to_ids(np.maximum(u, v))]
        self.edges = Edges(*ids, np.rint(FULL * mean * weight).astype(np.int64), weight)

    def to_ids(self, dense: np.ndarray) -> np.ndarray:
        block = np.searchsorted(self.numbering.first, dense, side="right") - 1
        return (dense - self.numbering.first[block] + 1 + block * CAPACITY).astype(np.uint64)

    def read(self, block: int) -> Edges:
        return Edges(**{name: column[self.block == block] for name, column in vars(self.edges).items()})

    def segment(self, threshold: float) -> np.ndarray:
        return connect_components(self.numbering, [vars(contract(self.edges.to_rag(), 0.95).merges)], threshold)

    def edit(self, threshold: float, merges=(), splits=()) -> list[int]:
        lut = self.segment(threshold)
        return constrain(lut, self.numbering, pairs(*merges), pairs(*splits), self.read).tolist()


CHAIN = [(0, 1, 0.9, 5), (1, 2, 0.8, 5), (2, 3, 0.7, 5), (3, 4, 0.85, 5), (4, 5, 0.95, 5), (6, 7, 0.9, 5)]


def test_a_split_cuts_the_weakest_place_between_the_two_and_no_other():
    graph = Graph(8, CHAIN)
    assert graph.segment(0.5).tolist() == [1, 1, 1, 1, 1, 1, 2, 2]
    assert graph.edit(0.5, splits=[(0, 5)]) == [1, 1, 1, 2, 2, 2, 3, 3]
    assert graph.edit(0.5, splits=[(5, 3)]) == [1, 1, 1, 1, 2, 2, 3, 3]
    assert graph.edit(0.5, splits=[(0, 2), (5, 3)]) == [1, 1, 2, 2, 3, 3, 4, 4]


def test_what_touches_one_side_alone_goes_with_that_side():
    """Merges are named by the lowest fragment of a region; that a cut is between a and b says nothing of the others."""
    graph = Graph(4, [(0, 1, 0.9, 5), (1, 2, 0.6, 5), (1, 3, 0.7, 5)])
    assert graph.edit(0.5, splits=[(0, 1)]) == [1, 2, 2, 2]


def test_a_merge_joins_whole_segments_whatever_lies_between():
    graph = Graph(8, CHAIN)
    assert graph.edit(0.5, merges=[(7, 2)]) == [1] * 8
    assert graph.edit(0.06, merges=[(0, 7)]) == [1, 2, 3, 4, 5, 5, 6, 1]


def test_a_merge_goes_before_a_split():
    graph = Graph(8, CHAIN)
    assert graph.edit(0.5, merges=[(5, 0)], splits=[(0, 3)]) == [1, 1, 1, 2, 1, 1, 3, 3]
    # 6 and 7 are one segment: which of the two is merged with what 0 is split from decides.
    assert graph.edit(0.5, merges=[(0, 6)], splits=[(0, 7)]) == [1, 1, 1, 1, 1, 1, 1, 2]
    assert graph.edit(0.5, merges=[(0, 6)], splits=[(7, 5)]) == [1, 1, 1, 2, 2, 2, 1, 1]


def test_a_split_of_what_is_apart_changes_nothing_but_holds_against_a_merge_of_others():
    graph = Graph(8, CHAIN)
    assert graph.edit(0.5, splits=[(0, 7)]) == graph.segment(0.5).tolist()


def test_segments_without_an_edit_keep_their_fragments_where_their_edges_would_not_say_so():
    """Such as by waterz, whose merges are not those of the mean affinity."""
    graph = Graph(4, [(0, 1, 0.9, 5), (2, 3, 0.1, 5)])
    lut = np.array([1, 1, 2, 2], np.uint64)
    assert constrain(lut, graph.numbering, pairs(), pairs((0, 1)), graph.read).tolist() == [1, 2, 3, 3]


def agglomerate_by_hand(graph: Graph, segment: np.ndarray, merges, splits) -> np.ndarray:
    """Search all edges within segments for the best allowed one before every merge; return a name for every fragment."""
    dense = [graph.numbering.to_dense(ids).tolist() for ids in (graph.edges.u, graph.edges.v)]
    region = list(range(len(segment)))

    def join(a: int, b: int) -> None:
        low, high = sorted((region[a], region[b]))
        region[:] = [low if r == high else r for r in region]

    for a, b in merges:
        join(a, b)
    apart = [(a, b) for a, b in splits]
    while True:
        best = {}
        for u, v, total, count in zip(*dense, graph.edges.sum.tolist(), graph.edges.count.tolist(), strict=True):
            key = tuple(sorted((region[u], region[v])))
            if segment[u] != segment[v] or key[0] == key[1]:
                continue
            known = best.get(key, (0, 0, (u, v)))
            best[key] = known[0] + total, known[1] + count, min(known[2], (u, v))
        forbidden = {tuple(sorted((region[a], region[b]))) for a, b in apart}
        open_ = [(1 - t / (FULL * n), first, key) for key, (t, n, first) in best.items() if key not in forbidden and t]
        if not open_:
            return np.array(region)
        join(*min(open_)[2])


def random_graph(rng: np.random.Generator, count: int, levels: int) -> Graph:
    edges = {tuple(sorted(rng.choice(count, 2, replace=False).tolist())) for _ in range(3 * count)}
    weight = rng.integers(1, 4, len(edges))
    mean = rng.integers(0, levels, len(edges)) * (255 // levels) / FULL
    return Graph(count, [(u, v, m, int(w)) for (u, v), m, w in zip(sorted(edges), mean, weight, strict=True)])


def same_partition(a, b) -> bool:
    both = set(zip(np.asarray(a).tolist(), np.asarray(b).tolist(), strict=True))
    return len(both) == len(set(np.asarray(a).tolist())) == len(set(np.asarray(b).tolist()))


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(4, 30),
    levels=st.sampled_from([3, 8, 200]),
    threshold=st.sampled_from([0.4, 0.7]),
)
def test_any_edits_hold_and_the_rest_is_the_best_agglomeration_that_they_allow(seed, count, levels, threshold):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, count, levels)
    neuron = rng.integers(0, 3, count)  # edits that agree with some truth do not contradict each other
    chosen = [tuple(rng.choice(count, 2, replace=False).tolist()) for _ in range(rng.integers(0, 9))]
    merges = [(a, b) for a, b in chosen if neuron[a] == neuron[b]]
    splits = [(a, b) for a, b in chosen if neuron[a] != neuron[b]]
    before = graph.segment(threshold)
    after = graph.edit(threshold, merges, splits)
    assert all(after[a] == after[b] for a, b in merges)
    assert all(after[a] != after[b] for a, b in splits)
    assert list(dict.fromkeys(after)) == list(range(1, max(after) + 1))  # in order of first fragment
    order = rng.permutation(len(chosen))
    mixed = [chosen[i][::-1] for i in order]
    again = graph.edit(
        threshold,
        [p for p in mixed if neuron[p[0]] == neuron[p[1]]],
        [p for p in mixed if neuron[p[0]] != neuron[p[1]]] * 2,
    )
    assert again == after
    joined = np.array(graph.edit(threshold, merges))
    cut = {joined[a] for a, b in splits if joined[a] == joined[b]}
    inside = np.isin(joined, list(cut))
    assert same_partition(np.array(after)[~inside], joined[~inside])
    by_hand = agglomerate_by_hand(graph, before, merges, splits)
    assert same_partition(np.array(after)[inside], by_hand[inside])


@given(seed=st.integers(0, 10_000), count=st.integers(4, 30), levels=st.sampled_from([3, 8, 200]))
def test_one_split_makes_two_of_a_segment(seed, count, levels):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, count, levels)
    before = graph.segment(0.8)
    a, b = rng.choice(count, 2, replace=False).tolist()
    after = graph.edit(0.8, splits=[(a, b)])
    assert max(after) == before.max() + (before[a] == before[b])


def test_without_edits_it_stays_as_it_is():
    graph = random_graph(np.random.default_rng(0), 40, 200)
    assert graph.edit(0.6) == graph.segment(0.6).tolist()


@pytest.mark.parametrize("times", [1, 1000])
def test_a_split_holds_against_contacts_of_any_size(times):
    graph = Graph(3, [(0, 1, 1.0, 2**36), (1, 2, 1.0, 2**36)])
    assert graph.edit(0.5, splits=[(0, 2)] * times) in ([1, 1, 2], [1, 2, 2])
