import math

import networkx as nx
import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.evaluation.skeletons import array_lookup, expected_run_length, skeletonize_labels


def line(y: float, nodes: int = 11, step: float = 10.0) -> nx.Graph:
    """A straight skeleton along x, at x = 0.5, 10.5, ..."""
    graph = nx.path_graph(nodes)
    nx.set_node_attributes(graph, {n: (0.5, y + 0.5, n * step + 0.5) for n in graph}, "position_nm")
    nx.set_edge_attributes(graph, step, "length_nm")
    return graph


def by_x(*cuts: float):
    """Segments 1, 2, ... along x, cut at `cuts`."""
    return lambda positions: np.searchsorted(cuts, positions[:, 2]).astype(np.uint64) + 1


def test_a_perfect_segmentation_reaches_the_maximum() -> None:
    skeletons = {1: line(0), 2: line(5, nodes=6)}
    scores = expected_run_length(skeletons, lambda positions: (positions[:, 1] > 3) + 1)
    # Lengths 100 and 50: (100^2 + 50^2) / 150.
    assert scores.erl_nm == scores.max_erl_nm == pytest.approx(12500 / 150)
    assert scores.normalised == 1
    assert (scores.split_edges, scores.omitted_edges, scores.merged_segments, scores.merged_skeletons) == (0, 0, 0, 0)


def test_a_line_split_once_by_hand() -> None:
    scores = expected_run_length({1: line(0)}, by_x(35))
    # Nodes 0..3 | 4..10: runs of 30 and 60, the edge between them lost.
    assert scores.erl_nm == pytest.approx((30**2 + 60**2) / 100)
    assert scores.max_erl_nm == 100
    assert (scores.split_edges, scores.merged_segments) == (1, 0)


def test_a_merger_zeroes_both_skeletons() -> None:
    scores = expected_run_length({1: line(0), 2: line(5)}, lambda positions: np.ones(len(positions), np.uint64))
    assert scores.erl_nm == scores.normalised == 0
    assert scores.max_erl_nm == 100
    assert (scores.merged_segments, scores.merged_skeletons, scores.split_edges) == (1, 2, 0)


def test_a_merged_piece_leaves_the_rest_of_its_skeleton() -> None:
    def look_up(positions: np.ndarray) -> np.ndarray:
        y, x = positions[:, 1], positions[:, 2]
        return np.where(y > 3, 7, np.where(x < 35, 1, 7)).astype(np.uint64)

    scores = expected_run_length({1: line(0), 2: line(5)}, look_up)
    assert scores.erl_nm == pytest.approx(30**2 / 200)
    assert (scores.merged_segments, scores.merged_skeletons, scores.split_edges) == (1, 2, 1)


def test_background_is_no_merger_but_omits_edges() -> None:
    scores = expected_run_length({1: line(0), 2: line(5)}, lambda positions: np.zeros(len(positions), np.uint64))
    assert scores.erl_nm == 0
    assert (scores.omitted_edges, scores.merged_segments, scores.merged_skeletons) == (20, 0, 0)


def test_one_stray_node_is_a_merger_unless_forgiven() -> None:
    def look_up(positions: np.ndarray) -> np.ndarray:
        y, x = positions[:, 1], positions[:, 2]
        return np.where((y > 3) | (x > 99), 2, 1).astype(np.uint64)

    strict = expected_run_length({1: line(0), 2: line(5)}, look_up)
    lenient = expected_run_length({1: line(0), 2: line(5)}, look_up, merge_nodes=2)
    assert strict.erl_nm == pytest.approx(90**2 / 200)
    assert lenient.erl_nm == pytest.approx((90**2 + 100**2) / 200)
    assert lenient.merged_segments == 0


def test_ids_above_2_63_keep_apart() -> None:
    ids = np.array([2**63, 2**63 + 1], np.uint64)
    scores = expected_run_length({1: line(0), 2: line(5)}, lambda positions: ids[(positions[:, 1] > 3).astype(int)])
    assert scores.normalised == 1


def test_no_length_is_an_error() -> None:
    for skeletons in ({}, {1: line(0, nodes=1)}):
        with pytest.raises(UserError, match="no length"):
            expected_run_length(skeletons, by_x())


def test_skeleton_of_a_tube_runs_its_length_in_nm() -> None:
    labels = np.zeros((9, 12, 60), np.uint32)
    labels[3:6, 4:9, 5:55] = 40
    labels[0, 0, 0] = 3
    skeletons = skeletonize_labels(labels, (30, 6, 6), (300, 0, 60))
    assert set(skeletons) == {3, 40}
    assert len(skeletons[3]) == 1
    tube = skeletons[40]
    assert nx.is_tree(tube)
    assert max(dict(tube.degree).values()) == 2
    assert tube.size(weight="length_nm") == pytest.approx(45 * 6, abs=8 * 6)
    positions = np.array([tube.nodes[n]["position_nm"] for n in tube])
    assert np.all(array_lookup(labels, (30, 6, 6), (300, 0, 60))(positions) == 40)
    assert set(skeletonize_labels(labels, (30, 6, 6), min_length_nm=1)) == {40}


def test_edge_lengths_are_distances_and_junctions_make_no_cycles() -> None:
    labels = np.zeros((1, 41, 41), np.uint8)
    labels[0, 18:23, 3:38] = labels[0, 3:38, 18:23] = 1
    graph = skeletonize_labels(labels, (40, 4, 4))[1]
    assert nx.is_tree(graph)
    for u, v, length in graph.edges(data="length_nm"):
        assert length == pytest.approx(math.dist(graph.nodes[u]["position_nm"], graph.nodes[v]["position_nm"]))


def test_labels_without_background_keep_their_first_label() -> None:
    assert set(skeletonize_labels(np.full((3, 3, 9), 5), (1, 1, 1))) == {5}
    assert skeletonize_labels(np.zeros((3, 3, 9), int), (1, 1, 1)) == {}


def test_lookup_finds_nothing_outside() -> None:
    look_up = array_lookup(np.full((2, 2, 2), 8), (10, 5, 5), (100, 0, 0))
    positions = np.array([[100, 0, 0], [119.9, 9.9, 9.9], [99.9, 0, 0], [120, 0, 0], [105, 10, 0]])
    assert look_up(positions).tolist() == [8, 8, 0, 0, 0]
