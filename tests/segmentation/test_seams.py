import numpy as np

from neuroadda.segmentation.contacts import Contacts, mark_as_one
from neuroadda.segmentation.edges import Edges
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.ids import to_global
from neuroadda.segmentation.seams import find_cut_pairs, number_inside, write_views
from tests.segmentation.synthetic import VOXEL_SIZE_NM, phantom_affs


def test_pieces_of_one_fragment_are_found_across_a_cut(tmp_path):
    """One flooding cut in two blocks at x = 60: every fragment on both sides is one pair, and there are no others."""
    _, affs = phantom_affs((6, 80, 120))
    found = find_fragments(affs, VOXEL_SIZE_NM, Fragments(method="seeds"))
    capacity = 6 * 80 * 60
    ids = np.zeros(found.shape, np.uint64)
    numbers = []
    for block, x in enumerate((slice(0, 60), slice(60, 120))):
        numbers.append(number_inside(found, (slice(0, 6), slice(0, 80), x)))
        ids[:, :, x] = to_global(numbers[block], block, capacity)[found[:, :, x]]
    inside = (slice(0, 6), slice(0, 80), slice(60, 120))
    write_views(tmp_path, 1, found, inside, numbers[1])
    u, v = find_cut_pairs(tmp_path, 1, capacity, ids[:, :, 59:], (0, 0, 1))
    on_both_sides = [f for f in np.unique(found[:, :, 59]) if f > 0 and numbers[1][f]]
    assert len(on_both_sides) > 10
    assert set(zip(u.tolist(), v.tolist(), strict=True)) == {
        (numbers[0][f], numbers[1][f] + capacity) for f in on_both_sides
    }


def test_numbers_of_a_block_are_those_of_fragments_inside_it():
    found = np.array([[[0, 3, 3, 1], [5, 5, 1, 0]]], np.uint32)
    assert number_inside(found, (slice(0, 1), slice(0, 2), slice(1, 3))).tolist() == [0, 1, 0, 2, 0, 3]
    assert number_inside(found, (slice(0, 1), slice(0, 1), slice(0, 1))).tolist() == [0, 0, 0, 0, 0, 0]


def test_a_block_without_a_view_has_no_cuts(tmp_path):
    u, v = find_cut_pairs(tmp_path, 0, 100, np.ones((2, 2, 2), np.uint64), (0, 0, 0))
    assert len(u) == len(v) == 0


def test_cuts_heal_before_anything_else_merges():
    columns = {
        "u": [1, 1, 2],
        "v": [2, 3, 3],
        "sum": [25, 230, 230],
        "squares": [625, 26600, 26600],
        "count": [1, 2, 2],
    }
    arrays = {name: np.array(c, np.uint64 if name in "uv" else np.int64) for name, c in columns.items()}
    contacts = Contacts(**arrays, quantiles={75: np.array([25, 120, 120])})
    mark_as_one(contacts, np.array([1], np.uint64), np.array([2], np.uint64))
    assert contacts.sum.tolist() == [255, 230, 230]
    for scoring in ("mean", "contraharmonic", "quantile_75", "quantile_75_root"):
        assert (Edges.of(contacts, scoring).mean == 1).tolist() == [True, False, False]
