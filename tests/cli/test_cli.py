import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neuroadda.backbones.card import load_card
from neuroadda.volumes.arrays import Volume
from tests.segmentation.synthetic import write_backbone, write_raw


@pytest.fixture
def command(command):
    """The command, which must succeed; what it prints."""

    def run(*arguments: object) -> str:
        code, out, err = command(*arguments)
        assert code == 0, err
        return out

    return run


def test_version_and_help():
    told = subprocess.run(
        [sys.executable, "-m", "neuroadda.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for verb in (
        "import",
        "info",
        "phantom",
        "train",
        "predict",
        "tune",
        "segment",
        "evaluate",
        "run",
        "status",
        "view",
        "export",
    ):
        assert f" {verb} " in told


@pytest.mark.system
def test_the_whole_road_on_a_phantom(command, tmp_path):
    facts = json.loads(command("phantom", tmp_path / "p.zarr", "--shape", 12, 96, 96, "--seed", 3, "--json"))
    assert facts["shape"] == [12, 96, 96]
    raw, labels = str(tmp_path / "p.zarr/raw"), str(tmp_path / "p.zarr/labels")
    config = {
        "title": "a phantom <b>",
        "train": {
            "name": "phantom",
            "domain": "phantom",
            "samples": [{"raw": raw, "labels": labels}],
            "output": str(tmp_path / "train"),
            "iterations": 3,
            "workers": 0,
            "output_shape_vx": [4, 16, 16],
            "network": {"features": [2, 4], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[3, 3, 3]]]},
            "checkpoint_every": 2,
            "validate_every": 3,
        },
        "validation": {"raw": raw, "labels": labels, "roi": {"offset_nm": [0, 0, 0], "shape_nm": [120, 288, 288]}},
        "segment": {
            "raw": raw,
            "backbone": str(tmp_path / "train/backbone"),
            "output": str(tmp_path / "run"),
            "block_vx": [6, 48, 96],
            "execution": {"launcher": "serial"},
        },
        "evaluate": {"labels": labels, "skeletons": True},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    card = json.loads(command("train", "-c", path, "--json"))
    assert card["iterations"] == 3
    assert card["metrics"]["voi"] > 0
    assert json.loads(command("validate", "-c", path, "--json")) == card["metrics"]
    planned = json.loads(command("segment", "-c", path, "--dry-run", "--json"))
    assert [stage["blocks"] for stage in planned] == [4, 4, 4, 4, 1, 1, 4]
    assert planned[0]["bytes"] == 3 * 12 * 96 * 96
    assert not (tmp_path / "run").exists()

    summary = json.loads(command("run", "-c", path, "--json"))
    page = Path(summary["report"]).read_text()
    assert "a phantom &lt;b&gt;" in page
    assert f"{summary['scores']['voi']:.3f}"[:4] in page
    tuned = load_card(tmp_path / "train/backbone").segmentation
    assert summary["threshold"] == tuned["components"]["threshold"]
    assert "the validation part, which the backbone was trained on" in summary["tuned"]
    assert summary["tuned"] in page.replace("&#39;", "'").replace("&gt;", ">")
    assert summary["scores"] == pytest.approx(
        next(
            s
            for t, s in zip(summary["sweep"]["thresholds"], summary["sweep"]["scores"], strict=True)
            if t == summary["threshold"]
        )
    )
    assert summary["erl"]["max_erl_nm"] > summary["erl"]["erl_nm"] >= 0
    resolved = json.loads((tmp_path / "run/config.json").read_text())["resolved"]
    assert resolved["predict"]["precision"] in ("float32", "bfloat16")

    stages = json.loads(command("status", tmp_path / "run", "--json"))
    assert [(s["stage"], s["done"], s["blocks"], s["failed"]) for s in stages] == [
        (stage["stage"], stage["blocks"], stage["blocks"], 0) for stage in planned
    ]
    assert "predict\t4\t4" in command("status", tmp_path / "run")
    assert command("predict", "-c", path).strip() == str(tmp_path / "run/volumes.zarr/affs")
    scores = json.loads(command("evaluate", summary["segmentation"], labels, "--json"))
    assert scores == summary["scores"]
    assert json.loads(command("evaluate", "-c", path, "--json"))["sweep"] == summary["sweep"]
    state = json.loads(command("view", tmp_path / "run", "--base-url", "http://host", "--root", tmp_path, "--json"))
    assert [layer["name"] for layer in state["layers"]] == ["raw", "affs", "fragments", "segmentation"]
    exported = command("export", summary["segmentation"], tmp_path / "out.h5").strip()
    command("import", exported, tmp_path / "back.zarr/labels", "--kind", "labels", "--json")
    assert (Volume.open(tmp_path / "back.zarr/labels").read() == Volume.open(summary["segmentation"]).read()).all()
    assert json.loads(command("info", tmp_path / "back.zarr/labels", "--json"))["shape"] == [12, 96, 96]


@pytest.mark.system
def test_failures_are_told_with_one_traceback_and_exit_code_1(tmp_path):
    raw = write_raw(tmp_path / "v.zarr/raw", shape=(8, 40, 40))
    config = {
        "segment": {
            "raw": str(raw.path),
            "backbone": str(write_backbone(tmp_path / "backbone")),
            "output": str(tmp_path / "run"),
            "block_vx": [4, 20, 20],
            "execution": {"workers": 1, "retries": 0},
        }
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    for chunk in (raw.path / "0").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"not what blosc wrote")
    command = [sys.executable, "-m", "neuroadda.cli"]
    segment = [*command, "segment", "-c", "config.json"]
    ended = subprocess.run(segment, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "predict: 8 of 8 blocks are left: RuntimeError" in ended.stderr or "stopped early" in ended.stderr
    assert ended.stderr.count("Traceback") == 1
    told = subprocess.run(
        [*command, "status", "run", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    failures = json.loads(told.stdout)[0]["failures"]
    assert len(failures) == 1
    assert failures[0]["count"] == 8
    raw = write_raw(tmp_path / "v.zarr/raw", shape=(8, 40, 40))
    assert subprocess.run([*segment, "--overwrite"], cwd=tmp_path, capture_output=True).returncode == 0
    assert np.any(Volume.open(tmp_path / "run/volumes.zarr/affs").read())
