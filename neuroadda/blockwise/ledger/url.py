"""Which ledger belongs to a folder: the one answer of every verb and function."""

import os
from pathlib import Path

SQLITE = "sqlite:///"
VARIABLE = "NEUROADDA_LEDGER"
NAME = "ledger.db"


def ledger_url(folder: Path | str, given: str | None = None) -> str:
    """Return the URL of the ledger of what is done in a folder.

    It is the one that is given (in a config, or as --ledger); else the one in the environment variable NEUROADDA_LEDGER, where a
    password is safer than on a command line; else SQLite in the folder.
    """
    return given or os.environ.get(VARIABLE) or f"{SQLITE}{Path(folder) / NAME}"
