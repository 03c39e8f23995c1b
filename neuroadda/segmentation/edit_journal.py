"""The file of a run's edits, ``edits.jsonl`` in its folder: a line of JSON for each edit and each undo. Lines are only added."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuroadda.config import dump_config, parse_config
from neuroadda.errors import UserError
from neuroadda.locks import lock_folder
from neuroadda.segmentation.edits import Edit, Undo

JOURNAL, LOCKED = "edits.jsonl", ".edits"


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
