import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom, kstest

from neuroadda.domains.inference import bootstrap_interval, bootstrap_mmd2, permutation_test
from neuroadda.domains.mmd import mmd2
from neuroadda.errors import UserError


def draw_blocks(
    rng: np.random.Generator, blocks: int, each: int, features: int, alike: float, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Patches of variance 1 + alike^2, of which alike^2 is the block's."""
    centres = alike * rng.standard_normal((blocks, features)).repeat(each, 0)
    centres[:, 0] += shift
    return (centres + rng.standard_normal(centres.shape)).astype(np.float32), np.arange(blocks).repeat(each)


def shifted_mmd2(features: int, bandwidth: float, variance: float, shift: float) -> float:
    """MMD^2 of N(0, variance I) and the same, shifted."""
    total = bandwidth**2 + 2 * variance
    return 2 * (bandwidth**2 / total) ** (features / 2) * (1 - math.exp(-(shift**2) / (2 * total)))


def assert_rejects_as_often_as_it_says(p: np.ndarray) -> None:
    for alpha in (0.05, 0.2, 0.5):
        low, high = binom.ppf((0.001, 0.999), len(p), alpha)
        assert low <= (p <= alpha).sum() <= high


def test_p_is_uniform_where_the_samples_are_of_one_domain() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal((2, 20, 3)).astype(np.float32) for _ in range(250)]
    p = np.array([permutation_test(x, y, 2.0, permutations=99, seed=i) for i, (x, y) in enumerate(samples)])
    assert_rejects_as_often_as_it_says(p)
    assert kstest(p, "uniform").pvalue > 0.01


def test_p_of_a_clear_difference_is_the_least_there_is() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 60, 4))
    assert permutation_test(x, y + 2, 3.0, permutations=99) == 1 / 100
    assert permutation_test(x, y + 2, 3.0, permutations=1500) == 1 / 1501


def test_p_counts_the_splits_that_reach_the_observed() -> None:
    rng = np.random.default_rng(1)
    z = rng.standard_normal((6, 2)).astype(np.float32)
    splits = [list(s) for s in itertools.combinations(range(6), 3)]
    values = np.array([mmd2(z[s], np.delete(z, s, axis=0), 1.0) for s in splits])
    exact = (values >= values[4] - 1e-6).mean()
    found = permutation_test(z[splits[4]], np.delete(z, splits[4], axis=0), 1.0, permutations=4000)
    assert 0.1 < exact < 0.9
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4000))


def test_samples_of_different_sizes_and_too_many_patches() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 3)), rng.standard_normal((40, 3)) + 1.5
    assert permutation_test(x, y, 2.0, permutations=200, max_patches=30) == 1 / 201
    assert permutation_test(x, y[:2] + 4, 2.0, permutations=200) < 0.02
    assert permutation_test(x, x[::-1] + 0.01, 2.0, seed=5) == permutation_test(x, x[::-1] + 0.01, 2.0, seed=5) > 0.5


def test_where_neighbours_are_alike_blocks_are_calibrated_and_patches_are_not() -> None:
    rng = np.random.default_rng(0)
    by_block, by_patch = [], []
    for seed in range(200):
        x, blocks = draw_blocks(rng, 8, 6, 4, alike=0.8)
        y, _ = draw_blocks(rng, 8, 6, 4, alike=0.8)
        by_block.append(permutation_test(x, y, 3.0, x_blocks=blocks, y_blocks=blocks, permutations=99, seed=seed))
        by_patch.append(permutation_test(x, y, 3.0, permutations=99, seed=seed))
    assert_rejects_as_often_as_it_says(np.array(by_block))
    assert np.mean(np.array(by_patch) <= 0.05) > 0.5


def test_blocks_see_a_difference_with_random_features_too() -> None:
    rng = np.random.default_rng(0)
    x, x_blocks = draw_blocks(rng, 9, 8, 4, alike=0.5)
    y, y_blocks = draw_blocks(rng, 7, 5, 4, alike=0.5, shift=3)
    for method in ("exact", "random_features"):
        p = permutation_test(x, y, 3.0, x_blocks=x_blocks, y_blocks=y_blocks, permutations=199, method=method)
        assert p <= 0.015


@pytest.mark.parametrize("blocks", [8, 20])
def test_the_interval_covers_the_truth(blocks: int) -> None:
    rng = np.random.default_rng(0)
    truth = shifted_mmd2(4, 3.0, 1 + 0.6**2, 2.0)
    covered, draws = 0, 150
    for seed in range(draws):
        x, x_blocks = draw_blocks(rng, blocks, 5, 4, alike=0.6)
        y, y_blocks = draw_blocks(rng, blocks + 3, 5, 4, alike=0.6, shift=2.0)
        low, high = bootstrap_interval(x, y, x_blocks, y_blocks, 3.0, resamples=500, seed=seed)
        assert low < high
        covered += low <= truth <= high
    assert covered / draws >= 0.93


def test_resamples_centre_on_the_estimate() -> None:
    rng = np.random.default_rng(0)
    x, x_blocks = draw_blocks(rng, 10, 6, 4, alike=1.0)
    y, y_blocks = draw_blocks(rng, 12, 3, 4, alike=1.0, shift=1.0)
    values = bootstrap_mmd2(x, y, x_blocks, y_blocks, 3.0, resamples=20_000)
    estimate = mmd2(x, y, 3.0, x_blocks=x_blocks, y_blocks=y_blocks)
    assert abs(values.mean() - estimate) < 0.1 * values.std()
    assert abs(mmd2(x, y, 3.0) - estimate) > 0.2 * values.std()  # what the pairs inside blocks would have added


def multisets(blocks: int) -> list[tuple[int, ...]]:
    """What drawing as many blocks with replacement can give, but for one block alone."""
    return [d for d in itertools.combinations_with_replacement(range(blocks), blocks) if len(set(d)) > 1]


def test_a_resample_is_the_estimate_of_the_blocks_drawn() -> None:
    rng = np.random.default_rng(0)
    x, x_blocks = draw_blocks(rng, 4, 3, 2, alike=1.0)
    y, y_blocks = draw_blocks(rng, 3, 4, 2, alike=1.0, shift=2.0)
    values = bootstrap_mmd2(x, y, x_blocks, y_blocks, 2.0, resamples=400)
    possible = []
    for drawn_x, drawn_y in itertools.product(multisets(4), multisets(3)):
        rows_x = np.concatenate([np.flatnonzero(x_blocks == b) for b in drawn_x])
        rows_y = np.concatenate([np.flatnonzero(y_blocks == b) for b in drawn_y])
        possible.append(mmd2(x[rows_x], y[rows_y], 2.0, x_blocks=x_blocks[rows_x], y_blocks=y_blocks[rows_y]))
    nearest = np.abs(values[:, None] - np.array(possible)).min(1)
    assert nearest.max() < 1e-5
    assert np.isfinite(values).all()


def test_resamples_of_one_target_are_the_same_for_every_source() -> None:
    rng = np.random.default_rng(0)
    target, blocks = draw_blocks(rng, 8, 6, 4, alike=1.0)
    near, far = (draw_blocks(rng, 40, 6, 4, alike=0.1, shift=s) for s in (2.0, 2.2))
    of_near, of_far = (bootstrap_mmd2(target, s, blocks, b, 3.0, resamples=500, seed=1) for s, b in (near, far))
    of_other = bootstrap_mmd2(target, far[0], blocks, far[1], 3.0, resamples=500, seed=2)
    assert np.corrcoef(of_near, of_far)[0, 1] > 0.8
    assert abs(np.corrcoef(of_near, of_other)[0, 1]) < 0.2
    np.testing.assert_array_equal(of_near, bootstrap_mmd2(target, near[0], blocks, near[1], 3.0, resamples=500, seed=1))


def test_resamples_of_two_sources_are_not_of_the_same_block_numbers() -> None:
    rng = np.random.default_rng(0)
    target, blocks = draw_blocks(rng, 60, 6, 4, alike=0.0)
    sources = [draw_blocks(rng, 8, 6, 4, alike=1.0, shift=3) for _ in range(2)]
    # sorted along a feature, blocks of the same number are alike: drawn alike, the sources would vary together
    of_one, of_two = (
        bootstrap_mmd2(target, np.sort(source, axis=0), blocks, numbers, 3.0, seed=1) for source, numbers in sources
    )
    assert abs(np.corrcoef(of_one, of_two)[0, 1]) < 0.2


def test_a_higher_level_is_a_wider_interval() -> None:
    rng = np.random.default_rng(0)
    (x, x_blocks), (y, y_blocks) = draw_blocks(rng, 9, 6, 4, 0.5), draw_blocks(rng, 9, 6, 4, 0.5, shift=1)
    low, high = bootstrap_interval(x, y, x_blocks, y_blocks, 3.0, level=0.5)
    lower, higher = bootstrap_interval(x, y, x_blocks, y_blocks, 3.0, level=0.95)
    assert lower < low < mmd2(x, y, 3.0, x_blocks=x_blocks, y_blocks=y_blocks) < high < higher


good, blocks = draw_blocks(np.random.default_rng(0), 4, 3, 3, 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: permutation_test(good, good[:, :2], 1.0), "3 features in sample x, 2 in sample y"),
        (lambda: permutation_test(good, good * np.nan, 1.0), "sample y: a feature is NaN"),
        (lambda: permutation_test(good, good, 1.0, permutations=0), "0 permutations"),
        (lambda: permutation_test(good, good, 1.0, y_blocks=blocks), "one sample has blocks"),
        (lambda: permutation_test(good, good, 1.0, max_patches=10**6), "1000000 patches"),
        (lambda: bootstrap_interval(good, good[:1], blocks, blocks[:1], 1.0), "sample y: 1 patches are too few"),
        (lambda: bootstrap_interval(good, good, blocks, blocks // 2, 1.0), "sample y: 2 spatial blocks give no"),
        (lambda: bootstrap_interval(good, good, blocks, blocks, 1.0, level=95), "level 95"),
        (lambda: bootstrap_interval(good, good, blocks, blocks, -1.0), "bandwidth -1"),
        (lambda: bootstrap_mmd2(good, good, blocks, blocks, 1.0, resamples=0), "0 resamples"),
    ],
)
def test_bad_input_is_one_line(call, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
