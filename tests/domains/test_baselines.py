import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from neuroadda.domains.baselines import classifier_auc, frechet_distance
from neuroadda.errors import UserError

seeds = st.integers(0, 2**32 - 1)


def draw_exactly(seed: int, n: int, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """A sample whose mean and covariance are the given ones, not only on average."""
    z = np.random.default_rng(seed).standard_normal((n, len(mean)))
    z -= z.mean(0)
    z = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / (n - 1))).T
    return (z @ np.linalg.cholesky(covariance).T + mean).astype(np.float32)


def draw_covariance(rng: np.random.Generator, features: int) -> np.ndarray:
    a = rng.standard_normal((features, features))
    return a @ a.T / features + 0.1 * np.eye(features)


def test_frechet_of_one_feature() -> None:
    x = draw_exactly(0, 50, np.array([1.0]), np.array([[4.0]]))
    y = draw_exactly(1, 70, np.array([4.0]), np.array([[0.25]]))
    assert frechet_distance(x, y) == pytest.approx(3**2 + (2 - 0.5) ** 2, rel=1e-5)


def test_frechet_of_independent_features() -> None:
    a, b = np.array([1.0, 2.0, 0.5]), np.array([3.0, 1.0, 0.5])
    x = draw_exactly(0, 50, np.zeros(3), np.diag(a**2))
    y = draw_exactly(1, 50, np.array([0.0, 0.0, 2.0]), np.diag(b**2))
    assert frechet_distance(x, y) == pytest.approx(4 + ((a - b) ** 2).sum(), rel=1e-5)


@given(seeds)
def test_frechet_of_any_covariances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = draw_covariance(rng, 4), draw_covariance(rng, 4)
    x, y = draw_exactly(seed, 40, rng.standard_normal(4), a), draw_exactly(seed + 1, 30, np.zeros(4), b)
    shift = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected = shift + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(x, y) == pytest.approx(expected, abs=1e-4)
    assert frechet_distance(y, x) == pytest.approx(expected, abs=1e-4)


def test_frechet_of_a_sample_and_itself_is_zero_even_with_singular_covariances() -> None:
    x = np.random.default_rng(0).standard_normal((10, 30))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(np.ones((3, 2)), np.ones((3, 2)), shrink=True) == 0


def test_shrinking_lessens_what_few_patches_add() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 40, 100))
    assert frechet_distance(x, y, shrink=True) < 0.4 * frechet_distance(x, y)


def test_shrinking_changes_little_where_patches_are_many() -> None:
    rng = np.random.default_rng(0)
    x, y = draw_exactly(0, 4000, np.zeros(4), draw_covariance(rng, 4)), rng.standard_normal((4000, 4)) * 3
    assert frechet_distance(x, y, shrink=True) == pytest.approx(frechet_distance(x, y), rel=0.01)


def test_one_domain_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    blocks = np.arange(60) // 6
    aucs = [classifier_auc(*rng.standard_normal((2, 60, 5)), blocks, blocks, seed) for seed in range(24)]
    assert abs(np.mean(aucs) - 0.5) < 4 * np.std(aucs) / np.sqrt(len(aucs))


def test_domains_that_do_not_overlap_are_told_apart_whatever_their_features_units() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 60, 5))
    y[:, 2] += 12
    units = np.array([1e-4, 1, 1e4, 1, 0])  # a feature may be constant
    blocks = np.arange(60) // 6
    assert classifier_auc(x, y, blocks, blocks) == 1.0
    assert classifier_auc(x * units, y * units, blocks, blocks) == 1.0
    assert classifier_auc(y, x, blocks[::-1], blocks) == 1.0


def test_a_known_overlap_has_its_known_area() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 1500, 2))
    y[:, 0] += np.sqrt(2)  # the best score is the first feature: P(b > a) = Phi(sqrt(2) / sqrt(2))
    blocks = np.arange(1500) // 100
    assert classifier_auc(x, y, blocks, blocks) == pytest.approx(0.8413, abs=0.02)


def test_neighbours_do_not_give_a_patch_away() -> None:
    rng = np.random.default_rng(0)
    blocks = np.arange(64) // 8
    by_block, by_patch = [], []
    for seed in range(16):
        x, y = rng.standard_normal((2, 8, 20)).repeat(8, 1) + 0.5 * rng.standard_normal((2, 64, 20))
        by_block.append(classifier_auc(x, y, blocks, blocks, seed))
        by_patch.append(classifier_auc(x, y, np.arange(64), np.arange(64), seed))
    assert abs(np.mean(by_block) - 0.5) < 4 * np.std(by_block) / np.sqrt(len(by_block))
    assert np.mean(by_patch) > 0.9


def test_the_seed_decides() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 60, 5))
    blocks = np.arange(60) // 6
    assert classifier_auc(x, y, blocks, blocks, 1) == classifier_auc(x, y, blocks, blocks, 1)
    assert classifier_auc(x, y, blocks, blocks, 1) != classifier_auc(x, y, blocks, blocks, 2)


good, good_blocks = np.random.default_rng(0).standard_normal((6, 3)), np.arange(6) // 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(good, good[:, :2]), "3 features in sample x, 2 in sample y"),
        (lambda: frechet_distance(good[:1], good), "sample x: 1 patches are too few"),
        (lambda: frechet_distance(good, good * np.inf), "sample y: a feature is NaN"),
        (lambda: classifier_auc(good, good * np.nan, good_blocks, good_blocks), "sample y: a feature is NaN"),
        (lambda: classifier_auc(good, good, good_blocks, good_blocks * 0), "sample y: all patches lie in one"),
        (lambda: classifier_auc(good, good, good_blocks, good_blocks, folds=1), "1 folds"),
        (lambda: classifier_auc(good, good, good_blocks, good_blocks, penalty=0), "penalty 0"),
    ],
)
def test_bad_input_is_one_line(call, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_missing_extra_is_named_in_one_line(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    monkeypatch.setitem(sys.modules, "sklearn.covariance", None)
    for call in (
        lambda: classifier_auc(good, good, good_blocks, good_blocks),
        lambda: frechet_distance(good, good, shrink=True),
    ):
        with pytest.raises(UserError, match=r"scikit-learn is not installed; pip install neuroadda\[domains\]"):
            call()
    assert frechet_distance(good, good) == pytest.approx(0, abs=1e-5)
