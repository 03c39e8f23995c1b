"""The ledger in one SQLite file: the embedded default, for all processes and threads of one machine."""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.errors import RIGHT_SPACE, UserError
from neuroadda.ledger.base import (
    BlockColumns,
    BlockRecord,
    FailureGroup,
    LedgerUnavailable,
    Status,
    Summary,
    TaskRecord,
)
from neuroadda.ledger.shared import (
    BLOCK_FIELDS,
    LATEST,
    block_document,
    group_failures,
    measure_rate,
    to_columns,
    to_json,
)
from neuroadda.ledger.unwritable import UNWRITABLE, read_unwritable

BUSY_SECONDS = 30.0
VERSION = 1
ROWS = 10_000
HEADER_BYTES, VERSION_AT, MAGIC = 100, 60, b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html
RIGHT_FILE = "give a file in a writable folder"
RIGHT_INTACT = "move it away, and `neuroadda ledger rebuild` makes a new one from what the run has written"

SCHEMA = (
    """CREATE TABLE tasks (
        fingerprint TEXT PRIMARY KEY, stage TEXT NOT NULL, blocks INTEGER NOT NULL, voxels INTEGER NOT NULL,
        output TEXT NOT NULL, grid TEXT NOT NULL, parameters TEXT NOT NULL,
        created REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE blocks (
        fingerprint TEXT NOT NULL, block INTEGER NOT NULL, status TEXT NOT NULL, tries INTEGER NOT NULL,
        worker TEXT NOT NULL, started REAL NOT NULL, finished REAL, seconds REAL, voxels INTEGER NOT NULL,
        results TEXT NOT NULL, failure TEXT, PRIMARY KEY (fingerprint, block)
    ) WITHOUT ROWID""",
)

# What is asked for all the time: failures, which are few, and the blocks done last.
INDICES = (
    "CREATE INDEX IF NOT EXISTS failed ON blocks (status) WHERE status = 'failed'",
    "CREATE INDEX IF NOT EXISTS latest ON blocks (fingerprint, finished) WHERE status = 'done'",
)

TASK_FIELDS = tuple(TaskRecord.model_fields)
JSON_FIELDS = frozenset({"grid", "parameters", "worker", "results", "failure"})

_IS_KEPT = "blocks.status = 'done' AND excluded.status <> 'done'"
_OVERWRITTEN = ", ".join(
    f"{field} = CASE WHEN {_IS_KEPT} THEN blocks.{field} ELSE excluded.{field} END"
    for field in BLOCK_FIELDS
    if field not in ("block", "tries")
)
UPSERT_BLOCK = (
    f"INSERT INTO blocks (fingerprint, {', '.join(BLOCK_FIELDS)}) VALUES (?{', ?' * len(BLOCK_FIELDS)}) "
    f"ON CONFLICT (fingerprint, block) DO UPDATE SET tries = blocks.tries + excluded.tries, {_OVERWRITTEN}"
)
REPLACE_TASK = f"REPLACE INTO tasks ({', '.join(TASK_FIELDS)}) VALUES ({', '.join('?' * len(TASK_FIELDS))})"


class SqliteLedger:
    """A ledger in one file (write-ahead log, every batch synced to disk); on network file systems, use MongoDB.

    Parameters
    ----------
    path
        The file; it and its parent folders are made if missing.
    reading
        The ledger is only read. Then a file that cannot be written is opened, too.

    Raises
    ------
    UserError
        If the file cannot be read and written, is no SQLite database, or was made by another version.
    """

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self.path, self._reading = Path(path).absolute(), reading
        # One connection a thread and process: SQLite connections must not be shared over a fork. None: it can only be read.
        self._connections: dict[tuple[int, int], sqlite3.Connection | None] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the ledger's folder cannot be made: {error.strerror}", str(self.path)) from error
        with self._connection():
            pass

    def register(self, task: TaskRecord) -> None:
        with self._connection() as connection:
            for index in INDICES:
                connection.execute(index)
            connection.execute(REPLACE_TASK, _to_row(task.model_dump(), TASK_FIELDS))

    def task(self, fingerprint: str) -> TaskRecord | None:
        found = self._query(f"SELECT {', '.join(TASK_FIELDS)} FROM tasks WHERE fingerprint = ?", fingerprint)
        return TaskRecord(**_from_row(found[0], TASK_FIELDS)) if found else None

    def tasks(self) -> list[TaskRecord]:
        rows = self._query(f"SELECT {', '.join(TASK_FIELDS)} FROM tasks ORDER BY created, fingerprint")
        return [TaskRecord(**_from_row(row, TASK_FIELDS)) for row in rows]

    def write(self, records: Sequence[BlockRecord]) -> None:
        if not records:
            return
        rows = [(record.fingerprint, *_to_row(block_document(record), BLOCK_FIELDS)) for record in records]
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(UPSERT_BLOCK, rows)

    def done_mask(self, fingerprint: str, blocks: int) -> np.ndarray:
        done = "SELECT block FROM blocks WHERE fingerprint = ? AND status = 'done' AND block < ?"
        mask = np.zeros(blocks, dtype=bool)
        with self._connection() as connection:
            rows = connection.execute(done, (fingerprint, blocks))
            while some := rows.fetchmany(ROWS):  # a million rows at once are a hundred megabytes
                mask[np.array(some)[:, 0]] = True
        return mask

    def summary(self, fingerprint: str) -> Summary:
        rows = self._query(
            "SELECT status, count(*), sum(seconds), sum(voxels), min(started), max(finished) "
            "FROM blocks WHERE fingerprint = ? GROUP BY status",
            fingerprint,
        )
        latest = self._query(
            "SELECT started, finished, voxels FROM blocks "
            "WHERE fingerprint = ? AND status = 'done' AND finished IS NOT NULL AND seconds IS NOT NULL "
            "ORDER BY finished DESC LIMIT ?",
            fingerprint,
            LATEST,
        )
        seconds, voxels = next(((row[2], row[3]) for row in rows if row[0] == "done"), (None, None))
        return Summary(
            **{status: count for status, count, *_ in rows},
            seconds=seconds or 0.0,
            voxels=voxels or 0,
            started=min((row[4] for row in rows), default=None),
            finished=max((row[5] for row in rows if row[5] is not None), default=None),
            voxels_per_second=measure_rate(latest),
        )

    def failures(self, fingerprint: str, since: float = 0.0) -> list[FailureGroup]:
        rows = self._query(
            "SELECT block, failure FROM blocks "
            "WHERE fingerprint = ? AND status = 'failed' AND coalesce(finished, started) >= ?",
            fingerprint,
            since,
        )
        return group_failures((block, failure and json.loads(failure)) for block, failure in rows)

    def blocks(self, fingerprint: str, status: Status | None = None) -> list[dict[str, Any]]:
        rows = self._query(
            f"SELECT {', '.join(BLOCK_FIELDS)} FROM blocks "
            "WHERE fingerprint = ?1 AND (?2 IS NULL OR status = ?2) ORDER BY block",
            fingerprint,
            status,
        )
        return [_from_row(row, BLOCK_FIELDS) for row in rows]

    def reset(self, fingerprint: str) -> None:
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM blocks WHERE fingerprint = ?", (fingerprint,))
            connection.execute("DELETE FROM tasks WHERE fingerprint = ?", (fingerprint,))

    def forget(self, fingerprint: str, blocks: Sequence[int]) -> None:
        rows = [(fingerprint, block) for block in blocks]
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM blocks WHERE fingerprint = ? AND block = ?", rows)

    def outsiders(self, fingerprint: str, blocks: int) -> list[int]:
        sql = "SELECT block FROM blocks WHERE fingerprint = ? AND (block < 0 OR block >= ?) ORDER BY block"
        return [block for (block,) in self._query(sql, fingerprint, blocks)]

    def recorded(self) -> list[str]:
        after = "SELECT min(fingerprint) FROM blocks WHERE fingerprint > ?"
        found = [""]
        # From one key to the next by the index: DISTINCT would read every row.
        while (key := self._query(after, found[-1])[0][0]) is not None:
            found.append(key)
        return found[1:]

    def close(self) -> None:
        for key in [key for key in self._connections if key[0] == os.getpid()]:
            if (connection := self._connections.pop(key)) is not None:
                connection.close()

    def columns(self, fingerprint: str, since: float = 0.0) -> Iterator[BlockColumns]:
        changed = (
            "SELECT block, status, coalesce(finished, started), seconds, worker FROM blocks "
            "WHERE fingerprint = ? AND coalesce(finished, started) >= ?"
        )
        with self._connection() as connection:
            rows = connection.execute(changed, (fingerprint, since))
            while some := rows.fetchmany(ROWS):
                # Host and pid come first in the text, and tell workers apart without parsing a million of them.
                yield to_columns(some, lambda worker: worker[: worker.find(', "device"')], json.loads)

    def _query(self, sql: str, *values: Any) -> list[Any]:
        with self._connection() as connection:
            return connection.execute(sql, values).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        key = os.getpid(), threading.get_ident()
        try:
            if key not in self._connections:
                self._connections[key] = self._connect_if_writable()
            if (kept := self._connections[key]) is not None:
                yield kept
            else:
                with read_unwritable(self.path) as connection:
                    _check_version(_version(connection), self.path)
                    yield connection
        except sqlite3.DatabaseError as error:
            explained = self._explain(error)
            if explained is None:
                raise
            raise explained from error

    def _connect_if_writable(self) -> sqlite3.Connection | None:
        """Return a connection; None where the file can only be read and that is enough."""
        try:
            return self._connect()
        except sqlite3.OperationalError as error:
            if self._reading and error.sqlite_errorcode & 0xFF in UNWRITABLE:
                return None
            raise

    def _connect(self) -> sqlite3.Connection:
        # Autocommit, with explicit transactions; closed by close(), which another thread may call.
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            if _version(connection) == 0:
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    if _version(connection) == 0:  # nobody was faster
                        for statement in SCHEMA:
                            connection.execute(statement)
                        connection.execute(f"PRAGMA user_version = {VERSION}")
            _check_version(_version(connection), self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _explain(self, error: sqlite3.DatabaseError) -> UserError | None:
        """Say in one line what ails the file; None if it is not the file."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return LedgerUnavailable("the ledger is locked by another process", str(self.path))
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return UserError(f"the ledger is no intact SQLite database ({error})", str(self.path), RIGHT_INTACT)
        if code in UNWRITABLE:
            if self._reading:
                return UserError(f"the ledger cannot be read ({error})", str(self.path))
            return UserError(f"the ledger cannot be opened for writing ({error})", str(self.path), RIGHT_FILE)
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            right = RIGHT_SPACE if code == sqlite3.SQLITE_FULL else f"is its disk full? then {RIGHT_SPACE}"
            return UserError(f"the ledger cannot be written ({error})", str(self.path), right)
        return None


def _use_wal(connection: sqlite3.Connection) -> None:
    # Processes that turn the same new file to WAL at once get "locked" now and then, whatever the busy timeout.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_version(version: int, path: Path) -> None:
    if version != VERSION:
        raise UserError(f"the ledger has version {version}", str(path), f"this program reads version {VERSION}")


def check_file(path: Path) -> None:
    """Raise UserError if a file, which need not be there, cannot be a ledger; SQLite, which makes files beside it, is not asked."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"the ledger cannot be read: {error.strerror}", str(path), RIGHT_FILE) from error
    if not os.access(path, os.W_OK):
        raise UserError("the ledger cannot be opened for writing", str(path), RIGHT_FILE)
    if header and (len(header) < HEADER_BYTES or not header.startswith(MAGIC)):
        raise UserError("the ledger is no intact SQLite database", str(path), RIGHT_INTACT)
    version = int.from_bytes(header[VERSION_AT : VERSION_AT + 4], "big")
    if version:  # 0: a new one, whose first records are in its write-ahead log
        _check_version(version, path)


def _to_row(document: dict[str, Any], fields: Sequence[str]) -> tuple[Any, ...]:
    return tuple(
        to_json(document[field]) if field in JSON_FIELDS and document[field] is not None else document[field]
        for field in fields
    )


def _from_row(row: Sequence[Any], fields: Sequence[str]) -> dict[str, Any]:
    return {
        field: json.loads(value) if field in JSON_FIELDS and value is not None else value
        for field, value in zip(fields, row, strict=True)
    }
