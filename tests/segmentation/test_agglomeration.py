import numpy as np
import pytest
import scipy.sparse as sp
import waterz
from scipy.sparse.csgraph import connected_components
from synthetic import VOXEL_SIZE_NM, noisy_affs

from neuroadda.evaluation.baselines import silence_stdout
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.agglomeration import UNMERGED, score_edges
from neuroadda.segmentation.components import Numbering, connect_components, drop_small
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.whole import agglomerate_array

THRESHOLDS = [0.123, 0.234, 0.345, 0.456, 0.567]


def columns(*edges):
    u, v, mean, count = (np.array(column) for column in zip(*edges, strict=True))
    return u.astype(np.uint64), v.astype(np.uint64), mean * count.astype(float), count


def test_the_likelier_pair_merges_first_and_statistics_add_up():
    # 1-2 merge at 0.1; then 3 sees {1, 2} through both edges: (1 * 0.8 + 3 * 0.4) / 4 = 0.5
    scores = score_edges(*columns((1, 2, 0.9, 2), (1, 3, 0.8, 1), (2, 3, 0.4, 3)), limit=1.0)
    assert np.allclose(scores, [0.1, 0.5, 0.5])


def test_scores_never_fall_along_a_path_of_merges():
    # after 1-2 (0.4) the edge to 3 has the mean (0.1 + 10 * 0.9) / 11 > 0.6: it joins right after, at the level reached
    scores = score_edges(*columns((1, 2, 0.6, 1), (1, 3, 0.1, 1), (2, 3, 0.55, 10), (3, 4, 0.2, 1)), limit=1.0)
    assert scores[0] == pytest.approx(0.4)
    assert scores[1] == scores[2] == pytest.approx(1 - (0.1 + 5.5) / 11)
    assert scores[3] == pytest.approx(0.8)


def test_what_does_not_join_below_the_limit_is_unmerged():
    scores = score_edges(*columns((1, 2, 0.9, 1), (2, 3, 0.2, 1)), limit=0.5)
    assert scores.tolist() == [pytest.approx(0.1), UNMERGED]


def test_the_order_of_edges_does_not_matter():
    affs = noisy_affs()
    whole = agglomerate_array(affs, VOXEL_SIZE_NM, Fragments(seed_distance_vx=4), Agglomerate())
    rng = np.random.default_rng(1)
    order = rng.permutation(len(whole.u))
    statistics = rng.random(len(whole.u)), rng.integers(1, 9, len(whole.u))
    ordered = score_edges(whole.u, whole.v, statistics[0] * statistics[1], statistics[1], 1.0)
    mixed = score_edges(
        whole.u[order], whole.v[order], (statistics[0] * statistics[1])[order], statistics[1][order], 1.0
    )
    assert np.allclose(ordered[order], mixed)


@pytest.mark.parametrize("seed", range(3))
def test_cutting_scores_is_waterz_at_every_threshold(seed):
    # Equal scores may merge in any order, and uint8 affinities make many: a little noise leaves none.
    noise = np.random.default_rng(seed).normal(0, 0.01, (3, 12, 60, 64))
    affs = np.clip(noisy_affs(seed=10 * seed) / 255 + noise, 0.001, 0.999).astype(np.float32)
    whole = agglomerate_array(affs, VOXEL_SIZE_NM, Fragments(seed_distance_vx=4), Agglomerate(limit=1.0))
    with silence_stdout():
        theirs = [
            segmentation.copy()
            for segmentation in waterz.agglomerate(
                affs,
                THRESHOLDS,
                fragments=whole.fragments.copy(),
                scoring_function="OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>",
                discretize_queue=0,
            )
        ]
    for threshold, right in zip(THRESHOLDS, theirs, strict=True):
        ours = whole.segment(threshold)
        pairs = np.unique(np.stack([ours.ravel(), right.ravel()]), axis=1).shape[1]
        assert pairs == len(np.unique(ours)) == len(np.unique(right))


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
