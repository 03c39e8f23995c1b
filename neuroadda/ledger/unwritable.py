"""Read an SQLite file that cannot be written to, nor its folder: SQLite itself wants to make files beside it."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

LOG = "-wal"  # what SQLite adds to a file's name for its write-ahead log
UNWRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)


@contextmanager
def read_unwritable(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that writes nothing; it is for one question, since the file may change afterwards.

    A write-ahead log, as of a run that was killed or is at work, is read by the index beside it; where that cannot be used, file
    and log are copied to where SQLite can make one. Without a log, the file is all there is.
    """
    with ExitStack() as opened:
        if _size(_beside(path, LOG)) == 0:
            yield opened.enter_context(closing(_connect(path, "mode=ro&immutable=1")))
            return
        connection = opened.enter_context(closing(_connect(path, "mode=ro")))
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in UNWRITABLE:
                raise
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            for ending in ("", LOG):
                shutil.copyfile(_beside(path, ending), folder / f"copy{ending}")
            connection = opened.enter_context(closing(_connect(folder / "copy", "mode=rw")))
        yield connection


def _connect(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True, isolation_level=None)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
