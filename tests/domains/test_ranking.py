"""Ranking by features alone: made-up domains whose distances are known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from neuroadda.domains.inference import bootstrap_interval
from neuroadda.domains.mmd import median_bandwidth, mmd2
from neuroadda.domains.ranking import RankConfig, measure_far, rank_embeddings
from neuroadda.errors import UserError
from neuroadda.zoo.embeddings import Embedding

FEATURES = 6
CONFIG = RankConfig(bandwidth="median", permutations=99, resamples=300)


def domain(shift: float, seed: int, blocks: int = 16, each: int = 12, network: str = "n") -> Embedding:
    """Gaussian features about (shift, 0, ...), alike within a block."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(blocks, each, FEATURES)) + 0.3 * rng.normal(size=(blocks, 1, FEATURES))
    features[..., 0] += shift
    numbers = np.repeat(np.arange(blocks), each)
    return Embedding(features.reshape(-1, FEATURES).astype(np.float32), numbers, network, "mean", 4.0, (1, 8, 8))


def rank(target: Embedding, sources: dict[str, Embedding], config: RankConfig = CONFIG, **options):
    return rank_embeddings(dict.fromkeys(sources, target), sources, config, **options)


@pytest.mark.parametrize("bandwidth", ["median", "multi"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_sources_are_in_the_order_of_their_distance(bandwidth, unbiased):
    config = RankConfig(permutations=99, resamples=200, bandwidth=bandwidth, unbiased=unbiased)
    ranking = rank(domain(0, 0), {"far": domain(3, 1), "near": domain(0.8, 2), "middle": domain(1.8, 3)}, config)
    assert [row.name for row in ranking.rows] == ["near", "middle", "far"]
    assert ranking.winner == "near"
    assert ranking.far is None
    for row in ranking.rows:
        assert row.low < row.mmd2 < row.high
        assert not row.tied
        assert row.near
    assert [row.frechet for row in ranking.rows] == sorted(row.frechet for row in ranking.rows)
    near, middle, _ = ranking.rows
    assert near.why == f"nearest; {middle.mmd2 - near.mmd2:.3g} below the next, middle"
    assert middle.why == f"{middle.mmd2 - near.mmd2:.3g} farther than near"
    assert near.p == middle.p == 0.01


def test_values_are_those_of_mmd_and_its_bootstrap():
    target, source = domain(0, 0), domain(1, 1)
    (row,) = rank(target, {"s": source}).rows
    x, y, x_blocks, y_blocks = target.features, source.features, target.blocks, source.blocks
    width = median_bandwidth(x, y)
    assert row.mmd2 == mmd2(x, y, width, x_blocks=x_blocks, y_blocks=y_blocks)
    assert (row.low, row.high) == bootstrap_interval(x, y, x_blocks, y_blocks, width, resamples=300)
    (biased,) = rank(target, {"s": source}, CONFIG.model_copy(update={"unbiased": False})).rows
    assert biased.mmd2 == mmd2(x, y, width, unbiased=False)
    assert biased.high - biased.low == pytest.approx(row.high - row.low)
    assert row.why == "the only source that is near"


def test_two_volumes_of_one_domain_are_tied_and_told_so():
    ranking = rank(domain(0, 0), {"a": domain(1, 1), "b": domain(1, 2), "far": domain(4, 3)})
    first, second, third = ranking.rows
    assert {first.name, second.name} == {"a", "b"}
    assert first.tied
    assert second.tied
    assert not third.tied
    assert first.why == f"nearest, but tied with {second.name}: the difference's interval includes 0"
    assert second.why == f"tied with {first.name}: the difference's interval includes 0"


def test_differences_are_of_the_same_blocks_of_the_target():
    """A target of two tissues is uncertain about both sources, but on every block one is nearer by the same."""
    rng = np.random.default_rng(0)
    target = domain(0, 0, blocks=10)
    target.features[:, 1] += np.repeat(rng.normal(0, 3, 10), 12).astype(np.float32)
    near, far = domain(0.6, 1, blocks=60), domain(1.6, 2, blocks=60)
    ranking = rank(target, {"near": near, "far": far})
    first, second = ranking.rows
    assert (first.name, second.name) == ("near", "far")
    assert first.high > second.low  # the intervals overlap
    assert not second.tied


def test_the_order_of_patches_and_of_sources_is_nothing():
    target, sources = domain(0, 0), {"a": domain(1, 1), "b": domain(2, 2)}
    shuffled = np.random.default_rng(0).permutation(len(target.blocks))
    other = replace(target, features=target.features[shuffled], blocks=target.blocks[shuffled])
    again = rank(other, dict(reversed(sources.items())))
    for row, same in zip(rank(target, sources).rows, again.rows, strict=True):
        assert row.name == same.name
        assert row.mmd2 == pytest.approx(same.mmd2, abs=2e-3)  # the median is of a random part of the pairs
        assert row.p == same.p


def test_a_given_limit_decides_what_is_near():
    target, sources = domain(0, 0), {"a": domain(1, 1), "b": domain(3, 2)}
    a, b = rank(target, sources).rows
    between = CONFIG.model_copy(update={"far": (a.mmd2 + b.mmd2) / 2})
    ranking = rank(target, sources, between)
    assert [row.near for row in ranking.rows] == [True, False]
    assert ranking.winner == "a"
    assert ranking.rows[1].why == f"farther than {between.far:g}"
    assert ranking.rows[0].held == a.mmd2
    none = rank(target, sources, CONFIG.model_copy(update={"far": 1e-6}))
    assert none.winner is None


def test_by_default_the_zoo_tells_what_is_near():
    """Near is as near as the zoo's domains are to each other: of the loneliest of them, to the one next to it."""
    zoo = {"a": domain(0, 1), "b": domain(0.8, 2), "c": domain(2.2, 3), "d": domain(3, 4)}
    far = measure_far(zoo, CONFIG)
    pairs = {(i, j): rank(zoo[i], {j: zoo[j]}).rows[0].mmd2 for i in zoo for j in zoo if i != j}
    nearest = {i: min(value for (k, _), value in pairs.items() if k == i) for i in zoo}
    assert far == pytest.approx(max(nearest.values()), abs=1e-6)
    for shift, near in ((0.4, True), (-0.3, True), (12, False)):
        target = domain(shift, 9)
        ranking = rank(target, zoo, target_references=dict.fromkeys(zoo, target), references=zoo)
        assert ranking.far == far
        assert (ranking.winner is not None) == near
    assert ranking.rows[0].why == "farther than any of the zoo's domains is from the one nearest to it"
    two = {name: zoo[name] for name in "ab"}
    assert measure_far(two, CONFIG) is None
    assert rank(target, two, target_references=dict.fromkeys(two, target), references=two).winner is not None


def test_what_is_near_is_told_by_the_common_network_where_each_has_its_own():
    zoo = {name: domain(shift, i) for i, (name, shift) in enumerate({"a": 0, "b": 1, "c": 2}.items())}
    own = {name: replace(e, network=name) for name, e in zoo.items()}
    target, far_target = domain(0.5, 7), domain(15, 8)
    ranking = rank_embeddings(
        {name: replace(target, network=name) for name in zoo},
        own,
        CONFIG,
        dict.fromkeys(zoo, far_target),
        zoo,
    )
    assert ranking.winner is None
    assert min(row.held for row in ranking.rows) > ranking.far > max(row.mmd2 for row in ranking.rows[:1])


def test_a_ranking_is_plain_json():
    zoo = {"a": domain(0, 1), "b": domain(0.8, 2)}
    data = json.loads(json.dumps(rank(domain(0.1, 3), zoo).to_data(), allow_nan=False))
    assert data["winner"] == "a"
    assert [row["name"] for row in data["sources"]] == ["a", "b"]
    assert all(math.isfinite(row["mmd2"]) for row in data["sources"])


def test_what_cannot_be_compared_is_refused():
    target = domain(0, 0)
    with pytest.raises(UserError, match="there is no source"):
        rank(target, {})
    for change in ({"network": "m"}, {"pooling": "max"}, {"pixel_nm": 5.0}, {"shape_vx": (1, 9, 9)}):
        with pytest.raises(UserError, match=f"s: embeddings differ in {next(iter(change))}"):
            rank(target, {"s": replace(target, **change)})
    with pytest.raises(UserError, match="spatial block"):
        rank(target, {"s": replace(target, blocks=target.blocks * 0)})
