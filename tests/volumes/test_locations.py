import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.info import describe
from neuroadda.volumes.storage.locations import is_inside, move, to_folder, to_location
from neuroadda.volumes.storage.nodes import is_array, open_array
from neuroadda.volumes.storage.urls import Url

NM = (40, 4, 4)


@pytest.fixture
def memory():
    import fsspec

    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def test_a_url_has_the_parts_of_a_path():
    url = to_location("s3://bucket/run.zarr/raw/")
    assert isinstance(url, Url)
    assert (str(url), url.name, url.suffix, str(url.parent)) == (
        "s3://bucket/run.zarr/raw",
        "raw",
        "",
        "s3://bucket/run.zarr",
    )
    assert [str(p) for p in url.parents] == ["s3://bucket/run.zarr", "s3://bucket"]
    assert str(url.with_name("labels") / "a/b") == "s3://bucket/run.zarr/labels/a/b"
    assert url == Url("s3://bucket/run.zarr/raw")
    assert to_location("file:///data/a.zarr") == Path("/data/a.zarr")
    assert to_location("a.zarr/raw") == Path("a.zarr/raw")


def test_what_lies_in_what(tmp_path):
    assert is_inside(to_location("s3://b/run.zarr/a"), to_location("s3://b/run.zarr"))
    assert not is_inside(to_location("s3://b/run.zarr2/a"), to_location("s3://b/run.zarr"))
    assert is_inside(tmp_path / "a", tmp_path)
    assert not is_inside(to_location("s3://b/a"), tmp_path)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://key:secret@bucket/a", "credentials do not belong into a URL"),
        ("https://host/a?token=secret", "credentials do not belong into a URL"),
        ("simplecache::s3://bucket/a", "makes no sense"),
        ("s3://", "makes no sense"),
    ],
)
def test_urls_that_are_refused(url, told):
    with pytest.raises(UserError, match=told) as error:
        Volume.open(url)
    assert "secret" not in str(error.value)


def test_credentials_of_a_url_are_kept_and_never_shown():
    url = Url.with_credentials("http://me:secret@127.0.0.1:1/zoo/?token=secret") / "a" / "b"
    assert (str(url), url.login, url.query) == ("http://127.0.0.1:1/zoo/a/b", "me:secret", "token=secret")
    assert url.parent.query == "token=secret"
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:1/zoo/a/b: it cannot be read") as error:
        url.read_at_most(10)
    assert "secret" not in str(url) + repr(url) + str(error.value)
    with pytest.raises(UserError, match="credentials do not belong into a URL"):
        Url.with_credentials("s3://key:secret@bucket/a")


def test_what_must_be_a_folder_says_so():
    with pytest.raises(UserError, match="the run's folder must be a folder of this machine"):
        to_folder("s3://bucket/run", "the run's folder")


@pytest.mark.parametrize(
    "verb",
    [
        ("export", "{raw}", "s3://b/a.zarr/raw"),
        ("phantom", "s3://b/a.zarr"),
        ("pyramid", "{raw}", "-o", "s3://b/a.zarr"),
    ],
)
def test_verbs_that_write_folders_say_so(command, tmp_path, monkeypatch, verb):
    if verb[0] == "pyramid":
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    Volume.create("v.zarr/raw", (8, 8, 8), NM, np.uint8)
    code, _, errors = command(*(word.format(raw="v.zarr/raw") for word in verb))
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "must be a folder of this machine" in errors
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == ["v.zarr"]


def test_unknown_file_systems_are_one_line():
    with pytest.raises(UserError, match="nono"):
        Volume.open("nono://bucket/a.zarr/a")


def test_arrays_in_memory_are_those_on_disk(memory, tmp_path):
    np.save(tmp_path / "raw.npy", np.arange(8 * 9 * 10, dtype=np.uint8).reshape(8, 9, 10))
    here = import_volume(tmp_path / "raw.npy", tmp_path / "a.zarr/raw", voxel_size_nm=NM, chunk_vx=(4, 4, 4))
    there = import_volume(tmp_path / "raw.npy", "memory://a.zarr/raw", voxel_size_nm=NM, chunk_vx=(4, 4, 4))
    files = {f.relative_to(tmp_path).as_posix(): f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    assert {f"{name.lstrip('/')}": memory.cat(name) for name in memory.find("/")} == {
        name: data for name, data in files.items() if name.startswith("a.zarr")
    }
    told, known = describe(there), describe(here)
    assert told.pop("path") == "memory://a.zarr/raw"
    assert told == {key: value for key, value in known.items() if key != "path"}
    with pytest.raises(UserError, match="it exists already"):
        import_volume(tmp_path / "raw.npy", "memory://a.zarr/raw", voxel_size_nm=NM)
    with pytest.raises(UserError, match="cannot be another below it"):
        Volume.create("memory://a.zarr/raw/x", (4, 4, 4), NM, np.uint8)
    import_volume(tmp_path / "raw.npy", "memory://a.zarr/raw", voxel_size_nm=NM, chunk_vx=(8, 8, 8), overwrite=True)
    assert np.array_equal(Volume.open("memory://a.zarr/raw").read(), here.read())
    there.delete()
    assert not there.path.exists()


def test_a_failed_import_leaves_nothing_there(memory, tmp_path):
    np.save(tmp_path / "labels.npy", np.full((4, 4, 4), -1))
    with pytest.raises(UserError, match="negative ids"):
        import_volume(tmp_path / "labels.npy", "memory://a.zarr/labels", voxel_size_nm=NM, kind="labels")
    assert memory.find("/") == []


def test_an_array_is_moved_metadata_last(memory, monkeypatch):
    volume = Volume.create("memory://a.zarr/.x.partial", (8, 8, 8), NM, np.uint8, chunk_vx=(4, 4, 4))
    volume.data[:] = 1
    copied = []
    copy = type(memory).cp_file
    monkeypatch.setattr(
        type(memory), "cp_file", lambda self, a, b, **kw: (copied.append(Path(b).name), copy(self, a, b, **kw))
    )
    target = to_location("memory://a.zarr/x")
    move(volume.path, target)
    assert copied[-1] == ".zarray"
    assert len(copied) == 8 + 2
    assert Volume.open(target).read().all()
    assert not is_array(volume.path)


def test_served_arrays_are_read(tmp_path):
    pytest.importorskip("aiohttp", reason="pip install neuroadda[s3]")
    volume = Volume.create(tmp_path / "a.zarr/raw", (8, 8, 8), NM, np.uint8, chunk_vx=(4, 4, 4))
    volume.data[:6] = 7

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/a.zarr"
        assert np.array_equal(Volume.open(f"{url}/raw").read(), volume.read())
        with pytest.raises(UserError, match="there is no array here"):
            open_array(to_location(f"{url}/none"))
    finally:
        server.shutdown()
        server.server_close()
