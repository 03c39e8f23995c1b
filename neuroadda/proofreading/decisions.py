"""A table of likely errors that a person has filled in, read back."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.proofreading.candidates import MERGE, SPLIT
from neuroadda.proofreading.exports import COLUMNS

YES, NO = "yes", "no"
NEEDED = COLUMNS[1:9]  # decision, kind and two points


@dataclass(frozen=True)
class Decision:
    """A row that a person has answered with yes.

    Attributes
    ----------
    kind
        "merge" or "split".
    points_nm
        One in each of the two sides, zyx.
    who
        Who decided; "" where that is not said.
    line
        Of the file.
    """

    kind: str
    points_nm: tuple[ZyxFloat, ZyxFloat]
    who: str
    line: int


def read_decisions(path: Path) -> list[Decision]:
    """Return the rows of a filled-in ``errors.csv`` whose decision is yes; no, and none, change nothing.

    Raises
    ------
    UserError
        At the first line that is wrong: by file and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(_read(path, csv.DictReader(file, strict=True)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"it cannot be read: {error}", str(path)) from error


def _read(path: Path, rows: "csv.DictReader[str]") -> Iterator[Decision]:
    missing = [name for name in NEEDED if name not in (rows.fieldnames or ())]
    if missing:
        raise UserError(f"there is no column {missing[0]!r}", str(path), f"it needs {', '.join(NEEDED)}")
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        decision, kind = ((row[name] or "").strip().lower() for name in ("decision", "kind"))
        if decision not in (YES, NO, ""):
            raise UserError(f"the decision is {row['decision']!r}", where, f"{YES}, {NO}, or nothing")
        if kind not in (MERGE, SPLIT):
            raise UserError(f"the kind is {row['kind']!r}", where, f"{MERGE} or {SPLIT}")
        numbers = [_number(row[name], name, where) for name in NEEDED[2:]]
        if decision == YES:
            first, second = (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5])
            yield Decision(kind, (first, second), (row.get("who") or "").strip(), rows.line_num)


def _number(text: str | None, name: str, where: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{name} is {text!r}", where, "a place in nm")
    return number
