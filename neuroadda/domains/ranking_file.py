"""A ranking in a file, ``ranking.json``: what it was made of, and where its sources lie."""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroadda.config import write_json
from neuroadda.errors import UserError
from neuroadda.volumes.storage.placing import check_writable

RANKING = "ranking.json"
KEYS = {"fingerprint", "index", "volume", "folders", "ranking"}
RIGHT = "`neuroadda domains rank RAW -o FILE` writes one"


@dataclass(frozen=True)
class Selection:
    """What a training starts from.

    Attributes
    ----------
    ranking
        As plain data, see `neuroadda.domains.ranking.Ranking.to_data`.
    folders
        Of the backbones of all its sources, by name.
    """

    ranking: Mapping[str, Any]
    folders: Mapping[str, Path]

    @property
    def folder(self) -> Path:
        """That of the first source."""
        return self.folders[self.ranking["winner"]]


def locate_ranking(path: Path) -> Path:
    """Return the file of a ranking, where a folder may be given."""
    return path / RANKING if path.is_dir() else path


def check_ranking_place(path: Path) -> Path:
    """Return the file for a ranking.

    Raises
    ------
    UserError
        If something else than a ranking is there, or it cannot be written.
    """
    file = locate_ranking(path)
    if file.exists() and read_record(file) is None:
        raise UserError("this is no ranking, and is not written over", str(file), "give another file")
    check_writable(file)
    return file


def write_record(file: Path, record: Mapping[str, Any]) -> Selection:
    """Write what `read_record` reads: a mapping of `KEYS`.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    try:
        write_json(file, record)
    except OSError as error:
        raise UserError(f"it cannot be written: {error.strerror}", str(file)) from error
    return to_selection(record)


def read_record(file: Path) -> Mapping[str, Any] | None:
    """Return what is in a file: a mapping of `KEYS`; None if it is not there, or something else."""
    with suppress(OSError, ValueError):
        known = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(known, dict) and known.keys() >= KEYS:
            return known
    return None


def to_selection(record: Mapping[str, Any]) -> Selection:
    """Return what is recorded."""
    return Selection(record["ranking"], {name: Path(folder) for name, folder in record["folders"].items()})


def read_selection(file: Path) -> Selection | None:
    """Return what was selected, None if nothing is recorded."""
    known = read_record(file)
    return None if known is None else to_selection(known)


def take_ranking(path: Path, volume: str, exclude: Collection[str] = ()) -> dict[str, Any]:
    """Return the record of a ranking that is there already, without the sources that are to be excluded.

    Parameters
    ----------
    path
        The file, or its folder.
    volume
        Fingerprint of the volume that it should be of.

    Raises
    ------
    UserError
        If there is none, it is of another volume, or all of it is excluded.
    """
    file = locate_ranking(path)
    known = read_record(file)
    if known is None:
        raise UserError("there is no ranking here", str(file), RIGHT)
    if known["volume"] != volume:
        raise UserError("this ranking is of another volume", str(file), RIGHT)
    kept = [source for source in known["ranking"]["sources"] if source["name"] not in exclude]
    if not kept:
        raise UserError("all that is ranked here is to be excluded", str(file), RIGHT)
    ranking = {**known["ranking"], "winner": kept[0]["name"], "sources": kept}
    folders = {source["name"]: known["folders"][source["name"]] for source in kept}
    return {**known, "ranking": ranking, "folders": folders}
