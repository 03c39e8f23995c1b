import numpy as np

from neuroadda.segmentation.contacts import Contacts, mark_as_one
from neuroadda.segmentation.edges import Edges
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.ids import to_global
from neuroadda.segmentation.seams import find_cut_pairs, write_views
from tests.segmentation.synthetic import VOXEL_SIZE_NM, phantom_affs


def test_pieces_of_one_fragment_are_found_across_a_cut(tmp_path):
    """One flooding cut in two blocks at x = 60: every fragment on both sides is one pair, and there are no others."""
    _, affs = phantom_affs((6, 80, 120))
    found = find_fragments(affs, VOXEL_SIZE_NM, Fragments())
    capacity = 6 * 80 * 60
    ids = np.zeros(found.shape, np.uint64)
    numbers = []
    for block, x in enumerate((slice(0, 60), slice(60, 120))):
        old, local = np.unique(found[:, :, x], return_inverse=True)
        numbers.append({int(o): i + 1 for i, o in enumerate(old)})
        ids[:, :, x] = to_global(local.reshape(6, 80, 60) + 1, block, capacity)
    inside = (slice(0, 6), slice(0, 80), slice(60, 120))
    write_views(tmp_path, 1, found, inside, numbers[1])
    u, v = find_cut_pairs(tmp_path, 1, capacity, ids[:, :, 59:], (0, 0, 1))
    on_both_sides = [f for f in np.unique(found[:, :, 59]) if f in numbers[1]]
    assert len(on_both_sides) > 10
    assert set(zip(u.tolist(), v.tolist(), strict=True)) == {
        (numbers[0][f], numbers[1][f] + capacity) for f in on_both_sides
    }


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
