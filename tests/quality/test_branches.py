"""Branches and ends of skeletons of known shapes."""

from itertools import pairwise

import numpy as np
import pytest

from neuroadda.publishing.trees import Tree
from neuroadda.quality.branches import measure_branches


def make_tree(paths: list[list[tuple[float, float, float]]], radius: float = 50.0) -> Tree:
    """Return the tree of paths between places (zyx, nm), in steps of at most 50 nm; equal places are one node."""
    number: dict[tuple[float, ...], int] = {}
    edges = []
    for path in paths:
        for a, b in pairwise(path):
            count = max(1, int(np.ceil(np.linalg.norm(np.subtract(b, a)) / 50)))
            places = [tuple((np.array(a) + (np.array(b) - a) * step / count).round(6)) for step in range(count + 1)]
            nodes = [number.setdefault(place, len(number)) for place in places]
            edges += list(pairwise(nodes))
    nodes = np.array(list(number), float)[:, ::-1]
    return Tree(nodes, np.full(len(nodes), radius), np.array(edges, np.int64).reshape(-1, 2))


def test_a_path_has_one_branch_and_two_ends():
    found = measure_branches(make_tree([[(0, 0, 0), (0, 1000, 0), (0, 1000, 500)]]))
    assert (found.branches, found.branch_points) == (1, 0)
    assert found.length_nm == pytest.approx(1500)
    assert sorted(map(tuple, found.ends.tolist())) == [(0, 0, 0), (0, 1000, 500)]


def test_a_y_has_one_branch_point():
    arms = [[(0, 0, 0), (0, 1000, 0)], [(0, 1000, 0), (0, 2000, 600)], [(0, 1000, 0), (800, 1600, 0)]]
    found = measure_branches(make_tree(arms))
    assert (found.branches, found.branch_points, len(found.ends)) == (3, 1, 3)
    assert found.length_nm == pytest.approx(1000 + np.hypot(1000, 600) + np.hypot(800, 600))


def test_an_h_has_two_and_a_cross_has_one():
    h = [[(0, 0, 0), (0, 2000, 0)], [(0, 0, 900), (0, 2000, 900)], [(0, 1000, 0), (0, 1000, 900)]]
    found = measure_branches(make_tree(h))
    assert (found.branches, found.branch_points, len(found.ends)) == (5, 2, 4)
    cross = [[(0, 0, 1000), (0, 2000, 1000)], [(0, 1000, 0), (0, 1000, 2000)]]
    found = measure_branches(make_tree(cross))
    assert (found.branches, found.branch_points, len(found.ends)) == (4, 1, 4)


@pytest.mark.parametrize(
    ("length", "radius", "branches"), [(450, 50, 1), (550, 50, 3), (550, 300, 1), (650, 300, 3), (490, 1, 1)]
)
def test_short_side_branches_are_cut_off_by_length_and_radius(length, radius, branches):
    tree = make_tree([[(0, 0, 0), (0, 3000, 0)], [(0, 1500, 0), (0, 1500, length)]], radius)
    found = measure_branches(tree)
    assert found.branches == branches
    assert found.length_nm == pytest.approx(3000 + (length if branches == 3 else 0))


def test_many_short_side_branches_leave_the_path_whole():
    twigs = [[(0, y, 0), (0, y, 150 + y / 100)] for y in range(100, 5000, 100)]
    found = measure_branches(make_tree([[(0, 0, 0), (0, 5000, 0)], *twigs]))
    assert (found.branches, len(found.ends)) == (1, 2)
    assert found.length_nm == pytest.approx(5000, abs=200)  # an end may be that of a side branch beside it


def test_a_long_branch_with_a_forked_tip_keeps_one_tip():
    arms = [[(0, 0, 0), (0, 4000, 0)], [(0, 2000, 0), (0, 2000, 2000)], [(0, 2000, 1900), (0, 2100, 1900)]]
    found = measure_branches(make_tree(arms))
    assert (found.branches, found.branch_points, len(found.ends)) == (3, 1, 3)
    assert found.length_nm == pytest.approx(6000)


def test_a_speck_has_an_end_and_no_branch():
    found = measure_branches(Tree(np.array([[1.0, 2.0, 3.0]]), np.array([4.0]), np.zeros((0, 2), np.int64)))
    assert (found.branches, found.branch_points, found.length_nm) == (0, 0, 0)
    assert found.ends.tolist() == [[3.0, 2.0, 1.0]]
