"""Boxes that a backbone was trained on: found by its card, left out of scores, or told in the same line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

import neuroadda as na
from neuroadda.backbones.card import Card, load_card
from neuroadda.config import write_json
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.evaluation.trained import LabelsWithout, Trained, find_trained
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import find_backbone

Run = Callable[..., tuple[int, str, str]]
SHAPE = (6, 64, 64)


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom, a backbone of its own, and a run."""
    root = tmp_path_factory.mktemp("segmented")
    na.phantom(root / "p.zarr", shape_vx=SHAPE, seed=3)
    shutil.copytree(find_backbone("mouse_cortex_sssem"), root / "backbone")
    serial = na.SegmentConfig(raw="-", backbone="-", output="-", execution={"launcher": "serial"})
    na.segment(root / "p.zarr/raw", backbone=root / "backbone", output=root / "run", config=serial)
    return root


def box_of(raw: Volume, rows: slice, columns: slice) -> Roi:
    begin, end = (0, rows.start, columns.start), (SHAPE[0], rows.stop, columns.stop)
    return Roi(Coordinate(begin), Coordinate(end) - Coordinate(begin)) * raw.voxel_size


def say_trained(root: Path, *boxes: Roi, **keys: object) -> Card:
    """Write into the card that the backbone was trained on boxes."""
    samples = [
        {"raw": str(root / "p.zarr/raw"), "offset": [*box.offset], "shape": [*box.shape], **keys} for box in boxes
    ]
    card = load_card(root / "backbone").model_copy(update={"training_data": tuple(samples)})
    write_json(root / "backbone/card.json", card.model_dump(mode="json"))
    return card


def test_scores_are_of_what_was_not_trained_on(segmented: Path, command: Run) -> None:
    raw, labels = (Volume.open(segmented / "p.zarr" / name) for name in ("raw", "labels"))
    ids, truth = Volume.open(segmented / "run/volumes.zarr/segmentation").read(), labels.read()
    say_trained(segmented)
    everything = na.evaluate(segmented / "run", labels)
    assert everything.trained is None
    assert everything.scores == score(count_overlaps(ids, truth))

    say_trained(segmented, box_of(raw, slice(0, 32), slice(0, 64)), box_of(raw, slice(16, 32), slice(0, 32)))
    measured = na.evaluate(segmented / "run", labels)
    left = truth.copy()
    left[:, :32] = 0
    assert measured.scores == score(count_overlaps(ids, left))
    assert measured.sweep.at(measured.threshold) == measured.scores
    share = 1 - np.count_nonzero(left) / np.count_nonzero(truth)
    assert measured.trained == Trained(2, pytest.approx(share), True)
    told = f", without the 2 boxes that the backbone was trained on ({100 * share:.3g} % of what is labelled)"
    last = command("evaluate", segmented / "run", labels.path)[1].splitlines()[-1]
    assert last == f"at the segmentation's threshold {measured.threshold}: VOI {measured.scores.voi:.4f} nats{told}"


def test_where_all_was_trained_on_the_line_says_so(segmented: Path, command: Run) -> None:
    raw, labels = (Volume.open(segmented / "p.zarr" / name) for name in ("raw", "labels"))
    say_trained(segmented, box_of(raw, slice(0, 62), slice(0, 64)))
    measured = na.evaluate(segmented / "run", labels)
    assert not measured.trained.left_out
    assert measured.scores.voxels == np.count_nonzero(labels.read())
    told = command("evaluate", segmented / "run", labels.path)[1].splitlines()[-1]
    assert ", too good, as the box that the backbone was trained on (" in told
    assert told.endswith("is in it")


def test_a_copy_of_raw_is_known_and_another_volume_is_not(segmented: Path, tmp_path: Path) -> None:
    raw = Volume.open(segmented / "p.zarr/raw")
    box = box_of(raw, slice(0, 32), slice(0, 64))
    assert find_trained(say_trained(segmented, box, box), raw) == [box]
    assert find_trained(say_trained(segmented, box, raw="elsewhere"), raw) == []
    assert find_trained(say_trained(segmented, box, raw="elsewhere", raw_fingerprint=raw.fingerprint), raw) == [box]
    na.phantom(tmp_path / "other.zarr", shape_vx=SHAPE, seed=4)
    assert find_trained(say_trained(segmented, box), Volume.open(tmp_path / "other.zarr/raw")) == []
    nothing = say_trained(segmented).model_copy(update={"training_data": ({"name": "somewhere"},)})
    assert find_trained(nothing, raw) == []


def test_labels_without_boxes_are_0_there(segmented: Path) -> None:
    labels = Volume.open(segmented / "p.zarr/labels")
    box, part = (box_of(labels, slice(*rows), slice(10, 40)) for rows in ((8, 24), (16, 64)))
    expected = labels.read()
    expected[:, 8:24, 10:40] = 0
    without = LabelsWithout(labels, [box])
    assert (without.read() == expected).all()
    assert (without.read(part) == expected[:, 16:64, 10:40]).all()
    assert without.roi == labels.roi
