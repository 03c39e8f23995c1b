"""Edits in a CSV file: a table with a header, one edit a row."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError, warn
from neuroadda.proofreading.edits import End, Wanted
from neuroadda.textfiles import read_text

POINTS = (("z1", "y1", "x1"), ("z2", "y2", "x2"))
FRAGMENTS = ("fragment_1", "fragment_2")
FORM = "kind, z1, y1, x1, z2, y2, x2 (nm) or kind, fragment_1, fragment_2; and, if wanted, who and decision"


def read_table(path: Path) -> list[Wanted]:
    """Return the edits of a table.

    Its columns, in any order: ``kind`` (merge or split); ``z1 y1 x1 z2 y2 x2``, points in nm, or else ``fragment_1
    fragment_2``; ``who`` (optional); and ``decision`` (optional), in which only rows with ``yes`` count, and those with ``no``
    or nothing are left out. Further columns are not read: a warning names them.

    Raises
    ------
    UserError
        If it is no such table: by file, line and column.
    """
    rows = csv.reader(io.StringIO(read_text(path, "the edits").removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header, path)
        found = (_read_row(values, header, f"{path}, line {rows.line_num}") for values in rows if any(values))
        return [one for one in found if one is not None]
    except csv.Error as error:
        raise UserError(f"this is no CSV: {error}", f"{path}, line {rows.line_num}") from error


def _check_header(header: list[str], path: Path) -> None:
    where, by_points = f"{path}, line 1", _has_points(header)
    needed = ("kind", *(POINTS[0] + POINTS[1] if by_points else FRAGMENTS))
    for name in needed:
        if name not in header:
            raise UserError(f"there is no column {name!r}", where, f"columns: {FORM}")
    if twice := [name for name in needed if header.count(name) > 1]:
        raise UserError(f"column {twice[0]!r} is there twice", where, f"columns: {FORM}")
    others = [name for name in header if name not in (*needed, "who", "decision")]
    if others:
        warn(f"columns that are not read: {', '.join(map(repr, others))}", str(path))


def _has_points(header: list[str]) -> bool:
    return any(name in header for name in POINTS[0] + POINTS[1])


def _read_row(values: list[str], header: list[str], where: str) -> Wanted | None:
    """Return the edit of a row; None where it is not decided, or decided with no."""
    if len(values) != len(header):
        raise UserError(f"there are {len(values)} values, and {len(header)} columns", where, f"columns: {FORM}")
    row = {name: value.strip() for name, value in zip(header, values, strict=True)}
    decision, kind = row.get("decision", "yes").lower(), row["kind"].lower()
    if decision not in ("yes", "no", ""):
        raise UserError(f"{decision!r} is no decision", f"{where}, column decision", "yes, no, or nothing")
    if kind not in ("merge", "split"):
        raise UserError(f"{row['kind']!r} is no kind of edit", f"{where}, column kind", "merge or split")
    if decision != "yes":
        return None
    ends = _read_points(row, where) if _has_points(header) else _read_fragments(row, where)
    return Wanted("merge" if kind == "merge" else "split", ends, row.get("who") or None, where)


def _read_points(row: Mapping[str, str], where: str) -> tuple[End, End]:
    def read(names: tuple[str, str, str]) -> ZyxFloat:
        z, y, x = (_number(row[name], f"{where}, column {name}") for name in names)
        return z, y, x

    return read(POINTS[0]), read(POINTS[1])


def _read_fragments(row: Mapping[str, str], where: str) -> tuple[End, End]:
    def read(name: str) -> int:
        if not (row[name].isascii() and row[name].isdigit()):
            raise UserError(f"{row[name]!r} is no fragment id", f"{where}, column {name}", "a whole number above 0")
        return int(row[name])

    return read(FRAGMENTS[0]), read(FRAGMENTS[1])


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{text!r} is no number", where, "a place in nm") from error
