"""Strategies: exact answers on a line of boxes, and what holds for any pool."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from neuroadda.active import strategies
from neuroadda.active.pool import Candidates
from neuroadda.active.strategies import ChooseConfig, choose
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.regions import RoiConfig

CELL_NM = (240.0, 100.0, 100.0)


def line_of(score: Sequence[float], stride: int = 2, length: int = 2) -> Candidates:
    """Boxes of 1 x 1 x `length` cells, one every `stride` along x."""
    first = np.zeros((len(score), 3), np.int32)
    first[:, 2] = np.arange(len(score)) * stride
    values = np.array(score, np.float32)
    return Candidates(first, (1, 1, length), values, np.ones_like(values), CELL_NM, (0.0, 0.0, 0.0))


def look(boxes: Sequence[RoiConfig]) -> np.ndarray:
    """Appearance that is the place along x."""
    return np.array([[box.offset_nm[2], 0] for box in boxes], np.float32)


def test_exact_choices() -> None:
    pool = line_of([0.1, 0.9, 0.5, 0.45, 0.7, 0.2, 0.3])
    assert choose(pool, ChooseConfig(strategy="max", count=3)) == (
        [1, 4, 2],
        [
            "uncertainty 0.90 is the highest",
            "uncertainty 0.70 is the next highest",
            "uncertainty 0.50 is the next highest",
        ],
    )
    assert choose(pool, ChooseConfig(strategy="min", count=2)) == (
        [0, 5],
        ["uncertainty 0.10 is the lowest", "uncertainty 0.20 is the next lowest"],
    )
    assert choose(pool, ChooseConfig(strategy="median", count=3)) == (
        [3, 2, 6],
        [
            "uncertainty 0.45 is nearest to the pool's median, 0.45",
            "uncertainty 0.50 is next nearest to the pool's median, 0.45",
            "uncertainty 0.30 is next nearest to the pool's median, 0.45",
        ],
    )


def test_neighbours_that_overlap_or_are_too_near_are_passed_over() -> None:
    pool = line_of([0.5, 0.9, 0.8, 0.7, 0.6, 0.4], stride=1)
    assert choose(pool, ChooseConfig(strategy="max", count=9))[0] == [1, 3, 5]
    near = ChooseConfig(strategy="max", count=9, min_distance_nm=100)  # from face to face
    assert choose(pool, near)[0] == [1, 4]
    assert choose(pool, near.model_copy(update={"min_distance_nm": 101}))[0] == [1, 5]


def test_diverse_is_farthest_first() -> None:
    pool = line_of(np.linspace(0, 1, 21))
    chosen, reasons = choose(pool, ChooseConfig(strategy="diverse", count=3, seed=1), look)
    first = chosen[0]
    assert first != 10  # which would leave two that are farthest
    far = 0 if first > 10 else 20
    assert chosen[1] == far
    assert min(abs(chosen[2] - first), abs(chosen[2] - far)) == abs(first - far) // 2
    assert reasons[0] == f"drawn at random to begin with, uncertainty {first / 20:.2f}"
    assert reasons[1] == f"farthest in appearance from those before it, uncertainty {far / 20:.2f}"


def test_facility_location_begins_in_the_middle_of_what_there_is() -> None:
    pool = line_of(np.linspace(0, 1, 21))
    chosen, reasons = choose(pool, ChooseConfig(strategy="diverse", count=3, method="facility"), look)
    assert chosen[0] == 10
    assert {chosen[1] // 11, chosen[2] // 11} == {0, 1}  # then one on either side
    assert reasons[0].startswith("most typical in appearance")


@pytest.mark.parametrize("method", ["k-centre", "facility"])
def test_median_and_diverse_takes_from_a_quarter_around_the_median(method: str) -> None:
    pool = line_of(np.linspace(0, 1, 81))
    config = ChooseConfig(strategy="median+diverse", count=2, method=method)
    chosen, reasons = choose(pool, config, look)
    assert chosen[0] == 40
    assert reasons[0] == "uncertainty 0.50 is nearest to the pool's median, 0.50"
    assert chosen[1] in (range(30, 51) if method == "facility" else (30, 50))
    assert "among boxes near the pool's median, 0.50" in reasons[1]


def test_the_shortlist_is_short_but_not_too_short() -> None:
    asked: list[int] = []

    def count(boxes: Sequence[RoiConfig]) -> np.ndarray:
        asked.append(len(boxes))
        return look(boxes)

    pool = line_of(np.linspace(0, 1, 200))
    choose(pool, ChooseConfig(strategy="diverse", count=2, shortlist=50), count)
    choose(pool, ChooseConfig(strategy="diverse", count=20, shortlist=50), count)
    choose(pool, ChooseConfig(strategy="median+diverse", count=2, shortlist=100), count)
    choose(pool, ChooseConfig(strategy="median+diverse", count=16, shortlist=100), count)
    assert asked == [50, 80, 50, 64]


def test_when_no_box_of_the_shortlist_fits_others_are_taken() -> None:
    first = np.zeros((40, 3), np.int32)
    first[39, 2] = 10
    score = np.full(40, 0.5, np.float32)
    score[39] = 1.0  # the only one that fits beside any other, and far from the median
    pool = Candidates(first, (1, 1, 1), score, np.ones_like(score), CELL_NM, (0.0, 0.0, 0.0))
    chosen, reasons = choose(pool, ChooseConfig(strategy="median+diverse", count=2), look)
    assert chosen[1] == 39
    assert reasons[1] == "uncertainty 1.00 is next nearest to the pool's median, 0.50"


def test_equal_scores_are_ordered_by_the_seed_not_by_place() -> None:
    pool = line_of([0.5] * 50)
    for strategy in ("max", "min", "median", "random"):
        chosen = {tuple(choose(pool, ChooseConfig(strategy=strategy, count=3, seed=seed))[0]) for seed in range(8)}
        assert len(chosen) == 8


def test_random_draws_every_box_alike() -> None:
    pool = line_of(np.linspace(0, 1, 10))
    drawn = [choose(pool, ChooseConfig(strategy="random", count=1, seed=seed))[0][0] for seed in range(1000)]
    counts = np.bincount(drawn, minlength=10)
    assert ((counts - 100) ** 2 / 100).sum() < 27.9  # chi-squared, 9 degrees of freedom, p = 0.001; seeds are fixed


@st.composite
def pools(draw: st.DrawFn) -> Candidates:
    size = np.array(draw(st.tuples(*[st.integers(1, 6)] * 3)))
    shape = tuple(draw(st.integers(1, 3)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    places = np.argwhere(rng.random(size) < 0.8)
    first = (places if len(places) else np.zeros((1, 3))).astype(np.int32)
    score = rng.integers(0, draw(st.sampled_from([2, 1000])), len(first)).astype(np.float32) / 1000
    return Candidates(first, shape, score, np.ones_like(score), CELL_NM, (0.0, 0.0, 0.0))


def gap_nm(one: RoiConfig, other: RoiConfig) -> float:
    """Return the gap between two boxes, negative if they overlap."""
    axes = [
        max(o - (p + s), p - (o + t))
        for p, s, o, t in zip(one.offset_nm, one.shape_nm, other.offset_nm, other.shape_nm, strict=True)
    ]
    return float(np.linalg.norm(np.maximum(axes, 0))) if max(axes) >= 0 else -1.0


@given(
    pool=pools(),
    strategy=st.sampled_from(["median", "max", "min", "random", "diverse", "median+diverse"]),
    count=st.integers(1, 6),
    distance=st.sampled_from([0.0, 100.0, 260.0, 900.0]),
    seed=st.integers(0, 100),
    method=st.sampled_from(["k-centre", "facility"]),
    block=st.sampled_from([1, 7, 2**16]),
)
def test_what_holds_for_any_choice(
    pool: Candidates, strategy: str, count: int, distance: float, seed: int, method: str, block: int
) -> None:
    config = ChooseConfig(
        strategy=strategy, count=count, min_distance_nm=distance, seed=seed, method=method, shortlist=8
    )
    chosen, reasons = choose(pool, config, look)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strategies, "BLOCK", block)
        assert choose(pool, config, look) == (chosen, reasons)
    assert 1 <= len(chosen) == len(reasons) <= count
    boxes = [pool.box(i) for i in chosen]
    for i, one in enumerate(boxes):
        assert all(gap_nm(one, other) >= distance for other in boxes[:i])
    if len(chosen) < count:  # then nothing else fits
        others = [pool.box(i) for i in range(len(pool)) if i not in chosen]
        assert all(min(gap_nm(other, one) for one in boxes) < distance for other in others)
    assert all(f"uncertainty {pool.score[i]:.2f}" in reason for i, reason in zip(chosen, reasons, strict=True))


def test_what_is_wrong_is_told() -> None:
    with pytest.raises(UserError, match="no boxes to choose from"):
        choose(line_of([]), ChooseConfig())
    with pytest.raises(UserError, match="'diverse' needs the appearance of boxes"):
        choose(line_of([0.5]), ChooseConfig(strategy="diverse"))
    with pytest.raises(UserError, match="finite numbers"):
        choose(line_of([0.5]), ChooseConfig(strategy="diverse"), lambda boxes: np.full((len(boxes), 2), np.nan))
    with pytest.raises(ValidationError):
        ChooseConfig(count=0)
