"""The order of section files: by the numbers in their names, which also tell what is missing."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from neuroadda.errors import UserError
from neuroadda.volumes.readers.source import Gaps

NAMED = 12
MOST_BLANK = 10  # blank sections for each that is there


@dataclass(frozen=True)
class Series:
    """Section files in order.

    Attributes
    ----------
    sections
        The file of each section; None for a blank one.
    notes
        What people should know of their names, a sentence each.
    """

    sections: tuple[Path | None, ...]
    notes: tuple[str, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are there."""
        return tuple(file for file in self.sections if file is not None)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key that takes runs of digits as numbers."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path.name) if part]


def arrange(files: Sequence[Path], folder: Path, gaps: Gaps | None) -> Series:
    """Return section files in natural order (z2 before z10).

    Parameters
    ----------
    gaps
        What becomes of missing numbers: "blank" puts in sections of 0, "close" moves up what follows.

    Raises
    ------
    UserError
        If two files have the same number, or numbers are missing and `gaps` is None.
    """
    ordered = sorted(files, key=natural_key)
    notes = []
    if ordered != sorted(files):
        first, second = next((a, b) for a, b in pairwise(ordered) if a.name > b.name)
        notes.append(
            f"sections are in the order of their numbers ({first.name} before {second.name}), not of their names"
        )
    suffixes = sorted({file.suffix for file in files})
    if len(suffixes) > 1:
        notes.append(f"the names of its sections end in {' and '.join(suffixes)}")
    series = _split(ordered)
    if len(series) > 1:
        parts = ", ".join(f"{len(part)} like {part[0][1].name}" for part in series[:NAMED])
        notes.append(f"its sections are named in {len(series)} ways and are taken in this order: {parts}")
    sections: list[Path | None] = []
    for part in series:
        missing = _find_missing(part, folder)
        if not missing:
            sections += [file for _, file in part]
            continue
        span = f"of the numbers {part[0][0]} to {part[-1][0]} in the names of its sections, {_name_numbers(missing)} missing"
        if gaps is None:
            right = "put them there, or give --gaps blank (sections of 0) or --gaps close (what follows moves up)"
            raise UserError(span, str(folder), right)
        blank = gaps == "blank"
        if blank and _count(missing) > MOST_BLANK * len(part):
            raise UserError(f"{span}: too many for blank sections", str(folder), "give --gaps close")
        notes.append(f"{span}: {'they are blank (0)' if blank else 'what follows moves up'}")
        numbered: list[tuple[int, Path | None]] = [*part, *((n, None) for run in missing if blank for n in run)]
        sections += [file for _, file in sorted(numbered, key=lambda pair: pair[0])]
    return Series(tuple(sections), tuple(notes))


def _split(ordered: Sequence[Path]) -> list[list[tuple[int, Path]]]:
    """Split files into series, each of (number of the section, file); a file without a number is a series of its own."""
    stems = [re.split(r"(\d+)", file.stem) for file in ordered]  # text, digits, text, digits, ..., text
    texts = [tuple(parts[::2]) for parts in stems]
    numbers = [[int(digits) for digits in parts[1::2]] for parts in stems]
    found: dict[object, list[tuple[int, Path]]] = {}
    for text in dict.fromkeys(texts):
        members = [n for n, other in enumerate(texts) if other == text]
        counter = _find_counter([numbers[n] for n in members])
        for n in members:
            row = numbers[n]
            others = () if counter is None or counter[1] else (*row[: counter[0]], *row[counter[0] + 1 :])
            number = row[counter[0]] if counter is not None else 0
            key = (text, others) if counter is not None else (text, ordered[n].name)
            found.setdefault(key, []).append((number, ordered[n]))
    return list(found.values())


def _find_counter(rows: Sequence[Sequence[int]]) -> tuple[int, bool] | None:
    """Return which number of a name counts the sections, and whether it alone does so; None if there is no number."""
    if not rows or not rows[0]:
        return None
    columns = list(zip(*rows, strict=True))
    varying = [n for n, column in enumerate(columns) if len(set(column)) > 1]
    ascending = [n for n in varying if all(a < b for a, b in pairwise(columns[n]))]
    if ascending:
        return min(ascending, key=lambda n: columns[n][-1] - columns[n][0]), True
    return (varying[-1], len(varying) == 1) if varying else (len(columns) - 1, True)


def _find_missing(part: Sequence[tuple[int, Path]], folder: Path) -> list[range]:
    """Return the numbers that a series leaves out, by the step that all its numbers share."""
    for (number, file), (following, other) in pairwise(sorted(part)):
        if number == following:
            what = f"{file.name} and {other.name} have the same number"
            raise UserError(what, str(folder), "keep one file for each section")
    numbers = sorted(number for number, _ in part)
    step = math.gcd(*(b - a for a, b in pairwise(numbers))) or 1
    return [range(a + step, b, step) for a, b in pairwise(numbers) if b - a > step]


def _name_numbers(runs: Sequence[range]) -> str:
    """Return numbers as ``3, 7, 9 to 12 (6 in all) are``."""
    texts = [str(run[0]) if _count([run]) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:NAMED]]
    rest, count = ", ..." if len(runs) > NAMED else "", _count(runs)
    many = f" ({count} in all)" if count > len(texts) or rest else ""
    return f"{', '.join(texts)}{rest}{many} {'is' if count == 1 else 'are'}"


def _count(runs: Sequence[range]) -> int:
    return sum(-(-(run.stop - run.start) // run.step) for run in runs)  # numbers may be too large for len
