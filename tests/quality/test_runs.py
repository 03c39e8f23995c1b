"""The quality in a run's summary and report, and what changed since the last run."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuroadda.quality.change import find_before
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom

Run = Callable[..., tuple[int, str, str]]
SHAPE = (10, 96, 96)


def brute_force(ids: np.ndarray) -> dict[str, int]:
    """Return what can be counted of ids zyx in memory."""
    voxels = np.bincount(ids.ravel().astype(int))
    faces = [ids.take(place, axis=axis) for axis in range(3) for place in (0, -1)]
    touching = set(np.concatenate([face.ravel() for face in faces]).tolist()) - {0}
    orphans = set(np.flatnonzero(voxels[1:] > 0) + 1) - touching
    return {
        "segments": int((voxels[1:] > 0).sum()),
        "segmented": int(voxels[1:].sum()),
        "at_border": len(touching),
        "orphans": len(orphans),
        "orphan_voxels": int(voxels[list(orphans)].sum()) if orphans else 0,
    }


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "phantom.zarr"
    write_phantom(PhantomConfig(shape_vx=SHAPE, seed=5, neurite_spacing_nm=130), folder)
    return folder


@pytest.mark.system
def test_a_run_tells_its_quality_and_what_changed(command: Run, phantom: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    segment = {"raw": str(phantom / "raw"), "backbone": "fly_larva_l1_sstem", "output": str(output)}
    segment |= {"any_voxel_size": True, "execution": {"launcher": "serial"}, "block_vx": [10, 48, 48]}
    truth = {"evaluate": {"labels": str(phantom / "labels"), "thresholds": [0.3, 0.5]}}

    def run(threshold: float, config: dict) -> tuple[dict, str]:
        (tmp_path / "run.json").write_text(json.dumps(config))
        given = ("--set", f"segment.components.threshold={threshold}", "--overwrite")
        code, told, error = command("run", "-c", tmp_path / "run.json", "--json", *given)
        assert code == 0, error
        return json.loads(told), (output / "report.html").read_text()

    first, page = run(0.8, {"segment": segment} | truth)
    quality = first["quality"]
    assert quality["voxels"] == np.prod(SHAPE)
    ids = Volume.open(output / "volumes.zarr/segmentation").read()
    assert {name: quality[name] for name in brute_force(ids)} == brute_force(ids)
    largest = sorted(np.bincount(ids.ravel().astype(int))[1:].tolist(), reverse=True)[:20]
    assert [segment["voxels"] for segment in quality["largest"]] == largest
    assert sum(size["segments"] for size in quality["sizes"]) == quality["segments"]
    assert page.count("in 3-D") == 2 * len(largest)
    assert "Right: what the truth has there" in page
    assert "What changed since" not in page
    assert first["before"] is None

    again, same = run(0.8, {"segment": segment} | truth)
    assert again == first
    assert re.sub(r"neuroadda, \d.*", "", same) == re.sub(r"neuroadda, \d.*", "", page)

    other, page = run(0.05, {"segment": segment} | truth)
    assert other["quality"]["segments"] > quality["segments"]
    assert "What changed since" in page
    before = other["before"]
    assert (before["threshold"], before["fingerprint"]) == (0.8, first["fingerprint"])
    assert {name: before[name] for name in ("segments", "orphans")} == {n: quality[n] for n in ("segments", "orphans")}
    assert before["voi"] == first["scores"]["voi"]

    untold, page = run(0.05, {"segment": segment})
    assert (untold["quality"], untold["before"]) == (other["quality"], before)
    assert page.count("in 3-D") == len(untold["quality"]["largest"])
    assert "Right: what the truth has there" not in page


def test_a_summary_of_an_earlier_version_says_nothing_of_before(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    assert find_before(summary, "a") is None
    for text in ("", "[]", "{}", '{"fingerprint": "b"}', '{"fingerprint": "a"}', '{"fingerprint": "b", "quality": {}}'):
        summary.write_text(text)
        assert find_before(summary, "a") is None
