"""Foreign networks: what is found of them by running them, what they predict behind our protocol, and which are refused."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from funlib.geometry import Coordinate
from torch import nn

from neuroadda.backbones.card import CARD, NEAREST, WEIGHTS, load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.backbones.foreign import ForeignDraft, ForeignNetwork
from neuroadda.backbones.probing import Probe
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.config import parse_config
from neuroadda.domains.embedding import embed_patches
from neuroadda.domains.patches import Patches
from neuroadda.errors import UserError, collect_warnings
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.training.config import TrainConfig
from neuroadda.training.start import start_from
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.foreign import make_foreign_backbone
from tests.backbones import foreign_networks

HERE = "tests.backbones.foreign_networks"
BACK = [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]
AHEAD = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
NARROW = {"features": [4, 6]}
EXACT = {"geometry": {"context_vx": [2, 2, 2], "alignment_vx": [1, 1, 1]}, "activation": "sigmoid"}


def write_draft(folder: Path, network: nn.Module, name: str, **keys: Any) -> tuple[Path, Path, Path]:
    """Write draft and weights; return them, and where the backbone goes."""
    folder.mkdir(exist_ok=True)
    safetensors.torch.save_file(network.state_dict(), folder / "weights.safetensors")
    architecture = {"implementation": f"{HERE}:{name}", "intensities": [0, 1], "channel_offsets": BACK} | keys
    card = {"name": name, "domain": "t", "voxel_size_nm": [40, 4, 4], "architecture": architecture}
    (folder / "draft.json").write_text(json.dumps(card))
    return folder / "draft.json", folder / "weights.safetensors", folder / "backbone"


def make(folder: Path, network: nn.Module, name: str, **keys: Any) -> Path:
    draft, weights, backbone = write_draft(folder, network, name, **keys)
    make_foreign_backbone(draft, weights, backbone)
    return backbone


def write_raw(path: Path, shape: tuple[int, int, int]) -> Volume:
    volume = Volume.create(path / "raw.zarr/raw", shape, (40, 4, 4), np.uint8, offset_nm=(80, 8, 0))
    volume.write(volume.roi, np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    return volume


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = foreign_networks.ResidualUNet((4, 6))
    for parameter in network.parameters():
        parameter.data.mul_(2)  # so that affinities differ
    return make(tmp_path_factory.mktemp("residual"), network, "ResidualUNet", arguments=NARROW)


def test_what_is_found_of_a_padding_network(residual):
    card = load_card(residual)
    network = card.architecture
    assert isinstance(network, ForeignNetwork)
    assert card.offsets == NEAREST
    # Along z two convolutions of 3 in each of three blocks. In the section 2 + 2 of the ends, three of 3 in each of two fine
    # blocks, and three in the coarse one, which is of 2: 16, and one for where in its coarse voxel a voxel lies.
    assert network.context_vx == (6, 17, 17)
    assert network.alignment_vx == (1, 2, 2)
    assert network.geometry.lost_vx == (0, 0, 0)
    assert (network.activation, network.geometry.whole_tiles) == ("sigmoid", False)
    assert network.count_parameters() == sum(p.numel() for p in foreign_networks.ResidualUNet((4, 6)).parameters())


def test_its_tiles_say_what_the_whole_says(residual, tmp_path):
    """Each voxel gets all the context that it sees, and no more would change it."""
    backbone, raw = load_backbone(residual), write_raw(tmp_path, (4, 10, 12))
    network = backbone.card.architecture
    affs = []
    for tile_vx in ((4, 10, 12), (1, 6, 4), (2, 2, 12)):
        stage = Predict(device="cpu", precision="float32", tile_vx=tile_vx).resolve(network, (4, 10, 12))
        affs.append(Predictor(backbone, stage)(raw, raw.roi)[0].astype(int))
    assert affs[0].std() > 3
    assert max(np.abs(affs[0] - other).max() for other in affs) <= 1  # sums in another order
    z, y, x = (c + 8 for c in network.context_vx)  # a larger image
    original = foreign_networks.ResidualUNet((4, 6)).eval()
    original.load_state_dict({k.removeprefix("network."): v for k, v in backbone.model.state_dict().items()})
    around = raw.voxel_size * Coordinate(z, y, x)
    seen = raw.read_mirrored(raw.roi.grow(around, around))
    image = torch.from_numpy(seen).float() / 255
    with torch.inference_mode():
        said = original(image[None, None])[0][:, z:-z, y:-y, x:-x]
    assert np.abs(said.mul(255).round().numpy() - affs[0]).max() <= 1


@pytest.mark.parametrize(
    "config",
    [
        UNetConfig(features=(3, 4), downsample=((1, 2, 2),), kernels=(((1, 3, 3),) * 2, ((3, 3, 3),) * 2)),
        UNetConfig(
            features=(3, 4, 5), downsample=((1, 3, 3), (2, 1, 1)), kernels=(((1, 3, 3),), ((3, 3, 3),), ((3, 1, 1),))
        ),
    ],
)
def test_a_valid_padded_network_is_found_to_be_what_it_is(config):
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unet = config.build()

        def forward(self, image):
            return self.unet(image)

    facts = ForeignDraft(implementation="a:Wrapped", intensities=(-1, 1), channel_offsets=NEAREST)
    found = Probe(Wrapped().eval(), facts).find_geometry()
    assert (found.context_vx, found.alignment_vx, found.lost_vx) == (
        config.context_vx,
        config.alignment_vx,
        config.context_vx,
    )
    shape = tuple(4 * side for side in config.alignment_vx)
    counted = found.values_per_voxel * math.prod(config.input_shape_vx(shape))
    assert 0.3 < counted / config.count_pass_values(shape, 1 << 62) < 4


@pytest.mark.parametrize("ahead", [False, True])
def test_offsets_to_the_other_side_are_shifted_exactly(tmp_path, ahead):
    offsets = AHEAD[::-1] if ahead else BACK
    keys = {"arguments": {"forward_looking": ahead}, "channel_offsets": offsets, **EXACT}
    backbone = load_backbone(
        make(tmp_path / "n", foreign_networks.NearestAffinities(ahead), "NearestAffinities", **keys)
    )
    raw = write_raw(tmp_path, (7, 9, 10))
    affs = Predictor(backbone, Predict(device="cpu", precision="float32", tile_vx=(2, 3, 4)))(raw, raw.roi)[0]
    bright = raw.read() > 127.5
    for axis in range(3):
        inner = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        before = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        np.testing.assert_array_equal(affs[axis][inner], 255 * (bright[inner] == bright[before]))


def test_norms_by_the_input_and_an_output_of_several(tmp_path):
    offsets = [*AHEAD, [10, 0, 0], [0, 10, 0], "none"]
    with collect_warnings() as warnings:
        folder = make(
            tmp_path / "n",
            foreign_networks.MedNeXt(),
            "MedNeXt",
            output="affinities",
            channel_offsets=offsets,
            activation="logits",
        )
    assert [what for what, _ in warnings if "statistics over its input" in what]
    network = load_card(folder).architecture
    assert isinstance(network, ForeignNetwork)
    assert network.whole_tiles
    assert load_card(folder).offsets == (*NEAREST, (10, 0, 0), (0, 10, 0))
    # 1 and 1 fine, 1 and 2 coarse: and one for the shift.
    assert network.context_vx == (6, 6, 6)
    assert network.alignment_vx == (2, 2, 2)
    raw = write_raw(tmp_path, (5, 9, 10))
    affs, tiles = Predictor(load_backbone(folder), Predict(device="cpu", precision="float32", tile_vx=(4, 4, 4)))(
        raw, raw.roi
    )
    assert affs.shape == (5, 5, 9, 10)
    assert set(tiles) == {(4, 4, 4)}


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("ResidualUNet", {"arguments": NARROW | {"inputs": 2}}, "takes 2 channels, raw has one"),
        ("ResidualUNet", {"arguments": NARROW | {"channels": 4}}, "puts out 4 channels, the card says what 3 are"),
        ("ResidualUNet", {"arguments": {"depth": 3}}, "cannot be made with the card's arguments (TypeError"),
        ("ResidualUNet", {"arguments": NARROW, "channel_offsets": [*BACK[:2], [0, 0, -2]]}, "offsets must begin with"),
        (
            "ResidualUNet",
            {"arguments": {"features": [2, 2, 2]}, "geometry": {"context_vx": [10, 35, 35]}},
            "36 is the next",
        ),
        ("ResidualUNet", {"arguments": NARROW, "geometry": {"alignment_vx": [1, 3, 2]}}, "of which 3 is no multiple"),
        ("ResidualUNet", {"arguments": NARROW, "colour": 1}, "unknown key 'colour'"),
        ("Doubling", {}, "is larger than the input"),
        ("Flat", {}, "2-D: it takes images"),
        ("Prompted", {}, "missing 1 required positional argument: 'prompt'"),
        ("Attentive", {}, "architecture.geometry.context_vx"),
        (
            "MedNeXt",
            {"arguments": {"channels": 3}},
            "architecture.output: the network returns items 'affinities', 'features'",
        ),
        ("MedNeXt", {"arguments": {"channels": 3}, "output": "affs"}, "no item 'affs'"),
        ("NearestAffinities", {"geometry": EXACT["geometry"]}, 'say "sigmoid" or "logits"'),
        ("make_network", {}, "not a subclass of torch.nn.Module"),
        ("Branching", {}, "do not branch on values"),
        ("Nothing", {}, "cannot be imported (AttributeError"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(tmp_path, command, name, keys, said):
    made = getattr(foreign_networks, name, None)
    arguments = {
        k: tuple(v) if isinstance(v, list) else v for k, v in keys.get("arguments", {}).items() if k != "depth"
    }
    network = made(**arguments) if isinstance(made, type) else nn.Identity()
    code, out, err = command("zoo", "card", *write_draft(tmp_path / "n", network, name, **keys))
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err
    assert not (tmp_path / "n/backbone").exists()


def test_other_weights_and_no_weights_are_refused(tmp_path, command):
    draft, weights, backbone = write_draft(
        tmp_path / "n", foreign_networks.Doubling(), "ResidualUNet", arguments=NARROW
    )
    code, _, err = command("zoo", "card", draft, weights, backbone)
    assert (code, err.count("\n")) == (2, 1)
    assert "the weights do not fit" in err
    assert "Missing key(s)" in err
    torch.save({"a": torch.zeros(1)}, weights)  # a pickle
    code, _, err = command("zoo", "card", draft, weights, backbone)
    assert (code, err.count("\n")) == (2, 1)
    assert "no safetensors" in err


def test_a_card_that_was_changed_is_not_that_of_the_weights(residual, tmp_path):
    for file in (CARD, WEIGHTS):
        (tmp_path / file).write_bytes((residual / file).read_bytes())
    load_backbone(tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    card["architecture"]["intensities"] = [-1, 1]
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(UserError, match="stored with another architecture"):
        load_backbone(tmp_path)
    card["architecture"] |= {"activations": "logits"}
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(
        UserError, match=r"unknown key 'architecture.activations'; did you mean 'architecture.activation'"
    ):
        load_card(tmp_path)


def test_it_has_no_features(residual):
    backbone = load_backbone(residual)
    with pytest.raises(UserError, match="no features that are known"):
        embed_patches(backbone, Patches(np.zeros((2, 4, 8, 8), np.uint8), np.arange(2), 4.0), device="cpu")
    with pytest.raises(UserError, match="no features that are known"):
        backbone.card.architecture.encoder_input_shape_vx((1, 1, 1))


def test_a_card_is_read_and_planned_for_without_torch(residual):
    code = (
        f"import sys\nfrom neuroadda.backbones.card import load_card\nfrom neuroadda.prediction.predict import Predict\n"
        f"card = load_card({str(residual)!r})\n"
        "Predict(device='cpu', precision='float32').resolve(card.architecture, (4, 16, 16))\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_takes_its_offsets_and_no_others(residual):
    facts = {
        "name": "t",
        "domain": "t",
        "samples": [{"raw": "raw", "labels": "labels"}],
        "output": "o",
        "iterations": 1,
    }
    config = start_from(parse_config(TrainConfig, facts, "t"), residual)
    assert config.offsets == NEAREST
    assert config.architecture == load_card(residual).architecture
    with pytest.raises(UserError, match="offsets are not those of"):
        start_from(parse_config(TrainConfig, facts | {"offsets": [*BACK, [0, 0, -3]]}, "t"), residual)


def test_padding_stands_for_context(residual):
    """In training without context the output has the shape of the input; far from the border nothing changes."""
    model = load_backbone(residual).model
    z, y, x = (4 * step + 2 * c for step, c in zip(model.config.alignment_vx, model.config.context_vx, strict=True))
    image = torch.rand(1, 1, z, y, x) * 2 - 1
    with torch.inference_mode():
        valid, padded = model(image), model(image, padded=True)
    assert padded.shape[2:] == image.shape[2:]
    c, d, e = model.config.context_vx
    torch.testing.assert_close(padded[:, :, c:-c, d:-d, e:-e], valid, rtol=1e-3, atol=1e-3)
    model.train()
    assert not any(module.training for module in model.network.modules())
