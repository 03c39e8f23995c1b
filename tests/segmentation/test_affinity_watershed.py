from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuroadda.backbones.network import NEAREST
from neuroadda.config import parse_config
from neuroadda.errors import UserError
from neuroadda.kernels.ascending import mark_links
from neuroadda.segmentation.affinity_watershed import absorb_small, find_basins, keep_inside
from neuroadda.segmentation.fragments import Fragments, context_vx, find_fragments
from tests.segmentation.synthetic import VOXEL_SIZE_NM, noisy_affs, phantom_affs

# Few values, so that ties are many.
affinities = st.tuples(*[st.integers(1, 5)] * 3).flatmap(
    lambda shape: arrays(np.uint8, (3, *shape), elements=st.sampled_from([0, 1, 40, 120, 121, 253, 255]))
)


def list_edges(affs, first_axis):
    """Yield (affinity, axis, lower voxel, upper voxel) by axis, z, y, x."""
    for axis in range(first_axis, 3):
        for upper in product(*(range(n) for n in affs.shape[1:])):
            if upper[axis] > 0:
                lower = tuple(p - (a == axis) for a, p in enumerate(upper))
                yield int(affs[(axis, *upper)]), axis, lower, upper


class Sets:
    def __init__(self, members):
        self.parent = {m: m for m in members}

    def find(self, m):
        while self.parent[m] != m:
            m = self.parent[m]
        return m

    def unite(self, a, b):
        a, b = sorted((self.find(a), self.find(b)))
        self.parent[b] = a


def number(sets, shape, counts):
    """Return labels by first voxel; 0 for voxels that do not count."""
    labels, numbers = np.zeros(shape, np.uint32), {}
    for p in product(*(range(n) for n in shape)):
        if counts(p):
            labels[p] = numbers.setdefault(sets.find(p), len(numbers) + 1)
    return labels


def slow_basins(affs, low, high, first_axis):
    """Steepest ascent, word for word: every voxel joins the neighbour of its highest affinity."""
    shape = affs.shape[1:]
    sets, best = Sets(product(*(range(n) for n in shape))), {}
    for affinity, axis, lower, upper in list_edges(affs, first_axis):
        if affinity >= low:
            for voxel, other, order in ((upper, lower, axis), (lower, upper, 3 + axis)):
                best[voxel] = min(best.get(voxel, (0, 9, voxel)), (-affinity, order, other))
        if affinity >= high:
            sets.unite(lower, upper)
    for voxel, (_, _, other) in best.items():
        sets.unite(voxel, other)
    return number(sets, shape, best.__contains__)


def slow_absorb(affs, basins, low, min_size, first_axis):
    """The size rule on the graph of fragments, each edge at the highest affinity of its pair."""
    ids, sizes = np.unique(basins[basins > 0], return_counts=True)
    sets, size = Sets(ids.tolist()), dict(zip(ids.tolist(), sizes.tolist(), strict=True))
    highest = {}
    for place, (affinity, _, lower, upper) in enumerate(list_edges(affs, first_axis)):
        u, v = sorted((int(basins[lower]), int(basins[upper])))
        if 0 < u < v and affinity >= low:
            highest[u, v] = min(highest.get((u, v), (0, 0)), (-affinity, place))
    for u, v in sorted(highest, key=highest.__getitem__):
        a, b = sets.find(u), sets.find(v)
        if a != b and min(size[a], size[b]) < min_size:
            size[min(a, b)] = size[a] + size[b]
            sets.unite(a, b)
    labels = {i: sets.find(i) for i in size}
    numbers = {root: n + 1 for n, root in enumerate(sorted(set(labels.values())))}
    return np.vectorize(lambda i: numbers[labels[i]] if i else 0, otypes=[np.uint32])(basins)


@given(
    affs=affinities, low=st.sampled_from([0, 30, 100]), high=st.sampled_from([121, 254, 255]), sections=st.booleans()
)
def test_basins_are_those_of_the_definition(affs, low, high, sections):
    found, count = find_basins(affs, low / 255, high / 255, sections)
    np.testing.assert_array_equal(found, slow_basins(affs, max(low, 1), high, int(sections)), strict=True)
    assert count == found.max(initial=0)


@given(affs=affinities, low=st.sampled_from([0, 100]), min_size=st.integers(0, 30), sections=st.booleans())
def test_small_fragments_merge_as_defined(affs, low, min_size, sections):
    basins, count = find_basins(affs, low / 255, 1.0, sections)
    expected = slow_absorb(affs, basins, max(low, 1), min_size, int(sections))
    absorb_small(affs, basins, count, low / 255, min_size, sections)
    np.testing.assert_array_equal(basins, expected, strict=True)


@pytest.mark.parametrize("sections", [False, True])
def test_long_rows_are_as_defined(sections):
    """A processor takes many voxels of a row at once, and the last of a row one by one."""
    affs = noisy_affs((4, 7, 45))
    basins, count = find_basins(affs, 40 / 255, 240 / 255, sections)
    np.testing.assert_array_equal(basins, slow_basins(affs, 40, 240, int(sections)))
    expected = slow_absorb(affs, basins, 40, 20, int(sections))
    absorb_small(affs, basins, count, 40 / 255, 20, sections)
    assert count > expected.max() > 3
    np.testing.assert_array_equal(basins, expected, strict=True)


@pytest.mark.parametrize("sections", [False, True])
def test_links_between_voxels_of_a_block_need_one_voxel_around_it(sections):
    affs = noisy_affs((14, 40, 44))
    whole = mark_links(affs, int(sections), 1, 253)[4:10, 11:31, 7:30]
    around = mark_links(np.ascontiguousarray(affs[:, 3:11, 10:32, 6:31]), int(sections), 1, 253)[1:-1, 1:-1, 1:-1]
    across = np.zeros(
        whole.shape, np.uint8
    )  # bits of links to the block below, along z, y, x: one voxel more tells them
    across[0] |= 1
    across[:, 0] |= 2
    across[:, :, 0] |= 4
    np.testing.assert_array_equal(around & ~across, whole & ~across)


def test_sections_are_found_each_alone():
    affs = noisy_affs((3, 40, 44))
    parameters = Fragments(method="ascent", sections=True, min_size_vx=60)
    found = find_fragments(affs, VOXEL_SIZE_NM, parameters)
    last = 0
    for z in range(3):
        alone = find_fragments(affs[:, z : z + 1], VOXEL_SIZE_NM, parameters)[0]
        np.testing.assert_array_equal(found[z], np.where(alone > 0, alone + last, 0))
        last = int(found[z].max())
    assert last > 6


def test_a_plateau_is_one_fragment():
    affs = np.full((3, 6, 20, 20), 200, np.uint8)
    affs[2, :, :, 10] = 10
    found = find_fragments(affs, VOXEL_SIZE_NM, Fragments(method="ascent", min_size_vx=100))
    assert (found[:, :, :10] == 1).all()
    assert (found[:, :, 10:] == 2).all()


def test_no_small_fragment_is_left_beside_another():
    affs = noisy_affs((12, 60, 64))
    low, min_size = 60 / 255, 300
    found = find_fragments(affs, VOXEL_SIZE_NM, Fragments(method="ascent", min_size_vx=min_size, low=low))
    sizes = np.bincount(found.ravel())
    assert len(sizes) > 3
    for axis in range(3):
        upper, lower = np.moveaxis(found, axis, 0)[1:], np.moveaxis(found, axis, 0)[:-1]
        touching = (upper != lower) & (upper > 0) & (lower > 0) & (np.moveaxis(affs[axis], axis, 0)[1:] >= 60)
        assert (np.minimum(sizes[upper], sizes[lower])[touching] >= min_size).all()


def test_without_affinities_there_are_no_fragments():
    for shape in ((2, 5, 6), (0, 5, 6), (2, 5, 0)):
        assert not find_fragments(np.zeros((3, *shape), np.uint8), VOXEL_SIZE_NM, Fragments(method="ascent")).any()


def test_outside_tissue_nothing_is_found_and_nothing_joins_through_it():
    affs = np.full((3, 9, 30, 30), 230, np.uint8)
    tissue = np.ones((9, 30, 30), bool)
    tissue[4] = False
    found = find_fragments(affs, VOXEL_SIZE_NM, Fragments(method="ascent"), tissue)
    assert [np.unique(section).tolist() for section in found] == [[1]] * 4 + [[0]] + [[2]] * 4
    inside = keep_inside(affs, tissue)
    assert not inside[0, 4:6].any()
    assert (inside[1:, [3, 5]] == 230).all()


def test_affinities_may_be_floats():
    affs = noisy_affs()
    parameters = Fragments(method="ascent", min_size_vx=200)
    floats = affs.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(
        find_fragments(floats, VOXEL_SIZE_NM, parameters), find_fragments(affs, VOXEL_SIZE_NM, parameters)
    )


def test_fragments_follow_the_cells():
    labels, affs = phantom_affs((12, 80, 90))
    found = find_fragments(affs, VOXEL_SIZE_NM, Fragments(method="ascent", min_size_vx=100))
    counted = (labels > 0) & (found > 0)
    pairs = np.unique(np.stack([found[counted], labels[counted]]), axis=1, return_counts=True)
    most = {}
    for fragment, count in zip(pairs[0][0], pairs[1], strict=True):
        most[fragment] = max(most.get(fragment, 0), count)
    assert sum(most.values()) / counted.sum() > 0.9


@pytest.mark.parametrize(
    ("min_size_vx", "sections", "voxel_size_nm", "expected"),
    [
        (1600, None, (10, 10, 10), (17, 17, 17)),
        (1600, None, (30, 6, 6), (6, 28, 28)),
        (400, True, (30, 6, 6), (0, 28, 28)),
        (0, None, (30, 6, 6), (1, 1, 1)),
        (0, True, (30, 6, 6), (0, 1, 1)),
    ],
)
def test_the_context_holds_a_fragment_of_the_least_size(min_size_vx, sections, voxel_size_nm, expected):
    parameters = Fragments(method="ascent", min_size_vx=min_size_vx, sections=sections)
    assert context_vx(parameters, voxel_size_nm) == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"method": "seeds", "min_size_vx": 400}, "min_size_vx is of the method 'ascent'"),
        ({"method": "ascent", "seed_distance_vx": 4}, "seed_distance_vx is of the method 'seeds'"),
        ({"min_size_vx": 400, "boundary": 0.2}, "min_size_vx of 'ascent' and boundary of 'seeds' are of two methods"),
        ({"method": "ascent", "low": 0.6, "high": 0.5}, "low, 0.6, should be below high, 0.5"),
        ({"method": "descent"}, "'ascent' or 'seeds'"),
    ],
)
def test_parameters_that_would_do_nothing_are_refused(given, told):
    with pytest.raises(UserError, match=told):
        parse_config(Fragments, given, "fragments")


@pytest.mark.parametrize(
    ("given", "across", "voxel_size_nm", "method", "sections"),
    [
        ({}, True, (30, 6, 6), "ascent", False),
        ({}, True, (8, 8, 8), "ascent", False),
        ({}, False, (30, 6, 6), "seeds", True),
        ({}, False, (8, 8, 8), "seeds", True),
        ({"min_affinity": 0.3}, True, (30, 6, 6), "ascent", False),
        ({"sections": True}, True, (8, 8, 8), "seeds", True),
        ({"sections": False}, True, (30, 6, 6), "ascent", False),
        ({"min_size_vx": 400}, True, (30, 6, 6), "ascent", False),
        ({"min_size_vx": 400}, False, (30, 6, 6), "ascent", True),
        ({"high": 0.9, "sections": True}, True, (30, 6, 6), "ascent", True),
        ({"boundary": 0.2}, True, (30, 6, 6), "seeds", True),
        ({"boundary": 0.2}, True, (8, 8, 8), "seeds", False),
        ({"seed_distance_vx": 4, "sections": False}, True, (30, 6, 6), "seeds", False),
        ({"method": "ascent"}, False, (8, 8, 8), "ascent", True),
        ({"method": "seeds"}, True, (30, 6, 6), "seeds", True),
        ({"method": "seeds"}, True, (8, 8, 8), "seeds", False),
        ({"method": "seeds"}, False, (8, 8, 8), "seeds", True),
    ],
)
def test_what_is_left_open_is_decided(given, across, voxel_size_nm, method, sections):
    offsets = NEAREST if across else NEAREST[1:]
    resolved = parse_config(Fragments, given, "fragments").resolve(voxel_size_nm, offsets)
    assert (resolved.method, resolved.sections) == (method, sections)
    assert resolved.resolve(voxel_size_nm, offsets) == resolved
    assert given.items() <= resolved.model_dump().items()
