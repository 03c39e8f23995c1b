"""A coarser voxel is the mean or the mode of exactly the voxels it covers."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from neuroadda.errors import UserError
from neuroadda.pyramids.downsampling import check_method, choose_factor, downsample

FACTORS = st.tuples(*[st.sampled_from((1, 2))] * 3)
SHAPES = array_shapes(min_dims=3, max_dims=4, min_side=1, max_side=5)
IDS = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])


def windows(voxels, factor):
    """Yield the index of each coarser voxel, and the finer voxels that there are for it."""
    *lead, z, y, x = voxels.shape
    sides = [range(-(-s // f)) for s, f in zip((z, y, x), factor, strict=True)]
    for index in product(*map(range, lead), *sides):
        first = index[len(lead) :]
        box = tuple(slice(i * f, (i + 1) * f) for i, f in zip(first, factor, strict=True))
        yield index, voxels[(*index[: len(lead)], *box)].ravel()


@given(arrays(np.uint64, SHAPES, elements=IDS), FACTORS)
def test_the_mode_is_that_of_brute_force(voxels, factor):
    coarser = downsample(voxels, factor, "mode")
    assert coarser.dtype == voxels.dtype
    for index, window in windows(voxels, factor):
        ids, counts = np.unique(window, return_counts=True)
        assert coarser[index] == ids[np.argmax(counts)]  # the first of the largest: the smallest id


@given(arrays(np.uint8, SHAPES), FACTORS)
def test_the_mean_is_exact_and_rounds_half_to_even(voxels, factor):
    coarser = downsample(voxels, factor, "mean")
    assert coarser.dtype == voxels.dtype
    for index, window in windows(voxels, factor):
        assert coarser[index] == round(int(window.sum()) / len(window))


def test_small_cases():
    row = np.array([0, 0, 7, 7, 9, 0, 5], np.uint64)[None, None]
    assert downsample(row, (1, 1, 2), "mode").tolist() == [[[0, 7, 0, 5]]]
    voxels = np.array([3, 3, 0, 8, 8, 1, 1, 4], np.uint32).reshape(2, 2, 2)
    assert downsample(voxels, (2, 2, 2), "mode").item() == 1  # of 1, 3 and 8, twice each
    grey = np.array([0, 1, 1, 2, 255, 255, 3], np.uint8)[None, None]
    assert downsample(grey, (1, 1, 2), "mean").tolist() == [[[0, 2, 255, 3]]]
    assert downsample(np.array([[[0.25, 0.5]]], np.float32), (1, 1, 2), "mean").tolist() == [[[0.375]]]


def test_largest_values_do_not_overflow():
    for dtype in (np.uint8, np.uint16, np.uint32, np.int16):
        top = np.full((2, 2, 2), np.iinfo(dtype).max, dtype)
        assert downsample(top, (2, 2, 2), "mean").item() == np.iinfo(dtype).max


def test_many_levels_of_noise_keep_their_brightness():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 64), np.uint8)
    level = noise
    for _ in range(4):
        level = downsample(level, (2, 2, 2), "mean")
    assert abs(level.mean() - noise.mean()) < 0.1


@pytest.mark.parametrize(
    ("voxel_size", "factors"),
    [
        ((40, 4, 4), [(1, 2, 2)] * 3 + [(2, 2, 2)] * 2),
        ((30, 6, 6), [(1, 2, 2)] * 2 + [(2, 2, 2)] * 2),
        ((8, 8, 8), [(2, 2, 2)] * 3),
        ((50, 4.6, 4.6), [(1, 2, 2)] * 3 + [(2, 2, 2)]),
        ((30, 20, 20), [(1, 2, 2), (2, 2, 2)]),
        ((4, 40, 4), [(2, 1, 2)] * 3 + [(2, 2, 2)]),
    ],
)
def test_the_finest_axes_are_halved_until_voxels_are_cubes(voxel_size, factors):
    size = np.array(voxel_size, float)
    for factor in factors:
        assert choose_factor((1000, 1000, 1000), size) == factor
        size = size * factor


def test_axes_of_one_voxel_are_left_alone():
    assert choose_factor((1, 100, 100), (4, 4, 4)) == (1, 2, 2)
    assert choose_factor((100, 1, 1), (40, 4, 4)) == (2, 1, 1)
    assert choose_factor((1, 1, 1), (40, 4, 4)) == (1, 1, 1)


def test_what_has_no_average_is_refused():
    check_method(np.dtype(np.uint64), "mode", "v")
    check_method(np.dtype(np.float32), "mean", "v")
    for dtype, method in ((np.float32, "mode"), (np.uint64, "mean"), (bool, "mean")):
        with pytest.raises(UserError, match="data type"):
            check_method(np.dtype(dtype), method, "v")
