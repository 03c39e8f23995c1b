import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist

from neuroadda.domains import kernel
from neuroadda.domains.kernel import gaussian_kernel, sum_pairs
from neuroadda.domains.mmd import median_bandwidth, mmd2, spread_bandwidths
from neuroadda.errors import UserError

seeds = st.integers(0, 2**32 - 1)


def draw(seed: int, n: int, features: int, mean: float = 0.0, deviation: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (mean + deviation * rng.standard_normal((n, features))).astype(np.float32)


def draw_blocks(rng: np.random.Generator, blocks: int, each: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches that are alike inside a block, as neighbours are."""
    centres = rng.standard_normal((blocks, features)).repeat(each, 0)
    return (centres + rng.standard_normal(centres.shape)).astype(np.float32), np.arange(blocks).repeat(each)


def dense_mmd2(x: np.ndarray, y: np.ndarray, bandwidths: tuple[float, ...], unbiased: bool) -> float:
    """All pairs, in float64, straight from the definition."""
    z = np.concatenate((x, y)).astype(np.float64)
    k = np.mean([np.exp(-cdist(z, z, "sqeuclidean") / (2 * s**2)) for s in bandwidths], axis=0)
    n, m = len(x), len(y)
    xx, yy, xy = k[:n, :n], k[n:, n:], k[:n, n:]
    if unbiased:
        return (xx.sum() - n) / (n * (n - 1)) + (yy.sum() - m) / (m * (m - 1)) - 2 * xy.mean()
    return xx.mean() + yy.mean() - 2 * xy.mean()


def gaussian_mmd2(features: int, bandwidth: float, var_x: float, var_y: float, shift2: float) -> float:
    """MMD^2 of N(a, var_x I) and N(b, var_y I), ||a - b||^2 = shift2: the kernel convolves the Gaussians."""

    def mean_kernel(var: float, distance2: float) -> float:
        total = bandwidth**2 + var
        return (bandwidth**2 / total) ** (features / 2) * math.exp(-distance2 / (2 * total))

    return mean_kernel(2 * var_x, 0) + mean_kernel(2 * var_y, 0) - 2 * mean_kernel(var_x + var_y, shift2)


def test_two_and_two_points_by_hand() -> None:
    x, y = np.float32([[0], [1]]), np.float32([[2], [4]])
    k1, k2, k3, k4 = (math.exp(-d * d / 2) for d in (1, 2, 3, 4))
    across = (k2 + k4 + k1 + k3) / 4
    assert mmd2(x, y, 1.0) == pytest.approx(k1 + k2 - 2 * across, abs=1e-6)
    assert mmd2(x, y, 1.0, unbiased=False) == pytest.approx((1 + k1) / 2 + (1 + k2) / 2 - 2 * across, abs=1e-6)


@pytest.mark.parametrize(("shift", "deviation"), [(0.0, 1.0), (0.3, 1.0), (0.0, 1.5), (0.5, 0.7)])
def test_gaussians_have_their_closed_form(shift: float, deviation: float) -> None:
    features, bandwidth, draws = 4, 2.0, 40
    truth = gaussian_mmd2(features, bandwidth, 1, deviation**2, features * shift**2)
    found = [
        mmd2(draw(2 * i, 150, features), draw(2 * i + 1, 100, features, shift, deviation), bandwidth)
        for i in range(draws)
    ]
    assert abs(np.mean(found) - truth) < 4 * np.std(found) / math.sqrt(draws)


def test_the_unbiased_estimator_of_no_difference_is_zero_on_average_and_the_biased_is_not() -> None:
    pairs = [(draw(2 * i, 20, 3), draw(2 * i + 1, 30, 3)) for i in range(300)]
    unbiased = np.array([mmd2(x, y, 1.5) for x, y in pairs])
    biased = np.array([mmd2(x, y, 1.5, unbiased=False) for x, y in pairs])
    assert abs(unbiased.mean()) < 4 * unbiased.std() / math.sqrt(len(pairs))
    assert biased.mean() > 10 * biased.std() / math.sqrt(len(pairs))
    assert (unbiased < 0).any()
    assert (biased >= 0).all()


@given(seeds, st.booleans())
def test_order_does_not_matter(seed: int, unbiased: bool) -> None:
    rng = np.random.default_rng(seed)
    x, y = draw(seed, 17, 5), draw(seed + 1, 11, 5, 0.5)
    value = mmd2(x, y, 2.0, unbiased)
    assert mmd2(rng.permutation(x), rng.permutation(y), 2.0, unbiased) == pytest.approx(value, abs=1e-6)
    assert mmd2(y, x, 2.0, unbiased) == pytest.approx(value, abs=1e-6)


@given(seeds, st.sampled_from([1e-3, 1.0, 1e3]), st.sampled_from([0.0, 30.0]))
def test_units_and_origin_of_the_features_do_not_matter(seed: int, unit: float, origin: float) -> None:
    x, y = draw(seed, 12, 6), draw(seed + 1, 9, 6, 0.5)
    moved = mmd2((x + origin) * unit, (y + origin) * unit, 2.0 * unit)
    assert moved == pytest.approx(mmd2(x, y, 2.0), abs=1e-5)


@given(seeds, st.integers(2, 60), st.integers(2, 60), st.integers(1, 70), st.booleans())
def test_tiles_equal_the_whole(seed: int, n: int, m: int, tile: int, unbiased: bool) -> None:
    x, y, widths = draw(seed, n, 8), draw(seed + 1, m, 8, 0.3), (1.0, 3.0)
    assert mmd2(x, y, widths, unbiased) == pytest.approx(dense_mmd2(x, y, widths, unbiased), abs=1e-6)
    groups = np.random.default_rng(seed).permutation(np.arange(n + m) % 3)
    tiled = sum_pairs(x, y, groups, widths, method="exact", tile=tile)
    z = np.concatenate((x, y))
    pairs = gaussian_kernel(z, z, widths).astype(np.float64)
    np.fill_diagonal(pairs, 0)
    member = np.eye(3)[groups]
    np.testing.assert_allclose(tiled.values, member.T @ pairs @ member, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(tiled.sizes, member.sum(0))


def test_a_large_sample_equals_the_definition() -> None:
    x, y = draw(0, 900, 32), draw(1, 700, 32, 0.1)
    widths = spread_bandwidths(median_bandwidth(x, y))
    assert mmd2(x, y, widths) == pytest.approx(dense_mmd2(x, y, widths, True), abs=1e-6)


def test_several_bandwidths_average_the_kernels() -> None:
    x, y = draw(0, 40, 5), draw(1, 30, 5, 1.0)
    assert mmd2(x, y, (1.0, 4.0)) == pytest.approx((mmd2(x, y, 1.0) + mmd2(x, y, 4.0)) / 2, abs=1e-6)
    assert spread_bandwidths(2.0) == (0.5, 1.0, 2.0, 4.0, 8.0)


@pytest.mark.parametrize("factors", [(1.0,), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("features", [3, 48])
def test_random_features_come_near_the_exact(features: int, factors: tuple[float, ...]) -> None:
    x, y = draw(0, 300, features), draw(1, 200, features, 0.5)
    widths = spread_bandwidths(median_bandwidth(x, y), factors)
    for unbiased in (True, False):
        exact = mmd2(x, y, widths, unbiased, method="exact")
        near = [mmd2(x, y, widths, unbiased, method="random_features", frequencies=2048, seed=i) for i in range(6)]
        assert near == pytest.approx([exact] * 6, rel=0.2)
        assert np.mean(near) == pytest.approx(exact, rel=0.06)


def test_random_features_of_no_difference_are_zero_on_average() -> None:
    found = [
        mmd2(draw(2 * i, 30, 4), draw(2 * i + 1, 40, 4), 2.0, method="random_features", frequencies=64)
        for i in range(300)
    ]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(len(found))


def test_large_samples_take_random_features_and_small_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "EXACT_LIMIT", 50)
    x, y = draw(0, 51, 4), draw(1, 20, 4)
    assert mmd2(x, y, 2.0, frequencies=64) == mmd2(x, y, 2.0, frequencies=64, method="random_features")
    assert mmd2(x[:50], y, 2.0, frequencies=64) == mmd2(x[:50], y, 2.0, method="exact")


@pytest.mark.parametrize("method", ["exact", "random_features"])
def test_memory_does_not_hold_all_pairs(method: str) -> None:
    x, y = draw(0, 4000, 4), draw(1, 4000, 4)
    tracemalloc.start()
    mmd2(x, y, 2.0, method=method, frequencies=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 4000 * 4 / 5


def test_one_patch_a_block_is_the_plain_estimator() -> None:
    x, y = draw(0, 30, 5), draw(1, 20, 5, 0.5)
    blocks = mmd2(x, y, 2.0, x_blocks=np.arange(30), y_blocks=np.arange(20))
    assert blocks == pytest.approx(mmd2(x, y, 2.0), abs=1e-6)


def test_blocks_are_paired_across_only() -> None:
    x, y = draw(0, 6, 3), draw(1, 5, 3, 0.5)
    x_blocks, y_blocks = np.array([7, 2, 7, 2, 5, 5]), np.array([2, 7, 2, 7, 7])  # y's are not x's, though called so
    across_x, across_y = x_blocks[:, None] != x_blocks, y_blocks[:, None] != y_blocks
    k = [np.exp(-cdist(a, b, "sqeuclidean") / 8) for a, b in ((x, x), (y, y), (x, y))]
    by_hand = k[0][across_x].mean() + k[1][across_y].mean() - 2 * k[2].mean()
    assert mmd2(x, y, 2.0, x_blocks=x_blocks, y_blocks=y_blocks) == pytest.approx(by_hand, abs=1e-6)
    near = mmd2(x, y, 2.0, x_blocks=x_blocks, y_blocks=y_blocks, method="random_features", frequencies=10_000)
    assert near == pytest.approx(by_hand, abs=0.02)


def test_neighbours_that_are_alike_bias_the_plain_estimator_and_not_that_between_blocks() -> None:
    rng = np.random.default_rng(0)
    plain, between = [], []
    for _ in range(150):
        (x, x_blocks), (y, y_blocks) = draw_blocks(rng, 8, 6, 4), draw_blocks(rng, 8, 6, 4)
        plain.append(mmd2(x, y, 3.0))
        between.append(mmd2(x, y, 3.0, x_blocks=x_blocks, y_blocks=y_blocks))
    error = np.std(between) / math.sqrt(len(between))
    assert abs(np.mean(between)) < 4 * error
    assert np.mean(plain) > 10 * error


def test_the_median_is_over_the_pooled_pairs() -> None:
    x, y = draw(0, 40, 6), draw(1, 31, 6, 2.0)
    assert median_bandwidth(x, y) == pytest.approx(np.median(pdist(np.concatenate((x, y)))))
    rng = np.random.default_rng(0)
    assert median_bandwidth(rng.permutation(y), rng.permutation(x)) == pytest.approx(median_bandwidth(x, y))


def test_the_median_of_a_large_sample_is_of_seeded_pairs() -> None:
    x, y = draw(0, 1500, 6), draw(1, 1000, 6, 2.0)
    whole = np.median(pdist(np.concatenate((x, y))))
    assert median_bandwidth(x, y, 3) == median_bandwidth(x, y, 3) != median_bandwidth(x, y, 4)
    assert median_bandwidth(x, y, 3) == pytest.approx(whole, rel=0.01)


good = draw(0, 5, 3)
with_nan = np.where(np.eye(5, 3) > 0, np.nan, good).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (good, draw(1, 5, 4), {}, "3 features in sample x, 4 in sample y"),
        (with_nan, good, {}, "sample x: a feature is NaN or infinite"),
        (good, good * np.inf, {}, "sample y: a feature is NaN or infinite"),
        (good[:1], good, {}, "sample x: 1 patches are too few"),
        (good, good[0], {}, "sample y: .* is not a table"),
        (good, good, {"bandwidths": 0.0}, "bandwidth 0.0"),
        (good, good, {"bandwidths": (1.0, math.inf)}, "bandwidth inf"),
        (good, good * 1e30, {"bandwidths": 1.0}, "bandwidth 1 is nothing beside the features"),
        (good, good, {"bandwidths": ()}, "bandwidth missing"),
        (good, good, {"method": "fast"}, "no method 'fast'"),
        (good, good, {"frequencies": 0}, "0 frequencies"),
        (good, good, {"x_blocks": np.arange(5)}, "one sample has blocks"),
        (good, good, {"x_blocks": np.zeros(5, int), "y_blocks": np.arange(5)}, "sample x: all patches lie in one"),
        (good, good, {"x_blocks": np.arange(5), "y_blocks": np.arange(4)}, "sample y: blocks .* for 5 patches"),
        (good, good, {"x_blocks": np.arange(5), "y_blocks": np.arange(5), "unbiased": False}, "takes no blocks"),
    ],
)
def test_bad_input_is_one_line(x: np.ndarray, y: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        mmd2(x, y, **{"bandwidths": 1.0, **options})
    assert "\n" not in str(error.value)


def test_too_many_blocks_are_refused_before_their_matrix_is_made() -> None:
    x = draw(0, 5000, 2)
    with pytest.raises(UserError, match="10000 blocks are too many"):
        mmd2(x, x, 1.0, x_blocks=np.arange(5000), y_blocks=np.arange(5000))


def test_equal_points_have_no_median_bandwidth() -> None:
    with pytest.raises(UserError, match="most patches have equal features"):
        median_bandwidth(np.ones((5, 3)), np.ones((4, 3)))
