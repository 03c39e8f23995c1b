"""Which ledger belongs to a folder: the one answer of every verb and function."""

import os
from pathlib import Path

from neuroadda.errors import UserError

SQLITE = "sqlite:///"
MONGO = ("mongodb://", "mongodb+srv://")
VARIABLE = "NEUROADDA_LEDGER"
NAME = "ledger.db"
RIGHT = "write sqlite:///run/ledger.db or mongodb://host/database"


def ledger_url(folder: Path | str, given: str | None = None) -> str:
    """Return the URL of the ledger of what is done in a folder.

    It is the one that is given (in a config, or as --ledger); else the one in the environment variable NEUROADDA_LEDGER, where a
    password is safer than on a command line; else SQLite in the folder.

    Raises
    ------
    UserError
        If the variable holds something else than such a URL.
    """
    if given:
        return given
    if of_environment := os.environ.get(VARIABLE):
        check_url(of_environment, f"the environment variable {VARIABLE}")
        return of_environment
    return f"{SQLITE}{Path(folder) / NAME}"


def check_url(url: str, where: str = "ledger") -> None:
    """Raise UserError if a URL is of no known kind, or names no file or no host."""
    if url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        if not path or path.endswith("/") or path != path.strip():
            raise UserError(f"{url!r} names no file", where, RIGHT)
        return
    # A mistyped URL may hold a password: it is not repeated.
    if not url.startswith(MONGO):
        raise UserError("this URL does not name a ledger", where, RIGHT)
    if not url.partition("://")[2].partition("/")[0].strip():
        raise UserError("this URL names no host", where, "write mongodb://user:password@host:port/database")
