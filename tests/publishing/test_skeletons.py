"""Skeletons: trees along the middle of segments, with radii, in nm."""

from itertools import pairwise

import numpy as np
import pytest

from neuroadda.publishing.skeletons import PlacedCrop
from neuroadda.publishing.trees import describe_swc, trace
from tests.publishing import shapes


def read_swc(text: str) -> np.ndarray:
    """Return id, type, x, y, z, radius, parent in rows."""
    return np.array([[float(word) for word in line.split()] for line in text.splitlines() if not line.startswith("#")])


def check_tree(tree) -> None:
    """Assert that every node but the first has one parent, that comes before it."""
    assert sorted(tree.edges[:, 1].tolist()) == list(range(1, len(tree.nodes)))
    assert (tree.edges[:, 0] < tree.edges[:, 1]).all()
    assert tree.radii[0] == tree.radii.max()


def test_a_branching_tube_across_blocks_has_its_three_arms_and_its_radius(tmp_path):
    ids = np.where(shapes.make_tree(4.0), shapes.TREE, 0).astype(np.uint64)
    volume = shapes.write_segmentation(tmp_path / "v.zarr/s", ids, (10, 10, 10), (20, 0, 50))
    out = shapes.publish(volume, tmp_path / "out", to=("swc",))
    rows = read_swc((out / f"swc/{shapes.TREE}.swc").read_text())
    numbers, parents = rows[:, 0].astype(int), rows[:, 6].astype(int)
    assert numbers.tolist() == list(range(1, len(rows) + 1))
    assert (parents < numbers).all()
    assert (parents == -1).sum() == 1
    assert (np.bincount(parents[parents > 0])[numbers[numbers < parents.max() + 1]] > 1).sum() <= 2  # one branches
    nm = (rows[:, [4, 3, 2]] - [20, 0, 50]) / 10  # zyx, in voxels from the corner
    ends = [a for pair in shapes.TREE_ENDS for a in (np.array(pair[0]), np.array(pair[1]))]
    for end in ends:
        assert np.linalg.norm(nm - end, axis=1).min() < 4
    for a, b in ((np.array(a, float), np.array(b, float)) for a, b in shapes.TREE_ENDS):
        middle = (a + b) / 2
        nearest = np.linalg.norm(nm - middle, axis=1).argmin()
        assert np.linalg.norm(nm[nearest] - middle) < 1.8
        assert rows[nearest, 5] == pytest.approx(40, abs=10)  # a voxel


def test_a_ring_becomes_a_tree_and_parts_become_one():
    tree = trace(shapes.make_ring(), np.array([8.0, 8.0, 8.0]), np.zeros(3))
    check_tree(tree)
    away = np.hypot(tree.nodes[:, 0] / 8 - 25, tree.nodes[:, 1] / 8 - 25)
    assert np.abs(away - 15).max() < 6  # the ends lie on the surface
    assert np.median(np.abs(away - 15)) < 1
    apart = np.zeros((12, 12, 60), bool)
    for begin in (2, 24, 45):
        apart[4:8, 4:8, begin : begin + 12] = True
    tree = trace(apart, np.array([30.0, 4.0, 4.0]), np.array([0, 0, 100]))
    check_tree(tree)
    assert tree.nodes[:, 0].min() >= 400


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2), (1, 9, 1), (4, 4, 4)])
def test_the_smallest_segments_have_a_node(shape):
    tree = trace(np.ones(shape, bool), np.array([30.0, 4.0, 4.0]), np.array([5, 6, 7]))
    check_tree(tree)
    assert len(tree.nodes) >= 1
    low, high = np.array([7, 6, 5]) * [4, 4, 30], (np.array([7, 6, 5]) + shape[::-1]) * [4, 4, 30]
    assert ((tree.nodes > low) & (tree.nodes < high)).all()
    assert (tree.radii > 0).all()
    assert read_swc(describe_swc(tree, 1).decode()).shape == (len(tree.nodes), 7)


def test_coarser_voxels_keep_together_what_is_connected():
    from scipy.ndimage import label

    walk = np.cumsum(np.random.default_rng(3).integers(-1, 2, (400, 3)), axis=0)
    steps = [walk[:1]]
    for a, b in pairwise(walk):
        for axis in range(3):
            a = a.copy()
            a[axis] = b[axis]
            steps.append(a[None])
    places = np.concatenate(steps) + 1000
    begin, end = places.min(axis=0), places.max(axis=0) + 1
    mask = np.zeros(end - begin, bool)
    mask[tuple((places - begin).T)] = True
    crop = PlacedCrop.plan(begin, end, (40, 8, 8), 300)
    assert crop.mask.size <= 300
    half = mask.shape[0] // 2
    crop.add(mask[:half], begin)
    crop.add(mask[half:], begin + np.array([half, 0, 0]))
    assert label(crop.mask, np.ones((3, 3, 3)))[1] == 1
    expected = np.unique(places // crop.factor, axis=0) - crop.begin
    assert np.array_equal(np.argwhere(crop.mask), expected)


def test_a_coarse_skeleton_lies_in_the_segment():
    mask = shapes.make_tube((24, 24, 120), ((12, 12, 6), (12, 12, 114)), 5)
    mask |= shapes.make_tube((24, 24, 120), ((12, 12, 60), (2, 2, 100)), 2)
    size, begin = np.array([30.0, 8.0, 8.0]), np.array([7, 1, 30])
    crop = PlacedCrop.plan(begin, begin + mask.shape, tuple(size), 2000)
    for first in (0, 50):  # however blocks cut it
        crop.add(mask[:, :, first : first + 70], begin + np.array([0, 0, first]))
    tree = crop.trace()
    check_tree(tree)
    z, y, x = np.floor(tree.nodes[:, ::-1] / size).astype(int).T - begin[:, None]
    assert crop.factor.max() > 2
    assert mask[z, y, x].all()
    assert np.ptp(tree.nodes[:, 0]) > 0.7 * 108 * 8
