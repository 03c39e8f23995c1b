"""Ranking by evidence: made-up domains whose distances are known, made-up crops whose consistency is."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from neuroadda.cli.domains import list_advice
from neuroadda.domains.comparison import compare_embeddings
from neuroadda.domains.consistency import Consistency
from neuroadda.domains.inference import bootstrap_interval
from neuroadda.domains.mmd import median_bandwidth, mmd2
from neuroadda.domains.ranking import RankConfig, Ranking, Source, rank_sources
from neuroadda.errors import UserError
from neuroadda.intervals import lower_end
from neuroadda.zoo.embeddings import Embedding

FEATURES = 6
CONFIG = RankConfig(by="mmd", bandwidth="median", permutations=99, resamples=300)


@pytest.mark.parametrize("given", [{}, {"no_data": "none"}, {"seed": 1}])
def test_other_keys_of_patches_keep_their_number(given):
    assert RankConfig(patches=given).patches.count == RankConfig().patches.count == 32


def domain(shift: float, seed: int, blocks: int = 16, each: int = 12, network: str = "n") -> Embedding:
    """Gaussian features about (shift, 0, ...), alike within a block."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(blocks, each, FEATURES)) + 0.3 * rng.normal(size=(blocks, 1, FEATURES))
    features[..., 0] += shift
    numbers = np.repeat(np.arange(blocks), each)
    return Embedding(features.reshape(-1, FEATURES).astype(np.float32), numbers, network, "mean", 4.0, (1, 8, 8))


def agreeing(values: Sequence[float], boundary: float = 0.2) -> Consistency:
    """Crops of which a network's boundaries agree by so much."""
    share = np.full(len(values), boundary)
    return Consistency(np.array(values) * 1000, np.full(len(values), 1000), share)


def source(name: str, far_in_size: bool = False) -> Source:
    return Source(name, (40.0, 4.0, 4.0), far_in_size, "CC0")


def rank(target: Embedding, embeddings: dict[str, Embedding], config: RankConfig = CONFIG) -> Ranking:
    comparisons = {name: compare_embeddings(target, e, config, name) for name, e in embeddings.items()}
    found = dict.fromkeys(embeddings, agreeing([0.5, 0.6]))
    return rank_sources([source(name) for name in embeddings], found, comparisons, config)


def rank_consistent(found: dict[str, Consistency]) -> Ranking:
    return rank_sources([source(name) for name in found], found, {}, RankConfig(by="consistency"))


def test_the_most_consistent_is_first_and_ties_are_told():
    first, second, third = rank_consistent(
        {"none": agreeing([0.2, 0.21, 0.2]), "best": agreeing([0.7, 0.8, 0.7]), "next": agreeing([0.69, 0.81, 0.7])}
    ).rows
    assert [row.name for row in (first, second, third)] == ["best", "next", "none"]
    assert (first.tied, second.tied, third.tied) == (True, True, False)
    assert first.why == "most consistent, but tied with next"
    assert second.why == "tied with best"
    assert third.why == "less consistent than best"
    assert third.consistency_interval[0] < third.consistency < third.consistency_interval[1]


def test_who_sees_no_boundary_or_nothing_else_comes_last():
    found = {
        "blind": agreeing([0.9] * 3, 0.001),
        "drowned": agreeing([0.99] * 3, 0.9),
        "poor": agreeing([0.3, 0.3, 0.3]),
    }
    ranking = rank_consistent(found)
    assert [row.name for row in ranking.rows] == ["poor", "drowned", "blind"]
    assert [bool(row.guard) for row in ranking.rows] == [False, True, True]
    assert ranking.rows[1].why == "sees boundary in 90 % of the voxels: too much to be tissue"
    assert "0.1 % of the voxels: too little" in ranking.rows[2].why


def test_where_no_source_sees_boundaries_the_advice_says_so():
    usable, blind = (rank_consistent({"one": agreeing([0.9, 0.9, 0.9], share)}) for share in (0.2, 0.001))
    first, _, *_ = list_advice(blind, "raw.zarr", str, None)
    assert (
        first
        == "no source suits this volume as it is: even one sees boundary in 0.1 % of the voxels: too little to judge"
    )
    assert first not in list(list_advice(usable, "raw.zarr", str, None))


def test_a_crop_without_boundary_does_not_count():
    half = replace(agreeing([0.8, 0.8]), both=np.array([800, 0]), either=np.array([1000, 0]))
    assert half.overlap == pytest.approx(0.8)


def test_another_voxel_size_is_told_and_does_not_rank():
    found = {"far": agreeing([0.8, 0.8, 0.81]), "near": agreeing([0.5, 0.5, 0.5])}
    first, _ = rank_sources([source("far", True), source("near")], found, {}, RankConfig(by="consistency")).rows
    assert first.why == "most consistent; learned at another voxel size"
    assert first.mmd2 is None
    assert first.mmd2_interval is None


def test_both_weigh_consistency_against_mmd():
    """0.7 and MMD^2 of 0 is better than 0.75 and a far domain; what has no features counts as far as the others' median."""
    found = {
        "near": agreeing([0.7, 0.7, 0.71]),
        "far": agreeing([0.75, 0.75, 0.76]),
        "unknown": agreeing([0.7, 0.7, 0.71]),
    }
    compared = {
        "near": compare_embeddings(domain(0, 0), domain(0, 1), CONFIG, "near"),
        "far": compare_embeddings(domain(0, 0), domain(4, 2), CONFIG, "far"),
    }
    ranking = rank_sources([source(name) for name in found], found, compared, RankConfig())
    assert [row.name for row in ranking.rows] == ["near", "unknown", "far"]
    assert ranking.rows[0].why == "best by consistency and MMD^2 together"
    assert ranking.rows[2].why == "behind near"
    blind = {**found, "near": agreeing([0.9, 0.9, 0.9], 0.001)}
    assert rank_sources([source(name) for name in found], blind, compared, RankConfig()).rows[-1].name == "near"


def test_both_are_tied_where_what_each_says_is_not_sure():
    """Crops alone would tell the first from the second, by 0.04 +- 0.01; the MMD is as good as nothing, and unsure."""
    found = {"first": agreeing([0.74, 0.74, 0.75]), "second": agreeing([0.70, 0.70, 0.71])}
    sources = [source(name) for name in found]

    def ties(**shifts: float) -> list[bool]:
        compared = {
            name: compare_embeddings(domain(0, 0), domain(shift, seed), CONFIG, name)
            for seed, (name, shift) in enumerate(shifts.items(), start=1)
        }
        return [row.tied for row in rank_sources(sources, found, compared, RankConfig()).rows]

    assert ties() == [False, False]
    assert ties(first=1) == [False, False]
    assert ties(first=1, second=1) == [True, True]
    assert ties(first=1, second=4) == [False, False]


def test_the_lower_end_of_a_sum_is_nearer_than_the_sum_of_lower_ends():
    assert lower_end([(3, 0), (5, 1)]) == 3 + 5 - 5
    assert lower_end([(2, 1.5)]) == 1.5
    assert lower_end([(2, 1), (0.5, 0.5)]) == 1.5


def test_without_stored_features_there_is_no_rank_by_mmd():
    found = {"with": agreeing([0.5, 0.6]), "without": agreeing([0.9, 0.9])}
    compared = {"with": compare_embeddings(domain(0, 0), domain(1, 1), CONFIG, "with")}
    sources = [source("with"), source("without")]
    assert rank_sources(sources, found, compared, CONFIG).left_out == ("without",)
    ranking = rank_sources(sources, found, compared, RankConfig(by="consistency"))
    assert (ranking.winner, ranking.left_out) == ("without", ())


@pytest.mark.parametrize("bandwidth", ["median", "multi"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_sources_are_in_the_order_of_their_distance(bandwidth, unbiased):
    config = RankConfig(by="mmd", permutations=99, resamples=200, bandwidth=bandwidth, unbiased=unbiased)
    ranking = rank(domain(0, 0), {"far": domain(3, 1), "near": domain(0.8, 2), "middle": domain(1.8, 3)}, config)
    assert [row.name for row in ranking.rows] == ["near", "middle", "far"]
    assert ranking.winner == "near"
    for row in ranking.rows:
        low, high = row.mmd2_interval
        assert low < row.mmd2 < high
        assert not row.tied
    assert [row.frechet for row in ranking.rows] == sorted(row.frechet for row in ranking.rows)
    near, middle, _ = ranking.rows
    assert near.why == "nearest"
    assert middle.why == "farther than near"
    assert near.p == middle.p == 0.01


def test_values_are_those_of_mmd_and_its_bootstrap():
    target, other = domain(0, 0), domain(1, 1)
    (row,) = rank(target, {"s": other}).rows
    x, y, x_blocks, y_blocks = target.features, other.features, target.blocks, other.blocks
    width = median_bandwidth(x, y)
    assert row.mmd2 == mmd2(x, y, width, x_blocks=x_blocks, y_blocks=y_blocks)
    assert row.mmd2_interval == bootstrap_interval(x, y, x_blocks, y_blocks, width, resamples=300)
    (biased,) = rank(target, {"s": other}, CONFIG.model_copy(update={"unbiased": False})).rows
    assert biased.mmd2 == mmd2(x, y, width, unbiased=False)
    assert np.ptp(biased.mmd2_interval) == pytest.approx(np.ptp(row.mmd2_interval))
    assert row.why == "nearest"


def test_two_volumes_of_one_domain_are_tied_and_told_so():
    ranking = rank(domain(0, 0), {"a": domain(1, 1), "b": domain(1, 2), "far": domain(4, 3)})
    first, second, third = ranking.rows
    assert {first.name, second.name} == {"a", "b"}
    assert first.tied
    assert second.tied
    assert not third.tied
    assert first.why == f"nearest, but tied with {second.name}"
    assert second.why == f"tied with {first.name}"


def test_differences_are_of_the_same_blocks_of_the_target():
    """A target of two tissues is uncertain about both sources, but on every block one is nearer by the same."""
    rng = np.random.default_rng(0)
    target = domain(0, 0, blocks=10)
    target.features[:, 1] += np.repeat(rng.normal(0, 3, 10), 12).astype(np.float32)
    near, far = domain(0.6, 1, blocks=60), domain(1.6, 2, blocks=60)
    ranking = rank(target, {"near": near, "far": far})
    first, second = ranking.rows
    assert (first.name, second.name) == ("near", "far")
    assert first.mmd2_interval[1] > second.mmd2_interval[0]  # the intervals overlap
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


def test_a_ranking_is_plain_json():
    zoo = {"a": domain(0, 1), "b": domain(0.8, 2)}
    data = json.loads(json.dumps(rank(domain(0.1, 3), zoo).to_data(), allow_nan=False))
    assert data["winner"] == "a"
    assert [row["name"] for row in data["sources"]] == ["a", "b"]
    assert all(math.isfinite(row["mmd2"]) for row in data["sources"])


def test_what_cannot_be_compared_is_refused():
    target = domain(0, 0)
    for change in ({"network": "m"}, {"pooling": "max"}, {"pixel_nm": 5.0}, {"shape_vx": (1, 9, 9)}):
        with pytest.raises(UserError, match=f"s: embeddings differ in {next(iter(change))}"):
            rank(target, {"s": replace(target, **change)})
    with pytest.raises(UserError, match="spatial block"):
        rank(target, {"s": replace(target, blocks=target.blocks * 0)})
