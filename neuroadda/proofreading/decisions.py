"""Decisions of a person, and the table that they are read from: a queue of likely errors that is filled in, or one like it."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.proofreading.exports import FRAGMENTS, POINTS
from neuroadda.segmentation.edits import MERGE, SPLIT, Kind
from neuroadda.textfiles import read_text

YES, NO = "yes", "no"
FORM = "columns decision, kind, z1, y1, x1, z2, y2, x2 (nm; or fragment_1, fragment_2), with commas between them"

End = int | ZyxFloat
"""A fragment: its id, or a point in it (zyx, nm)."""


@dataclass(frozen=True)
class Decision:
    """What a person has decided: two fragments are one neuron, or two.

    Attributes
    ----------
    kind
        "merge" or "split".
    ends
        Both by id, or both by point.
    who
        Who decided; None where that is not said.
    where
        Where it is said, for errors, such as ``errors.csv, line 3``.
    named
        Ids of the fragments that a table names beside the points: these have to lie in them.
    """

    kind: Kind
    ends: tuple[End, End]
    who: str | None = None
    where: str = "edits"
    named: tuple[int, int] | None = None


def read_decisions(path: Path) -> list[Decision]:
    """Return the rows of a table whose decision is yes; no, and none, change nothing.

    Its columns, in any order: ``decision``; ``kind`` (merge or split); ``z1 y1 x1 z2 y2 x2``, points in nm, or else ``fragment_1
    fragment_2``, or both; and ``who``, if wanted. Other columns are not read: the ``errors.csv`` of a queue is such a table.

    Raises
    ------
    UserError
        At the first line that is wrong: by file and line.
    """
    # Spreadsheets begin UTF-8 with a byte order mark.
    rows = csv.reader(io.StringIO(read_text(path, "the table").removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        by_points = _check_header(header, path)
        found = [_read_row(row, header, by_points, f"{path}, line {rows.line_num}") for row in rows if any(row)]
        return [decision for decision in found if decision is not None]
    except csv.Error as error:
        raise UserError(f"this is no CSV: {error}", f"{path}, line {rows.line_num}") from error


def _check_header(header: Sequence[str], path: Path) -> bool:
    """Tell whether the table has points; else it has fragments."""
    points = POINTS[0] + POINTS[1]
    by_points = any(name in header for name in points)
    needed = ("decision", "kind", *(points if by_points else FRAGMENTS))
    for name in needed:
        if name not in header:
            raise UserError(f"there is no column {name!r}", f"{path}, line 1", FORM)
    if twice := [name for name in (*needed, *FRAGMENTS, "who") if header.count(name) > 1]:
        raise UserError(f"there are two columns {twice[0]!r}", f"{path}, line 1", FORM)
    return by_points


def _read_row(values: list[str], header: Sequence[str], by_points: bool, where: str) -> Decision | None:
    """Return the decision of a row; None where it is not yes."""
    if len(values) != len(header):
        raise UserError(f"there are {len(values)} values, and {len(header)} columns", where, FORM)
    row = {name: value.strip() for name, value in zip(header, values, strict=True)}
    if row["decision"].lower() not in (YES, NO, ""):
        raise UserError(f"the decision is {row['decision']!r}", where, f"{YES}, {NO}, or nothing")
    kind = _read_kind(row["kind"], where)
    named = _read_fragments(row, where) if all(row.get(name) for name in FRAGMENTS) or not by_points else None
    ends = _read_points(row, where) if by_points else named
    assert ends is not None
    if row["decision"].lower() != YES:
        return None
    return Decision(kind, ends, row.get("who") or None, where, named if by_points else None)


def _read_kind(text: str, where: str) -> Kind:
    if text.lower() == MERGE:
        return MERGE
    if text.lower() == SPLIT:
        return SPLIT
    raise UserError(f"the kind is {text!r}", where, f"{MERGE} or {SPLIT}")


def _read_points(row: Mapping[str, str], where: str) -> tuple[End, End]:
    def read(names: tuple[str, str, str]) -> ZyxFloat:
        z, y, x = (_read_number(row[name], name, where) for name in names)
        return z, y, x

    return read(POINTS[0]), read(POINTS[1])


def _read_number(text: str, name: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{name} is {text!r}", where, "a place in nm")
    return number


def _read_fragments(row: Mapping[str, str], where: str) -> tuple[int, int]:
    def read(name: str) -> int:
        if not (row[name].isascii() and row[name].isdigit()):
            raise UserError(f"{name} is {row[name]!r}", where, "the id of a fragment: a whole number above 0")
        return int(row[name])

    return read(FRAGMENTS[0]), read(FRAGMENTS[1])
