"""Where a run may write: never over what is somebody else's, and never at an empty path."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import neuroadda as na
from neuroadda.runs.folder import check_run_folder
from neuroadda.volumes.storage.locations import to_location

Run = Callable[..., tuple[int, str, str]]
BACKBONE = "mouse_cortex_sssem"
SMALL = ("--iterations", 1, "--set", "train.output_shape_vx=[4,16,16]", "--set", "train.workers=0")


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume") / "p.zarr"
    na.phantom(folder, shape_vx=(10, 64, 64), seed=3)
    return folder


def verbs(volume: Path) -> dict[str, tuple[object, ...]]:
    raw, labels = volume / "raw", volume / "labels"
    return {
        "segment": ("segment", raw, "--backbone", BACKBONE),
        "predict": ("predict", raw, "--backbone", BACKBONE),
        "train": ("train", raw, labels, *SMALL),
        "propose": ("propose", raw, "--backbone", BACKBONE, "--shape", 120, 120, 120),
    }


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("verb", ["segment", "predict", "train", "propose"])
@pytest.mark.parametrize("place", ["", "p.zarr", "p.zarr/raw", "p.zarr/raw/run", "v.n5/run", "file"])
def test_a_volume_an_array_and_nothing_are_no_output(
    command: Run, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, place: str
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    (volume.parent / "file").write_text("mine")
    before = content(volume.parent)
    code, out, err = command(*verbs(volume)[verb], "-o", str(volume.parent / place) if place else "")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert ("empty" if not place else "output") in err
    assert content(volume.parent) == before
    assert not list(Path().iterdir())


@pytest.mark.parametrize("text", ['{"mine": 1}', "not JSON", '{"samples": [], "iterations": 1}', "[1]"])
@pytest.mark.parametrize("verb", ["segment", "train"])
def test_a_foreign_config_is_not_written_over(command: Run, volume: Path, tmp_path: Path, verb: str, text: str) -> None:
    ours = verb == "train" and "samples" in text
    (tmp_path / "out").mkdir()
    (tmp_path / "out/config.json").write_text(text)
    code, _, err = command(*verbs(volume)[verb], "-o", tmp_path / "out", "--overwrite")
    assert code == (0 if ours else 2), err
    if not ours:
        assert "config.json in the output is that of something else" in err
        assert content(tmp_path / "out") == {"config.json": text.encode()}


def test_an_adaptation_takes_no_foreign_folder(tmp_path: Path, volume: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    train = {"name": "a", "domain": "p", "iterations": 1, "output_shape_vx": (4, 16, 16)}
    config = na.AdaptConfig(raw="-", output="-", train=train, propose={"shape_nm": (240, 192, 192)})
    with pytest.raises(na.UserError, match="that of something else"):
        na.adapt(volume / "raw", output=tmp_path, config=config)
    assert content(tmp_path) == {"config.json": b"{}"}


def test_a_folder_of_its_own_is_fine(tmp_path: Path, volume: Path) -> None:
    check_run_folder(tmp_path / "new", {"a"})
    check_run_folder(tmp_path, {"a"})
    (tmp_path / "config.json").write_text('{"a": 1, "b": 2}')
    check_run_folder(tmp_path, {"a"})
    check_run_folder(volume / "beside_raw")


def test_a_folder_in_the_group_of_a_volume_changes_nothing_in_it(command: Run, volume: Path) -> None:
    before = content(volume)
    settings = ("--set", 'segment.execution.launcher="serial"', "--json")
    code, _, err = command(*verbs(volume)["segment"], "-o", volume / "run", *settings)
    assert (code, err) == (0, "")
    after = content(volume)
    assert {name: data for name, data in after.items() if not name.startswith("run/")} == before
    shutil.rmtree(volume / "run")


@pytest.mark.parametrize(
    "arguments", [("export", "RAW", ""), ("phantom", ""), ("import", "RAW", ""), ("domains", "tree", "-o", "")]
)
def test_an_empty_path_is_refused_by_every_verb(
    command: Run, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*(volume / "raw" if each == "RAW" else each for each in arguments))
    assert (code, out) == (2, "")
    assert "path is empty" in err
    assert not list(tmp_path.iterdir())
    with pytest.raises(na.UserError, match="a path is empty"):
        to_location("")
    with pytest.raises(na.UserError, match=r"'a\\x00b.zarr': a path has the character NUL in it"):
        to_location("a\0b.zarr")
