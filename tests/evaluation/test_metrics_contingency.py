from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuroadda.errors import UserError
from neuroadda.evaluation import contingency
from neuroadda.evaluation.contingency import Contingency, count_overlaps, merge

ids = arrays(np.uint64, (3, 4, 5), elements=st.sampled_from([0, 1, 2, 9, 2**63, 2**64 - 1]))


def as_counter(table: Contingency) -> Counter[tuple[int, int]]:
    pairs = zip(table.segments.tolist(), table.labels.tolist(), strict=True)
    return Counter(dict(zip(pairs, table.counts.tolist(), strict=True)))


def as_tuples(table: Contingency) -> list[tuple[int, int, int]]:
    return list(zip(table.segments.tolist(), table.labels.tolist(), table.counts.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(ids, ids)
def test_counts_are_those_of_a_plain_loop(segmentation: np.ndarray, labels: np.ndarray) -> None:
    table = count_overlaps(segmentation, labels)
    assert as_counter(table) == Counter(zip(segmentation.ravel().tolist(), labels.ravel().tolist(), strict=True))
    assert (table.segments.dtype, table.labels.dtype, table.counts.dtype) == (np.uint64, np.uint64, np.int64)
    assert as_tuples(table) == sorted(as_tuples(table))
    assert table.voxels == segmentation.size


@settings(max_examples=40, deadline=None)
@given(ids, ids, st.integers(1, 2))
def test_blocks_merge_to_the_whole(segmentation: np.ndarray, labels: np.ndarray, cut: int) -> None:
    parts = [count_overlaps(segmentation[s], labels[s]) for s in (slice(cut, None), slice(0, cut))]
    assert as_tuples(merge(parts)) == as_tuples(count_overlaps(segmentation, labels))


def test_pieces_merge_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    segmentation, labels = rng.integers(0, 5, (2, 10, 11, 12))
    whole = as_tuples(count_overlaps(segmentation, labels))
    monkeypatch.setattr(contingency, "PIECE_VX", 7)
    assert as_tuples(count_overlaps(segmentation, labels)) == whole


def test_layout_and_type_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    segmentation, labels = rng.integers(0, 5, (2, 6, 7, 8))
    whole = as_tuples(count_overlaps(segmentation, labels))
    assert as_tuples(count_overlaps(segmentation[:, ::-1].astype(np.uint8), labels[:, ::-1].astype(np.uint32))) == whole
    assert as_tuples(count_overlaps(np.asfortranarray(segmentation), labels)) == whole


@pytest.mark.parametrize("as_function", [True, False])
def test_relabelling_the_table_is_relabelling_the_volume(as_function: bool) -> None:
    rng = np.random.default_rng(1)
    fragments = rng.integers(0, 50, (8, 9, 10)).astype(np.uint64)
    labels = rng.integers(0, 4, fragments.shape)
    lut = rng.integers(1, 6, 50).astype(np.uint64)
    lut[0] = 0
    table = count_overlaps(fragments, labels)
    order = rng.permutation(np.arange(1, 50))
    relabelled = table.relabel(lambda i: lut[i]) if as_function else table.relabel((order, lut[order]))
    assert as_tuples(relabelled) == as_tuples(count_overlaps(lut[fragments], labels))


def test_a_table_that_lacks_ids_is_refused() -> None:
    table = count_overlaps(np.array([0, 1, 5, 5, 8]), np.ones(5, int))
    with pytest.raises(UserError, match="2 ids are not in the table, such as 5"):
        table.relabel((np.array([1]), np.array([7])))
    with pytest.raises(UserError, match="1 ids but 2 new"):
        table.relabel((np.array([1]), np.array([7, 8])))


def test_main_partners_share_most_voxels_and_are_background_only_in_need() -> None:
    segments, labels = np.array([1, 1, 1, 1, 1, 2, 2, 3]), np.array([0, 0, 0, 7, 8, 8, 8, 0])
    table = count_overlaps(segments, labels)
    assert [a.tolist() for a in table.main_labels()] == [[1, 2, 3], [7, 8, 0]]
    assert [a.tolist() for a in table.main_segments()] == [[0, 7, 8], [1, 1, 2]]


def test_nothing_counts_to_an_empty_table() -> None:
    empty = count_overlaps(np.empty((0, 4), np.uint64), np.empty((0, 4), np.uint64))
    assert as_tuples(empty) == as_tuples(merge([])) == []
    assert empty.relabel((np.array([1]), np.array([2]))).voxels == 0


def test_bad_arrays_are_refused() -> None:
    with pytest.raises(UserError, match="shape"):
        count_overlaps(np.ones((2, 3), int), np.ones((3, 2), int))
    with pytest.raises(UserError, match="negative"):
        count_overlaps(np.array([1, -1]), np.array([1, 1]))
    with pytest.raises(UserError, match="float64"):
        count_overlaps(np.array([1.0, 2.0]), np.array([1, 1]))
