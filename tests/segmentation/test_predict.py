"""The prediction engine: tiles by their cost, and blocks that are what the network says of each tile."""

from itertools import product

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import load_backbone, save_backbone
from neuroadda.backbones.unet import UNet
from neuroadda.segmentation.predict import TILE_INPUT_VOXELS, Predict, Predictor, choose_tile_vx, useful_share
from neuroadda.volumes.arrays import Volume

SMALL = UNetConfig(features=(4, 8), downsample=((1, 2, 2),), kernels=(((1, 3, 3),), ((3, 3, 3),)))


def test_the_useful_share_counts_context_and_overhang():
    assert SMALL.context_vx == (1, 4, 4)
    assert useful_share(SMALL, (4, 16, 16), (4, 16, 16)) == pytest.approx(4 * 16 * 16 / (6 * 24 * 24))
    assert useful_share(SMALL, (4, 16, 16), (4, 10, 16)) == pytest.approx(4 * 16 * 16 / (6 * 36 * 24))


@pytest.mark.parametrize("block_vx", [(1, 1, 1), (7, 30, 50), (24, 256, 256), (64, 512, 512)])
def test_no_halving_of_a_block_is_cheaper_than_the_chosen_tile(block_vx):
    architecture = UNetConfig()
    tile_vx = choose_tile_vx(architecture, block_vx)
    assert np.prod(architecture.input_shape_vx(tile_vx)) <= TILE_INPUT_VOXELS
    for halvings in product(range(7), repeat=3):
        sides = zip(block_vx, halvings, architecture.alignment_vx, strict=True)
        other = tuple(-(-b // (2**h * a)) * a for b, h, a in sides)
        if np.prod(architecture.input_shape_vx(other)) <= TILE_INPUT_VOXELS:
            assert useful_share(architecture, block_vx, tile_vx) >= useful_share(architecture, block_vx, other)


def test_a_block_is_what_the_network_says_of_each_tile(tmp_path):
    torch.manual_seed(0)
    save_backbone(
        tmp_path / "backbone",
        UNet(SMALL),
        Card(name="t", domain="t", voxel_size_nm=(40, 4, 4), architecture=SMALL, offsets=NEAREST),
    )
    raw = Volume.create(tmp_path / "raw.zarr/raw", (8, 40, 40), (40, 4, 4), np.uint8)
    raw.write(raw.roi, np.random.default_rng(0).integers(0, 255, (8, 40, 40), np.uint8))
    parameters = Predict(tile_vx=(2, 8, 8), device="cpu", precision="float32")
    backbone = load_backbone(tmp_path / "backbone")
    predictor = Predictor(backbone, parameters)
    affs, tiles = predictor(raw, raw.roi)
    assert tiles == 4 * 5 * 5
    for origin in [(0, 0, 0), (2, 16, 24), (6, 32, 32)]:
        tile = Roi(origin, (2, 8, 8))
        seen = raw.read_mirrored(tile.grow(Coordinate(1, 4, 4), Coordinate(1, 4, 4)) * raw.voxel_size)
        image = torch.from_numpy(seen)[None, None].float() / 127.5 - 1
        said = torch.sigmoid(backbone.model(image))[0].detach().numpy() * 255  # with gradients: plain strides
        assert np.abs(affs[(slice(None), *tile.to_slices())] - said).max() <= 0.501


def test_channels_last_says_the_same_of_a_batch_and_of_bfloat16():
    torch.manual_seed(0)
    config = UNetConfig(features=(4, 8), downsample=((2, 2, 2),), kernels=(((3, 3, 3),), ((3, 3, 3),)))
    model, images = UNet(config).eval(), torch.randn(2, 1, *config.input_shape_vx((4, 8, 8)))
    plain = model(images).detach()
    with torch.inference_mode():
        torch.testing.assert_close(model(images), plain, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(torch.cat([model(image[None]) for image in images]), plain, atol=1e-5, rtol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(images).float(), plain, atol=0.1, rtol=0.1)
