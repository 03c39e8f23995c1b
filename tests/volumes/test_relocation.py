"""Places that a folder has noted, after it was moved."""

import os
import shutil
from pathlib import Path

import pytest

from neuroadda.volumes.identity.relocation import Relocation, to_absolute


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder `run`, which knows of itself, of `data` beside it, and of `far` two folders up."""
    for name in ("home/run/arrays", "home/data/raw", "far/backbone"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "home"


def test_what_lies_in_the_folder_moves_with_it_and_is_named_by_what_is_given(home, tmp_path, monkeypatch):
    then = home / "run"
    moved = Path(shutil.move(then, tmp_path / "other"))
    for now in (moved, Path("other"), Path("./x/../other")):
        monkeypatch.chdir(tmp_path)
        relocation = Relocation(then, now)
        assert relocation.moved
        assert relocation.find(str(then / "arrays")) == str(now / "arrays")
        assert relocation.find(str(then / "not yet")) == str(now / "not yet")
        assert relocation.find(str(then)) == str(now)
        assert relocation.find(str(home / "data/raw")) == str(home / "data/raw")
        assert relocation.find("s3://bucket/raw") == "s3://bucket/raw"


def test_what_was_moved_together_with_the_folder_lies_as_it_lay(home, tmp_path):
    then = home / "run"
    (tmp_path / "deep").mkdir()
    moved = Path(shutil.move(home, tmp_path / "deep/er"))
    relocation = Relocation(then, moved / "run")
    assert relocation.find(str(home / "data/raw")) == str(moved / "data/raw")
    assert relocation.find(str(tmp_path / "far/backbone")) == str(tmp_path / "far/backbone")  # it has stayed
    gone = str(home / "data/nothing")
    assert relocation.find(gone) == gone
    assert relocation.beside(Path(gone)) == moved / "data/nothing"


def test_a_folder_that_is_reached_by_a_link_has_not_moved(home, tmp_path):
    (tmp_path / "link").symlink_to(home)
    relocation = Relocation(home / "run", tmp_path / "link/run")
    assert not relocation.moved
    assert Path(relocation.find(str(home / "data/raw"))) == home / "data/raw"


def test_places_become_absolute_and_urls_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert to_absolute("a/b") == f"{os.getcwd()}/a/b"
    assert to_absolute("/a/b") == "/a/b"
    assert to_absolute("file:///a/b") == "/a/b"
    assert to_absolute("https://host/a") == "https://host/a"
