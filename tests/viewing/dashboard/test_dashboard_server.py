"""The dashboard over HTTP: what it tells, whom it tells, and what it keeps to itself."""

import http.client
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import dump_config
from neuroadda.errors import UserError
from neuroadda.ledger.base import BlockRecord, Failure, Ledger, TaskRecord, Worker
from neuroadda.ledger.open import open_ledger
from neuroadda.viewing.access import warn_of_network
from neuroadda.viewing.dashboard.server import Dashboard, open_dashboard
from neuroadda.volumes.arrays import Volume
from tests.viewing.dashboard.serving import serve
from tests.waiting import PATIENCE_SECONDS, wait_until

GRID = BlockGrid.make(Roi((0, 0, 0), (80, 600, 600)), Coordinate(10, 5, 5), (4, 40, 40))
TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture(params=["sqlite", "mongo"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "mongo":
        return request.getfixturevalue("own_mongo_url")
    return f"sqlite:///{tmp_path}/ledger.db"


def begin(ledger: Ledger, output: str = "/out/affs", stage: str = "predict", **fields: Any) -> TaskRecord:
    sizes = {"blocks": len(GRID), "voxels": GRID.voxels(), "grid": dump_config(GRID)}
    task = TaskRecord(fingerprint=secrets.token_hex(16), stage=stage, output=output, **(sizes | fields))
    ledger.register(task)
    return task


def write(ledger: Ledger, task: TaskRecord, blocks: range | list[int], status: str = "done", **fields: Any) -> None:
    now = time.time()
    worker = Worker(host="node1", pid=7, device="cuda:0", job="41", cpu_seconds=3.0, peak_bytes=2**30)
    done = {"finished": now, "seconds": 2.0, "voxels": 1} if status != "running" else {}
    about = {"worker": worker, "started": now - 2.0, "status": status} | done | fields
    ledger.write([BlockRecord(fingerprint=task.fingerprint, block=block, **about) for block in blocks])


def get(
    dashboard: Dashboard, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.server_port, timeout=PATIENCE_SECONDS)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    told = answer.status, answer.msg, answer.read()
    connection.close()
    return told


def overview_when(dashboard: Dashboard, ready: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    told: dict[str, Any] = {}

    def is_ready() -> object:
        told.update(json.loads(get(dashboard, "/overview")[2]))
        return told["health"] and not told["reading"] and ready(told)

    wait_until(is_ready)
    return told


def has_failed(told: dict[str, Any]) -> bool:
    return any(stage["failures"] for stage in told["stages"])


def has(**counts: int) -> Callable[[dict[str, Any]], bool]:
    """Ask for one stage with so many blocks of each state: the dashboard may look between two writes."""
    return lambda told: len(told["stages"]) == 1 and counts.items() <= told["stages"][0].items()


def test_it_follows_the_ledger(url: str) -> None:
    ledger = open_ledger(url)
    with serve(url) as dashboard:
        assert overview_when(dashboard, bool)["health"]["state"] == "empty"
        task = begin(ledger)
        write(ledger, task, range(3))
        write(ledger, task, [3], "running")
        told = overview_when(dashboard, has(done=3, running=1))
        assert told["health"]["state"] == "running"
        (stage,) = told["stages"]
        counts = {"stage": "predict", "blocks": 18, "done": 3, "running": 1, "failed": 0, "picture": False}
        assert counts.items() <= stage.items()
        write(ledger, task, [3, 5], "failed", failure=Failure(type="OSError", message="disk", traceback="in read"))
        write(ledger, task, [4])
        told = overview_when(dashboard, has(done=4, running=0, failed=2))
        assert told["health"]["state"] == "failed"
        (failure,) = told["stages"][0]["failures"]
        assert {"cause": "poison", "type": "OSError", "message": "disk", "count": 2}.items() <= failure.items()
        assert {"blocks": [3, 5], "traceback": "in read"}.items() <= failure.items()
        assert "neuroadda retry" in failure["advice"]
        assert told["retry"].startswith("neuroadda retry ")
        detail = json.loads(get(dashboard, f"/detail?stage={task.fingerprint}")[2])
        along_z = detail["map"][0]
        assert (along_z["rows"], along_z["columns"], along_z["blocks"]) == (3, 3, [2] * 9)
        assert along_z["done"] == [1, 1, 1, 0, 1, 0, 0, 0, 0]
        assert along_z["failed"] == [0, 0, 0, 1, 0, 1, 0, 0, 0]
        assert sum(detail["history"]["blocks"]) == 4
        (worker,) = detail["workers"]
        known = {"host": "node1", "pid": 7, "device": "cuda:0", "job": "41", "cpu_seconds": 3.0, "peak_bytes": 2**30}
        assert (known | {"done": 4, "running": 0, "failed": 2}).items() <= worker.items()
        write(ledger, task, range(18))
        assert overview_when(dashboard, has(done=18, failed=0))["health"]["state"] == "finished"
        ledger.reset(task.fingerprint)
        assert overview_when(dashboard, lambda told: not told["stages"])["health"]["state"] == "empty"
    ledger.close()


def test_a_finished_block_is_shown_as_its_output_has_it(tmp_path: Path) -> None:
    output = tmp_path / "v.zarr" / "segmentation"
    volume = Volume.create(output, (8, 120, 120), (10, 5, 5), np.uint64, chunk_vx=(4, 40, 40))
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    task = begin(ledger, str(output), "relabel")
    write(ledger, task, [4])
    volume.write(GRID[4].write_roi, np.full((4, 40, 40), 7, np.uint64))
    with serve(str(tmp_path)) as dashboard:
        assert overview_when(dashboard, bool)["stages"][0]["picture"]
        status, headers, png = get(dashboard, f"/slice?stage={task.fingerprint}&block=4")
        assert (status, headers["Content-Type"], png[:4]) == (200, "image/png", b"\x89PNG")
        for block in ("5", "18", "-1", "x", "", "9" * 40, "%C2%B2"):
            assert get(dashboard, f"/slice?stage={task.fingerprint}&block={block}")[0] == 404
        assert get(dashboard, "/slice?stage=other&block=4")[0] == 404
        volume.delete()
        write(ledger, task, [5])
        overview_when(dashboard, has(done=2))
        status, _, why = get(dashboard, f"/slice?stage={task.fingerprint}&block=5")
        assert (status, b"Traceback" in why) == (404, False)
    ledger.close()


def test_it_changes_nothing_and_has_nothing_else(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.close()
    with serve(str(tmp_path)) as dashboard:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            assert get(dashboard, "/", method)[0] == 501
        for path in ("/../server.py", "/server.py", "/page.html/..", "//etc/passwd", "/%2e%2e/server.py", "/overview/"):
            assert get(dashboard, path)[0] == 404
        assert get(dashboard, "/detail?stage=x")[0] == 404
        assert get(dashboard, "/?" + "x" * 2000)[0] == 414
        status, headers, page = get(dashboard, "/")
        assert (status, get(dashboard, "/", "HEAD")[2]) == (200, b"")
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
        assert b"http" not in page.replace(b"http-equiv", b"")


def test_another_name_for_this_machine_is_refused(tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{tmp_path}/ledger.db").close()
    with serve(str(tmp_path)) as dashboard:
        for host, status in (("127.0.0.1", 200), ("localhost:99", 200), ("[::1]:1", 200), ("evil.example", 403)):
            assert get(dashboard, "/overview", Host=host)[0] == status
        assert get(dashboard, "/overview", Host="[")[0] == 403


def test_without_the_token_nothing_is_told(tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{tmp_path}/ledger.db").close()
    with serve(str(tmp_path), host="0.0.0.0", token=TOKEN) as dashboard:
        assert f"token={TOKEN}" in dashboard.url
        paths = ("/", "/overview", "/detail?stage=x", "/slice?stage=x&block=1", "/page.js", "/nothing")
        wrong = [{}, {"Cookie": "neuroadda_dashboard=no"}, {"Authorization": f"Bearer {TOKEN}x"}, {"Cookie": ';"=,'}]
        for path in paths:
            for headers in wrong:
                status, _, body = get(dashboard, path, **headers)
                assert (status, TOKEN.encode() in body) == (403, False)
        assert get(dashboard, "/?token=%C3%A9")[0] == 403
        assert get(dashboard, "/overview", Authorization=f"Bearer {TOKEN}")[0] == 200
        status, headers, _ = get(dashboard, f"/?token={TOKEN}")
        assert (status, headers["Location"]) == (303, "/")
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        status, _, page = get(dashboard, "/", Cookie=cookie.partition(";")[0])
        assert (status, TOKEN.encode() in page) == (200, False)


def test_the_network_needs_a_token_of_some_length(tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{tmp_path}/ledger.db").close()
    tokens = set()
    for _ in range(2):
        with open_dashboard(str(tmp_path), host="0.0.0.0") as dashboard:
            assert dashboard.token is not None
            assert len(dashboard.token) >= 32
            tokens.add(dashboard.token)
    assert len(tokens) == 2
    with open_dashboard(str(tmp_path)) as dashboard:
        assert dashboard.token is None
    for token in ("short", "x" * 15, "with spaces in it, but long"):
        with pytest.raises(UserError, match="--token"), open_dashboard(str(tmp_path), token=token):
            pass
    assert warn_of_network("127.0.0.1") is warn_of_network("::1") is warn_of_network("localhost") is None
    assert "open to the network" in (warn_of_network("10.0.0.7") or "")


def test_no_secret_reaches_the_page(tmp_path: Path, mongo_server: Any) -> None:
    with mongo_server(tmp_path) as address:
        url = f"mongodb://{address}&appName=s3cret-token"
        ledger = open_ledger(url)
        task = begin(ledger, "s3://k3y:s3cret-word@store/affs")
        failure = Failure(
            type="OSError", message="at mongodb://anna:s3cret-word@h/db", traceback="redis://:s3cret-word@h"
        )
        write(ledger, task, [1], "failed", failure=failure)
        write(ledger, task, [2])
        ledger.close()
        with serve(url) as dashboard:
            overview_when(dashboard, has_failed)
            for path in ("/overview", f"/detail?stage={task.fingerprint}", f"/slice?stage={task.fingerprint}&block=2"):
                assert b"s3cret" not in get(dashboard, path)[2]


def test_a_ledger_that_is_away_is_said_and_what_was_known_is_kept(tmp_path: Path, mongo_server: Any) -> None:
    with mongo_server(tmp_path) as address:
        url = f"mongodb://{address}&serverSelectionTimeoutMS=3000"
        ledger = open_ledger(url)
        write(ledger, begin(ledger), [0])
        ledger.close()
        context = serve(url)
        dashboard = context.__enter__()
        assert overview_when(dashboard, lambda told: told["stages"])["trouble"] is None
    told = overview_when(dashboard, lambda told: told["trouble"])
    assert "no MongoDB server answers" in told["trouble"]
    assert told["stages"][0]["done"] == 1
    context.__exit__(None, None, None)


@pytest.mark.parametrize("where", ["/nowhere", "sqlite:////nowhere/ledger.db", "postgres://u:pw@h/d"])
def test_bad_input_is_told_in_a_line(command: Callable[..., tuple[int, str, str]], where: str) -> None:
    code, out, err = command("dashboard", where)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "pw" not in err


def test_an_address_that_cannot_be_served(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{tmp_path}/ledger.db").close()
    with open_dashboard(str(tmp_path)) as dashboard:
        code, _, err = command("dashboard", tmp_path, "--port", dashboard.server_port)
        assert (code, err.count("\n")) == (2, 1)
        assert f"127.0.0.1:{dashboard.server_port}" in err
    assert command("dashboard", tmp_path, "--host", "203.0.113.1")[0] == 2
