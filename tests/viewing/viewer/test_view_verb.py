"""The command `neuroadda view`: what it prints, what it refuses, how it ends, and what it finds in published folders."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from neuroadda.viewing.viewer.view import find_view
from neuroadda.volumes.arrays import Volume
from tests.segmentation.synthetic import write_backbone, write_raw
from tests.viewing.viewer.published import publish

HEAR = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background job of a shell ignores SIGINT
Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(tmp_path: Path, signum: int) -> None:
    raw = write_raw(tmp_path / "v.zarr/raw", shape=(8, 40, 40))
    command = [sys.executable, "-m", "neuroadda.cli", "view", str(raw.path), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=HEAR)
    assert process.stdout is not None
    printed = json.JSONDecoder().raw_decode(_read_json(process))[0]
    with urllib.request.urlopen(f"{printed['url']}state.json") as answer:
        assert json.loads(answer.read()) == printed["state"]
    source = printed["state"]["layers"][0]["source"]["url"].removeprefix("zarr://")
    with urllib.request.urlopen(f"{source}/.zarray") as answer:
        assert answer.read() == (raw.path / ".zarray").read_bytes()
    process.send_signal(signum)
    _, told = process.communicate(timeout=60)
    assert process.returncode == (0 if signum == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in told


def _read_json(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        try:
            json.loads(text)
        except ValueError:
            continue
        return text
    raise AssertionError(text)


def test_bad_input_is_told_in_a_line(command: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    raw = write_raw(tmp_path / "v.zarr/raw", shape=(8, 40, 40)).path
    for arguments in (
        (tmp_path / "empty",),
        (tmp_path / "nothing",),
        (raw, "--token", "short"),
        (raw, "--host", "203.0.113.1"),
        (raw, "--viewer", "file:///etc"),
        (raw, "--base-url", "ftp://host"),
        (),
        (raw, "--base-url", "http://host", "--root", tmp_path / "empty"),
    ):
        code, out, error = command("view", *arguments)
        assert (code, out, error.count("\n")) == (2, "", 1), arguments


def test_a_config_names_its_run_and_a_root_gives_a_link(command: Run, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "v #1/v.zarr/raw", shape=(8, 40, 40))
    write_backbone(tmp_path / "backbone")
    execution = {"launcher": "serial"}
    segment = {"raw": str(raw.path), "backbone": str(tmp_path / "backbone"), "output": str(tmp_path / "run")}
    (tmp_path / "run.json").write_text(json.dumps({"segment": segment | {"execution": execution}}))
    code, _, error = command("view", "-c", tmp_path / "run.json", "--root", tmp_path, "--json")
    assert (code, "nothing here that can be shown" in error) == (2, True)
    assert command("predict", "-c", tmp_path / "run.json")[0] == 0
    code, out, _ = command("view", "-c", tmp_path / "run.json", "--root", tmp_path, "--json")
    urls = [layer["source"]["url"] for layer in json.loads(out)["layers"]]
    base = "zarr://http://127.0.0.1:8000"
    assert (code, urls) == (0, [f"{base}/v%20%231/v.zarr/raw", f"{base}/run/volumes.zarr/affs"])
    code, out, _ = command(
        "view", tmp_path / "run", "--base-url", "https://h/d", "--root", tmp_path, "--viewer", "https://v"
    )
    assert (code, out.startswith("https://v/#!%7B"), "https%3A%2F%2Fh%2Fd%2Frun" in out) == (0, True, True)


def test_what_is_published_is_found_with_its_largest_segments(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="tensorstore is not installed (pip install neuroadda[publish])")
    raw = write_raw(tmp_path / "v.zarr/raw", shape=(8, 40, 40))
    labels = Volume.create(
        tmp_path / "v.zarr/labels", (8, 40, 40), raw.voxel_size_nm, np.uint64, offset_nm=raw.offset_nm
    )
    voxels = np.zeros((8, 40, 40), np.uint64)
    for number in range(1, 21):
        voxels[:, number, : number + 1] = number * 2**40
    labels.write(labels.roi, voxels)
    view = find_view([publish(tmp_path / "out", raw, labels)])
    assert [shown.name for shown in view.volumes] == ["raw", "segmentation"]
    assert view.volumes[1].segments == tuple(n * 2**40 for n in range(20, 8, -1))
    state = view.to_state(lambda shown: f"http://host/{shown.name}")
    layer = state["layers"][1]
    assert (layer["source"], layer["segments"][0]) == (
        {"url": "precomputed://http://host/segmentation"},
        str(20 * 2**40),
    )
    assert state["showSlices"] is False
    shape_nm = [n * v for n, v in zip(raw.shape_vx, raw.voxel_size_nm, strict=True)]
    middle = [(o + s / 2) / v for o, s, v in zip(raw.offset_nm, shape_nm, raw.voxel_size_nm, strict=True)]
    assert state["position"] == pytest.approx(middle)
    array = tmp_path / "out/webknossos/raw/1/zarr.json"  # one that is not finished, then one that is
    array.parent.mkdir(parents=True)
    (tmp_path / "out/.run").mkdir()
    array.write_text('{"zarr_format": 3, "node_type": "array"}')
    assert len(find_view([tmp_path / "out"]).volumes) == 2
    (tmp_path / "out/webknossos").rename(tmp_path / "out/other")
    (tmp_path / "out/other/datasource-properties.json").write_text("{}")
    assert len(find_view([tmp_path / "out"]).volumes) == 2
    both = find_view([tmp_path / "v.zarr", tmp_path / "out"])
    assert [(s.name, s.scheme) for s in both.volumes] == [
        ("raw", "precomputed"),
        ("labels", "zarr"),
        ("segmentation", "precomputed"),
    ]
    (tmp_path / "out/segmentation/properties/info").write_text("{}")
    assert find_view([tmp_path / "out"]).volumes[1].segments == ()
    (tmp_path / "out/segmentation/info").write_text('{"scales": []}')
    with pytest.raises(Exception, match="no precomputed volume that can be shown"):
        find_view([tmp_path / "out"])
