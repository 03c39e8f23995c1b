"""Adapting to a volume: it waits for labels, takes them, trains, goes on where it was, and never asks for a box twice."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate

from neuroadda.active.box_states import skip_box
from neuroadda.active.labels import import_labels
from neuroadda.active.proposals import read_proposals
from neuroadda.adaptation.config import AdaptConfig
from neuroadda.adaptation.rounds import adapt_backbone
from neuroadda.adaptation.status import look_at_adaptation
from neuroadda.backbones.card import load_card
from neuroadda.config import dump_config, parse_config, write_json
from neuroadda.errors import RunStopped, UserError
from neuroadda.locks import lock_folder
from neuroadda.observing import RunObserver
from neuroadda.training.config import TrainSettings
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.zoo.finding import open_zoo


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "phantom.zarr"
    write_phantom(PhantomConfig(shape_vx=(12, 192, 192), seed=3), folder)
    return folder


class Notes(RunObserver, list):
    """The notes of a run."""

    def on_note(self, text: str) -> None:
        self.append(text)


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
    first = adapt_backbone(config)
    assert first.waiting
    assert first.rounds[0].missing == (1, 2)
    folder = first.rounds[0].folder
    told = look_at_adaptation(tmp_path / "run")
    assert told.state == "waiting"
    assert told.sentence == f"Waiting: 2 boxes in {folder} have no labels yet; 0 of 1 rounds are done."
    assert f"neuroadda proposals import {folder} LABELS" in told.advice
    assert (folder / "contact_sheet.html").exists()
    before = (folder / "proposals.json").read_text()
    proposals = read_proposals(folder)

    labels = Volume.open(phantom / "labels")
    for rank, proposal in enumerate(proposals.proposals, start=1):
        if rank == 2:
            again = adapt_backbone(config)
            assert again.rounds[0].missing == (2,)
        crop = tmp_path / f"roi_{rank}.npy"
        np.save(crop, labels.read(proposal.to_roi(labels)))
        import_labels(proposals, crop, folder / "labels", rank=rank)

    done = adapt_backbone(config)
    assert not done.waiting
    assert (folder / "proposals.json").read_text() == before
    card = load_card(done.rounds[0].backbone)
    assert card.iterations == 2
    assert {Path(sample["labels"]).parent.name for sample in card.training_data[:2]} == {"roi_1.zarr", "roi_2.zarr"}
    assert json.loads((tmp_path / "run" / "adaptation.json").read_text()) == done.to_data()
    assert load_card(adapt_backbone(config).rounds[0].backbone).digest == card.digest
    assert look_at_adaptation(tmp_path / "run").state == "finished"
    with lock_folder(tmp_path / "run"):
        assert look_at_adaptation(tmp_path / "run").state == "running"
    assert look_at_adaptation(tmp_path) is None


def test_a_stopped_adaptation_is_told_as_that(phantom, tmp_path, monkeypatch, command):
    def stop(self, iteration, values):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("neuroadda.training.report.TrainingLog.log", stop)
    with pytest.raises(RunStopped):
        adapt_backbone(make_config(phantom, tmp_path / "run", oracle=str(phantom / "labels")))
    code, out, _ = command("status", tmp_path / "run")
    assert code == 0
    assert out.startswith("Stopped: 0 of 1 rounds are done.\nwhat to do next: Run the same command again to go on")
    (told,) = json.loads(command("status", tmp_path / "run", "--json")[1])
    assert (told["stage"], told["state"]) == ("adapt", "stopped")
    assert command("status", tmp_path / "run/round_1/train")[1].startswith(
        "Stopped: adapted, 1 of 2 iterations are done"
    )


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
    done = adapt_backbone(config)
    first, second = done.rounds
    assert done.backbone == tmp_path / "run" / "backbone"
    assert done.backbone.resolve() == second.backbone.resolve()
    assert load_card(done.backbone).digest == load_card(second.backbone).digest
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


def test_an_oracle_is_told_from_a_person_and_from_another_oracle(phantom, tmp_path):
    truth = Volume.open(phantom / "labels")
    changed = Volume.create(tmp_path / "o.zarr/changed", truth.shape_vx, truth.voxel_size_nm, np.uint64)
    config = make_config(phantom, tmp_path / "run")
    proposals = adapt_backbone(config).rounds[0].proposals
    folder = tmp_path / "run" / "round_1" / "labels"
    mine = np.arange(1, 1 + 8 * 64 * 64, dtype=np.uint32).reshape(8, 64, 64)
    np.save(tmp_path / "roi_1.npy", mine)
    import_labels(proposals, tmp_path / "roi_1.npy", folder)

    def labels_of(rank: int) -> np.ndarray:
        return Volume.open(folder / f"roi_{rank}.zarr" / "labels").read()

    second = proposals.proposals[1].to_roi(truth)
    first = make_config(phantom, tmp_path / "run", oracle=str(phantom / "labels"))
    assert adapt_backbone(first).rounds[0].left_out == ()
    assert np.array_equal(labels_of(2), truth.read(second))
    changed.write(second, truth.read(second)[:, ::-1].copy())
    other = make_config(phantom, tmp_path / "run", oracle=str(changed.path))
    with pytest.raises(UserError, match="labels of another oracle lie here"):
        adapt_backbone(other)
    assert np.array_equal(labels_of(2), truth.read(second))
    adapt_backbone(other, overwrite=True)
    assert np.array_equal(labels_of(2), truth.read(second)[:, ::-1])
    assert np.array_equal(labels_of(1), mine)  # a person's work stays


def test_boxes_that_an_oracle_does_not_know_or_a_person_skips_are_left_out(phantom, tmp_path):
    truth = Volume.open(phantom / "labels")
    config = make_config(phantom, tmp_path / "run")
    proposals = adapt_backbone(config).rounds[0].proposals
    folder = tmp_path / "run" / "round_1" / "labels"
    for rank in (1, 2):
        skip_box(proposals, rank, folder)
    with pytest.raises(UserError, match="nothing is labelled: every box was left out"):
        adapt_backbone(config)
    np.save(tmp_path / "roi_2.npy", truth.read(proposals.proposals[1].to_roi(truth)))
    import_labels(proposals, tmp_path / "roi_2.npy", folder)
    done = adapt_backbone(config)
    assert done.rounds[0].left_out == (1,)
    assert [sample["labels"] for sample in load_card(done.rounds[0].backbone).training_data[:1]] == [
        str(folder / "roi_2.zarr" / "labels")
    ]

    part = Volume.create(tmp_path / "o.zarr/part", truth.shape_vx, truth.voxel_size_nm, np.uint64)
    box = proposals.proposals[0].to_roi(truth)
    part.write(box, truth.read(box))
    by_oracle = make_config(phantom, tmp_path / "oracle", oracle=str(part.path))
    told = Notes()
    done = adapt_backbone(by_oracle, observer=told)
    assert (done.rounds[0].missing, done.rounds[0].left_out) == ((), (2,))
    assert "roi_2 left out: the oracle has no labels there" in told
    assert adapt_backbone(by_oracle) == done


def test_what_is_asked_for_is_written_without_secrets_and_surprises_are_told(phantom, tmp_path):
    source = tmp_path / "coarse"
    shutil.copytree(open_zoo().folder("fly_larva_l1_sstem"), source)
    card = load_card(source)
    write_json(source / "card.json", dump_config(card.model_copy(update={"voxel_size_nm": (50, 16, 16)})))
    asked = {"shape_nm": [360, 384, 384], "choose": {"count": 50}}
    config = make_config(
        phantom,
        tmp_path / "run",
        backbone=str(source),
        propose=asked,
        select={"zoo": "https://me:secret@host/zoo"},
        ledger=f"sqlite:///{tmp_path}/my.db",
        block_vx=[12, 96, 96],
    )
    told = Notes()
    count = len(adapt_backbone(config, observer=told).rounds[0].proposals.proposals)
    assert f"no more than {count} boxes of this shape and distance fit; 50 were asked for" in told
    assert any("runs at this volume's" in line for line in told)
    assert (tmp_path / "my.db").exists()
    text = (tmp_path / "run" / "config.json").read_text()
    assert "secret" not in text
    written = parse_config(AdaptConfig, json.loads(text), "config.json")
    assert (written.backbone, written.train.network) == (str(source), card.architecture)
    assert written.propose == config.propose


def test_committees_ask(phantom, tmp_path):
    names = ("fly_larva_l1_sstem", "fly_larva_l3_sstem")
    backbones = [str(open_zoo().folder(name)) for name in names]
    propose = {"shape_nm": [360, 384, 384], "choose": {"count": 1}, "score": "committee"}
    config = make_config(phantom, tmp_path / "run", backbone=backbones[0], committee=backbones[1:], propose=propose)
    assert adapt_backbone(config).waiting


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"output_shape_vx": [4, 34, 34]}, "output_shape_vx"),
        ({"offsets": [[0, 0, -1], [0, -1, 0], [-1, 0, 0]]}, "offsets must begin with"),
        ({"keep_best": "voi", "validate_every": 1}, "keep_best is set, but there is no validation"),
        ({"patience": 1}, "patience needs keep_best"),
        ({"precision": "bfloat16", "device": "cpu"}, "bfloat16"),
    ],
)
def test_a_training_that_cannot_be_done_is_refused_before_anyone_labels(phantom, tmp_path, changes, what):
    config = make_config(phantom, tmp_path / "run")
    wrong = config.model_copy(update={"train": parse_config(TrainSettings, dump_config(config.train) | changes, "t")})
    with pytest.raises(UserError, match=what):
        adapt_backbone(wrong)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_scores_are_measured_again_when_the_validation_volume_has_changed(phantom, tmp_path):
    shutil.copytree(phantom, tmp_path / "p.zarr")
    size = Volume.open(phantom / "raw").voxel_size_nm
    part = {"offset_nm": [0, 0, 0], "shape_nm": [4 * size[0], 64 * size[1], 64 * size[2]]}
    held_out = {"raw": str(tmp_path / "p.zarr/raw"), "labels": str(tmp_path / "p.zarr/labels"), "roi": part}
    config = make_config(phantom, tmp_path / "run", validation=held_out)
    before = adapt_backbone(config).before
    labels = Volume.open(tmp_path / "p.zarr/labels", "r+")
    labels.write(labels.roi, np.ones(labels.shape_vx, labels.dtype))
    assert (edited := adapt_backbone(config).before) != before
    assert adapt_backbone(config).before == edited
    labels.data.attrs["fingerprint"] = "another"
    assert adapt_backbone(config).before != before


def test_boxes_too_small_to_train_on_are_refused_before_anyone_labels_them(phantom, tmp_path):
    config = make_config(phantom, tmp_path / "run", propose={"shape_nm": [40, 64, 64]})
    with pytest.raises(UserError, match=r"smaller than train\.output_shape_vx"):
        adapt_backbone(config)
    assert not (tmp_path / "run").exists()
