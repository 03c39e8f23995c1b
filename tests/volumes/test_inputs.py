"""Inputs: voxels that are edited in place are noticed, and what is merely copied, moved or touched is not taken for edited."""

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import zarr

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity import inputs as module
from neuroadda.volumes.identity.inputs import Inputs, look_again
from neuroadda.volumes.storage import listing as listing_module
from neuroadda.volumes.storage.listing import list_files, read_contents
from neuroadda.volumes.storage.nodes import ZARR3
from neuroadda.volumes.storage.urls import Url

SHAPE, NM = (12, 20, 20), (40, 4, 4)
VOXELS = np.random.default_rng(0).integers(1, 200, SHAPE).astype(np.uint8)
PLACE = (5, 6, 7)


def write_ours(path: Path | str, **attrs: str) -> Volume:
    volume = Volume.create(path, SHAPE, NM, np.uint8, chunk_vx=(4, 8, 8), attrs=attrs)
    volume.write(volume.roi, VOXELS)
    return volume


def write_flat(path: Path) -> Volume:
    """An array of another program, with all chunks in one folder."""
    array = zarr.open(
        str(path), mode="w", shape=SHAPE, chunks=(4, 8, 8), dtype="u1", **({"zarr_format": 2} if ZARR3 else {})
    )
    array[:] = VOXELS
    array.attrs.update(voxel_size=list(NM), offset=[0, 0, 0])
    return Volume.open(path, "r+")


def write_n5(path: Path) -> Volume:
    array = zarr.open(
        zarr.N5Store(str(path.parent)), path=path.name, mode="w", shape=SHAPE, chunks=(4, 8, 8), dtype="u1"
    )
    array[:] = VOXELS
    array.attrs.update(voxel_size=list(NM), offset=[0, 0, 0])
    return Volume.open(path, "r+")


WRITERS = {
    "ours, which keeps its fingerprint": (lambda folder: write_ours(folder / "v.zarr/raw", fingerprint="abc")),
    "ours, without one": (lambda folder: write_ours(folder / "v.zarr/raw")),
    "one folder of chunks": (lambda folder: write_flat(folder / "v.zarr")),
    "N5": (lambda folder: write_n5(folder / "v.n5/raw")),
    "an object store": (lambda folder: write_ours(f"memory://{folder.name}.zarr/raw", fingerprint="abc")),
}


def look(folder: Path, volume: Volume, keep: bool = True) -> tuple[str, bool]:
    """Return the volume's identity, and whether it has changed, for results in a folder."""
    inputs = Inputs(folder / "run")
    identity = inputs.identify("raw", Volume.open(volume.path))
    changed = inputs.changed
    if keep:
        inputs.keep()
    return identity, changed


@pytest.mark.filterwarnings("ignore:The N5Store:FutureWarning")
@pytest.mark.parametrize("kind", WRITERS)
def test_one_voxel_edited_in_place_is_noticed(tmp_path, kind):
    if kind == "N5" and ZARR3:
        pytest.skip("zarr 3 has no N5")
    volume = WRITERS[kind](tmp_path)
    first = look(tmp_path, volume)
    assert first == (volume.fingerprint, False)
    assert look(tmp_path, volume) == first
    volume.data[PLACE] ^= 1
    edited, changed = look(tmp_path, volume, keep=False)
    assert changed
    assert edited != first[0]
    assert look(tmp_path, volume) == (edited, True)  # it stays changed until the new look is kept
    assert look(tmp_path, volume) == (edited, False)
    volume.data[PLACE] ^= 1
    back, changed = look(tmp_path, volume)
    assert changed
    if kind != "an object store":  # where a time is all that is known of the content
        assert back == first[0]


def test_how_many_files_changed_is_said(tmp_path, caplog):
    volume = write_ours(tmp_path / "v.zarr/raw")
    look(tmp_path, volume)
    volume.data[0, 0, 0] ^= 1
    volume.data[11, 19, 19] ^= 1
    inputs = Inputs(tmp_path / "run")
    inputs.identify("raw", volume)
    inputs.warn("so be it")
    assert "raw changed (2 of 27 files) since 20" in caplog.text
    assert f"{volume.path}: " in caplog.text
    assert caplog.text.rstrip().endswith(": so be it")


@pytest.mark.parametrize("how", ["touched", "copied", "moved", "written again"])
def test_the_same_voxels_are_no_change(tmp_path, how):
    volume = write_ours(tmp_path / "v.zarr/raw", fingerprint="abc")
    first = look(tmp_path, volume)
    if how == "touched":
        for file in volume.path.rglob("*"):
            os.utime(file)
    elif how == "copied":
        shutil.copytree(volume.path, tmp_path / "other.zarr/raw", copy_function=shutil.copyfile)
        volume = Volume.open(tmp_path / "other.zarr/raw", "r+")
    elif how == "moved":
        volume = Volume.open(shutil.move(tmp_path / "v.zarr", tmp_path / "other.zarr") / "raw", "r+")
    else:
        volume.write(volume.roi, VOXELS)
    assert look(tmp_path, volume) == first
    volume.data[PLACE] ^= 1
    assert look(tmp_path, volume)[1]


def test_of_large_volumes_sizes_and_times_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(listing_module, "DIGEST_BYTES", 100)
    monkeypatch.setattr(listing_module, "_digest_file", lambda path: pytest.fail("a large volume is not read"))
    volume = write_ours(tmp_path / "v.zarr/raw", fingerprint="abc")
    first = look(tmp_path, volume)
    assert look(tmp_path, volume) == first
    (volume.path / "0/0/0").chmod(0o600)  # its voxels are as old as before
    assert look(tmp_path, volume) == first
    volume.data[PLACE] ^= 1
    assert look(tmp_path, volume)[1]
    shutil.copytree(volume.path, tmp_path / "other.zarr/raw", copy_function=shutil.copyfile)
    assert not look(tmp_path, Volume.open(tmp_path / "other.zarr/raw"))[1]


def test_chunks_that_come_and_go_and_other_metadata_are_changes(tmp_path):
    volume = write_ours(tmp_path / "v.zarr/raw", fingerprint="abc")
    look(tmp_path, volume)
    (volume.path / "0/0/0").rename(tmp_path / "kept")
    assert look(tmp_path, volume)[1]
    (tmp_path / "kept").rename(volume.path / "0/0/0")
    assert look(tmp_path, volume)[1]
    volume.data.attrs["offset"] = [40, 0, 0]
    assert look(tmp_path, volume)[1]
    volume.data.attrs["provenance"] = {"note": "read over again"}  # it says nothing about voxels
    assert not look(tmp_path, volume)[1]


@pytest.mark.parametrize("attrs", [{}, {"fingerprint": "abc"}], ids=["another program's", "ours"])
@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ({"voxel_size": [50, 4, 4]}, "its voxel_size was 40 x 4 x 4 nm (zyx), and is 50 x 4 x 4 nm (zyx)"),
        ({"offset": [0, 8, -4]}, "its offset was 0 x 0 x 0 nm (zyx), and is 0 x 8 x -4 nm (zyx)"),
        ({"units": ["nm", "um", "nm"]}, "its voxel_size was 40 x 4 x 4 nm (zyx), and is 40 x 4000 x 4 nm (zyx)"),
    ],
)
def test_which_attribute_of_a_place_was_edited_is_said(tmp_path, caplog, attrs, edit, told):
    volume = write_ours(tmp_path / "v.zarr/raw", **attrs)
    look(tmp_path, volume)
    volume.data.attrs.update(edit)
    inputs = look_again(tmp_path / "run")
    assert (inputs.edited | inputs.replaced) == {"raw": str(volume.path)}
    inputs.warn("so be it", "so be it")
    assert f"raw changed ({told}) since 20" in caplog.text
    if not attrs:  # its fingerprint is of its attributes: what was made of it is refused, and this is why
        with (
            pytest.raises(UserError, match=r"other inputs \(.*raw changed \(its (voxel_size|offset) was"),
            inputs.explain(),
        ):
            raise UserError("made of other inputs")


def test_an_input_that_cannot_be_opened_any_more_was_edited(tmp_path, caplog):
    volume = write_ours(tmp_path / "v.zarr/raw")
    look(tmp_path, volume)
    del volume.data.attrs["voxel_size"]
    look_again(tmp_path / "run").warn("so be it")
    assert "raw changed (the array has no voxel_size) since 20" in caplog.text


def test_an_edit_within_a_tick_of_the_clock_is_noticed(tmp_path):
    volume = write_ours(tmp_path / "v.zarr/raw")
    now = read_contents(list_files(volume), None, volume.path)
    wrong = replace(now, digest=now.digest + np.uint64(1))  # the bytes were others, and sizes and times the same
    again = read_contents(list_files(volume), replace(wrong, taken=int(now.status.max())), volume.path)
    assert (again.digest == now.digest).all()
    later = read_contents(list_files(volume), replace(wrong, taken=int(now.status.max()) + 10**10), volume.path)
    assert (later.digest == wrong.digest).all()  # by then, an edit would have had another time


def test_an_edit_that_keeps_size_and_modification_time_is_noticed(tmp_path):
    volume = write_ours(tmp_path / "v.zarr/raw", fingerprint="abc")
    look(tmp_path, volume)
    file = volume.path / "1/0/0"
    before, data = file.stat(), bytearray(file.read_bytes())
    data[-1] ^= 1
    with file.open("r+b") as opened:
        opened.write(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look(tmp_path, volume)[1]


def test_trusted_inputs_are_not_listed_and_stay_what_they_were(tmp_path, monkeypatch):
    volume = write_ours(tmp_path / "v.zarr/raw")
    look(tmp_path, volume)
    volume.data[PLACE] ^= 1
    edited, _ = look(tmp_path, volume)
    volume.data[PLACE] ^= 3
    monkeypatch.setattr(module, "list_files", lambda volume: pytest.fail("a trusted input is not listed"))
    inputs = Inputs(tmp_path / "run", trust=True)
    assert inputs.identify("raw", volume) == edited
    assert not inputs.changed
    inputs.keep()
    monkeypatch.undo()
    assert look(tmp_path, volume)[1]


def test_another_array_and_a_broken_record_are_as_if_nothing_were_known(tmp_path):
    volume = write_ours(tmp_path / "v.zarr/raw")
    look(tmp_path, volume)
    other = write_ours(tmp_path / "w.zarr/raw", fingerprint="other")
    assert look(tmp_path, other) == ("other", False)
    (tmp_path / "run/inputs/raw.npz").write_bytes(b"PK\x03\x04 half of it")
    other.data[PLACE] ^= 1
    assert look(tmp_path, other) == ("other", False)


class Server(SimpleHTTPRequestHandler):
    """Says when a file was written, to the second."""

    tells = "Last-Modified"

    def do_HEAD(self) -> None:
        if self.tells == "no HEAD":
            self.send_error(405)
            return
        if not Path(self.translate_path(self.path)).is_file():
            self.send_error(403 if self.tells == "ETag" else 404)  # as stores do whose objects cannot be listed
            return
        if self.tells != "ETag":
            super().do_HEAD()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", hashlib.sha256(content).hexdigest())
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serve(folder: Path, tells: str) -> Iterator[str]:
    handler = type("Telling", (Server,), {"tells": tells})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def edit_later(volume: Volume, seconds: int) -> None:
    """Edit a voxel, and make it look as if that was some seconds after the chunk was written."""
    (file,) = (path for path in volume.path.rglob("*") if path.as_posix().endswith(("1/0/0", "1.0.0")))
    before = file.stat().st_mtime
    volume.data[PLACE[0], 1, 1] ^= 1
    os.utime(file, (before + seconds, before + seconds))


@pytest.mark.parametrize("tells", ["Last-Modified", "ETag"])
@pytest.mark.parametrize("write", [write_ours, write_flat])
def test_one_voxel_edited_at_a_web_server_is_noticed(tmp_path, tells, write):
    pytest.importorskip("aiohttp")
    local = write(tmp_path / "v.zarr")
    with serve(tmp_path, tells) as address:
        served = Volume.open(f"{address}/v.zarr")
        assert look(tmp_path, served) == (served.fingerprint, False)
        assert look(tmp_path, served) == (served.fingerprint, False)
        edit_later(local, 5)
        edited, changed = look(tmp_path, served)
        assert changed
        assert edited != served.fingerprint
        assert look(tmp_path, served) == (edited, False)
        next(path for path in local.path.rglob("*") if path.as_posix().endswith(("2/0/0", "2.0.0"))).unlink()
        assert look(tmp_path, served)[1]


def test_a_web_server_that_does_not_tell_is_not_listed(tmp_path):
    write_flat(tmp_path / "v.zarr")
    (tmp_path / "empty").mkdir()

    class Remote:
        def __init__(self, url: str) -> None:
            self.path = Url(url)

    with serve(tmp_path, "no HEAD") as address:
        assert list_files(Remote(f"{address}/v.zarr")) is None  # type: ignore[arg-type]
        assert list_files(Remote(f"{address}/empty")) is None  # type: ignore[arg-type]
    with serve(tmp_path, "ETag") as address, pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing_module, "MOST_ASKED", 5)
        listings = [list_files(Remote(f"{address}/v.zarr")) for _ in range(2)]  # type: ignore[arg-type]
        assert [len(listing) for listing in listings if listing] == [5, 5]
        np.testing.assert_array_equal(*(listing.name for listing in listings if listing))
