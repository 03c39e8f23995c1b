"""Coverage and TypiClust on made-up features with known answers, and what holds for any choice."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from neuroadda.active.pool import Candidates
from neuroadda.active.strategies import ChooseConfig, fits
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.regions import RoiConfig
from studies.boxes.strategies import choose_covering, choose_typical

BOTH = pytest.mark.parametrize("choose", [choose_covering, choose_typical])
Chooser = Callable[..., tuple[list[int], list[str]]]


def line_of(count: int, stride: int = 1, length: int = 1) -> Candidates:
    """Boxes of 1 x 1 x `length` cells of 100 nm, one every `stride` along x."""
    first = np.zeros((count, 3), np.int32)
    first[:, 2] = np.arange(count) * stride
    score = np.linspace(0, 1, count, dtype=np.float32)
    return Candidates(first, (1, 1, length), score, np.ones_like(score), (100.0,) * 3, (0.0,) * 3)


def looks(values: Sequence[float]) -> Callable[[Sequence[RoiConfig]], np.ndarray]:
    """Appearance by the cell that a box begins at."""

    def look(boxes: Sequence[RoiConfig]) -> np.ndarray:
        return np.array([[values[int(box.offset_nm[2] // 100)], 0.0] for box in boxes])

    return look


def groups(*sizes: int) -> np.ndarray:
    """Appearance in groups far from each other; the first of each is in its middle."""
    return np.concatenate([100 * k + np.r_[0, np.linspace(-1, 1, n - 1)] for k, n in enumerate(sizes)])


@pytest.mark.parametrize("seed", range(5))
def test_one_box_of_each_group_covers_all(seed: int) -> None:
    look = looks(groups(8, 8, 8))
    chosen, reasons = choose_covering(line_of(24), ChooseConfig(count=3, seed=seed), look)
    assert {index // 8 for index in chosen} == {0, 1, 2}
    assert all(reason.startswith("stands for 33 % of the volume") for reason in reasons)


def test_coverage_is_higher_than_that_of_random_boxes() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(centre, 1, size) for centre, size in ((0, 50), (20, 12), (40, 8), (60, 10))])
    near = np.abs(values[:, None] - values).argsort(axis=1)[:, : 80 // 4]

    def cover(chosen: Sequence[int]) -> int:
        return len(np.unique(near[list(chosen)]))

    ours = [
        cover(choose_covering(line_of(80), ChooseConfig(count=4, seed=seed), looks(values))[0]) for seed in range(9)
    ]
    drawn = [cover(rng.choice(80, 4, replace=False)) for _ in range(200)]
    assert min(ours) > np.median(drawn)
    assert np.mean(ours) > np.quantile(drawn, 0.9)


def test_a_box_with_two_kinds_of_parts_covers_more_than_one_of_two_alike() -> None:
    # Boxes of two cells, next to each other: all have parts that look alike but the third.
    values = [0, 0.1, 0.2, 0.3, 0.4, 50, 50.1, 50.2, 50.3, 50.4]
    chosen, reasons = choose_covering(line_of(5, stride=2, length=2), ChooseConfig(count=1), looks(values))
    assert chosen == [2]
    assert reasons == ["stands for 100 % of the volume that those before it do not, uncertainty 0.50"]


def test_the_densest_box_of_each_cluster_is_taken_the_largest_cluster_first() -> None:
    chosen, reasons = choose_typical(line_of(60), ChooseConfig(count=3), looks(groups(15, 30, 15)[::-1]))
    assert chosen[0] == 44
    assert {*chosen[1:]} == {14, 59}
    assert [reason.split(",")[0] for reason in reasons] == [
        f"most typical of a group with {share} % of the volume" for share in (50, 25, 25)
    ]
    assert reasons[0].endswith("uncertainty 0.75")


def test_from_one_cluster_the_densest_box_of_all() -> None:
    assert choose_typical(line_of(60), ChooseConfig(count=1), looks(groups(50, 10)))[0] == [0]


@BOTH
def test_ties_are_decided_by_the_seed(choose: Chooser) -> None:
    look = looks([1.0] * 50)
    found = [choose(line_of(50), ChooseConfig(count=2, seed=seed), look)[0] for seed in (*range(6), 0)]
    assert found[0] == found[-1]
    assert len(set(map(tuple, found))) == 6


@BOTH
@pytest.mark.parametrize("distance_nm", [0.0, 150.0])
def test_boxes_do_not_overlap_and_others_come_where_too_few_fit(choose: Chooser, distance_nm: float) -> None:
    pool = line_of(40, stride=1, length=2)
    values = np.random.default_rng(1).normal(0, 1, 41)
    config = ChooseConfig(count=30, min_distance_nm=distance_nm)
    chosen, reasons = choose(pool, config, looks(values))
    assert len(chosen) == len(reasons) == len(set(chosen)) > 7
    for rank, index in enumerate(chosen):
        assert fits(pool, np.array(chosen[:rank], int), index, distance_nm).all()
    rest = np.setdiff1d(np.arange(40), chosen)
    assert all(not fits(pool, np.array(chosen), int(index), distance_nm).all() for index in rest)


@BOTH
def test_only_the_shortlist_is_looked_at(choose: Chooser) -> None:
    seen = []

    def look(boxes: Sequence[RoiConfig]) -> np.ndarray:
        seen.append(len(boxes))
        return looks(np.arange(200.0))(boxes)

    choose(line_of(200), ChooseConfig(count=2, shortlist=50), look)
    choose(line_of(200), ChooseConfig(count=20, shortlist=50), look)
    assert seen == [50, 80]


@BOTH
def test_features_must_be_finite(choose: Chooser) -> None:
    with pytest.raises(UserError, match="finite numbers"):
        choose(line_of(8), ChooseConfig(), looks([np.nan] * 8))
