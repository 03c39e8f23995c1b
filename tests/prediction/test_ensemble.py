"""Predictions that are the mean of several networks'."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroadda.backbones.card import NEAREST, WEIGHTS, Card, load_card
from neuroadda.backbones.checkpoint import load_backbone, save_backbone
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.errors import UserError, collect_warnings
from neuroadda.prediction.augmented import AugmentedPredictor
from neuroadda.prediction.ensemble import Ensemble
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.prediction.resolving import resolve_members
from neuroadda.prediction.symmetries import list_symmetries
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import Plan, make_plan, segment_volume
from neuroadda.volumes.arrays import Volume
from tests.active.networks import VOXEL_SIZE_NM, write_random_backbone, write_raw

FAR = (0, -4, 0)
EXACT = Predict(device="cpu", precision="float32")


def write_wide(folder: Path, voxel_size_nm=VOXEL_SIZE_NM) -> Path:
    """Write a network of another context and another alignment, with an offset more."""
    torch.manual_seed(7)
    offsets = (*NEAREST, FAR)
    architecture = UNetConfig(
        out_channels=4, features=(3, 4), downsample=((1, 3, 3),), kernels=(((1, 3, 3),) * 2, ((3, 3, 3),) * 2)
    )
    model = UNet(architecture)
    with torch.no_grad():
        model.head.weight.mul_(6)
    card = Card(name=folder.name, domain="t", voxel_size_nm=voxel_size_nm, architecture=architecture, offsets=offsets)
    save_backbone(folder, model, card)
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return write_raw(tmp_path_factory.mktemp("raw") / "raw.zarr/raw")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("networks")
    sections = write_random_backbone(folder / "sections", seed=2, offsets=NEAREST[1:])
    return [str(write_random_backbone(folder / "random", seed=1)), str(write_wide(folder / "wide")), str(sections)]


def configure(raw: Volume, output: Path, *backbones: str, **keys) -> SegmentConfig:
    given = {"predict": EXACT, "execution": {"launcher": "serial"}, "no_data": "none", "block_vx": (4, 24, 32)} | keys
    named = backbones[0] if len(backbones) == 1 else list(backbones)
    return SegmentConfig(raw=str(raw.path), output=output, backbone=named, components={"threshold": 0.5}, **given)


def predict(config: SegmentConfig) -> np.ndarray:
    return Volume.open(segment_volume(config, upto="predict").output("predict")).read()


def plan_of(config: SegmentConfig) -> Plan:
    with collect_warnings():
        return make_plan(config)


@pytest.mark.parametrize("augment", ["none", "section"])
def test_it_is_the_rounded_mean_of_what_was_not_rounded(raw, networks, augment):
    backbones = [load_backbone(folder) for folder in networks[:2]]
    asked = EXACT.model_copy(update={"augment": augment})
    stage = resolve_members(asked, [b.card.architecture for b in backbones], (4, 24, 32))
    ensemble = Ensemble(backbones, stage, raw.voxel_size)
    affs, passed = ensemble([raw, raw], raw.roi)
    assert ensemble.offsets == NEAREST
    means = []
    for backbone in backbones:
        alone = asked.resolve(backbone.card.architecture, (4, 24, 32))
        predictor = Predictor(backbone, alone, rounded=False)
        symmetries = list_symmetries(raw.voxel_size)[: 8 if augment == "section" else 1]
        means.append(AugmentedPredictor(predictor, backbone.card, symmetries).average(raw, raw.roi)[0][:3])
    assert means[0].std() > 3
    assert means[1].std() > 3
    assert np.abs(affs - np.mean(means, axis=0, dtype=np.float64)).max() <= 0.501
    assert [tiles.total() > 0 for tiles in passed] == [True, True]


def test_the_order_does_not_matter_and_one_is_no_ensemble(raw, networks, tmp_path):
    one, other = networks[:2]
    plans = [plan_of(configure(raw, tmp_path / "o", *each)) for each in ((one, other), (other, one), (one,), (other,))]
    there, back, alone, wide = (plan.task("predict") for plan in plans)
    assert there.fingerprint == back.fingerprint
    assert len({there.fingerprint, alone.fingerprint, wide.fingerprint}) == 3
    in_list = SegmentConfig(**configure(raw, tmp_path / "o", one).model_dump(exclude_unset=True) | {"backbone": [one]})
    assert plan_of(in_list).task("predict") == alone
    assert "tiles_vx" not in alone.parameters
    assert (
        predict(configure(raw, tmp_path / "a", one, other)) == predict(configure(raw, tmp_path / "b", other, one))
    ).all()


def test_the_bytes_do_not_depend_on_blocks_and_workers(raw, networks, tmp_path):
    tiles = {"predict": EXACT.model_copy(update={"tiles_vx": ((4, 24, 24), (4, 24, 24))})}
    first = predict(configure(raw, tmp_path / "1", *networks[:2], **tiles))
    others = ({"block_vx": (8, 48, 64)}, {"execution": {"workers": 2}})
    for number, keys in enumerate(others):
        assert (predict(configure(raw, tmp_path / f"o{number}", *networks[:2], **tiles | keys)) == first).all()


def test_each_sees_what_it_would_see_alone(raw, networks, tmp_path):
    """By its own context, also where raw has no data."""
    voxels = raw.read()
    voxels[:, :13] = 0
    rim = write_raw(tmp_path / "rim.zarr/raw", voxels)
    keys = {"no_data": "auto"}
    one, other, both = (
        predict(configure(rim, tmp_path / name, *each, **keys))[:3].astype(int)
        for name, each in (("1", networks[:1]), ("2", networks[1:2]), ("both", networks[:2]))
    )
    assert not both[:, :, :13].any()
    assert both[:, :, 13:].std() > 3
    assert np.abs(both - (one + other) / 2).max() <= 1


def test_offsets_that_are_not_shared_are_left_out_and_told(raw, networks, tmp_path):
    random, wide, sections = networks
    with collect_warnings() as warnings:
        plan = make_plan(configure(raw, tmp_path / "far", random, wide))
    assert [where for what, where in warnings if str(FAR) in what and "leaves its section" not in what] == ["wide"]
    assert plan.describe()[0]["bytes"] == 3 * np.prod(raw.data.shape)
    assert (plan.config.fragments.method, plan.config.fragments.sections) == ("ascent", False)
    with collect_warnings() as warnings:
        affs = predict(configure(raw, tmp_path / "flat", random, sections))
    told = [(what, where) for what, where in warnings if "left out of the mean" in what]
    assert [(str(NEAREST[0]) in what, "no segment leaves its section" in what) for what, _ in told] == [(True, True)]
    assert told[0][1] == "random"
    assert not affs[0].any()
    assert affs[1:].std() > 3
    plan = plan_of(configure(raw, tmp_path / "flat", random, sections))
    attrs = Volume.open(plan.output("predict")).attrs
    assert (plan.config.fragments.method, plan.config.fragments.sections) == ("seeds", True)
    assert [tuple(offset) for offset in attrs["offsets"]] == list(NEAREST)


def test_what_does_not_fit_is_told_in_a_line(raw, networks, tmp_path, command):
    coarse, gone = write_wide(tmp_path / "coarse", (30, 12, 12)), tmp_path / "gone"
    ask = ["segment", raw.path, "-o", tmp_path / "o", "--set", "segment.predict.precision=float32"]
    for backbones, more, said in (
        ([networks[0], networks[0]], (), "is named twice"),
        ([networks[0], coarse], (), "far from that of the backbone"),
        ([networks[0], gone], (), "gone"),
        (networks[:2], ("--set", "segment.predict.tiles_vx=[[4,24,24]]"), "1 tiles are given for 2 backbones"),
        (networks[:1], ("--set", "segment.predict.tiles_vx=[[4,24,24],[4,24,24]]"), "2 tiles are given for 1"),
        (
            networks[:1],
            ("--set", "segment.backbone=[]"),
            "segment.backbone should be a text, or a list of texts (at least one), not []",
        ),
        (networks[:1], ("--set", "segment.backbone=[3]"), "segment.backbone should be a text, or a list of texts"),
    ):
        named = [word for backbone in backbones for word in ("--backbone", backbone)]
        code, out, err = command(*ask, *named, *more)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert said in err
    assert not (tmp_path / "o").exists()
    assert command(*ask, "--backbone", networks[0], "--backbone", coarse, "--any-voxel-size", "--dry-run")[0] == 0


def test_the_dry_run_tells_its_cost_and_check_looks_at_every_one(raw, networks, tmp_path, command):
    named = ["--backbone", networks[0], "--backbone", networks[1]]
    ask = [raw.path, *named, "-o", tmp_path / "o", "--set", "segment.predict.precision=float32"]
    code, out, err = command("segment", *ask, "--dry-run", "--set", "segment.predict.augment=section")
    assert (code, "each block goes through 2 networks, 8 times each: 16 passes" in out) == (0, True), err
    assert "no threshold is given: that of random is taken" in err
    stages = json.loads(command("predict", *ask, "--dry-run", "--json")[1])
    assert [stage["passes"] for stage in stages] == [2]
    facts = {"raw": str(raw.path), "backbone": networks[:2], "output": str(tmp_path / "o")}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"segment": facts}))
    code, out, err = command("check", file)
    assert code == 0, out + err
    assert "segment.backbone[0]" in out
    assert "segment.backbone[1]" in out
    assert "networks see each block 2 times" in out
    damaged = write_wide(tmp_path / "damaged")
    (damaged / WEIGHTS).write_bytes(b"")
    file.write_text(json.dumps({"segment": facts | {"backbone": [networks[0], str(damaged)]}}))
    code, out, err = command("check", file)
    assert code == 2
    assert "segment.backbone[1]" in out + err
    assert "the weights are damaged" in out + err


def test_a_run_of_several_is_segmented_goes_on_and_is_not_tuned(raw, networks, tmp_path, command):
    ask = ["segment", raw.path, "-o", tmp_path / "o", "--set", "segment.predict.precision=float32"]
    code, out, err = command(*ask, "--backbone", networks[0], "--backbone", networks[1], "--workers", 1)
    assert code == 0, err
    first = Volume.open(out.strip()).read()
    assert first.any()
    code, out, err = command(*ask, "--backbone", networks[1], "--backbone", networks[0], "--workers", 1)
    assert code == 0, err  # the same run: neither card knows settings of its own
    assert (Volume.open(out.strip()).read() == first).all()
    kept = json.loads((tmp_path / "o/config.json").read_text())
    assert kept["backbone"] == sorted(load_card(folder).digest for folder in networks[:2])
    code, out, err = command("tune", tmp_path / "o", "-o", tmp_path / "t")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "this run has several backbones" in err


def test_tiles_of_an_ensemble_are_not_for_one(networks):
    with pytest.raises(UserError, match="set tile_vx"):
        Predict(tiles_vx=((4, 24, 24),)).resolve(load_card(networks[0]).architecture, (4, 24, 24))
