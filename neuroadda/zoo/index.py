"""The index of a zoo: which entries it has, and what each of their files must be."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from neuroadda.backbones.card import CARD, WEIGHTS
from neuroadda.config import Config, load_config_file, parse_config
from neuroadda.errors import UserError
from neuroadda.zoo.fetching import FileRecord

INDEX, EMBEDDING = "zoo.json", "embedding.safetensors"
FILES = (CARD, WEIGHTS, EMBEDDING)

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_name(name: str) -> str:
    """Return `name` if it can name an entry or a file of one and nothing outside the zoo, else raise ValueError."""
    if not _SAFE.fullmatch(name) or ".." in name:
        raise ValueError(f"{name!r} is no name: letters, digits and _ . - only")
    return name


class Index(Config):
    """``zoo.json`` at the root of a zoo: for every entry the records of its files, by name.

    It is what makes a zoo readable where folders cannot be listed, and what every file is held against.
    """

    version: Literal[1] = 1
    entries: dict[str, dict[str, FileRecord]] = Field(default_factory=dict)

    @field_validator("entries")
    @classmethod
    def _check(cls, entries: dict[str, dict[str, FileRecord]]) -> dict[str, dict[str, FileRecord]]:
        for name, files in entries.items():
            for part in (name, *files):
                check_name(part)
            if missing := {CARD, WEIGHTS} - set(files):
                raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
        return entries


def read_index(folder: Path) -> Index:
    """Read the index of a local zoo.

    Raises
    ------
    UserError
        If there is none or it is malformed.
    """
    path = folder / INDEX
    if not path.is_file():
        raise UserError(f"there is no {INDEX} here", str(folder), "`neuroadda zoo add` makes a zoo")
    return parse_config(Index, load_config_file(path), str(path))
