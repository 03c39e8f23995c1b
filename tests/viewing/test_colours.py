import numpy as np

from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.viewing.colours import Palette

IDS = np.array([1, 2, 3, 2**40, 2**63 + 5], np.uint64)


def test_an_id_has_one_colour_whatever_its_company() -> None:
    together = Palette().colours(IDS)
    alone = np.concatenate([Palette().colours(IDS[i : i + 1]) for i in range(len(IDS))])
    assert np.array_equal(together, alone)
    assert together.dtype == np.uint8
    # Pinned: pictures of different versions are comparable.
    assert Palette().colours(np.array([1, 2], np.uint64)).tolist() == [[20, 132, 206], [11, 99, 204]]


def test_seeds_differ_and_colours_are_many_and_bright() -> None:
    ids = np.arange(1, 2001, dtype=np.uint64)
    colours = Palette().colours(ids)
    assert len(np.unique(colours, axis=0)) > 1990
    assert colours.max(axis=1).min() >= 178
    assert not np.array_equal(colours, Palette(seed=1).colours(ids))


def test_segments_take_the_colour_of_their_truth_and_pieces_a_shade_of_it() -> None:
    labels = np.repeat([5, 5, 6, 0], 4)
    segments = np.concatenate([np.repeat([10, 11], [5, 3]), np.repeat([12, 13], 4)])
    colours = Palette(overlaps=count_overlaps(segments, labels)).colours(np.array([10, 11, 12, 13, 99], np.uint64))
    truth = Palette().colours(np.array([5, 6], np.uint64))
    own = Palette().colours(np.array([13, 99], np.uint64))
    assert colours[[0, 2]].tolist() == truth.tolist()
    assert colours[1].tolist() != truth[0].tolist()
    assert colours[3:].tolist() == own.tolist()


def test_a_segmentation_equal_to_the_truth_looks_like_it() -> None:
    labels = np.repeat([5, 6, 7], 4)
    segments = labels * 100
    palette = Palette(overlaps=count_overlaps(segments, labels))
    ids = np.array([5, 6, 7], np.uint64)
    assert np.array_equal(palette.colours(ids * np.uint64(100)), Palette().colours(ids))
