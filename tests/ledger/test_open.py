"""Which URL opens which store, and what a user is told when it cannot be opened."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from pymongo import MongoClient

from neuroadda.errors import UserError
from neuroadda.ledger.base import BlockRecord, LedgerUnavailable, Worker
from neuroadda.ledger.mongo import MongoLedger, redact
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.sqlite import SqliteLedger
from neuroadda.ledger.url import ledger_url

RECORD = BlockRecord(fingerprint="f", block=0, status="done", worker=Worker(host="h", pid=1), started=1.0)


def user_error(url: str) -> UserError:
    with pytest.raises(UserError) as caught:
        open_ledger(url)
    assert "\n" not in str(caught.value)
    return caught.value


def test_three_slashes_are_relative_and_four_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_ledger("sqlite:///run/a b.db").write([RECORD])
    assert open_ledger(f"sqlite:///{tmp_path}/run/a b.db").done_mask("f", 1).all()
    assert (tmp_path / "run" / "a b.db").is_file()


def test_a_relative_ledger_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = open_ledger("sqlite:///ledger.db")
    ledger.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ledger.write([RECORD])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["elsewhere"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("url", ["postgres://u:secret@h/db", "ledger.db", "", "sqlite://ledger.db", "mongo:secret@h"])
def test_other_urls_are_refused_naming_the_two_kinds(url: str) -> None:
    message = str(user_error(url))
    assert "sqlite:///" in message
    assert "mongodb://" in message
    assert "secret" not in message


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite:////tmp/"])
def test_a_sqlite_url_names_a_file(url: str) -> None:
    assert "names no file" in str(user_error(url))


def test_sqlite_does_not_load_pymongo(tmp_path: Path) -> None:
    code = (
        "import sys; from neuroadda.ledger.open import open_ledger; "
        f"open_ledger('sqlite:///{tmp_path}/l.db'); sys.exit('pymongo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# SQLite files that cannot be used


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database, just text that is long enough to be read as a header" * 100)
    before = path.read_bytes()
    assert str(path) in str(user_error(f"sqlite:///{path}"))
    assert path.read_bytes() == before


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    ledger.write([RECORD.model_copy(update={"block": block}) for block in range(5000)])
    ledger.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(UserError, match="no intact SQLite database"):
        open_ledger(f"sqlite:///{path}").blocks("f")


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    assert str(tmp_path) in str(user_error(f"sqlite:///{tmp_path}"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "folder cannot be made" in str(user_error(f"sqlite:///{tmp_path}/file/run/ledger.db"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc, where even root makes no files")
def test_a_folder_that_takes_no_files() -> None:
    assert "cannot be opened for writing" in str(user_error("sqlite:////proc/ledger.db"))


def test_a_ledger_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "version 99" in str(user_error(f"sqlite:///{path}"))


# MongoDB servers that cannot be used


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://host/db", "mongodb://host/db"),
        ("mongodb://user:secret@h1:1,h2:2/db?authSource=admin", "mongodb://***@h1:1,h2:2/db"),
        ("mongodb+srv://user:secret@host", "mongodb+srv://***@host"),
        ("mongodb://user:se/c@ret@host/db", "mongodb://***@host/db"),
        ("mongodb://user:se?cret@host/db", "mongodb://***"),
        ("mongodb://host/db?tlsCertificateKeyFilePassword=secret", "mongodb://host/db"),
        ("mongodb://host/db?tlsCertificateKeyFilePassword=sec@ret", "mongodb://***"),
    ],
)
def test_redacted_urls_hold_no_credentials(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://",
        "mongodb://user:sec@ret@host/db",
        "mongodb://user:secret%@host/db",
        "mongodb://user:secret@host:port/db",
        "mongodb://user:secret@host/a b",
    ],
)
def test_malformed_mongo_urls_are_explained_without_credentials(url: str) -> None:
    message = str(user_error(url))
    assert "mongodb://user:password@host:port/database" in message
    assert "secret" not in message
    assert "ret@" not in message


def test_an_unreachable_server_is_unavailable(tmp_path: Path) -> None:
    ledger = open_ledger("mongodb://user:secret@127.0.0.1:9/db?serverSelectionTimeoutMS=200")
    with pytest.raises(LedgerUnavailable) as caught:
        ledger.write([RECORD])
    assert "mongodb://***@127.0.0.1:9/db" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_default_database_is_neuroadda() -> None:
    ledger = MongoLedger("mongodb://127.0.0.1:9/?directConnection=true")
    with ledger._database() as database:
        assert database.name == "neuroadda"


@pytest.mark.system
def test_a_refused_login_and_a_stopped_server(
    tmp_path: Path, mongo_server: Callable[..., AbstractContextManager[str]]
) -> None:
    with mongo_server(tmp_path) as address, MongoClient(f"mongodb://{address}") as client:
        client.admin.command("createUser", "ann", pwd="correct", roles=["root"])
    with mongo_server(tmp_path, "--auth") as address:
        address += "&authSource=admin&serverSelectionTimeoutMS=3000"
        with pytest.raises(UserError) as caught:
            open_ledger(f"mongodb://ann:wr0ng@{address}").write([RECORD])
        assert str(caught.value).startswith(f"mongodb://***@{address.partition('?')[0]}: the MongoDB server refuses")
        assert not isinstance(caught.value, LedgerUnavailable)
        with pytest.raises(UserError, match="does not permit"):
            open_ledger(f"mongodb://{address.partition('&authSource')[0]}").write([RECORD])
        ledger = open_ledger(f"mongodb://ann:correct@{address}")
        ledger.write([RECORD])
        assert ledger.done_mask("f", 1).all()
    with pytest.raises(LedgerUnavailable):
        ledger.done_mask("f", 1)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("/data/ledger.db", "this URL does not name a ledger"),
        ("sqlite://ledger.db", "this URL does not name a ledger"),
        ('"sqlite:///ledger.db"', "this URL does not name a ledger"),
        (" ", "this URL does not name a ledger"),
        ("mongodb:/ann:s3cret@host", "this URL does not name a ledger"),
        ("mongodb:///db", "this URL names no host"),
        ("mongodb+srv://", "this URL names no host"),
        ("sqlite:///", "names no file"),
        ("sqlite:////data/ ", "names no file"),
    ],
)
def test_a_malformed_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, what: str) -> None:
    monkeypatch.setenv("NEUROADDA_LEDGER", value)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        ledger_url("run")
    told = str(caught.value)
    assert told.startswith("the environment variable NEUROADDA_LEDGER: ")
    assert what in told
    assert "; write " in told
    assert "s3cret" not in told
    assert not list(tmp_path.iterdir())
    assert ledger_url("run", "sqlite:///other.db") == "sqlite:///other.db"
