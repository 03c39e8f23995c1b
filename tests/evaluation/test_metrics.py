import math
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import waterz
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import adapted_rand_error, variation_of_information

from neuroadda.errors import UserError
from neuroadda.evaluation.contingency import Contingency, count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.evaluation.skeletons import array_lookup, expected_run_length, skeletonize_labels

DATA = Path(os.environ.get("NEUROADDA_DATA", Path(__file__).parents[3] / "shared" / "data"))
SHAPE = (4, 5, 6)
small_ids = arrays(np.uint64, SHAPE, elements=st.integers(0, 4))


def mouse_labels() -> np.ndarray:
    """Truth of a piece of mouse cortex, uint32[24, 512, 512], 0 = membrane."""
    path = DATA / "mouse_cortex_sssem_test.hdf"
    if not path.exists():
        pytest.skip(f"real data absent: {path} (set NEUROADDA_DATA)")
    with h5py.File(path) as file:
        return file["volumes/labels/neuron_ids"][:]


def random_labels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blobs of truth (with background), and a segmentation that splits, merges and drops some of them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 6, (4, 6, 6)).astype(np.uint64)
    labels = coarse.repeat(4, 0).repeat(5, 1).repeat(5, 2)
    segmentation = labels * np.uint64(10) + rng.integers(0, 2, labels.shape).astype(np.uint64)
    segmentation[segmentation == 41] = 30
    segmentation[:, :7] = 0
    return segmentation, labels


def assert_agrees_with_libraries(segmentation: np.ndarray, labels: np.ndarray) -> None:
    scores = score(count_overlaps(segmentation, labels), base=2)
    split, merge = variation_of_information(labels.astype(np.int64), segmentation.astype(np.int64), ignore_labels=(0,))
    error, _, _ = adapted_rand_error(labels.astype(np.int64), segmentation.astype(np.int64), ignore_labels=(0,))
    assert scores.voi_split == pytest.approx(split, abs=1e-6)
    assert scores.voi_merge == pytest.approx(merge, abs=1e-6)
    assert scores.adapted_rand_error == pytest.approx(error, abs=1e-6)

    theirs = waterz.evaluate(segmentation.astype(np.uint64), labels.astype(np.uint64))
    assert scores.voi_split == pytest.approx(theirs["voi_split"], abs=1e-6)
    assert scores.voi_merge == pytest.approx(theirs["voi_merge"], abs=1e-6)
    # waterz pairs each voxel with itself too: n more pairs above and below the line.
    n = scores.voxels
    _, sizes_t = np.unique(labels[labels > 0], return_counts=True)
    _, sizes_s = np.unique(segmentation[labels > 0], return_counts=True)
    for ours, sizes, name in ((scores.rand_split, sizes_t, "rand_split"), (scores.rand_merge, sizes_s, "rand_merge")):
        ordered = float((sizes.astype(float) ** 2).sum())
        assert (ours * (ordered - n) + n) / ordered == pytest.approx(theirs[name], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_random_labels_score_as_in_skimage_and_waterz(seed: int) -> None:
    assert_agrees_with_libraries(*random_labels(seed))


def test_real_labels_score_as_in_skimage_and_waterz() -> None:
    labels = mouse_labels()[:10, ::2, ::2]
    shifted = np.roll(labels, (1, 4, 4), (0, 1, 2)).astype(np.int64)
    segmentation = np.where(shifted % 7 == 3, 0, shifted // 2 + 1000 * (np.arange(256) > 120))
    assert_agrees_with_libraries(segmentation, labels)


def test_a_perfect_segmentation_has_exact_scores_whatever_its_ids() -> None:
    _, labels = random_labels(0)
    scores = score(count_overlaps(labels * np.uint64(1 << 60), labels))
    assert (scores.voi_split, scores.voi_merge, scores.voi, scores.adapted_rand_error) == (0, 0, 0, 0)
    assert (scores.rand_split, scores.rand_merge) == (1, 1)


def test_a_half_split_costs_one_bit_of_split_and_a_merged_half_one_bit_of_merge() -> None:
    whole, halves = np.ones(8, np.uint8), np.repeat([1, 2], 4)
    split = score(count_overlaps(halves, whole), base=2)
    merged = score(count_overlaps(whole, halves), base=2)
    assert (split.voi_split, split.voi_merge) == (1, 0)
    assert (merged.voi_split, merged.voi_merge) == (0, 1)
    # 8 voxels make 28 pairs, of which 2 * 6 lie within a half.
    assert split.rand_split == merged.rand_merge == pytest.approx(12 / 28)
    assert split.rand_merge == merged.rand_split == 1
    assert split.adapted_rand_error == pytest.approx(1 - 24 / 40)


def test_units_follow_the_base() -> None:
    table = count_overlaps(np.repeat([1, 2], 4), np.ones(8, int))
    assert score(table).voi == pytest.approx(math.log(2))
    assert [score(table, base=base).units for base in (math.e, 2, 2.0, 10)] == ["nats", "bits", "bits", "log 10"]


def test_background_truth_is_not_scored() -> None:
    segmentation, labels = random_labels(1)
    other = np.where(labels == 0, 99, segmentation)
    assert score(count_overlaps(other, labels)) == score(count_overlaps(segmentation, labels))


def test_dropping_segments_never_improves_a_perfect_score_and_costs_as_much_as_merging_them() -> None:
    _, labels = random_labels(2)
    dropped = np.where((labels == 2) | (labels == 4), 0, labels)
    merged = np.where((labels == 2) | (labels == 4), 77, labels)
    scores = score(count_overlaps(dropped, labels))
    assert scores == score(count_overlaps(merged, labels))
    assert scores.voi_merge > 0
    assert scores.adapted_rand_error > 0


def test_ignored_segments_are_left_out() -> None:
    segmentation, labels = random_labels(2)
    kept = np.where(segmentation == 0, 0, labels)
    ignored = score(count_overlaps(segmentation, labels), ignore_segments=(0,))
    assert ignored == score(count_overlaps(segmentation, kept))
    assert ignored.voxels < score(count_overlaps(segmentation, labels)).voxels


@settings(max_examples=60, deadline=None)
@given(small_ids, small_ids)
def test_split_and_merge_swap_with_the_arguments(a: np.ndarray, b: np.ndarray) -> None:
    there = score(count_overlaps(a, b), ignore_labels=())
    back = score(count_overlaps(b, a), ignore_labels=())
    assert there.voi_split == pytest.approx(back.voi_merge, abs=1e-12)
    assert there.rand_split == pytest.approx(back.rand_merge)
    assert there.voi_split >= 0
    assert there.voi_merge >= 0
    assert 0 <= there.adapted_rand_error <= 1


@settings(max_examples=30, deadline=None)
@given(small_ids, small_ids, small_ids)
def test_voi_is_a_metric(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    def voi(x: np.ndarray, y: np.ndarray) -> float:
        return score(count_overlaps(x, y), ignore_labels=()).voi

    assert voi(a, c) <= voi(a, b) + voi(b, c) + 1e-9


def test_single_voxels_have_no_pairs_and_nothing_wrong() -> None:
    scores = score(count_overlaps(np.arange(1, 5), np.arange(1, 5)))
    assert (scores.rand_split, scores.rand_merge, scores.adapted_rand_error) == (1, 1, 0)


def test_counts_beyond_32_bits_are_exact_enough() -> None:
    big = np.array([1 << 40, 1 << 40], np.int64)
    ids = np.array([1, 2], np.uint64)
    scores = score(Contingency(ids, np.array([1, 1], np.uint64), big), base=2)
    assert scores.voi_split == pytest.approx(1)
    assert scores.rand_split == pytest.approx(0.5)
    assert scores.voxels == 1 << 41


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(UserError, match="no labelled voxel"):
        score(count_overlaps(np.ones(4, int), np.zeros(4, int)))
    with pytest.raises(UserError, match="not above 1"):
        score(count_overlaps(np.ones(4, int), np.ones(4, int)), base=1)


def test_real_neurons_trace_themselves_and_lose_by_splits_and_mergers() -> None:
    labels = mouse_labels()[:, :256, :256]
    skeletons = skeletonize_labels(labels, (30, 6, 6), min_length_nm=300)
    assert len(skeletons) > 20
    itself = expected_run_length(skeletons, array_lookup(labels, (30, 6, 6)))
    assert itself.normalised == pytest.approx(1, rel=1e-12)
    halves = np.where(labels == 0, 0, labels * 2 + (np.arange(256) >= 128))
    split = expected_run_length(skeletons, array_lookup(halves, (30, 6, 6)))
    merged = expected_run_length(skeletons, array_lookup(np.minimum(labels, np.median(list(skeletons))), (30, 6, 6)))
    assert 0 < split.normalised < 1
    assert (split.merged_segments, split.split_edges > 0) == (0, True)
    assert 0 < merged.normalised < 1
    assert (merged.merged_segments, merged.split_edges, merged.merged_skeletons > 5) == (1, 0, True)
