"""Open the ledger a URL names."""

from pathlib import Path

from neuroadda.blockwise.ledger.base import Ledger
from neuroadda.blockwise.ledger.sqlite import SqliteLedger
from neuroadda.blockwise.ledger.url import SQLITE
from neuroadda.errors import UserError

RIGHT = "write sqlite:///run/ledger.db or mongodb://host/database"


def open_ledger(url: str) -> Ledger:
    """Open a ledger, making it if it is new.

    Parameters
    ----------
    url
        ``sqlite:///run/ledger.db`` (relative), ``sqlite:////data/run/ledger.db`` (absolute), ``mongodb://host/database``
        or ``mongodb+srv://host/database``.

    Raises
    ------
    UserError
        If the URL is of no known kind or its store cannot be used.
    """
    if url.startswith(("mongodb://", "mongodb+srv://")):
        from neuroadda.blockwise.ledger.mongo import MongoLedger  # pymongo takes a moment to import

        return MongoLedger(url)
    if not url.startswith(SQLITE):
        # A mistyped URL may hold a password: it is not repeated.
        raise UserError("this URL does not name a ledger", "ledger", RIGHT)
    path = url.removeprefix(SQLITE)
    if not path or path.endswith("/"):
        raise UserError(f"{url!r} names no file", "ledger", RIGHT)
    return SqliteLedger(Path(path))
