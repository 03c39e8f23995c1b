import numpy as np
import pytest
import scipy.sparse as sp
import waterz
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from neuroadda.segmentation.by_waterz import silence_stdout
from neuroadda.segmentation.components import Numbering, connect_components, drop_small
from neuroadda.segmentation.edges import collect_edges
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.rag import FULL, Rag, contract
from neuroadda.segmentation.whole import Agglomerated
from tests.segmentation.synthetic import VOXEL_SIZE_NM, noisy_affs

THRESHOLDS = [0.123, 0.234, 0.345, 0.456, 0.567]


def rag(*edges) -> Rag:
    """Return edges (u, v, mean affinity, count)."""
    u, v, mean, count = (np.array(column) for column in zip(*edges, strict=True))
    u, v = u.astype(np.uint64), v.astype(np.uint64)
    return Rag(u, v, np.rint(FULL * mean * count).astype(np.int64), count, u, v)


def as_list(merges) -> list[tuple[int, int, float]]:
    return list(zip(merges.u.tolist(), merges.v.tolist(), merges.score.tolist(), strict=True))


def test_the_likelier_pair_merges_first_and_statistics_add_up():
    # 1-2 merge at 0.2; then 3 sees {1, 2} through both edges: (1 * 0.8 + 3 * 0.4) / 4 = 0.5
    done = contract(rag((1, 2, 0.8, 2), (1, 3, 0.8, 1), (2, 3, 0.4, 3)), limit=1.0)
    assert as_list(done.merges) == [(1, 2, pytest.approx(0.2)), (1, 3, pytest.approx(0.5))]
    assert len(done.rag.u) == 0


def test_what_does_not_join_below_the_limit_is_left_apart():
    done = contract(rag((1, 2, 0.8, 1), (2, 3, 0.2, 1)), limit=0.5)
    assert as_list(done.merges) == [(1, 2, pytest.approx(0.2))]
    assert len(done.rag.u) == 0


def test_equal_scores_are_decided_by_the_lowest_fragments():
    # all at 0.4; 5-6 was 2-6 and 1-5 first, so it comes before 3-4
    edges = rag((3, 4, 0.6, 1), (5, 6, 0.6, 1), (7, 8, 0.6, 1))
    edges = Rag(
        **(vars(edges) | {"first_u": np.array([3, 2, 7], np.uint64), "first_v": np.array([4, 6, 8], np.uint64)})
    )
    assert [pair[:2] for pair in as_list(contract(edges, 1.0).merges)] == [(5, 6), (3, 4), (7, 8)]


def test_what_is_best_joined_to_a_frozen_region_waits():
    edges = rag((1, 2, 0.9, 1), (2, 3, 0.95, 1), (1, 4, 0.7, 1), (5, 6, 0.8, 1), (6, 7, 0.2, 1))
    done = contract(edges, 0.5, frozen=np.array([3], np.uint64))
    assert as_list(done.merges) == [(5, 6, pytest.approx(0.2))]
    # 2 waits for 3, 1 for 2 and 4 for 1; 6-7 will never score below the limit
    assert list(zip(done.rag.u.tolist(), done.rag.v.tolist(), strict=True)) == [(1, 2), (1, 4), (2, 3)]
    assert done.rename(np.array([6, 2, 99], np.uint64)).tolist() == [5, 2, 99]


def random_rag(rng, regions: int, edges: int, levels: int, lightest: int = 1) -> Rag:
    """Return a random graph with few different affinities, so that many scores are equal."""
    pairs = np.unique(np.sort(rng.integers(1, regions + 1, (edges, 2)), axis=1), axis=0)
    u, v = pairs[pairs[:, 0] < pairs[:, 1]].T.astype(np.uint64)
    count = rng.integers(lightest, 4, len(u))
    return Rag(u, v, rng.integers(0, levels, len(u)) * (255 // levels) * count, count, u, v)


def merge_by_hand(graph: Rag, limit: float) -> list[tuple[int, int, float]]:
    """Search all edges for the best before every merge."""
    pairs = zip(graph.u.tolist(), graph.v.tolist(), strict=True)
    edges = {
        pair: (total, count, pair)
        for pair, total, count in zip(pairs, graph.sum.tolist(), graph.count.tolist(), strict=True)
    }
    merges = []
    while edges:
        score, _, (u, v) = min(
            (1.0 - total / (FULL * count) if count else 1.0, first, pair)
            for pair, (total, count, first) in edges.items()
        )
        if score >= limit:
            break
        merges.append((u, v, score))
        renamed: dict[tuple[int, int], tuple] = {}
        for pair, (total, count, first) in edges.items():
            a, b = sorted(u if region == v else region for region in pair)
            if a != b:
                more = renamed.get((a, b), (0, 0, first))
                renamed[a, b] = more[0] + total, more[1] + count, min(more[2], first)
        edges = renamed
    return merges


@given(
    seed=st.integers(0, 10_000),
    regions=st.integers(2, 40),
    levels=st.sampled_from([3, 8, 200]),
    lightest=st.integers(0, 1),
)
def test_every_merge_is_the_best_there_is(seed, regions, levels, lightest):
    """An edge without weight, as contraharmonic makes of affinities that are all 0, never merges."""
    whole = random_rag(np.random.default_rng(seed), regions, 4 * regions, levels, lightest)
    assert as_list(contract(whole, 0.9).merges) == merge_by_hand(whole, 0.9)


@given(
    seed=st.integers(0, 10_000),
    regions=st.integers(2, 40),
    levels=st.sampled_from([3, 8, 200]),
    lightest=st.integers(0, 1),
)
def test_parts_merge_as_the_whole_does(seed, regions, levels, lightest):
    """Any parts, joined in any order, give the merges of the whole, scores and all."""
    rng = np.random.default_rng(seed)
    whole = random_rag(rng, regions, 4 * regions, levels, lightest)
    expected = sorted(as_list(contract(whole, 0.9).merges))
    part = rng.integers(0, 5, regions + 1)
    found, left, renamed = [], whole, np.arange(regions + 1, dtype=np.uint64)
    for join in (np.arange(5), np.array([0, 0, 1, 1, 1]), np.zeros(5, int)):
        # a region's part is that of its lowest fragment, which is in it
        u, v = (join[part[ids.astype(int)]] for ids in (left.u, left.v))
        across = left.take(u != v)
        done = [
            contract(left.take((u == p) & (v == p)), 0.9, np.r_[across.u, across.v]) for p in range(int(join.max()) + 1)
        ]
        for contracted in done:
            found += as_list(contracted.merges)
            renamed = contracted.rename(renamed)
            across = Rag(**(vars(across) | {n: contracted.rename(getattr(across, n)) for n in "uv"}))
        swapped = across.u > across.v
        u, v = np.where(swapped, across.v, across.u), np.where(swapped, across.u, across.v)
        left = Rag.concatenate([*(contracted.rag for contracted in done), Rag(**(vars(across) | {"u": u, "v": v}))])
        part = part[renamed.astype(int)]
    assert sorted(found) == expected


def test_the_order_of_edges_does_not_matter():
    rng = np.random.default_rng(1)
    whole = random_rag(rng, 300, 2000, 20)
    mixed = whole.take(rng.permutation(len(whole.u)))
    assert as_list(contract(whole, 1.0).merges) == as_list(contract(mixed, 1.0).merges)


@pytest.mark.parametrize("seed", range(3))
def test_cutting_merges_is_waterz_at_every_threshold(seed):
    # Equal scores may merge in any order there, and uint8 affinities make many: a little noise leaves none.
    noise = np.random.default_rng(seed).normal(0, 0.01, (3, 12, 60, 64))
    affs = np.clip(noisy_affs(seed=10 * seed) / 255 + noise, 0.001, 0.999).astype(np.float32)
    fragments = find_fragments(affs, VOXEL_SIZE_NM, Fragments(seed_distance_vx=4)).astype(np.uint64)
    # Sums of finer affinities, in the same units: sum and count by the same factor.
    fine = 1 << 14
    high, low = (np.floor(affs * 255).astype(np.uint8), np.rint(affs * 255 % 1 * fine).astype(np.uint16))
    edges, rest = collect_edges(high, fragments), collect_edges(low, fragments)
    graph = Rag(edges.u, edges.v, edges.sum * fine + rest.sum, edges.count * fine, edges.u, edges.v)
    ours = Agglomerated(fragments, contract(graph, 1.0).merges)
    with silence_stdout():
        theirs = [
            segmentation.copy()
            for segmentation in waterz.agglomerate(
                affs,
                THRESHOLDS,
                fragments=fragments.copy(),
                scoring_function="OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>",
                discretize_queue=0,
            )
        ]
    for threshold, right in zip(THRESHOLDS, theirs, strict=True):
        found = ours.segment(threshold)
        pairs = np.unique(np.stack([found.ravel(), right.ravel()]), axis=1).shape[1]
        assert pairs == len(np.unique(found)) == len(np.unique(right))


def test_components_are_those_of_scipy_in_any_order_of_edges():
    rng = np.random.default_rng(0)
    count = 500
    numbering = Numbering(np.array([0, 200, 200, count]), 1000)
    dense = rng.integers(0, count, (2, 600))
    block = np.searchsorted(numbering.first, dense, side="right") - 1
    ids = (dense - numbering.first[block] + 1 + block * 1000).astype(np.uint64)
    assert (numbering.to_dense(ids) == dense).all()
    score = rng.random(600).astype(np.float32)
    parts = [{"u": ids[0, i::7], "v": ids[1, i::7], "score": score[i::7]} for i in range(7)]
    lut = connect_components(numbering, parts, 0.4)
    assert (lut == connect_components(numbering, parts[::-1], 0.4)).all()
    kept = score < 0.4
    graph = sp.coo_matrix((np.ones(kept.sum()), dense[:, kept]), (count, count))
    number, labels = connected_components(graph, directed=False)
    assert lut.max() == number
    assert len(set(zip(lut.tolist(), labels.tolist(), strict=True))) == number
    assert (np.sort(np.unique(lut, return_index=True)[1]) == np.unique(lut, return_index=True)[1]).all()


def test_small_segments_are_dropped_and_the_rest_renumbered():
    lut = np.array([1, 2, 1, 3, 2], np.uint64)
    sizes = [np.array([5, 1]), np.array([5, 9, 1])]
    assert drop_small(lut, sizes, 5).tolist() == [1, 0, 1, 2, 0]


@pytest.mark.parametrize("sections", [True, False])
def test_fragments_are_found_everywhere_and_stay_in_their_section(sections):
    affs = noisy_affs()
    fragments = find_fragments(affs, VOXEL_SIZE_NM, Fragments(sections=sections, seed_distance_vx=4))
    assert fragments.shape == affs.shape[1:]
    assert (fragments > 0).all()
    if sections:
        per_section = [set(np.unique(section)) for section in fragments]
        assert all(not a & b for i, a in enumerate(per_section) for b in per_section[i + 1 :])


def test_weak_fragments_are_dropped():
    affs = np.full((3, 1, 20, 40), 255, np.uint8)
    affs[:, :, :, 18:22] = 0
    affs[:, :, :, 22:] = 140
    kept = find_fragments(affs, VOXEL_SIZE_NM, Fragments(min_affinity=0.7, seed_distance_vx=30, boundary=0.5))
    assert (kept[0, :, :15] > 0).all()
    assert (kept[0, :, 25:] == 0).all()
