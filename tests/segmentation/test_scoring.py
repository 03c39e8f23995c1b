"""What the scorings make of contacts, by hand and by waterz."""

import numpy as np
import pytest
import waterz
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.config import parse_config
from neuroadda.errors import UserError
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.by_waterz import find_heights, merge_by_waterz, silence_stdout
from neuroadda.segmentation.components import Numbering, connect_components
from neuroadda.segmentation.contacts import collect_contacts, mark_as_one
from neuroadda.segmentation.edges import Edges, collect_edges
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.rag import contract
from neuroadda.segmentation.scoring import name_waterz_function
from neuroadda.segmentation.whole import agglomerate_array, merge_fragments
from tests.segmentation.synthetic import VOXEL_SIZE_NM, noisy_affs

QUANTILES = (1, 25, 50, 75, 90, 100)


def score_by_hand(scoring: str, values: list[int]) -> tuple[int, int]:
    """Return the total and the weight of a contact with these affinities."""
    if scoring == "mean":
        return sum(values), len(values)
    if scoring == "contraharmonic":
        return sum(value**2 for value in values), sum(values)
    _, percent, *root = scoring.split("_")
    quantile = sorted(values)[min(int(percent) * len(values) // 100, len(values) - 1)]
    weight = round(256 * len(values) ** 0.5) if root else len(values)
    return quantile * weight, weight


@given(shape=st.tuples(*[st.integers(1, 6)] * 3), ids=st.integers(1, 4), seed=st.integers(0, 1000))
def test_edges_carry_what_their_scoring_adds_up(shape, ids, seed):
    rng = np.random.default_rng(seed)
    fragments = rng.integers(0, ids + 1, shape).astype(np.uint64)
    affs = rng.integers(0, 256, (3, *shape)).astype(np.uint8)
    affs[affs < rng.integers(0, 200)] = 0
    met: dict[tuple[int, int], list[int]] = {}
    for axis in range(3):
        upper, lower = np.moveaxis(fragments, axis, 0)[1:], np.moveaxis(fragments, axis, 0)[:-1]
        values = np.moveaxis(affs[axis], axis, 0)[1:]
        for a, b, value in zip(lower.flat, upper.flat, values.flat, strict=True):
            if a and b and a != b:
                met.setdefault((min(int(a), int(b)), max(int(a), int(b))), []).append(int(value))
    scorings = ("mean", "contraharmonic", *(f"quantile_{q}{root}" for q in QUANTILES for root in ("", "_root")))
    contacts = collect_contacts(affs, fragments, quantiles=QUANTILES)
    for scoring in scorings:
        edges = Edges.of(contacts, scoring)
        assert list(zip(edges.u.tolist(), edges.v.tolist(), strict=True)) == sorted(met)
        expected = [score_by_hand(scoring, met[pair]) for pair in sorted(met)]
        assert list(zip(edges.sum.tolist(), edges.count.tolist(), strict=True)) == expected
        for name, column in vars(collect_edges(affs, fragments, scoring=scoring)).items():
            assert (column == getattr(edges, name)).all()


def test_scores_of_one_contact():
    fragments = np.array([[[1, 1, 1, 1], [2, 2, 2, 2]]], np.uint64)
    affs = np.zeros((3, 1, 2, 4), np.uint8)
    affs[1, 0, 1] = (51, 255, 0, 204)
    expected = {
        "mean": 1 - 0.5,
        "contraharmonic": 1 - (0.2**2 + 1 + 0.8**2) / 2,
        "quantile_25": 1 - 0.2,
        "quantile_50": 1 - 0.8,
        "quantile_75": 0,
        "quantile_100_root": 0,
    }
    for scoring, score in expected.items():
        merges = merge_fragments(affs, fragments, Agglomerate(scoring=scoring))
        assert merges.score.tolist() == [pytest.approx(score)]


def test_contacts_that_become_one_are_weighed():
    """1 and 2 are one at once; 3 then touches them by 4 affinities of 0.2 and by 1 of 0.8."""
    fragments = np.array([[[1, 1, 1, 1, 2], [3, 3, 3, 3, 3]]], np.uint64)
    affs = np.zeros((3, 1, 2, 5), np.uint8)
    affs[2, 0, 0, 4] = 255
    affs[1, 0, 1] = (51, 51, 51, 51, 204)
    expected = {
        "mean": 1 - (4 * 0.2 + 0.8) / 5,
        "contraharmonic": 1 - (4 * 0.2**2 + 0.8**2) / (4 * 0.2 + 0.8),
        "quantile_75": 1 - (4 * 0.2 + 0.8) / 5,
        "quantile_75_root": 1 - (2 * 0.2 + 0.8) / 3,
    }
    for scoring, score in expected.items():
        merges = merge_fragments(affs, fragments, Agglomerate(scoring=scoring))
        assert merges.u.tolist() == [1, 1]
        assert merges.score.tolist() == [0, pytest.approx(score)]


@pytest.mark.parametrize("scoring", ["mean", "contraharmonic"])
def test_a_fragment_that_was_cut_scores_as_if_it_was_not(scoring):
    """Its pieces are joined first; sums of their contacts are those of the uncut fragment's."""
    affs = np.random.default_rng(0).integers(0, 250, (3, 3, 8, 8)).astype(np.uint8)
    fragments = np.zeros(affs.shape[1:], np.uint64)
    fragments[:, :4], fragments[:, 4:] = 1, 3
    (whole,) = merge_fragments(affs, fragments, Agglomerate(limit=1.0, scoring=scoring)).score
    fragments[:, :4, 5:] = 2
    contacts = collect_contacts(affs, fragments)
    mark_as_one(contacts, np.array([1], np.uint64), np.array([2], np.uint64))
    merges = contract(Edges.of(contacts, scoring).to_rag(), 1.0).merges
    assert merges.score.tolist() == [0, whole]


@pytest.mark.parametrize("scoring", ["mean", "contraharmonic", "quantile_75", "quantile_75_root", "waterz:mean"])
def test_where_all_affinities_are_0_nothing_merges_but_a_cut(scoring):
    fragments = np.array([[[1, 1], [2, 2], [3, 3]]], np.uint64)
    affs = np.zeros((3, *fragments.shape), np.uint8)
    assert len(merge_fragments(affs, fragments, Agglomerate(limit=1.0, scoring=scoring)).u) == 0
    if scoring != "waterz:mean":
        contacts = collect_contacts(affs, fragments, quantiles=(75,))
        mark_as_one(contacts, np.array([1], np.uint64), np.array([2], np.uint64))
        merges = contract(Edges.of(contacts, scoring).to_rag(), 1.0).merges
        assert (merges.u.tolist(), merges.v.tolist(), merges.score.tolist()) == ([1], [2], [0])


def run_waterz(affs, fragments, scoring, thresholds, **options):
    with silence_stdout():
        yield from waterz.agglomerate(
            affs.astype(np.float32) / np.float32(255),
            thresholds,
            fragments=fragments.copy(),
            scoring_function=name_waterz_function(scoring),
            **options,
        )


@pytest.fixture(scope="module")
def flooded() -> tuple[np.ndarray, np.ndarray]:
    affs = noisy_affs(seed=7)
    return affs, find_fragments(affs, VOXEL_SIZE_NM, Fragments(seed_distance_vx=4)).astype(np.uint64)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("mean", "mean"), *((f"quantile_{q}", f"hist_quant_{q}") for q in (25, 50, 75, 90))]
)
def test_contacts_score_as_in_waterz(flooded, ours, theirs):
    affs, fragments = flooded
    ((_, graph),) = run_waterz(affs, fragments, f"waterz:{theirs}", [0.0], return_region_graph=True)
    expected = {tuple(sorted((e["u"], e["v"]))): e["score"] for e in graph}
    edges = collect_edges(affs, fragments, scoring=ours)
    found = dict(zip(zip(edges.u.tolist(), edges.v.tolist(), strict=True), 1 - edges.mean, strict=True))
    assert found.keys() == expected.keys()
    assert len(found) > 100
    for pair, score in found.items():
        # waterz tells the middle of one of 256 bins.
        right = score if ours == "mean" else 1 - ((1 - score) * 255 + 0.5) / 256
        assert expected[pair] == pytest.approx(right, abs=1e-5)  # it counts in float32


@pytest.mark.parametrize("function", ["mean", "hist_quant_50", "hist_quant_75_initmax", "hist_quant_25"])
def test_waterz_by_pairs_is_waterz_at_every_threshold(flooded, function):
    affs, fragments = flooded
    whole = agglomerate_array(
        affs, VOXEL_SIZE_NM, Fragments(seed_distance_vx=4), Agglomerate(limit=1.0, scoring=f"waterz:{function}")
    )
    assert (whole.fragments == fragments).all()
    thresholds = [bin_ / 256 for bin_ in (20, 60, 100, 130, 180, 230)]  # its queue has 256 bins
    merged = run_waterz(affs, fragments, f"waterz:{function}", thresholds, discretize_queue=256)
    numbers = []
    for threshold, right in zip(thresholds, merged, strict=True):
        found = whole.segment(threshold)
        pairs = np.unique(np.stack([found.ravel(), right.ravel()]), axis=1).shape[1]
        assert pairs == len(np.unique(found)) == len(np.unique(right))
        numbers.append(pairs)
    assert numbers[0] > numbers[-1]


def test_waterz_takes_ids_as_high_as_blocks_have_and_none(flooded):
    affs, fragments = flooded
    edges = collect_edges(affs, fragments)
    shift = np.uint64(10**14)
    high = np.where(fragments == 5, 0, fragments + shift)
    kept = (edges.u != 5) & (edges.v != 5)
    low = merge_by_waterz(
        affs, np.where(fragments == 5, 0, fragments), edges.u[kept], edges.v[kept], "waterz:mean", 0.5
    )
    merges = merge_by_waterz(affs, high, edges.u[kept] + shift, edges.v[kept] + shift, "waterz:mean", 0.5)
    assert (merges.u == low.u + shift).all()
    assert (merges.score == low.score).all()
    assert len(merges.u) > 10
    nothing = np.zeros(0, np.uint64)
    assert len(merge_by_waterz(affs, np.zeros_like(fragments), nothing, nothing, "waterz:mean", 0.5).u) == 0


@given(count=st.integers(1, 30), seed=st.integers(0, 10_000))
def test_heights_are_those_at_which_pairs_come_together(count, seed):
    rng = np.random.default_rng(seed)
    roots, tree = list(range(count)), []
    for _ in range(int(rng.integers(0, count))):
        a, b = (int(region) for region in rng.choice(roots, 2, replace=False))
        roots.remove(b)
        tree.append((a, b, float(rng.integers(0, 8) / 8)))
    u, v = rng.integers(0, count, (2, 50))
    u, v = u[u != v], v[u != v]
    found = find_heights(count, tree, u, v)
    numbering = Numbering(np.array([0, count]), count)
    # By hand: a merge counts as high as the highest that it depends on.
    height, rows = [0.0] * count, []
    for a, b, score in tree:
        height[a] = max(score, height[a], height[b])
        rows.append((a + 1, b + 1, height[a]))
    columns = {
        n: np.array([row[i] for row in rows], float if n == "score" else np.uint64)
        for i, n in enumerate(("u", "v", "score"))
    }
    for threshold in (0.0, 0.1, 0.3, 0.6, 0.9, 2.0):
        lut = connect_components(numbering, [columns], threshold)
        assert ((lut[u] == lut[v]) == (found < threshold)).all()


@pytest.mark.parametrize(
    ("scoring", "hint"),
    [
        ("median", "quantile_<q>"),
        ("quantile_0", "no scoring"),
        ("quantile_101", "no scoring"),
        ("quantile_075", "no scoring"),
        ("quantile_75_square", "no scoring"),
        ("Mean", "no scoring"),
        ("", "no scoring"),
        ("waterz:", "no function"),
        ("waterz:hist_quant_77", "hist_quant_<q>"),
        ("waterz:hist_quant_5", "q of 10, 15, ... 95"),
        ("waterz:OneMinus<MinAffinity<RegionGraphType, ScoreValue>>", "no function"),
    ],
)
def test_a_scoring_that_there_is_not_is_refused_in_a_line(scoring, hint):
    with pytest.raises(UserError) as told:
        parse_config(Agglomerate, {"scoring": scoring}, "run.toml")
    assert hint in str(told.value)
    assert str(told.value).startswith("run.toml: scoring: ")
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    "scoring", ["mean", "contraharmonic", "quantile_1", "quantile_100_root", "waterz:hist_quant_10_initmax"]
)
def test_scorings_that_there_are(scoring):
    assert parse_config(Agglomerate, {"scoring": scoring}, "run.toml").scoring == scoring
