"""The embedding of an entry: a file that is checked before it is used."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from neuroadda.errors import UserError
from neuroadda.zoo.embeddings import Embedding, join_embeddings, load_embeddings, save_embeddings


@pytest.fixture
def embedded() -> dict:
    rng, blocks = np.random.default_rng(0), np.arange(6) // 2

    def embed(features: int, digest: str, pixel_nm: float, shape_vx: tuple[int, int, int]) -> dict:
        values = rng.normal(size=(2, 6, features)).astype(np.float32)
        pooled = zip(("mean", "max"), values, strict=True)
        return {how: Embedding(one, blocks, digest, how, pixel_nm, shape_vx, seed=3) for how, one in pooled}

    return {"own": embed(8, f"{1:064x}", 4.0, (3, 24, 24)), "reference": embed(6, f"{2:064x}", 8.0, (1, 22, 22))}


def test_what_is_saved_comes_back_in_half_precision(tmp_path, embedded):
    path = save_embeddings(tmp_path, embedded)
    loaded = load_embeddings(tmp_path)
    assert set(loaded) == {"own", "reference"}
    for network, by_pooling in loaded.items():
        for pooling, one in by_pooling.items():
            before = embedded[network][pooling]
            np.testing.assert_array_equal(one.features, before.features.astype(np.float16).astype(np.float32))
            np.testing.assert_array_equal(one.blocks, before.blocks)
            for what in ("network", "pooling", "pixel_nm", "shape_vx", "seed"):
                assert getattr(one, what) == getattr(before, what)
    with safetensors.safe_open(path, "numpy") as file:
        assert set(file.keys()) == {"blocks", "own.mean", "own.max", "reference.mean", "reference.max"}
        assert json.loads(file.metadata()["networks"])["own"]["seed"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["embedding.safetensors"]
    data = path.read_bytes()
    assert save_embeddings(tmp_path, embedded).read_bytes() == data


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
