"""Fixtures for the whole test suite."""

import gc
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.ports import find_port
from tests.waiting import wait_until

# Test machines are shared: an example's time says nothing.
settings.register_profile("neuroadda", deadline=None, max_examples=40)
settings.load_profile("neuroadda")

MongoServer = Callable[..., AbstractContextManager[str]]
LOCAL_OPTIONS = "directConnection=true&retryWrites=false"  # the stand-in scans its whole log for each retryable write
TORCH = [name for name in ("torch", "gunpowder") if importlib.util.find_spec(name) is None]


def pytest_configure() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """What was collected stays until the end: it is not looked through for garbage, neither while it is made nor later."""
    gc.enable()
    gc.freeze()


def _skip_what_lacks_torch(report: Any) -> None:
    """Where torch is not installed (`make test-without-torch`), what would import it is skipped."""
    lacking = [name for name in TORCH if f"No module named '{name}'" in str(report.longrepr)]
    if report.outcome == "failed" and lacking:
        report.outcome = "skipped"
        report.longrepr = (str(report.nodeid), 0, f"Skipped: {lacking[0]} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    _skip_what_lacks_torch(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report = yield
    _skip_what_lacks_torch(report)
    return report


@contextmanager
def run_mongo_server(folder: Path, *options: str, ca: Path | None = None) -> Iterator[str]:
    """Run a MongoDB wire server on `folder`; yield ``host:port/?options`` of it, or skip where it does not start.

    With `ca`, the certificate of who signed its own (among `options`), it speaks TLS.
    """
    tls = {} if ca is None else {"tls": "true", "tlsCAFile": str(ca)}
    program = shutil.which(
        "secantusd-py", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    if program is None:
        pytest.skip(
            "no MongoDB: secantusd-py is not installed (pip install neuroadda[test]) nor NEUROADDA_MONGO_URL set"
        )
    port = find_port()
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--storage-path", str(folder / "data"), *options]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: _answers(port, tls) or server.poll() is not None)
        if server.poll() is not None:
            pytest.skip(f"no MongoDB: secantusd-py did not start: {(folder / 'server.log').read_text()[-500:]}")
        yield f"127.0.0.1:{port}/?{'&'.join([LOCAL_OPTIONS, *(f'{key}={value}' for key, value in tls.items())])}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(port: int, tls: dict[str, str]) -> bool:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    try:
        with MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=2000, **tls) as client:
            return bool(client.admin.command("ping")["ok"])
    except PyMongoError:
        return False


@pytest.fixture(autouse=True)
def _warn_anew() -> None:
    """Warnings of earlier tests in this process are logged again."""
    from neuroadda.errors import forget_warnings

    forget_warnings()


@pytest.fixture(scope="session")
def mongo_server() -> MongoServer:
    """``with mongo_server(folder, *options) as address``: a server of the test's own, to kill or to lock."""
    return run_mongo_server


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty MongoDB database: on NEUROADDA_MONGO_URL's server if set, else on a stand-in started here."""
    name = f"neuroadda_test_{secrets.token_hex(6)}"
    given = os.environ.get("NEUROADDA_MONGO_URL")
    if given is None:
        with run_mongo_server(tmp_path_factory.mktemp("mongo")) as address:
            yield f"mongodb://{address.replace('/', f'/{name}')}"
        return

    from pymongo import MongoClient

    server, database, options = re.fullmatch(r"(\w[\w+]*://[^/?]+)/?([^?]*)\??(.*)", given).groups()
    if database and "authsource" not in options.lower():
        options = f"authSource={database}&{options}".rstrip("&")
    url = f"{server}/{name}?{options}".rstrip("?")
    yield url
    with MongoClient(url) as client:
        client.drop_database(name)


@pytest.fixture
def own_mongo_url(mongo_url: str) -> str:
    """URL of a MongoDB database that no other test writes to."""
    return re.sub(r"neuroadda_test_\w+", f"neuroadda_test_{secrets.token_hex(6)}", mongo_url)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """``command("zoo", "list")``: run neuroadda in this process; its exit code, what it printed, and its errors."""
    monkeypatch.setenv("NEUROADDA_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> tuple[int, str, str]:
        from neuroadda.cli import main

        monkeypatch.setattr(sys, "argv", ["neuroadda", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run
