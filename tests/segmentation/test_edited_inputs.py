"""An input that was edited in place: the next run says so, and makes again what depends on it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from neuroadda.backbones.card import NEAREST, Card, load_card
from neuroadda.backbones.checkpoint import save_backbone
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.errors import UserError
from neuroadda.evaluation.validation import keep_metrics
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import Plan, make_plan, segment_volume
from neuroadda.segmentation.recovery import retry
from neuroadda.segmentation.settings import Threshold
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity import inputs as inputs_module
from tests.segmentation.synthetic import VOXEL_SIZE_NM, write_backbone, write_raw
from tests.segmentation.test_pipeline import configure as configure_whole
from tests.segmentation.test_pipeline import tries

SHAPE = (16, 64, 64)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    write_backbone(folder / "backbone")
    raw = write_raw(folder / "raw.zarr/raw", SHAPE)
    raw.data.attrs["fingerprint"] = "of the file that it was imported from"
    mask = Volume.create(folder / "mask.zarr/mask", SHAPE, raw.voxel_size_nm, np.uint8, offset_nm=raw.offset_nm)
    inside = np.ones(SHAPE, np.uint8)
    inside[:, :20] = 0
    mask.write(mask.roi, inside)
    return folder


def configure(inputs: Path, output: Path, **options) -> SegmentConfig:
    return configure_whole(inputs, output, mask=str(inputs / "mask.zarr/mask"), **options)


def edit(path: Path, place=(8, 40, 40)) -> None:
    """Change one voxel."""
    volume = Volume.open(path, "r+")
    volume.data[place] = 255 - volume.data[place] if "raw" in path.parts[-1] else 0


@pytest.mark.parametrize("name", ["raw", "mask"])
def test_one_voxel_is_enough_to_make_everything_again(inputs, tmp_path, caplog, name):
    config = configure(inputs, tmp_path / "run")
    before = _voxels(segment_volume(config))
    edit(inputs / f"{name}.zarr/{name}")
    assert _voxels(segment_volume(config)) != before
    assert f"{name} changed (1 of " in caplog.text
    assert "predict and what follows are done again" in caplog.text
    fresh = segment_volume(configure(inputs, tmp_path / "fresh"))
    assert _voxels(make_plan(config)) == _voxels(fresh)
    done, caplog.records[:] = tries(make_plan(config), config), []
    assert tries(segment_volume(config), config) == done
    assert not caplog.records


def _voxels(plan: Plan) -> dict[str, bytes]:
    return {name: Volume.open(plan.output(name)).read().tobytes() for name in ("predict", "fragments", "relabel")}


def test_unchanged_and_touched_inputs_cost_nothing(inputs, tmp_path, caplog):
    config = configure(inputs, tmp_path / "run")
    done = tries(segment_volume(config), config)
    for file in (inputs / "raw.zarr").rglob("*"):
        file.touch()
    assert tries(segment_volume(config), config) == done
    assert not caplog.records


def test_a_run_that_was_stopped_after_the_edit_goes_on(inputs, tmp_path):
    config = configure(inputs, tmp_path / "run")
    segment_volume(config)
    edit(inputs / "raw.zarr/raw")
    segment_volume(config, upto="fragments")  # here it is stopped
    done = tries(segment_volume(config), config)
    fresh = segment_volume(configure(inputs, tmp_path / "fresh"))
    assert _voxels(make_plan(config)) == _voxels(fresh)
    assert all(row[0] == 1 for rows in done.values() for row in rows)


def test_other_parameters_still_need_to_be_allowed(inputs, tmp_path):
    config = configure(inputs, tmp_path / "run")
    segment_volume(config)
    with pytest.raises(UserError, match="other parameters"):
        segment_volume(config.model_copy(update={"components": Threshold(threshold=0.3)}))


def test_trusted_inputs_are_not_looked_at(inputs, tmp_path, monkeypatch, caplog):
    config = configure(inputs, tmp_path / "run")
    done = tries(segment_volume(config), config)
    edit(inputs / "raw.zarr/raw")
    monkeypatch.setattr(inputs_module, "list_files", lambda volume: pytest.fail("a trusted input is not listed"))
    trusting = config.model_copy(update={"trust_inputs": True})
    assert tries(segment_volume(trusting), trusting) == done
    assert not caplog.records


def test_a_plan_alone_says_what_is_stale_and_writes_nothing(inputs, tmp_path, caplog):
    config = configure(inputs, tmp_path / "run")
    segment_volume(config)
    edit(inputs / "raw.zarr/raw")
    kept = (tmp_path / "run/inputs/raw.npz").read_bytes()
    make_plan(config)
    assert "what this run made of it is stale" in caplog.text
    assert (tmp_path / "run/inputs/raw.npz").read_bytes() == kept


def test_a_backbone_that_was_trained_again_in_its_folder_is_an_edited_input(inputs, tmp_path, caplog):
    config = configure(inputs, tmp_path / "run")
    before = segment_volume(config)
    write_backbone(inputs / "backbone", seed=1)
    after = segment_volume(config)
    assert "backbone changed since" in caplog.text
    assert after.task("predict").fingerprint != before.task("predict").fingerprint


def write_far(folder: Path, far: tuple[int, int, int]) -> Path:
    """Write a backbone with a channel of this offset; the weights are always the same."""
    torch.manual_seed(0)
    architecture = UNetConfig(out_channels=4, features=(2,), downsample=(), kernels=(((3, 3, 3),),))
    card = Card(name="t", domain="t", voxel_size_nm=VOXEL_SIZE_NM, architecture=architecture, offsets=(*NEAREST, far))
    save_backbone(folder, UNet(architecture), card)
    return folder


def test_an_edited_card_is_an_edited_input(inputs, tmp_path, caplog):
    write_far(inputs / "backbone", (0, 0, -4))
    config = configure(inputs, tmp_path / "run")
    first = segment_volume(config)
    done = tries(first, config)
    assert first.task("predict").input_fingerprints["backbone"] == load_card(inputs / "backbone").digest
    keep_metrics(inputs / "backbone", {"voi": 1.0})  # does not count
    assert tries(segment_volume(config), config) == done
    assert not caplog.records
    write_far(inputs / "backbone", (0, 0, -8))
    edited = segment_volume(config)
    assert "card_of_backbone changed since" in caplog.text
    assert (0, 0, -8) in find_offsets(edited)
    again, caplog.records[:] = tries(edited, config), []
    assert tries(segment_volume(config), config) == again
    assert not caplog.records
    write_far(inputs / "backbone", (0, 0, -4))
    assert segment_volume(config) == first


def test_a_copy_of_a_backbone_with_another_card_is_another_input(inputs, tmp_path):
    config = configure(inputs, tmp_path / "run", backbone=str(write_far(inputs / "one", (0, 0, -4))))
    segment_volume(config)
    same = configure(inputs, tmp_path / "run", backbone=str(write_far(inputs / "same", (0, 0, -4))))
    other = configure(inputs, tmp_path / "run", backbone=str(write_far(inputs / "other", (0, 0, -8))))
    prints = [make_plan(each).task("predict").fingerprint for each in (config, same, other)]
    assert prints[0] == prints[1] != prints[2]


def find_offsets(plan: Plan) -> set[tuple[int, ...]]:
    return {tuple(offset) for offset in Volume.open(plan.output("predict")).attrs["offsets"]}


def test_retry_keeps_what_is_done_and_takes_the_input_as_it_is(inputs, tmp_path, caplog):
    config = configure(inputs, tmp_path / "run")
    done = tries(segment_volume(config), config)
    edit(inputs / "raw.zarr/raw")
    retry(tmp_path / "run", overrides=['segment.execution.launcher="serial"'])
    assert "raw changed (1 of " in caplog.text
    assert "blocks that are done stay as they are" in caplog.text
    caplog.clear()
    assert tries(segment_volume(config), config) == done
    assert not caplog.records
