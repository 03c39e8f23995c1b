"""A network that is no U-Net is planned for, predicts and embeds by the protocol alone."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from funlib.geometry import Roi
from torch import Tensor, nn
from torch.nn import functional

from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import Backbone, save_backbone
from neuroadda.backbones.module import NetworkModule
from neuroadda.backbones.network import Network
from neuroadda.backbones.normalisation import normalise
from neuroadda.backbones.speedup import measure_bfloat16_speedup
from neuroadda.config import Zyx
from neuroadda.domains.embedding import embed_patches, embed_volume, patch_shape_vx
from neuroadda.domains.patches import PatchConfig, Patches
from neuroadda.errors import UserError
from neuroadda.prediction.predict import Predict, check_raw
from neuroadda.prediction.predictor import Predictor
from neuroadda.volumes.arrays import Volume

SHAPE_VX = (13, 41, 50)


class Contrast(Network):
    """What is brighter than the darkest voxel of its box: maxima and minima only, so that tiles agree to the last bit."""

    window: Zyx = (3, 5, 7)
    box: Zyx = (3, 4, 2)

    @property
    def context_vx(self) -> Zyx:
        z, y, x = (side // 2 for side in self.window)
        return z, y, x

    @property
    def alignment_vx(self) -> Zyx:
        return self.box

    @property
    def feature_width(self) -> int:
        return 2

    @property
    def encoder_levels(self) -> int:
        return 0

    def encoder_input_shape_vx(self, feature_shape_vx: Zyx) -> Zyx:
        z, y, x = (n * b for n, b in zip(feature_shape_vx, self.box, strict=True))
        return self.input_shape_vx((z, y, x))

    def count_parameters(self) -> int:
        return self.out_channels

    def count_pass_values(self, tile_vx: Zyx, chunk_values: int) -> int:
        return (3 + self.out_channels) * math.prod(self.input_shape_vx(tile_vx))

    def build(self, batch_norm: bool = False) -> "ContrastModule":
        return ContrastModule(self)


class ContrastModule(NetworkModule):
    """Its only weights are how much each channel makes of the contrast."""

    config: Contrast

    def __init__(self, config: Contrast) -> None:
        super().__init__(config)
        self.head = nn.Module()
        self.head.scales = nn.Parameter(torch.linspace(0.5, 4, config.out_channels))

    def forward(self, raw: Tensor, padded: bool = False) -> Tensor:
        self.config.output_shape_vx(tuple(raw.shape[2:]))
        assert not padded, "it is not trained here"
        darkest = self.encode(raw)[:, 1:]
        z, y, x = self.config.box
        darkest = darkest.repeat_interleave(z, 2).repeat_interleave(y, 3).repeat_interleave(x, 4)
        return (self._maxima(raw) + darkest) * self.head.scales[:, None, None, None]

    def encode(self, raw: Tensor) -> Tensor:
        maxima = self._maxima(raw)
        return torch.cat([functional.max_pool3d(values, self.config.box) for values in (maxima, -maxima)], dim=1)

    def _maxima(self, raw: Tensor) -> Tensor:
        return functional.max_pool3d(raw, self.config.window, 1)

    @property
    def encoder(self) -> Sequence[nn.Module]:
        return []

    def fold(self) -> Self:
        return copy.deepcopy(self).eval()


@pytest.fixture
def raw(tmp_path: Path) -> Volume:
    volume = Volume.create(tmp_path / "raw.zarr/raw", SHAPE_VX, (40, 4, 4), np.uint8, offset_nm=(80, 8, 0))
    volume.write(volume.roi, np.random.default_rng(0).integers(0, 255, SHAPE_VX, np.uint8))
    return volume


def make_backbone(network: Network) -> Backbone:
    card = Card(name="t", domain="t", voxel_size_nm=(40, 4, 4), architecture={}, offsets=NEAREST)
    card = card.model_copy(update={"architecture": network, "digest": "0" * 64})
    return Backbone(network.build().eval(), card, Path("t"))


def predict_whole(backbone: Backbone, voxels: np.ndarray) -> np.ndarray:
    """Return the affinities (uint8) of a whole array, mirrored at its borders and up to the alignment."""
    network = backbone.card.architecture
    over = [-side % step for side, step in zip(voxels.shape, network.alignment_vx, strict=True)]
    around = [(c, c + o) for c, o in zip(network.context_vx, over, strict=True)]
    with torch.inference_mode():
        mirrored = torch.from_numpy(normalise(np.pad(voxels, around, mode="reflect")))
        logits = backbone.model(mirrored[None, None])[0]
        affs = logits.sigmoid().mul(255).round().to(torch.uint8).numpy()
    return affs[(slice(None), *(slice(side) for side in voxels.shape))]


@pytest.mark.parametrize("network", [Contrast(), Contrast(window=(3, 3, 3), box=(1, 2, 3)), Contrast(box=(2, 2, 8))])
@pytest.mark.parametrize("memory_gb", [1, 1e-7])
def test_its_prediction_is_that_of_the_whole_array(raw, network, memory_gb):
    backbone = make_backbone(network)
    check_raw(raw, backbone.card, any_voxel_size=False)
    block_vx = tuple(4 * step for step in network.alignment_vx)
    stage = Predict(device="cpu", precision="float32", memory_gb=memory_gb).resolve(network, block_vx)
    assert stage.tile_vx == (block_vx if memory_gb == 1 else network.alignment_vx)
    predictor = Predictor(backbone, stage)
    affs, tiles = predictor(raw, raw.roi)
    whole = predict_whole(backbone, raw.read())
    assert len(np.unique(whole)) > 20
    assert (affs == whole).all()
    assert tiles.total() > 1
    for begin, shape in [((1, 3, 5), (7, 20, 9)), ((12, 40, 49), (1, 1, 1))]:
        part = Roi(begin, shape)
        said = predictor(raw, part * raw.voxel_size + raw.roi.begin)[0]
        assert (said == whole[(slice(None), *part.to_slices())]).all()


def test_its_features_are_those_of_its_patches(raw):
    backbone = make_backbone(Contrast())
    shape = patch_shape_vx(backbone.card, (2, 3, 4))
    assert shape == (2 * 3 + 2, 3 * 4 + 4, 4 * 2 + 6)
    voxels = np.random.default_rng(1).integers(0, 256, (5, *shape), dtype=np.uint8)
    embedded = embed_patches(backbone, Patches(voxels, np.arange(5), 4.0), device="cpu")
    with torch.inference_mode():
        features = backbone.model.encode(torch.from_numpy(normalise(voxels))[:, None])
    assert features.shape == (5, 2, 2, 3, 4)
    np.testing.assert_allclose(embedded["mean"].features, features.mean((2, 3, 4)), rtol=1e-6)
    np.testing.assert_array_equal(embedded["max"].features, features.amax((2, 3, 4)))
    drawn = embed_volume(raw, {"own": backbone}, PatchConfig(count=4), {"own": shape}, "cpu")["own"]["max"]
    assert drawn.features.shape == (4, backbone.card.architecture.feature_width)
    assert drawn.shape_vx == shape


def test_what_it_shares_with_all_networks(tmp_path):
    network = Contrast()
    assert network.input_shape_vx((3, 8, 4)) == (5, 12, 10)
    with pytest.raises(UserError, match=r"nearest is \(3, 8, 4\)"):
        network.input_shape_vx((4, 8, 4))
    with pytest.raises(UserError, match=r"nearest is \(5, 12, 10\)"):
        network.build()(torch.zeros(1, 1, 6, 12, 10))
    assert network.with_out_channels(5).build()(torch.zeros(1, 1, 5, 12, 10)).shape == (1, 5, 3, 8, 4)
    assert measure_bfloat16_speedup(network, 1) > 0
    card = save_backbone(tmp_path / "b", network.build(), make_backbone(network).card)
    assert card.architecture == network
    assert network.count_parameters() == sum(p.numel() for p in network.build().parameters())
