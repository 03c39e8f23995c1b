"""Backbones on disk: what is saved is what is loaded, and anything else is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroadda.backbones.card import NEAREST, Card, load_card
from neuroadda.backbones.checkpoint import load_backbone, save_backbone
from neuroadda.backbones.normalisation import normalise
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.errors import UserError

SMALL = UNetConfig(features=(2, 3), downsample=((1, 2, 2),), kernels=(((1, 3, 3),), ((3, 3, 3),)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    card = Card(
        name="b", domain="d", voxel_size_nm=(30, 4.6, 4.6), architecture=SMALL, offsets=NEAREST, metrics={"voi": 1.25}
    )
    save_backbone(tmp_path / "b", UNet(SMALL), card)
    return tmp_path / "b"


def test_round_trip(folder: Path) -> None:
    torch.manual_seed(0)
    model = UNet(SMALL)
    backbone = load_backbone(folder)
    assert backbone.card == load_card(folder)
    assert backbone.card.metrics == {"voi": 1.25}
    assert not backbone.model.training
    for key, value in model.state_dict().items():
        assert torch.equal(backbone.model.state_dict()[key], value)
    again = save_backbone(folder.with_name("c"), backbone.model, backbone.card)
    assert again.digest == backbone.card.digest
    assert sorted(p.name for p in folder.iterdir()) == ["card.json", "weights.safetensors"]


def edit_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


def test_what_is_damaged_is_refused(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-5], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        weights.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            load_backbone(folder)
    weights.unlink()
    with pytest.raises(UserError, match=r"no weights\.safetensors"):
        load_backbone(folder)
    (folder / "card.json").write_text("{")
    with pytest.raises(UserError, match="malformed"):
        load_card(folder)
    (folder / "card.json").unlink()
    with pytest.raises(UserError, match=r"no card\.json"):
        load_backbone(folder)
    with pytest.raises(UserError, match="no such folder"):
        load_backbone(folder / "nowhere")


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    edit_card(folder, architecture=json.loads(SMALL.model_copy(update={"features": (2, 5)}).model_dump_json()))
    with pytest.raises(UserError, match="do not fit"):
        load_backbone(folder)


def test_a_card_must_be_consistent(folder: Path) -> None:
    edit_card(folder, offsets=[[-1, 0, 0], [0, -1, 0], [0, 0, -1], [0, 0, -9]])
    with pytest.raises(UserError, match="3 channels for 4 offsets"):
        load_card(folder)
    edit_card(folder, offsets=[[-1, 0, 0], [0, 0, -1], [0, -1, 0]])
    with pytest.raises(UserError, match="must begin with"):
        load_card(folder)
    edit_card(folder, offsets=NEAREST, colour="grey")
    with pytest.raises(UserError, match="colour"):
        load_card(folder)


def test_normalise_maps_bytes_to_the_unit_interval() -> None:
    np.testing.assert_allclose(normalise(np.array([0, 51, 255], np.uint8)), [-1, -0.6, 1], atol=1e-6)
    assert normalise(np.zeros((2, 2), np.uint8)).dtype == np.float32
    with pytest.raises(UserError, match="uint16"):
        normalise(np.zeros(3, np.uint16))
