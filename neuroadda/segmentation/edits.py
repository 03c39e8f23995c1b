"""Edits: what proofreaders have decided of a run's fragments, which are one neuron and which are not.

They lie in the run's folder in ``edits.jsonl``: a line of JSON for every edit, and for every undo of one. Lines are only ever
added. What a run has taken of them is in ``edits_taken.json``, from which its components are made (see `constraints`).
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from neuroadda.blockwise.outputs import read_tag
from neuroadda.blockwise.run_folder import CONFIG
from neuroadda.config import Config, ZyxFloat, dump_config, fingerprint, load_config_file, parse_config, write_json
from neuroadda.errors import UserError
from neuroadda.locks import lock_folder
from neuroadda.volumes.locations import to_location

JOURNAL, TAKEN, LOCKED = "edits.jsonl", "edits_taken.json", ".edits"

Kind = Literal["merge", "split"]


class Edit(Config):
    """A decision on two fragments.

    Attributes
    ----------
    id
        1, 2, ... in the order of the file.
    kind
        "merge": both are of one neuron. "split": they are of two.
    fragments
        Ids of the two.
    made_of
        Fingerprint of the fragments that have these ids.
    points
        A place in each (zyx, nm), where fragments that are made anew are looked up again; None where only ids were given.
    who
        Who decided.
    when
        UTC, ISO 8601.
    """

    id: int = Field(ge=1)
    kind: Kind
    fragments: tuple[int, int]
    made_of: str
    points: tuple[ZyxFloat, ZyxFloat] | None = None
    who: str
    when: str

    def is_of(self, fragments: str) -> bool:
        """Tell whether its ids are those of the fragments with a fingerprint; else it is stale."""
        return self.made_of == fragments

    def describe(self) -> str:
        """Return such as ``split 3 (ann, 2026-11-29T03:22:44Z)``."""
        return f"{self.kind} {self.id} ({self.who}, {self.when})"


class Undo(Config):
    """An edit is no longer meant: its id, who said so, and when."""

    undo: int
    who: str
    when: str


@dataclass(frozen=True)
class Journal:
    """All edits of a run.

    Attributes
    ----------
    edits
        By id, undone ones too.
    undone
        By id of the edit.
    torn
        Whether the file ends in a part of a line, as the kill of its writer leaves it. That part is not read.
    """

    edits: dict[int, Edit]
    undone: dict[int, Undo]
    torn: bool = False

    @classmethod
    def read(cls, run: Path) -> "Journal":
        """Read the edits of a run's folder; there are none where the file is missing.

        Raises
        ------
        UserError
            If a line is something else than an edit or an undo.
        """
        lines, torn, _ = _read_lines(run / JOURNAL)
        journal = cls({}, {}, torn)
        for number, line in enumerate(lines, 1):
            journal._take(line, f"{run / JOURNAL}, line {number}")
        return journal

    @property
    def in_force(self) -> list[Edit]:
        """The edits that are not undone, by id."""
        return [edit for edit in self.edits.values() if edit.id not in self.undone]

    @property
    def next_id(self) -> int:
        """The id of the edit that is added next."""
        return len(self.edits) + 1

    def _take(self, line: str, where: str) -> None:
        try:
            data = json.loads(line)
        except ValueError as error:
            raise UserError("this is no line of edits", where, "restore the file from a copy") from error
        if isinstance(data, dict) and "undo" in data:
            undo = parse_config(Undo, data, where)
            if undo.undo not in self.edits or undo.undo in self.undone:
                raise UserError(f"there is no edit {undo.undo} to undo", where, "restore the file from a copy")
            self.undone[undo.undo] = undo
            return
        edit = parse_config(Edit, data, where)
        if edit.id != self.next_id:
            raise UserError(f"edit {edit.id} stands where {self.next_id} is due", where, "restore the file from a copy")
        self.edits[edit.id] = edit


def append(run: Path, make: Callable[[Journal], Sequence[Edit | Undo]]) -> None:
    """Add lines to a run's edits; on return they are on the disk. Writers wait for each other.

    Parameters
    ----------
    make
        Is given what is there and returns what to add.

    Raises
    ------
    UserError
        If they cannot be written; then none of them is there.
    """
    path = run / JOURNAL
    with lock_folder(run / LOCKED, wait=True):
        new = make(Journal.read(run))
        text = "".join(json.dumps(dump_config(line), allow_nan=False) + "\n" for line in new)
        if not text:
            return
        _, _, size = _read_lines(path)
        try:
            is_new = not path.exists()
            with open(path, "ab", buffering=0) as file:
                file.truncate(size)  # what a killed writer left of a line was never acknowledged
                ended = size == 0 or path.read_bytes()[size - 1 : size] == b"\n"
                _write_whole(file.fileno(), ("" if ended else "\n") + text, size)
            if is_new:
                _sync_folder(run)
        except OSError as error:
            raise UserError(f"the edits cannot be written: {error.strerror}", str(path)) from error


def _write_whole(file: int, text: str, size: int) -> None:
    """Write text to the end of a file that had so many bytes; on failure it has them again."""
    rest = memoryview(text.encode())
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_lines(path: Path) -> tuple[list[str], bool, int]:
    """Return the whole lines of a file, whether it ends in a part of one, and the bytes before that part.

    A part of a JSON object is no JSON, so that a last line that only lacks its end of line is told from a part.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], False, 0
    except OSError as error:
        raise UserError(f"the edits cannot be read: {error.strerror}", str(path)) from error
    whole, end, tail = data.rpartition(b"\n")
    lines = [line.decode(errors="replace") for line in whole.split(b"\n")] if end else []
    try:
        json.loads(tail)
    except ValueError:
        return lines, bool(tail), len(data) - len(tail)
    return [*lines, tail.decode()], False, len(data)


class Edits(Config):
    """Edits that components are made with.

    Attributes
    ----------
    edits
        In force, by id.
    """

    edits: tuple[Edit, ...]

    def digest(self, fragments: str) -> str:
        """Return the sha256 of what is decided of the fragments with a fingerprint.

        Who decided, when, and in which order is no part of it.
        """
        return fingerprint(sorted({self._say(edit, fragments) for edit in self.edits}))

    @staticmethod
    def _say(edit: Edit, fragments: str) -> tuple[str, str]:
        pair = edit.fragments if edit.is_of(fragments) else edit.points
        return edit.kind, json.dumps(sorted(pair or ()))

    def check_fresh(self, fragments: str) -> None:
        """Raise UserError if an edit is stale and has no points by which its fragments could be looked up."""
        stale = [edit for edit in self.edits if not edit.is_of(fragments) and edit.points is None]
        if stale:
            what = f"{stale[0].describe()} is stale: its fragments {' and '.join(map(str, stale[0].fragments))} were made anew"
            more = f", as are {len(stale) - 1} others" if len(stale) > 1 else ""
            right = f"`neuroadda edits undo RUN {stale[0].id}`, and decide it by points"
            raise UserError(what + more + ", and it has no points", "edits", right)


def read_edits(run: Path) -> Edits | None:
    """Return the edits of a run that are in force; None where there are none."""
    found = tuple(Journal.read(run).in_force)
    return Edits(edits=found) if found else None


def read_taken(run: Path) -> Edits | None:
    """Return the edits that a run has taken; None where it has taken none."""
    path = run / TAKEN
    return parse_config(Edits, load_config_file(path), str(path)) if path.is_file() else None


def keep_taken(run: Path, edits: Edits | None) -> None:
    """Keep which edits a run takes."""
    if edits is None:
        (run / TAKEN).unlink(missing_ok=True)
    else:
        write_json(run / TAKEN, dump_config(edits))


@dataclass(frozen=True)
class EditCounts:
    """How many edits a run has.

    Attributes
    ----------
    edits, undone
        All, and those of them that are undone.
    applied
        Whether the segmentation is made with the others.
    """

    edits: int
    undone: int
    applied: bool

    def describe(self) -> str:
        """Return such as ``12 edits, 3 undone, applied``."""
        told = f"{self.edits} edit{'s' if self.edits > 1 else ''}, {self.undone} undone"
        return f"{told}, {'applied' if self.applied else 'not applied yet'}"


def count_edits(run: Path) -> EditCounts | None:
    """Count the edits of a run; None where there are none. Whether its stages are finished, its ledger tells."""
    journal = Journal.read(run)
    if not journal.edits:
        return None
    return EditCounts(len(journal.edits), len(journal.undone), _is_applied(run, journal.in_force))


def _is_applied(run: Path, in_force: Sequence[Edit]) -> bool:
    """Tell by the tags of the outputs whether lookup table and segmentation are made with these edits."""
    resolved = load_config_file(run / CONFIG).get("resolved", {}) if (run / CONFIG).is_file() else {}
    volumes = to_location(resolved.get("volumes") or run / "volumes.zarr")
    tags = (read_tag(place) or {} for place in (volumes / "fragments", run / "lut", volumes / "segmentation"))
    fragments, lut, segmentation = tags
    wanted = Edits(edits=tuple(in_force)).digest(fragments.get("fingerprint", "")) if in_force else None
    taken = lut.get("input_fingerprints", {}).get("edits", None if lut else "")
    made = segmentation.get("input_fingerprints", {}).get("lut", "")
    return bool(taken == wanted and made == lut.get("fingerprint"))
