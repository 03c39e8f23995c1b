"""Work that takes long tells how far it is, whatever the verb; what is short says nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neuroadda as na
from neuroadda.cli import working
from neuroadda.cli.working import WorkLines
from neuroadda.observing import RunObserver, track, watched_by
from neuroadda.volumes import exporting, importing
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage import no_data_search

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each part of a work take three seconds, by the clock of the lines alone."""
    clock = iter(range(0, 10**6, 3))
    monkeypatch.setattr(working.time, "monotonic", lambda: float(next(clock)))


class Heard(RunObserver):
    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def on_progress(self, what: str, done: int, total: int) -> None:
        self.told.append((what, done, total))


def test_work_is_told_once_it_is_late(slow: None, capsys: pytest.CaptureFixture[str]) -> None:
    with watched_by(WorkLines()):
        assert list(track("import", "abcdefgh")) == list("abcdefgh")
        assert list(track("short", "a")) == ["a"]
    assert capsys.readouterr().err.splitlines() == ["import: 12 %", "import: 62 %"]
    assert list(track("nobody listens", "ab")) == ["a", "b"]


@pytest.fixture
def small_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BOX_BYTES", 2**12)
    monkeypatch.setattr(exporting, "boxes", importing.boxes)
    monkeypatch.setattr(no_data_search, "BOX_YX", 64)


def test_long_verbs_show_progress(
    command: Run, tmp_path: Path, slow: None, small_boxes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "em.npy", np.random.default_rng(0).integers(0, 256, (32, 200, 200), np.uint8))
    raw, place = tmp_path / "v.zarr/raw", ("--voxel-size", 30, 6, 6)
    for verb, words in (
        (("import", tmp_path / "em.npy", raw, *place), "import of"),
        (("mask", raw), "looking for areas without data"),
        (("info", raw), "looking for areas without data"),
        (("export", raw, tmp_path / "em.h5"), "export of"),
        (("export", raw, tmp_path / "em.tif"), "export of"),
        (("check", raw, "--json"), "looking for areas without data"),
    ):
        code, _, errors = command(*verb)
        assert code == 0, errors
        assert [line for line in errors.splitlines() if line.startswith(words) and line.endswith(" %")], (verb, errors)


def test_the_search_for_no_data_of_a_run_is_told(tmp_path: Path, small_boxes: None) -> None:
    from tests.segmentation.synthetic import write_backbone

    raw = Volume.create(tmp_path / "v.zarr/raw", (8, 70, 70), (30, 6, 6), np.uint8)
    raw.write(raw.roi, np.random.default_rng(0).integers(0, 256, raw.shape_vx, np.uint8))
    heard = Heard()
    backbone = write_backbone(tmp_path / "backbone")
    na.predict(raw, backbone=backbone or tmp_path / "backbone", output=tmp_path / "run", workers=1, observer=heard)
    searched = [(done, total) for what, done, total in heard.told if what.startswith("looking for areas")]
    assert searched[0][0] == 0
    assert searched[-1] == (4, 4)
