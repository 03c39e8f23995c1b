import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter, label, maximum_filter
from skimage.segmentation import watershed

from neuroadda.segmentation.seeded_watershed import LEVELS, find_maxima, flood, smooth
from tests.segmentation.synthetic import smooth_noise

shapes = st.one_of(st.tuples(*[st.integers(1, 12)] * 2), st.tuples(*[st.integers(1, 6)] * 3))
maps = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.integers(0, 4).map(np.float32)))


@given(values=maps, reach=st.integers(0, 4))
def test_maxima_are_those_of_a_maximum_filter(values, reach):
    sides = tuple(max(0, reach - axis) for axis in range(values.ndim))
    filtered = maximum_filter(values, size=[2 * side + 1 for side in sides])
    assert (find_maxima(values, sides) == (filtered == values)).all()


def test_basins_meet_on_the_ridge():
    height = np.array([[0.0, 0.2, 0.4, 0.9, 0.3, 0.1]])
    seeds = np.array([[1, 0, 0, 0, 0, 2]], np.uint32)
    assert flood(height, seeds).tolist() == [
        [1, 1, 1, 2, 2, 2]
    ]  # 0.9 is reached from 0.3 first: at 0.9 both wait, 2 came first


def test_a_flat_ground_is_shared_by_distance():
    seeds = np.zeros((1, 7), np.uint32)
    seeds[0, [0, 6]] = 1, 2
    assert flood(np.zeros((1, 7)), seeds).tolist() == [[1, 1, 1, 1, 2, 2, 2]]


def test_without_seeds_there_are_no_basins():
    assert not flood(np.zeros((3, 4, 5)), np.zeros((3, 4, 5), np.uint32)).any()


@pytest.mark.parametrize("shape", [(70, 90), (12, 40, 50)])
def test_every_basin_is_connected_and_holds_its_seed(shape):
    height = smooth_noise(shape, 3)
    minima, count = label(height < 0.35)
    seeds = minima.astype(np.uint32)
    basins = flood(height, seeds)
    assert (basins > 0).all()
    assert (basins[seeds > 0] == seeds[seeds > 0]).all()
    for basin in range(1, count + 1):
        assert label(basins == basin)[1] == 1


@pytest.mark.parametrize("shape", [(90, 110), (14, 50, 60)])
def test_the_lines_are_those_of_scikit_image_but_for_ties(shape):
    height = np.rint(smooth_noise(shape, 2, seed=3) * (LEVELS - 1)) / (LEVELS - 1)
    seeds = label(height < 0.3)[0].astype(np.uint32)
    assert (flood(height, seeds) == watershed(height, seeds.astype(np.int32))).mean() > 0.99


@given(
    axes=st.lists(st.tuples(st.integers(1, 30), st.sampled_from([0.0, 0.11, 0.4, 1.0, 2.7])), min_size=2, max_size=3),
    seed=st.integers(0, 99),
)
def test_it_is_the_gaussian_of_scipy_to_the_last_bit(axes, seed):
    shape, sigmas = zip(*axes, strict=True)
    values = np.random.default_rng(seed).normal(0, 9, shape).astype(np.float32)
    np.testing.assert_array_equal(smooth(values, sigmas), gaussian_filter(values, sigmas), strict=True)


@pytest.mark.parametrize("shape", [(3, 2100), (2, 3, 1030), (2, 1100, 2)])
def test_so_it_is_of_arrays_wider_than_a_strip(shape):
    values = np.random.default_rng(0).random(shape, np.float32)
    np.testing.assert_array_equal(smooth(values, [1.3] * len(shape)), gaussian_filter(values, 1.3))


def test_smoothing_leaves_what_it_is_given():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    before = values.copy()
    assert smooth(values, (0, 0)) is values
    smooth(values, (1, 1))
    np.testing.assert_array_equal(values, before)
