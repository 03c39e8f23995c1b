"""Embeddings: what the encoder says, pooled; and a file that is checked before it is believed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import Backbone
from neuroadda.backbones.normalisation import normalise
from neuroadda.backbones.unet import UNet
from neuroadda.domains import embedding as module
from neuroadda.domains.embedding import (
    Embedding,
    embed_patches,
    embed_volume,
    join_embeddings,
    load_embeddings,
    patch_shape_vx,
    pixel_of,
    save_embeddings,
)
from neuroadda.domains.patches import PatchConfig, Patches, draw_patches
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume

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


@pytest.fixture
def embedded() -> dict:
    networks = {"own": backbone(SHALLOW, 4.0, 1), "reference": backbone(FLAT, 8.0, 2)}
    return {
        name: embed_patches(network, random_patches(patch_shape_vx(network.card), 6, pixel_of(network.card)), "cpu")
        for name, network in networks.items()
    }


def test_what_is_saved_comes_back_in_half_precision(tmp_path, embedded):
    path = save_embeddings(tmp_path, embedded, PatchConfig(count=6, seed=3))
    loaded = load_embeddings(tmp_path)
    assert set(loaded) == {"own", "reference"}
    for network, by_pooling in loaded.items():
        for pooling, one in by_pooling.items():
            before = embedded[network][pooling]
            np.testing.assert_array_equal(one.features, before.features.astype(np.float16).astype(np.float32))
            np.testing.assert_array_equal(one.blocks, before.blocks)
            for what in ("network", "pooling", "pixel_nm", "shape_vx"):
                assert getattr(one, what) == getattr(before, what)
    with safetensors.safe_open(path, "numpy") as file:
        assert set(file.keys()) == {"blocks", "own.mean", "own.max", "reference.mean", "reference.max"}
        assert json.loads(file.metadata()["networks"])["own"]["seed"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["embedding.safetensors"]
    data = path.read_bytes()
    assert save_embeddings(tmp_path, embedded, PatchConfig(count=6, seed=3)).read_bytes() == data


def rewrite(path: Path, change) -> None:
    with safetensors.safe_open(path, "numpy") as file:
        tensors, origins = {k: file.get_tensor(k) for k in file.keys()}, json.loads(file.metadata()["networks"])  # noqa: SIM118
    change(tensors, origins)
    metadata = None if origins.get("none") else {"networks": json.dumps(origins)}
    path.write_bytes(safetensors.numpy.save(tensors, metadata))


DAMAGES = {
    "not finite": lambda t, o: t["own.mean"].__setitem__((2, 1), np.nan),
    "blocks are missing": lambda t, o: t.pop("blocks"),
    "blocks are missing or not int64 .6,": lambda t, o: t.update(blocks=t["blocks"][:5]),
    r"own.max is float16 \(5, 8\)": lambda t, o: t.update({"own.max": t["own.max"][:5].copy()}),
    r"own.max is int64": lambda t, o: t.update({"own.max": t["own.max"].astype(np.int64)}),
    "no features of network 'reference'": lambda t, o: [t.pop(k) for k in ("reference.mean", "reference.max")],
    "names no networks": lambda t, o: o.update(none=True),
    "own: key 'digest' is missing": lambda t, o: o["own"].pop("digest"),
    "pixel_nm should be greater than 0": lambda t, o: o["own"].update(pixel_nm=-4),
    "unknown key 'sede'": lambda t, o: o["own"].update(sede=4),
}


@pytest.mark.parametrize("told", DAMAGES)
def test_a_damaged_file_is_told_in_one_line(tmp_path, embedded, told):
    path = save_embeddings(tmp_path, embedded)
    rewrite(path, DAMAGES[told])
    with pytest.raises(UserError, match=told) as error:
        load_embeddings(tmp_path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_what_is_no_embedding_is_told(tmp_path, embedded):
    with pytest.raises(UserError, match=r"there is no embedding.safetensors here"):
        load_embeddings(tmp_path)
    path = save_embeddings(tmp_path, embedded)
    for damaged in (path.read_bytes()[:-50], b"", b"no tensors at all", path.read_bytes()[:20]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be read"):
            load_embeddings(tmp_path)


def test_what_cannot_be_kept_is_not_written(tmp_path, embedded):
    own = embedded["own"]["mean"]
    large = replace(own, features=own.features + 1e6)
    with pytest.raises(UserError, match=r"own.mean has features that are not finite in float16"):
        save_embeddings(tmp_path, {"own": {"mean": large}})
    elsewhere = replace(own, blocks=own.blocks + 1)
    with pytest.raises(UserError, match="the networks saw different places"):
        save_embeddings(tmp_path, {"own": {"mean": own}, "reference": {"mean": elsewhere}})
    assert not list(tmp_path.iterdir())


def test_joined_volumes_keep_their_blocks_apart():
    one = Embedding(np.zeros((4, 2), np.float32), np.array([5, 5, 9, 5]), "a", "mean", 4.0, (1, 8, 8))
    other = replace(one, features=np.ones((2, 2), np.float32), blocks=np.array([9, 5]))
    joined = join_embeddings([one, other])
    np.testing.assert_array_equal(joined.blocks, [0, 0, 1, 0, 3, 2])
    np.testing.assert_array_equal(joined.features[:, 0], [0, 0, 0, 0, 1, 1])
    for change in ({"network": "b"}, {"pooling": "max"}, {"pixel_nm": 8.0}, {"shape_vx": (1, 9, 9)}):
        with pytest.raises(UserError, match=f"differ in {next(iter(change))}"):
            join_embeddings([one, replace(one, **change)])
