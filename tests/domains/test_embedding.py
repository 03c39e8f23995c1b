"""Embeddings: what the encoder says, pooled; and a file that is checked before it is believed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import Backbone
from neuroadda.backbones.normalisation import normalise
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.domains import embedding as module
from neuroadda.domains.embedding import embed_patches, embed_volume, patch_shape_vx
from neuroadda.domains.patches import PatchConfig, Patches, draw_patches, match_levels
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.embeddings import join_embeddings, load_embeddings, save_embeddings

SHALLOW = UNetConfig(features=(4, 8), downsample=((1, 2, 2),), kernels=(((1, 3, 3), (1, 3, 3)), ((3, 3, 3),)))
FLAT = UNetConfig(features=(4, 6), out_channels=2, downsample=((1, 2, 2),), kernels=(((1, 3, 3),), ((1, 3, 3),)))


def backbone(config=SHALLOW, pixel=4.0, seed=0) -> Backbone:
    torch.manual_seed(seed)
    offsets = NEAREST[-config.out_channels :]
    card = Card(name="b", domain="b", voxel_size_nm=(40, pixel, pixel), architecture=config, offsets=offsets)
    return Backbone(UNet(config).eval(), card.model_copy(update={"digest": f"{seed:064x}"}), Path("b"))


def random_patches(shape, n=7, pixel=4.0) -> Patches:
    raw = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    return Patches(raw, np.arange(n) // 2, pixel)


def test_a_patch_has_the_shape_that_gives_so_many_deepest_features():
    assert patch_shape_vx(backbone(SHALLOW).card) == (3, 24, 24)
    assert patch_shape_vx(backbone(FLAT).card) == (1, 22, 22)
    assert patch_shape_vx(backbone(UNetConfig()).card) == (5, 124, 124)


@pytest.mark.parametrize("config", [SHALLOW, FLAT])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_features_are_the_encoders_pooled_whatever_the_batch(monkeypatch, config, batch):
    network = backbone(config)
    shape = patch_shape_vx(network.card)
    patches = random_patches(shape)
    monkeypatch.setattr(module, "BATCH_VOXELS", {"cpu": batch * int(np.prod(shape))})
    with torch.no_grad():
        deepest = network.model.encode(torch.from_numpy(normalise(patches.raw))[:, None])
    assert deepest.shape[2:] == module.BOTTOM_VX
    embedded = embed_patches(network, patches, device="cpu")
    np.testing.assert_allclose(embedded["mean"].features, deepest.mean((2, 3, 4)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(embedded["max"].features, deepest.amax((2, 3, 4)), rtol=1e-4, atol=1e-6)
    for pooling, one in embedded.items():
        assert one.features.dtype == np.float32
        assert (one.network, one.pooling, one.pixel_nm, one.shape_vx) == (network.card.digest, pooling, 4.0, shape)
        np.testing.assert_array_equal(one.blocks, patches.blocks)


@pytest.mark.parametrize("level", [(120.0, 30.0), (60.0, 10.0), (200.0, 20.0)])
def test_patches_take_over_mean_and_spread(level):
    noise = np.random.default_rng(1).normal(90, 25, (6, 3, 24, 24)).clip(0, 255).astype(np.uint8)
    patches = Patches(noise, np.arange(6), 4.0)
    matched = match_levels(patches, *level)
    assert matched.raw.dtype == np.uint8
    assert (float(matched.raw.mean()), float(matched.raw.std())) == pytest.approx(level, rel=0.02)
    assert np.corrcoef(matched.raw.ravel(), noise.ravel())[0, 1] > 0.99
    blank = match_levels(Patches(np.full((2, 3, 24, 24), 7, np.uint8), np.arange(2), 4.0), *level)
    assert (blank.raw == level[0]).all()


def test_an_embedding_knows_the_raw_that_it_is_of(tmp_path):
    network = backbone(FLAT)
    shape = patch_shape_vx(network.card)
    both = random_patches(shape, 9)
    parts = [Patches(both.raw[part], both.blocks[part], 4.0) for part in (slice(0, 2), slice(2, 9))]
    joined = join_embeddings([embed_patches(network, part, "cpu")["max"] for part in parts])
    assert (joined.raw_mean, joined.raw_std) == pytest.approx((both.raw.mean(), both.raw.std()))
    save_embeddings(tmp_path, {"own": {"max": joined}})
    assert load_embeddings(tmp_path)["own"]["max"].raw_std == pytest.approx(both.raw.std())
    unknown = replace(joined, raw_mean=None, raw_std=None)
    save_embeddings(tmp_path, {"own": {"max": unknown}})
    assert load_embeddings(tmp_path)["own"]["max"].raw_mean is None
    assert join_embeddings([joined, unknown]).raw_std is None


def test_several_networks_see_the_same_places(tmp_path):
    volume = Volume.create(tmp_path / "v.zarr/raw", (5, 80, 90), (40, 4, 4), np.uint8)
    volume.data[:] = np.random.default_rng(0).integers(0, 256, (5, 80, 90), dtype=np.uint8)
    config = PatchConfig(count=20)
    networks = {"coarse": backbone(SHALLOW, 8.0, 1), "fine": backbone(FLAT, 4.0, 2), "again": backbone(FLAT, 4.0, 2)}
    embedded = embed_volume(volume, networks, config, device="cpu")
    assert [e["mean"].pixel_nm for e in embedded.values()] == [8.0, 4.0, 4.0]
    for one in embedded.values():
        np.testing.assert_array_equal(one["max"].blocks, embedded["coarse"]["max"].blocks)
    np.testing.assert_array_equal(embedded["fine"]["mean"].features, embedded["again"]["mean"].features)
    alone = draw_patches(volume, 8.0, patch_shape_vx(networks["coarse"].card), config)
    expected = embed_patches(networks["coarse"], alone, device="cpu")
    np.testing.assert_array_equal(embedded["coarse"]["mean"].features, expected["mean"].features)
