import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from neuroadda.segmentation.smoothing import smooth


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
