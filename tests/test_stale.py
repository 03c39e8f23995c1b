"""What was made of a run's segmentation: when that is made anew or edited, it is removed or named as stale."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroadda import flow
from neuroadda.api.volumes import publish
from neuroadda.backbones.card import load_card
from neuroadda.blockwise.execution_config import Execution
from neuroadda.config import parse_config
from neuroadda.errors import UserError, forget_warnings
from neuroadda.evaluation.measure import EvaluateConfig
from neuroadda.flow import RunConfig
from neuroadda.pyramids.pyramid import PyramidConfig, build_pyramid
from neuroadda.segmentation import pipeline
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import make_plan, segment_volume
from neuroadda.segmentation.settings import Threshold
from neuroadda.viewing.viewer.view import show_plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.exporting import export_volume
from neuroadda.volumes.identity.derived import find_stale
from neuroadda.volumes.info import describe
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from tests.segmentation.synthetic import write_backbone, write_raw

pytestmark = pytest.mark.system

Command = Callable[..., tuple[int, str, str]]
SERIAL = Execution(launcher="serial")
SHAPE = (16, 72, 80)


@pytest.fixture
def config(tmp_path: Path) -> SegmentConfig:
    write_backbone(tmp_path / "backbone")
    write_raw(tmp_path / "raw.zarr/raw", SHAPE)
    return SegmentConfig(
        raw=str(tmp_path / "raw.zarr/raw"),
        backbone=str(tmp_path / "backbone"),
        output=str(tmp_path / "run"),
        block_vx=(8, 40, 40),
        fragments=Fragments(seed_distance_vx=4, boundary=0.5),
        components=Threshold(threshold=0.15),
        execution=SERIAL,
    )


@pytest.fixture
def made(config: SegmentConfig, tmp_path: Path) -> dict[str, Path]:
    """Everything that is made of a segmentation."""
    labels = Volume.create(tmp_path / "labels.zarr/labels", SHAPE, (30, 6, 6), np.uint64, offset_nm=(60, 12, 0))
    labels.data[:] = 1
    labels.data[:, 30:] = 2
    flow.run(RunConfig(segment=config, evaluate=EvaluateConfig(labels=str(labels.path), thresholds=(0.15,))))
    segmentation = tmp_path / "run/volumes.zarr/segmentation"
    view = segmentation.with_name("segmentation.ome.zarr")
    build_pyramid(PyramidConfig(volume=str(segmentation), fit_vx=40, execution=SERIAL))
    elsewhere = tmp_path / "served/pyramid.zarr"
    build_pyramid(PyramidConfig(volume=str(segmentation), output=str(elsewhere), fit_vx=40, execution=SERIAL))
    return {
        "segmentation": segmentation,
        "view": view,
        "view elsewhere": elsewhere,
        "page": tmp_path / "run/report.html",
        "numbers": tmp_path / "run/summary.json",
        "file": export_volume(Volume.open(segmentation), tmp_path / "out/segmentation.h5"),
        "pictures": export_volume(Volume.open(segmentation), tmp_path / "out/segmentation.tif"),
        "array": export_volume(Volume.open(segmentation), tmp_path / "out/out.zarr/segmentation"),
        "published": publish(str(tmp_path / "run"), tmp_path / "out/published.zarr"),
    }


COPIES = ("file", "pictures", "array", "published")


def test_nothing_is_stale_at_first_or_after_a_rerun(config, made, caplog):
    segment_volume(config)
    assert find_stale(made["segmentation"]) == {}
    assert not caplog.records
    assert json.loads(made["numbers"].read_text())["fingerprint"] == Volume.open(made["segmentation"]).fingerprint


@pytest.mark.parametrize("why", ["another threshold", "an edited raw", "another raw"])
def test_when_the_segmentation_is_made_anew(config, made, tmp_path, caplog, command: Command, why):
    changes: dict[str, Any] = {}
    if why == "another threshold":
        changes = {"components": Threshold(threshold=0.3)}
    elif why == "an edited raw":
        raw = Volume.open(config.raw, "r+")
        raw.data[8, 40, 40] = 255 - raw.data[8, 40, 40]
    else:
        changes = {"raw": str(write_raw(tmp_path / "other.zarr/raw", SHAPE, seed=1).path)}
    segment_volume(config.model_copy(update=changes), overwrite=bool(changes))
    assert not made["view"].exists()
    assert not made["view elsewhere"].exists()
    for page in ("page", "numbers"):
        assert not made[page].exists()
        assert made[page].with_name(f"{made[page].stem}_stale{made[page].suffix}").exists()
    stale = find_stale(made["segmentation"])
    assert set(stale) == {str(made[name]) for name in COPIES}
    for name in ("view", "view elsewhere", "page", "numbers", *COPIES):
        assert f"{made[name]}: " in caplog.text
    code, told, _ = command("status", tmp_path / "run")
    assert code == 0
    assert f"stale: {made['file']}" in told
    tasks = json.loads(command("status", tmp_path / "run", "--json")[1])
    assert stale in [task["stale"] for task in tasks]
    assert not [
        task for task in tasks if str(made["view"]) in task["output"] or str(made["view elsewhere"]) in task["output"]
    ]

    # and then everything is made of the new one
    segmentation = Volume.open(made["segmentation"])
    levels = build_pyramid(PyramidConfig(volume=str(made["segmentation"]), fit_vx=40, execution=SERIAL))
    assert np.isin(levels[1].read(), segmentation.read()).all()
    export_volume(segmentation, made["file"], overwrite=True)
    assert str(made["file"]) not in find_stale(made["segmentation"])


def test_when_the_segmentation_is_edited(config, made, tmp_path, caplog, command: Command):
    segmentation = Volume.open(made["segmentation"], "r+")
    segmentation.data[8, 40, 40] += 1
    stale = find_stale(made["segmentation"])
    assert set(stale) == {str(path) for name, path in made.items() if name != "segmentation"}
    assert all("was edited since" in why for why in stale.values())
    assert f"stale: {made['view']}" in command("status", tmp_path / "run")[1]
    build_pyramid(PyramidConfig(volume=str(made["segmentation"]), fit_vx=40, execution=SERIAL))
    assert str(made["view"]) not in find_stale(made["segmentation"])
    assert "volume changed (1 of " in caplog.text


@pytest.mark.parametrize("which", ["view", "view elsewhere"])
def test_a_coarser_level_that_was_edited_is_named(made, tmp_path, command: Command, which):
    level = Volume.open(made[which] / "1", "r+")
    level.data[1, 1, 1] += 1
    stale = {str(made[which]): f"{level.path} was edited since"}
    assert find_stale(made["segmentation"]) == stale
    assert f"stale: {made[which]}: {level.path} was edited since" in command("status", tmp_path / "run")[1]


def test_edited_labels_are_trained_on_and_what_follows_is_made_again(tmp_path, caplog):
    write_phantom(PhantomConfig(shape_vx=(12, 96, 96), seed=3), tmp_path / "p.zarr")
    network = {"features": [4, 6], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[3, 3, 3]]]}
    paths = {"raw": str(tmp_path / "p.zarr/raw"), "labels": str(tmp_path / "p.zarr/labels")}
    train = {"name": "small", "domain": "p", "samples": [paths], "network": network, "output_shape_vx": [4, 24, 24]}
    train |= {"iterations": 2, "workers": 0, "device": "cpu", "output": str(tmp_path / "trained"), "validate_every": 2}
    segment = {"raw": paths["raw"], "backbone": str(tmp_path / "trained/backbone"), "output": str(tmp_path / "run")}
    segment |= {"execution": {"launcher": "serial"}}
    shutil.copytree(tmp_path / "p.zarr", tmp_path / "held_out.zarr")
    held_out = {"raw": str(tmp_path / "held_out.zarr/raw"), "labels": str(tmp_path / "held_out.zarr/labels")}
    size = Volume.open(paths["raw"]).voxel_size_nm
    held_out["roi"] = {"offset_nm": [0, 0, 0], "shape_nm": [4 * size[0], 64 * size[1], 64 * size[2]]}
    config = parse_config(RunConfig, {"train": train, "validation": held_out, "segment": segment}, "test")

    before = flow.run(config)["fingerprint"]
    assert flow.run(config)["fingerprint"] == before
    assert not caplog.records
    edited = Volume.open(paths["labels"], "r+")
    stripes = np.broadcast_to(1 + np.arange(96, dtype=edited.dtype) // 12, edited.shape_vx)
    edited.data[:] = stripes
    after = flow.run(config)["fingerprint"]
    assert after != before
    assert "labels_0 changed" in caplog.text
    assert "backbone changed since" in caplog.text
    caplog.clear()
    assert flow.run(config)["fingerprint"] == after
    assert not caplog.records

    card = load_card(tmp_path / "trained/backbone")
    truth = Volume.open(held_out["labels"], "r+")
    truth.data[:] = stripes
    flow.run(config)
    scored = load_card(tmp_path / "trained/backbone")
    assert "validation_labels changed" in caplog.text
    assert (scored.digest, scored.metrics["voi"] == card.metrics["voi"]) == (card.digest, False)


def test_a_run_without_gaps_is_planned_once_and_as_if_they_were_known(config, monkeypatch):
    planned = []
    monkeypatch.setattr(
        pipeline, "make_plan", lambda *given, **how: planned.append(make_plan(*given, **how)) or planned[-1]
    )
    first = segment_volume(config)
    assert len(planned) == 1
    assert (planned[0].config.no_data, first.config.no_data) == ("auto", "none")
    assert first == make_plan(config) == segment_volume(config)


def test_status_tells_of_an_input_that_was_edited(config, tmp_path, command: Command):
    segment_volume(config)
    assert command("status", tmp_path / "run")[2] == ""
    raw = Volume.open(config.raw, "r+")
    raw.data[8, 40, 40] = 255 - raw.data[8, 40, 40]
    code, _, error = command("status", tmp_path / "run")
    assert code == 0
    assert "raw changed (1 of " in error
    assert "is stale" in error


@pytest.mark.parametrize("edit", [{"voxel_size": [40, 6, 6]}, {"offset": [90, 12, 0]}])
@pytest.mark.parametrize("which", ["raw", "affs", "segmentation"])
def test_a_place_that_was_edited_is_named_by_status_and_refused(config, tmp_path, command: Command, which, edit):
    segment_volume(config)
    array = Path(config.raw) if which == "raw" else tmp_path / "run/volumes.zarr" / which
    volume = Volume.open(array, "r+")
    key = next(iter(edit))
    before = volume.attrs[key]
    told = [key, "40" if key == "voxel_size" else "90", "30" if key == "voxel_size" else "60"]
    volume.data.attrs.update(edit)
    code, said, error = command("status", tmp_path / "run")
    assert code == 0
    for word in (str(array), *told):
        assert word in error
    if which != "raw":
        assert "Edited: the place of what" in said
        assert "or give --overwrite to the same command" in said
    with pytest.raises(UserError) as refused:
        segment_volume(config)
    for word in (which, *told, "--overwrite"):
        assert word in str(refused.value)
    volume.data.attrs[key] = before
    segment_volume(config)
    assert command("status", tmp_path / "run")[2] == ""


def test_an_output_whose_place_was_edited_is_told_by_view_and_can_be_made_again(config, tmp_path, caplog):
    segmentation = Volume.open(segment_volume(config).output("relabel"), "r+")
    before, roi = segmentation.read(), segmentation.roi
    segmentation.data.attrs["offset"] = [0, 0, 0]
    show_plan(make_plan(config))
    assert "relabel is shown where it says that it is; it was edited: its offset was [60, 12, 0]" in caplog.text
    for use in (
        lambda: export_volume(Volume.open(segmentation.path), tmp_path / "out.h5"),
        lambda: build_pyramid(PyramidConfig(volume=str(segmentation.path), execution=SERIAL)),
    ):
        with pytest.raises(UserError, match=r"its offset was \[60, 12, 0\], and is \[0, 0, 0\]"):
            use()
    assert "its offset was" in describe(Volume.open(segmentation.path))["edited"]
    assert not (tmp_path / "out.h5").exists()
    segment_volume(config, overwrite=True)
    again = Volume.open(segmentation.path)
    assert again.roi == roi
    np.testing.assert_array_equal(again.read(), before)


def test_the_verbs_say_it_and_can_be_told_to_trust(config, tmp_path, command: Command):
    verb = ("segment", config.raw, "--backbone", config.backbone, "-o", config.output, "--set")
    verb += ('segment.execution.launcher="serial"', "--json")
    assert command(*verb)[0] == 0
    segmentation = Volume.open(tmp_path / "run/volumes.zarr/segmentation")
    before = segmentation.attrs["instance"]
    raw = Volume.open(config.raw, "r+")
    raw.data[8, 40, 40] = 255 - raw.data[8, 40, 40]
    code, _, error = command(*verb, "--trust-inputs")
    assert (code, error) == (0, "")
    assert Volume.open(segmentation.path).attrs["instance"] == before
    code, _, error = command(*verb)
    assert code == 0
    assert error.startswith(f"neuroadda: warning: {config.raw}: raw changed (1 of ")
    assert "predict and what follows are done again" in error
    assert len(error.splitlines()) == 1
    assert Volume.open(segmentation.path).attrs["instance"] != before


@pytest.mark.parametrize("stage", ["predict", "fragments", "relabel"])
def test_output_that_was_deleted_is_said_and_made_again(config, tmp_path, caplog, command: Command, stage):
    plan = segment_volume(config)
    segmentation, lost = Volume.open(plan.output("relabel")).read(), Volume.open(plan.output(stage))
    before = lost.read()
    files = sorted(path for path in lost.path.rglob("*") if path.is_file() and path.name[0].isdigit())
    files[0].unlink()
    files[-1].write_bytes(b"")  # as a disk's failure leaves it
    labels = write_raw(tmp_path / "truth.zarr/labels", SHAPE, seed=2)
    labels.data[:] = 1 + np.indices(SHAPE)[1] // 20
    code, _, error = command("evaluate", tmp_path / "run", labels.path)
    assert code == 2
    assert f"blocks of {stage} are done, but not all of their output is there" in error
    caplog.clear()
    segment_volume(config)
    assert f"2 blocks of {stage} are done, but not all of their output is there: done again" in caplog.text
    np.testing.assert_array_equal(lost.read(), before)
    np.testing.assert_array_equal(Volume.open(plan.output("relabel")).read(), segmentation)
    caplog.clear()
    segment_volume(config)
    assert not caplog.records


def test_the_mask_that_a_run_has_found_may_be_edited(config, tmp_path, caplog):
    raw = Volume.open(config.raw, "r+")
    raw.data[:, :, 64:] = 0
    segmentation = Volume.open(segment_volume(config).output("relabel"))
    assert segmentation.read()[8, 40, 40]
    mask = Volume.open(tmp_path / "run/no_data.zarr/mask", "r+")
    mask.data[:, :, 32:] = 0
    segment_volume(config)
    assert "no_data changed (" in caplog.text
    assert not Volume.open(segmentation.path).read()[:, :, 32:].any()
    given = config.model_copy(update={"no_data": str(mask.path), "output": str(tmp_path / "other")})
    other = Volume.open(segment_volume(given).output("relabel")).path
    mask.data[:, 36:] = 0
    caplog.clear()
    forget_warnings()
    segment_volume(given)
    assert "no_data changed (" in caplog.text
    assert not Volume.open(other).read()[:, 36:].any()


def test_a_report_whose_labels_were_edited_is_named(config, made, tmp_path, command: Command):
    labels = Volume.open(tmp_path / "labels.zarr/labels", "r+")
    labels.data[3, 3, 3] = 7
    stale = find_stale(made["segmentation"])
    assert set(stale) == {str(made["page"]), str(made["numbers"])}
    assert f"stale: {made['page']}: {labels.path} was edited since" in command("status", tmp_path / "run")[1]
    flow.run(RunConfig(segment=config, evaluate=EvaluateConfig(labels=str(labels.path), thresholds=(0.15,))))
    assert find_stale(made["segmentation"]) == {}
    flow.run(RunConfig(segment=config))  # and then it has no labels
    labels.data[3, 3, 3] = 8
    assert find_stale(made["segmentation"]) == {}
