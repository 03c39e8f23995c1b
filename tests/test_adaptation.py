"""Adapting to a volume: it waits for labels, takes them, trains, goes on where it was, and never asks for a box twice."""

import json
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate

from neuroadda.active.labels import import_labels
from neuroadda.active.proposals import read_proposals
from neuroadda.adaptation import AdaptConfig, adapt
from neuroadda.backbones.card import load_card
from neuroadda.backbones.zoo import open_zoo
from neuroadda.config import parse_config
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "phantom.zarr"
    write_phantom(PhantomConfig(shape_vx=(12, 192, 192), seed=3), folder)
    return folder


def make_config(phantom: Path, output: Path, **changes) -> AdaptConfig:
    size = Volume.open(phantom / "raw").voxel_size_nm
    data = {
        "raw": str(phantom / "raw"),
        "output": str(output),
        "backbone": str(open_zoo().folder("fly_larva_l1_sstem")),
        "propose": {"shape_nm": [8 * size[0], 64 * size[1], 64 * size[2]], "choose": {"count": 2}},
        "train": {
            "name": "adapted",
            "domain": "phantom",
            "iterations": 2,
            "output_shape_vx": [4, 32, 32],
            "workers": 0,
            "checkpoint_every": 1,
            "picture_every": 0,
        },
        "execution": {"launcher": "serial"},
    }
    return parse_config(AdaptConfig, data | changes, "test")


def test_it_waits_for_labels_and_goes_on_with_them(phantom, tmp_path):
    config = make_config(phantom, tmp_path / "run")
    first = adapt(config, progress=False)
    assert first.waiting
    assert first.rounds[0].missing == (1, 2)
    folder = first.rounds[0].folder
    assert (folder / "contact_sheet.html").exists()
    before = (folder / "proposals.json").read_text()
    proposals = read_proposals(folder)

    labels = Volume.open(phantom / "labels")
    for rank, proposal in enumerate(proposals.proposals, start=1):
        if rank == 2:
            again = adapt(config, progress=False)
            assert again.rounds[0].missing == (2,)
        crop = tmp_path / f"roi_{rank}.npy"
        np.save(crop, labels.read(proposal.to_roi(labels)))
        import_labels(proposals, crop, folder / "labels", rank=rank)

    done = adapt(config, progress=False)
    assert not done.waiting
    assert (folder / "proposals.json").read_text() == before
    card = load_card(done.rounds[0].backbone)
    assert card.iterations == 2
    assert {Path(sample["labels"]).parent.name for sample in card.training_data[:2]} == {"roi_1.zarr", "roi_2.zarr"}
    assert json.loads((tmp_path / "run" / "adaptation.json").read_text()) == done.to_data()
    assert load_card(adapt(config, progress=False).rounds[0].backbone).digest == card.digest


def test_rounds_ask_for_other_boxes_and_train_on_all_labels(phantom, tmp_path):
    config = make_config(
        phantom,
        tmp_path / "run",
        rounds=2,
        oracle=str(phantom / "labels"),
        validation={
            "raw": str(phantom / "raw"),
            "labels": str(phantom / "labels"),
            "roi": {
                "offset_nm": [0, 0, 0],
                "shape_nm": [
                    n * v for n, v in zip((4, 64, 64), Volume.open(phantom / "raw").voxel_size_nm, strict=True)
                ],
            },
        },
    )
    done = adapt(config, progress=False)
    first, second = done.rounds
    boxes = [p.to_roi(Volume.open(config.raw)) for r in done.rounds for p in r.proposals.proposals]
    assert len(boxes) == 4
    assert all(a == b or a.intersect(b).empty for a in boxes for b in boxes)
    assert second.proposals.backbone_digest == load_card(first.backbone).digest
    trained_on = load_card(second.backbone).training_data
    assert len([s for s in trained_on if "roi_" in s.get("labels", "")]) == 4
    assert done.before is not None
    assert second.metrics is not None
    assert done.before["voi"] > 0
    truth = Volume.open(phantom / "labels")
    labels = Volume.open(first.folder / "labels" / "roi_1.zarr" / "labels")
    assert np.array_equal(labels.read(), truth.read(labels.roi))
    assert labels.voxel_size == Coordinate(truth.voxel_size)


def test_boxes_too_small_to_train_on_are_refused_before_anyone_labels_them(phantom, tmp_path):
    config = make_config(phantom, tmp_path / "run", propose={"shape_nm": [40, 64, 64]})
    with pytest.raises(UserError, match=r"smaller than train\.output_shape_vx"):
        adapt(config, progress=False)
    assert not (tmp_path / "run").exists()
