"""A validation part: what is read of it, and when a finished backbone is scored again."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neuroadda import flow
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.config import parse_config
from neuroadda.errors import UserError
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.flow import RunConfig
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.zoo.finding import find_backbone

DATA = Path(os.environ.get("NEUROADDA_DATA", Path(__file__).parents[3] / "shared" / "data"))
RIM_VX = 40


def write(folder: Path, raw: np.ndarray, labels: np.ndarray, **settings: Any) -> ValidateConfig:
    for name, voxels in (("raw", raw), ("labels", labels)):
        Volume.create(folder / name, voxels.shape, (30, 6, 6), voxels.dtype).data[:] = voxels
    paths = {"raw": str(folder / "raw"), "labels": str(folder / "labels")}
    return ValidateConfig(**paths, **settings)


@pytest.fixture(scope="module")
def tissue() -> tuple[np.ndarray, np.ndarray]:
    if not (file := DATA / "mouse_cortex_sssem_test.hdf").exists():
        pytest.skip(f"no real data: {file} is missing (set NEUROADDA_DATA)")
    with h5py.File(file) as data:
        box = (slice(12), slice(100, 220), slice(100, 220))
        return data["volumes/raw"][box], data["volumes/labels/neuron_ids"][box].astype(np.uint64)


@pytest.mark.system
@pytest.mark.parametrize("black", ["rim", "sections", "half"])
def test_a_part_with_black_scores_as_the_part_cut_at_it(tmp_path, tissue, black):
    pads = {"rim": ((0, 0), (RIM_VX, RIM_VX), (RIM_VX, RIM_VX)), "sections": ((3, 3), (0, 0), (0, 0))}
    pad = pads.get(black, ((0, 0), (0, 100), (0, 0)))
    padded = [np.pad(voxels, pad) for voxels in tissue]
    backbone = load_backbone(find_backbone("mouse_cortex_sssem"))

    def score(config: ValidateConfig) -> float:
        return Validator(config)(backbone)["voi"]

    cut = score(write(tmp_path / "cut.zarr", *tissue))
    found = write(tmp_path / "black.zarr", *padded)
    assert score(found) == pytest.approx(cut, abs=0.02)
    mask = Volume.create(tmp_path / "mask.zarr/mask", padded[0].shape, (30, 6, 6), np.uint8)
    mask.data[:] = np.pad(np.ones(tissue[0].shape, np.uint8), pad)
    given = found.model_copy(update={"no_data": str(mask.path)})
    assert score(given) == pytest.approx(cut, abs=0.02)
    assert abs(score(found.model_copy(update={"no_data": "none"})) - cut) > 0.02


NOISE = np.random.default_rng(0).integers(1, 255, (6, 96, 96), np.uint8)
IDS = np.broadcast_to(1 + np.arange(96, dtype=np.uint64) // 16, NOISE.shape)


@pytest.mark.parametrize("what", ["black", "white", "a black roi", "masked", "int8", "bool"])
def test_a_part_without_data_is_refused_before_a_training(tmp_path, what):
    raw, settings = NOISE.copy(), {}
    if what in ("black", "white"):
        raw[:] = 0 if what == "black" else 255
    elif what == "a black roi":
        raw[:3] = 0
        settings = {"roi": {"offset_nm": (0, 0, 0), "shape_nm": (60, 576, 576)}}
    elif what == "masked":
        mask = Volume.create(tmp_path / "mask.zarr/mask", raw.shape, (30, 6, 6), np.uint8)
        settings = {"no_data": str(mask.path)}
    else:
        raw = raw.astype(what)
    config = write(tmp_path / "v.zarr", raw, IDS, **settings)
    told = f"raw is {what}" if what in ("int8", "bool") else "there is no data in all of"
    with pytest.raises(UserError, match=told) as refused:
        Validator(config).check()
    assert refused.value.where == config.raw
    if what not in ("int8", "bool"):
        Validator(config.model_copy(update={"no_data": "none"})).check()


def test_a_part_with_some_data_is_not_refused(tmp_path):
    raw = NOISE.copy()
    raw[:5] = 0
    Validator(write(tmp_path / "v.zarr", raw, IDS)).check()


@pytest.fixture
def trained(tmp_path: Path) -> dict[str, Any]:
    """The config of a finished training with a validation part."""
    write_phantom(PhantomConfig(shape_vx=(12, 96, 96), seed=3), tmp_path / "p.zarr")
    write_phantom(PhantomConfig(shape_vx=(6, 64, 64), seed=4), tmp_path / "held_out.zarr")
    network = {"features": [4, 6], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[3, 3, 3]]]}
    paths, held_out = (
        {kind: str(tmp_path / name / kind) for kind in ("raw", "labels")} for name in ("p.zarr", "held_out.zarr")
    )
    train = {"name": "small", "domain": "p", "samples": [paths], "network": network, "output_shape_vx": [4, 24, 24]}
    train |= {"iterations": 2, "workers": 0, "device": "cpu", "output": str(tmp_path / "trained"), "validate_every": 2}
    config = {"train": train, "validation": held_out}
    flow.train_backbone(parse_config(RunConfig, config, "test"))
    return config


def again(config: dict[str, Any]) -> dict[str, float]:
    return flow.train_backbone(parse_config(RunConfig, config, "test")).metrics


@pytest.mark.parametrize("change", ["labels", "roi", "settings", "no data"])
def test_another_validation_part_scores_a_finished_backbone_again(trained, tmp_path, caplog, change):
    before = again(trained)
    assert not caplog.records  # it is the same part
    labels = Volume.open(trained["validation"]["labels"])
    if change == "labels":
        ids = 1 + np.arange(64, dtype=np.uint64) // 12 + np.zeros(labels.shape_vx, np.uint64)
        other = Volume.create(tmp_path / "other.zarr/labels", ids.shape, labels.voxel_size_nm, ids.dtype)
        other.data[:] = ids
        trained["validation"]["labels"] = str(other.path)
    elif change == "roi":
        size = [s * n for s, n in zip(labels.voxel_size_nm, (6, 32, 32), strict=True)]
        trained["validation"]["roi"] = {"offset_nm": [0, 0, 0], "shape_nm": size}
    elif change == "settings":
        trained["validation"]["fragments"] = {"boundary": 0.1}
    else:
        mask = Volume.create(tmp_path / "mask.zarr/mask", labels.shape_vx, labels.voxel_size_nm, np.uint8)
        mask.data[:] = 1
        mask.data[:, :32] = 0
        trained["validation"]["no_data"] = str(mask.path)
    after = again(trained)
    assert "validation changed since" in caplog.text
    assert load_card(tmp_path / "trained/backbone").metrics == after
    assert (after != before) or change not in ("labels", "roi")  # two iterations teach little
    caplog.clear()
    assert again(trained) == after
    assert not caplog.records


def test_a_mask_of_the_part_that_is_edited_and_one_that_is_missing(trained, tmp_path, caplog):
    labels = Volume.open(trained["validation"]["labels"])
    mask = Volume.create(tmp_path / "mask.zarr/mask", labels.shape_vx, labels.voxel_size_nm, np.uint8)
    mask.data[:] = 1
    trained["validation"]["no_data"] = str(mask.path)
    again(trained)
    caplog.clear()
    mask.data[:, :32] = 0
    again(trained)
    assert "validation_no_data changed (" in caplog.text
    trained["validation"]["no_data"] = str(tmp_path / "none.zarr/mask")
    with pytest.raises(UserError, match="there is no array here"):
        again(trained)


def test_scored_by_hand_it_is_not_scored_twice(trained, caplog):
    trained["validation"]["fragments"] = {"boundary": 0.1}
    flow.validate_backbone(parse_config(RunConfig, trained, "test"))
    again(trained)
    assert not caplog.records


def test_a_part_with_one_id_is_doubted(trained, caplog):
    labels = Volume.open(trained["validation"]["labels"], "r+")
    labels.data[:] = 255 * (labels.read() > 0)
    Validator(ValidateConfig(**trained["validation"])).check()
    assert "there is only one id" in caplog.text
