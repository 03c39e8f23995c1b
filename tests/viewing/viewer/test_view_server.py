"""The server of `neuroadda view`: it hands out what is shown, to whom it may, and nothing else."""

import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.viewing.viewer.files import parse_range
from neuroadda.viewing.viewer.server import ViewServer
from neuroadda.viewing.viewer.view import View, find_view
from neuroadda.volumes.arrays import Volume
from tests.viewing.viewer.published import serving
from tests.waiting import PATIENCE_SECONDS

TOKEN = "a-token-that-nobody-guesses"
SECRET = b"nobody may see this"
CHUNK = "/data/raw/0/0/0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    volume = Volume.create(tmp_path / "v.zarr/raw", (8, 64, 64), (30, 6, 6), np.uint8, chunk_vx=(8, 32, 64))
    volume.write(volume.roi, np.arange(8 * 64 * 64, dtype=np.uint32).astype(np.uint8).reshape(8, 64, 64))
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "v.zarr/secret").write_bytes(SECRET)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[ViewServer]:
    with serving(find_view([folder / "v.zarr/raw"])) as opened:
        yield opened


def ask(
    server: ViewServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE_SECONDS)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    told = answer.status, answer.msg, answer.read()
    connection.close()
    return told


def test_it_hands_out_the_bytes_of_the_volume_as_they_are(server: ViewServer, folder: Path) -> None:
    array = folder / "v.zarr/raw"
    for file in (p for p in array.rglob("*") if p.is_file()):
        status, headers, body = ask(server, f"/data/raw/{file.relative_to(array)}")
        assert (status, body) == (200, file.read_bytes())
        assert headers["Content-Length"] == str(file.stat().st_size)
    assert ask(server, CHUNK, "HEAD")[2] == b""
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
        assert ask(server, CHUNK, method)[0] == 501
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.parametrize(
    "path",
    [
        "/data/raw/../secret",
        "/data/raw/../../secret",
        "/data/raw/%2e%2e/secret",
        "/data/raw/%2E%2E%2Fsecret",
        "/data/raw/..%2f..%2fsecret",
        "/data/raw/%252e%252e/secret",
        "/data/raw/..%5csecret",
        "/data/raw/0/0/../../../secret",
        "/data/raw//secret",
        "/data/raw/./.zarray",
        "/data/%2e%2e/secret",
        "/data/../secret",
        "/secret",
        "/data/secret",
        "/data/raw/.zarray%00",
        "/data/raw/%ff%fe",
        "/data/raw/",
        "/data/raw",
        "/data/raw/0",
        "/data/",
        "/v/view/../../secret",
        "/v/view/%2e%2e/__init__.py",
        "/v/view/..%2f__init__.py",
        "/v/view//etc/passwd",
        "/events/other",
    ],
)
def test_nothing_else_is_found(server: ViewServer, folder: Path, path: str) -> None:
    status, _, body = ask(server, path)
    assert status == 404
    assert SECRET not in body


def test_absolute_paths_lead_nowhere(server: ViewServer, folder: Path) -> None:
    secret = str(folder / "secret")
    escaped = secret.replace("/", "%2f")
    for path in (f"/data/raw/{secret}", f"/data/raw/{escaped}", f"/data/raw{secret}", f"/data/{escaped}", f"/{secret}"):
        status, _, body = ask(server, path)
        assert (status, SECRET in body) == (404, False)


def test_links_and_pipes_that_leave_the_folder_are_not_followed(server: ViewServer, folder: Path) -> None:
    array = folder / "v.zarr/raw"
    (array / "file").symlink_to(folder / "secret")
    (array / "relative").symlink_to("../secret")
    (array / "folder").symlink_to(folder, target_is_directory=True)
    (array / "circle").symlink_to("circle")
    (array / "inside").symlink_to(".zarray")
    (array / "none").symlink_to("nothing")
    os.mkfifo(array / "pipe")
    for name in ("file", "relative", "folder/secret", "folder/v.zarr/secret", "circle", "pipe", "none"):
        status, _, body = ask(server, f"/data/raw/{name}")
        assert (status, SECRET in body) == (404, False)
    assert ask(server, "/data/raw/inside")[2] == (array / ".zarray").read_bytes()


def test_level_0_of_a_pyramid_is_its_volume_and_no_way_out(folder: Path) -> None:
    from neuroadda.pyramids.pyramid import PyramidConfig, build_pyramid

    array = folder / "v.zarr/raw"
    config = PyramidConfig(volume=str(array), fit_vx=32, chunk_vx=(32, 32, 32), execution={"launcher": "serial"})
    levels = build_pyramid(config)
    assert len(levels) > 1
    (array / "file").symlink_to(folder / "secret")
    (config.group / "9").symlink_to(folder, target_is_directory=True)
    for place in (array, config.group):
        with serving(find_view([place])) as server:
            assert ask(server, "/data/raw/.zattrs")[2] == (config.group / ".zattrs").read_bytes()
            assert ask(server, "/data/raw/0/.zarray")[2] == (array / ".zarray").read_bytes()
            assert ask(server, "/data/raw/0/0/0/0")[2] == (array / "0/0/0").read_bytes()
            assert ask(server, "/data/raw/1/.zarray")[2] == (levels[1].path / ".zarray").read_bytes()
            for path in ("0", "0/", "0/file", "0/../../secret", "0/%2e%2e/secret", "9/secret", "9/v.zarr/secret"):
                assert ask(server, f"/data/raw/{path}")[0] == 404


def test_parts_of_a_file(server: ViewServer, folder: Path) -> None:
    whole = (folder / "v.zarr/raw/0/0/0").read_bytes()
    size = len(whole)
    for asked, (first, end) in {
        "bytes=0-0": (0, 1),
        "bytes=3-9": (3, 10),
        "bytes=5-": (5, size),
        "bytes=-4": (size - 4, size),
        f"bytes=2-{size * 9}": (2, size),
    }.items():
        status, headers, body = ask(server, CHUNK, Range=asked)
        assert (status, body) == (206, whole[first:end])
        assert headers["Content-Range"] == f"bytes {first}-{end - 1}/{size}"
    for asked in (f"bytes={size}-", "bytes=-0"):
        status, headers, _ = ask(server, CHUNK, Range=asked)
        assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")
    for asked in ("bytes=9-3", "bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=a-b", "bytes=" + "9" * 40 + "-"):
        status, _, body = ask(server, CHUNK, Range=asked)
        assert (status, body) == (200, whole)
    assert parse_range("bytes=0-", 0) is None
    assert parse_range(None, 0) == (0, 0)


def test_files_that_are_zipped_are_handed_out_under_their_own_name(server: ViewServer, folder: Path) -> None:
    (folder / "v.zarr/raw/9.gz").write_bytes(b"zipped bytes")
    status, headers, body = ask(server, "/data/raw/9", Range="bytes=0-1")
    assert (status, body, headers["Content-Encoding"]) == (200, b"zipped bytes", "gzip")
    assert "Content-Encoding" not in ask(server, "/data/raw/9.gz")[1]


def test_pages_of_other_origins_may_not_read(folder: Path) -> None:
    view = find_view([folder / "v.zarr/raw"])
    with serving(view, viewer="https://viewer.example/ng/") as server:
        known = ("https://viewer.example", "http://127.0.0.1:9", "http://localhost:9000", server.address)
        for origin in known:
            for path, status in ((CHUNK, 200), ("/data/raw/7/7/7", 404), ("/state.json", 200)):
                found, headers, _ = ask(server, path, Origin=origin)
                assert (found, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (status, origin, "Origin")
            status, headers, _ = ask(server, CHUNK, "OPTIONS", Origin=origin)
            assert (status, headers["Access-Control-Allow-Headers"]) == (204, "Range")
        for origin in (
            "https://evil.example",
            "null",
            "http://127.0.0.1.evil.example",
            "http://[",
            "https://viewer.example.evil",
        ):
            for method in ("GET", "OPTIONS"):
                status, headers, _ = ask(server, CHUNK, method, Origin=origin)
                assert (status, headers["Access-Control-Allow-Origin"]) == (403, None)
        assert ask(server, "/")[1]["Location"] == f"https://viewer.example/ng/#!{server.address}/state.json"
        for host, status in (("localhost:1", 200), ("[::1]:1", 200), ("evil.example", 403), ("a b", 400), ("", 400)):
            assert ask(server, CHUNK, Host=host)[0] == status


def test_without_the_token_nothing_is_told(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    view = find_view([folder / "v.zarr/raw"])
    with serving(view, host="0.0.0.0", token=TOKEN) as server:
        for path in (
            "/",
            CHUNK,
            "/state.json",
            f"/{TOKEN}x{CHUNK}",
            f"/?token={TOKEN}",
            "/v/view/",
            "/events/view",
            "/%ff",
        ):
            status, headers, body = ask(server, path)
            assert (status, TOKEN.encode() in body, headers["Location"]) == (403, False, None)
        assert ask(server, f"/{TOKEN}{CHUNK}")[0] == 200
        told = json.loads(ask(server, f"/{TOKEN}/state.json", Host="host.example:7")[2])
        assert told["layers"][0]["source"]["url"] == f"zarr://http://host.example:7/{TOKEN}/data/raw"
        assert server.url.endswith(f"/{TOKEN}/")
    told = capfd.readouterr()
    assert TOKEN not in told.out + told.err  # and nothing is logged
    with serving(view, host="0.0.0.0") as server:
        assert len(server.token or "") >= 32
    with pytest.raises(UserError, match="--token"), serving(view, token="short"):
        pass
    odd = "a/token?with#signs%2f"
    with serving(view, token=odd) as server:
        assert ask(server, f"{server.prefix}data/raw/.zarray")[0] == 200
        assert ask(server, "/state.json")[0] == 403


def test_what_is_at_no_place_of_this_machine_is_not_served(folder: Path) -> None:
    with pytest.raises(UserError, match="nothing here that can be shown"):
        find_view([folder / "secret.d"])
    with pytest.raises(UserError, match="no state of Neuroglancer"):
        find_view([folder / "secret"])
    (folder / "state.json").write_text('{"layers": [{"type": "image"}]}')
    with pytest.raises(UserError, match="no annotations"):
        find_view([folder / "state.json"])
    (folder / "state.json").write_text('{"layers": [{"type": "annotation", "annotations": []}]}')
    with pytest.raises(UserError, match="no volume to show the rest over"):
        find_view([folder / "state.json"])
    assert find_view([folder]).volumes[0].name == "raw"
    assert View().volumes == []
