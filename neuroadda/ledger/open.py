"""Open the ledger a URL names."""

from pathlib import Path

from neuroadda.ledger.base import Ledger
from neuroadda.ledger.sqlite import SqliteLedger, check_file
from neuroadda.ledger.url import MONGO, SQLITE, check_url


def open_ledger(url: str, *, reading: bool = False) -> Ledger:
    """Open a ledger, making it if it is new.

    Parameters
    ----------
    reading
        The ledger is only read. Then a file that cannot be written is opened, too.
    url
        ``sqlite:///run/ledger.db`` (relative), ``sqlite:////data/run/ledger.db`` (absolute), ``mongodb://host/database``
        or ``mongodb+srv://host/database``.

    Raises
    ------
    UserError
        If the URL is of no known kind or its store cannot be used.
    """
    path = _sqlite_path(url)
    if path is not None:
        return SqliteLedger(path, reading=reading)
    from neuroadda.ledger.mongo import MongoLedger  # pymongo takes a moment to import

    return MongoLedger(url)


def is_here(url: str) -> bool:
    """Tell whether a ledger is a file of this machine, and is there."""
    path = _sqlite_path(url)
    return path is not None and path.is_file()


def check_ledger(url: str) -> Path | None:
    """Look whether a ledger can be used; none is made, and nothing of one is changed.

    Returns
    -------
    Path | None
        The file of an SQLite ledger; None where a server answers.

    Raises
    ------
    UserError
        As `open_ledger`; also if the server does not answer, or refuses the login.
    """
    path = _sqlite_path(url)
    if path is not None:
        check_file(path)
        return path
    ledger = open_ledger(url)
    try:
        ledger.task("none")  # a question that makes no database
    finally:
        ledger.close()
    return None


def _sqlite_path(url: str) -> Path | None:
    """Return the file that the URL of an SQLite ledger names; None for MongoDB's."""
    check_url(url)
    return None if url.startswith(MONGO) else Path(url.removeprefix(SQLITE))
