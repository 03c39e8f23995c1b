"""Tuning on labelled boxes: every setting on every box, quarters of few boxes, boxes that are too small."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from neuroadda.backbones.network import NEAREST
from neuroadda.errors import UserError
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.labelled import Labelled
from neuroadda.evaluation.metrics import score
from neuroadda.evaluation.settings import AGGLOMERATIONS, CANDIDATES, Setting, list_settings
from neuroadda.evaluation.tuning import SMALL, Tuned, tune_boxes
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.whole import agglomerate_array

SEEDS = Fragments(method="seeds")
DEFAULT = Setting(fragments=SEEDS, agglomerate=Agglomerate())
SIZE_NM = (30.0, 6.0, 6.0)
SHAPE = (6, 96, 96)
SIDE = 24


def make_box(weak: float, seed: int = 0) -> Labelled:
    """Columns of a checkerboard whose true borders have affinity 0.1, and each has a false border of affinity `weak` inside."""
    _, y, x = np.indices(SHAPE)
    truth = (1 + y // SIDE * 10 + x // SIDE).astype(np.uint64)
    halves = truth * 2 + (x % SIDE >= SIDE // 2)
    noise = np.random.default_rng(seed).integers(-6, 7, (3, *SHAPE))
    affs = np.full((3, *SHAPE), 240.0)
    for axis in (1, 2):
        low = np.roll(halves, 1, axis) != halves
        true = np.roll(truth, 1, axis) != truth
        for step in (-1, 0, 1):  # a membrane is thicker than a voxel
            affs[:, np.roll(low & ~true, step, axis)] = 255 * weak
        for step in (-1, 0, 1):
            affs[:, np.roll(true, step, axis)] = 255 * 0.1
    return Labelled(np.clip(affs + noise, 0, 255).astype(np.uint8), truth, SIZE_NM)


def tune(weak: float, count: int, settings: list[Setting] | None = None) -> Tuned:
    boxes = {f"box_{seed}": lambda seed=seed: make_box(weak, seed) for seed in range(count)}
    return tune_boxes(boxes, settings or [DEFAULT], 0.5, f"{count} boxes")


def test_a_threshold_that_heals_what_the_default_leaves_split_is_chosen():
    tuned = tune(0.35, 4)
    assert tuned.boxes == ("box_0", "box_1", "box_2", "box_3")
    assert tuned.threshold > 0.6
    assert tuned.choice.gain.interval[0] > 0.3
    assert tuned.choice.voi.mean < 0.6 < 0.9 < tuned.choice.default.mean
    assert tuned.segmentation["components"] == {"threshold": tuned.threshold}
    assert f"setting default, threshold {tuned.threshold:g}: VOI" in tuned.describe()
    assert "default, threshold 0.5:" in tuned.describe()


def test_where_the_default_is_right_it_stays():
    tuned = tune(0.8, 4)
    assert tuned.threshold == 0.5
    assert tuned.choice.is_default
    assert "the default is kept" in tuned.describe()


def test_the_table_holds_what_each_setting_segments():
    settings = list_settings(DEFAULT, SIZE_NM)
    tuned = tune(0.35, 3, settings)
    assert tuned.voi.shape == (len(settings), 3, 18)
    box = make_box(0.35, 2)
    for place, setting in list(enumerate(settings))[::5]:
        whole = agglomerate_array(box.affs, SIZE_NM, setting.fragments, setting.agglomerate)
        for number in (4, 13):
            alone = score(count_overlaps(whole.segment(tuned.thresholds[number]), box.truth))
            assert tuned.voi[place, 2, number] == pytest.approx(alone.voi, abs=1e-12)


@pytest.mark.parametrize("sides", [2, 3, 4])
def test_pieces_cover_a_box_once(sides):
    affs, truth = np.zeros((3, 1, 7, 9), np.uint8), np.zeros((1, 7, 9), np.uint64)
    parts = Labelled(affs, truth, SIZE_NM).cut(sides).parts
    for part in parts:
        truth[part] += 1
    assert len(parts) == sides * sides
    assert (truth == 1).all()


@pytest.mark.parametrize("count", [1, 2])
def test_few_boxes_are_cut_into_quarters(count):
    tuned = tune(0.35, count)
    assert tuned.boxes == tuple(f"box_{box}, quarter {part}" for box in range(count) for part in (1, 2, 3, 4))
    assert tuned.where == f"quarters of {count} boxes"
    assert tuned.threshold > 0.6
    box = make_box(0.35)
    whole = agglomerate_array(box.affs, SIZE_NM, SEEDS, Agglomerate()).segment(tuned.thresholds[3])
    quarter = score(count_overlaps(whole[:, 48:, :48], box.truth[:, 48:, :48]))
    assert tuned.voi[0, 2, 3] == pytest.approx(quarter.voi, abs=1e-12)


@pytest.mark.parametrize("kind", ["voxels", "labels"])
def test_boxes_that_are_too_small_keep_the_default(kind):
    def small(seed: int) -> Labelled:
        box = make_box(0.35, seed)
        truth = box.truth.copy()
        if kind == "voxels":
            truth[1:] = 0
        else:
            truth[truth > 2] = 1
        return replace(box, truth=truth)

    tuned = tune_boxes({f"b{n}": lambda n=n: small(n) for n in range(4)}, [DEFAULT], 0.5, "4 boxes")
    assert tuned.choice.is_default
    assert SMALL in tuned.choice.why
    assert tuned.voi.shape == (1, 4, 18)  # they are scored all the same
    assert tuned.choice.voi.mean == pytest.approx(tuned.voi[0, :, 9].mean())


def test_a_default_threshold_of_its_own_is_among_those_tried():
    boxes = {f"box_{n}": lambda n=n: make_box(0.8, n) for n in range(3)}
    tuned = tune_boxes(boxes, [DEFAULT], 0.62, "3 boxes")
    assert tuned.default_threshold == 0.62
    limited = Setting(fragments=SEEDS, agglomerate=Agglomerate(limit=0.5))
    assert tune_boxes(boxes, [limited], 0.4, "3 boxes").thresholds[-1] == 0.5


def test_each_box_is_made_once_and_one_after_another():
    made = []

    def make(seed: int) -> Labelled:
        made.append(seed)
        return make_box(0.8, seed)

    tune_boxes({f"b{n}": lambda n=n: make(n) for n in range(3)}, list_settings(DEFAULT, SIZE_NM)[:3], 0.5, "3 boxes")
    assert made == [0, 1, 2]


def test_unlinked_labels_are_scored_section_by_section():
    box = replace(make_box(0.35), linked=False)
    (whole,) = box.sweep(SEEDS, Agglomerate(), [0.7])
    ids = agglomerate_array(box.affs, SIZE_NM, SEEDS, Agglomerate()).segment(0.7)
    sections = np.arange(len(ids), dtype=np.uint64)[:, None, None]
    alone = score(count_overlaps(ids + sections * 1000, box.truth + sections * 1000))
    assert whole.scores[0].voi == pytest.approx(alone.voi, abs=1e-12)
    assert len(box.cut(2).sweep(SEEDS, Agglomerate(), [0.7])) == 4


def test_settings_that_are_the_same_for_a_voxel_size_are_tried_once():
    coarse, fine = list_settings(DEFAULT, SIZE_NM), list_settings(DEFAULT, (10.0, 10.0, 10.0))
    assert coarse[0] == fine[0] == DEFAULT
    assert Setting(fragments=Fragments(method="seeds", sections=True), agglomerate=Agglomerate()) not in coarse
    assert Setting(fragments=Fragments(method="seeds", sections=False), agglomerate=Agglomerate()) not in fine
    assert len(coarse) == len(fine) == len(CANDIDATES) - len(AGGLOMERATIONS)
    own = Setting(fragments=Fragments(method="seeds", boundary=0.2), agglomerate=Agglomerate())
    assert list_settings(own, SIZE_NM)[0] == own
    assert len(list_settings(own, SIZE_NM)) == len(coarse)
    names = [one.describe(DEFAULT) for one in coarse]
    assert names[:2] == ["default", "scoring=contraharmonic"]
    assert "boundary=0.2, scoring=quantile_90" in names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("offsets", [NEAREST, NEAREST[1:]])
def test_what_the_default_leaves_open_is_tried_once(offsets):
    default = Setting(fragments=Fragments(), agglomerate=Agglomerate())
    found = list_settings(default, SIZE_NM, offsets)
    assert len({one.fragments.resolve(SIZE_NM, offsets) for one in found}) * len(AGGLOMERATIONS) == len(found)
    names = [one.describe(default) for one in found]
    assert names[:2] == ["default", "scoring=contraharmonic"]
    assert "method=ascent, min_size_vx=400" in names
    assert ("method=ascent" in names, "method=seeds" in names) == (
        (False, True) if offsets == NEAREST else (True, False)
    )


@pytest.mark.parametrize("offsets", [NEAREST, NEAREST[1:]])
def test_a_box_is_segmented_as_a_volume_is(offsets):
    """By the method that follows from what the backbone predicts, inside tissue alone."""
    box = make_box(0.35)
    affs = box.affs.copy()
    if offsets != NEAREST:
        affs[0] = 0
    tissue = np.ones(SHAPE, bool)
    tissue[:2] = False
    found = replace(box, affs=affs, offsets=offsets, tissue=tissue).find(Fragments(min_affinity=0.1))
    method = "ascent" if offsets == NEAREST else "seeds"
    own = Fragments(method=method, sections=offsets != NEAREST, min_affinity=0.1)
    np.testing.assert_array_equal(found, find_fragments(affs, SIZE_NM, own, tissue))


def test_settings_of_equal_fragments_lie_in_a_row():
    more = [*CANDIDATES, *((fragments, Agglomerate(limit=0.8)) for fragments, _ in CANDIDATES)]
    found = [one.fragments.resolve(SIZE_NM) for one in list_settings(DEFAULT, SIZE_NM, candidates=more)]
    changes = sum(one != other for one, other in pairwise(found))
    assert changes == len(set(found)) - 1


def test_a_record_is_read_as_it_was_written():
    tuned = tune(0.35, 3)
    again = Tuned.from_data(json.loads(json.dumps(tuned.to_data())), "tune.json")
    assert again.to_data() == tuned.to_data()
    assert again.describe() == tuned.describe()
    with pytest.raises(UserError, match="this is no record of a tuning"):
        Tuned.from_data({"surface": []}, "tune.json")
