"""A whole run: what is wrong is told at its start, and what needs a person has its own exit code."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuroadda.backbones.card import load_card
from neuroadda.errors import UserError
from neuroadda.evaluation.measure import EvaluateConfig, check_evaluation
from neuroadda.flow import load_config
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.volumes.storage.urls import Url
from neuroadda.zoo.finding import open_zoo

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "phantom.zarr"
    write_phantom(PhantomConfig(shape_vx=(10, 96, 96), seed=3), folder)
    return folder


def write_config(phantom: Path, tmp_path: Path, **changes: object) -> Path:
    size = Volume.open(phantom / "raw").voxel_size_nm
    data = {
        "adapt": {
            "raw": str(phantom / "raw"),
            "output": str(tmp_path / "adapted"),
            "propose": {"shape_nm": [8 * size[0], 48 * size[1], 48 * size[2]], "choose": {"count": 1}},
            "train": {"name": "a", "domain": "p", "iterations": 1, "output_shape_vx": [4, 16, 16], "workers": 0},
            "execution": {"launcher": "serial"},
        },
        **changes,
    }
    path = tmp_path / "run.json"
    path.write_text(json.dumps(data))
    return path


def test_boxes_that_wait_for_labels_end_a_run_with_3(command: Run, phantom: Path, tmp_path: Path) -> None:
    config = write_config(phantom, tmp_path)
    backbone = f'adapt.backbone="{open_zoo().folder("fly_larva_l1_sstem")}"'
    code, told, error = command("run", "-c", config, "--json", "--set", backbone)
    assert (code, told) == (3, "")
    assert f"boxes wait for labels: `neuroadda proposals import {tmp_path / 'adapted/round_1'} LABELS`" in error
    folder = tmp_path / "adapted" / "round_1"
    assert command("proposals", "skip", folder, 2)[0] == 2
    assert command("proposals", "skip", folder, 1) == (0, f"{folder / 'labels' / 'roi_1.skipped.json'}\n", "")
    code, _, error = command("run", "-c", config, "--json", "--set", backbone)
    assert code == 2
    assert "every box was left out" in error


def test_what_is_compared_is_looked_for_at_the_start(command: Run, phantom: Path, tmp_path: Path) -> None:
    backbone = str(open_zoo().folder("fly_larva_l1_sstem"))
    config = write_config(
        phantom,
        tmp_path,
        segment={"raw": str(phantom / "raw"), "backbone": backbone, "output": str(tmp_path / "segmented")},
        evaluate={"labels": str(phantom / "labels"), "compare": {"other": str(tmp_path / "none.zarr")}},
    )
    code, _, error = command("run", "-c", config, "--json")
    assert code == 2
    assert "none.zarr: there is no array here" in error
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["run.json"]


def test_what_is_compared_must_fit_unless_it_is_still_to_be_made(phantom: Path, tmp_path: Path) -> None:
    raw, made = Volume.open(phantom / "raw"), tmp_path / "segmented"
    Volume.create(tmp_path / "c.zarr/coarse", (10, 48, 48), (30, 30, 30), np.uint64)

    def compare(path: Path) -> EvaluateConfig:
        return EvaluateConfig(labels=str(phantom / "labels"), compare={"other": str(path)})

    check_evaluation(compare(made / "volumes.zarr" / "fragments"), raw, (made,))
    there = EvaluateConfig(labels=str(phantom / "labels"), compare={"other": "s3://bucket/run.zarr/segmentation"})
    check_evaluation(there, raw, (made, Url("s3://bucket/run.zarr")))
    check_evaluation(compare(phantom / "labels"), raw, (made,))
    with pytest.raises(UserError, match="voxel size"):
        check_evaluation(compare(tmp_path / "c.zarr" / "coarse"), raw, (made,))


def test_a_run_segments_as_its_labelled_boxes_tell(command: Run, phantom: Path, tmp_path: Path) -> None:
    given = {"raw": str(phantom / "raw"), "backbone": "fly_larva_l1_sstem"}
    data = {
        "tune": given
        | {"labels": [str(phantom / "labels")], "output": str(tmp_path / "tuned"), "any_voxel_size": True},
        "segment": given
        | {"output": str(tmp_path / "run"), "any_voxel_size": True, "execution": {"launcher": "serial"}},
        "evaluate": {"labels": str(phantom / "labels")},
    }
    (tmp_path / "run.json").write_text(json.dumps(data))
    assert command("check", tmp_path / "run.json")[0] == 0
    code, told, _ = command("run", "-c", tmp_path / "run.json", "--json")
    assert code == 0
    tuned = json.loads((tmp_path / "tuned/tune.json").read_text())
    summary = json.loads(told)
    assert summary["tuned"] == tuned["told"]
    assert summary["threshold"] == tuned["threshold"]
    page = (tmp_path / "run/report.html").read_text()
    assert "Settings, chosen on labelled boxes" in page
    assert "This run was given its own" not in page

    own = ("--set", "segment.components.threshold=0.85", "--overwrite")
    assert command("run", "-c", tmp_path / "run.json", "--json", *own)[0] == 0
    assert "This run was given its own: " in (tmp_path / "run/report.html").read_text()


def test_a_training_is_tuned_on_its_validation_part(command: Run, phantom: Path, tmp_path: Path) -> None:
    paths = {"raw": str(phantom / "raw"), "labels": str(phantom / "labels")}
    network = {"features": [4, 6], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[3, 3, 3]]]}
    train = {"name": "small", "domain": "p", "samples": [paths], "network": network, "output_shape_vx": [4, 24, 24]}
    train |= {"iterations": 1, "workers": 0, "device": "cpu", "output": str(tmp_path / "trained"), "validate_every": 1}
    segment = {"raw": paths["raw"], "backbone": str(tmp_path / "trained/backbone"), "output": str(tmp_path / "run")}
    segment |= {"execution": {"launcher": "serial"}}
    config = tmp_path / "run.json"
    config.write_text(
        json.dumps({"train": train, "validation": paths, "segment": segment, "evaluate": {"labels": paths["labels"]}})
    )
    code, told, _ = command("run", "-c", config, "--json")
    assert code == 0
    summary, card = json.loads(told), load_card(tmp_path / "trained/backbone")
    tuned = json.loads((tmp_path / "trained/tuning/tune.json").read_text())
    assert card.segmentation == tuned["segmentation"]
    assert summary["threshold"] == tuned["threshold"]
    assert "the validation part, which the backbone was trained on, so that the VOI is too low" in summary["tuned"]
    assert not summary["trained"]["left_out"]  # all of the volume is in the training
    assert command("run", "-c", config, "--json")[1] == told


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("segment.agglomerate.scoring=quantile_0", "the command line: segment.agglomerate.scoring"),
        ("segment.fragments.seed_distance_vx=9", "the command line: segment.fragments"),
        ("segment.block_vx=[8, 8, 8]", "run.json: segment.fragments"),
    ],
)
def test_what_is_wrong_is_said_to_be_where_it_was_set(tmp_path, key, where):
    method = {"method": "ascent"} | ({"boundary": 0.2} if "block_vx" in key else {})
    data = {"segment": {"raw": "r", "backbone": "b", "output": "o", "fragments": method}}
    (tmp_path / "run.json").write_text(json.dumps(data))
    with pytest.raises(UserError) as refused:
        load_config(tmp_path / "run.json", [key])
    assert where in str(refused.value)
