"""A whole run: what is wrong is told at its start, and what needs a person has its own exit code."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.evaluation.measure import EvaluateConfig, check_evaluation
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.volumes.urls import Url
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
