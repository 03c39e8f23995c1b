"""The order of section files: by the number in their names that counts them, which also tells what is missing."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from neuroadda.errors import UserError
from neuroadda.textfiles import read_text
from neuroadda.volumes.readers.source import Gaps

NAMED = 12
MOST_BLANK = 10  # blank sections for each that is there
NUMBERS, LETTERS = "numbers", "letters"
DIGITS = re.compile(r"(\d+)")
SIGNS = "+-\N{MINUS SIGN}\N{EN DASH}"
ORDER = (
    f"give --order {NUMBERS} (of all numbers from left to right), --order {LETTERS} (of the alphabet), or --order FILE (a text "
    "file that lists the sections, a name a line); leave no file in the folder that is no section"
)


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
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in DIGITS.split(path.name) if part]


def arrange(files: Sequence[Path], folder: Path, gaps: Gaps | None, order: str | None = None) -> Series:
    """Return section files in the order of the number in their names that counts them (z2 before z10).

    Parameters
    ----------
    gaps
        What becomes of missing numbers: "blank" puts in sections of 0 for all of them, "step" for those that the step leaves out
        which the numbers share, "close" moves up what follows.
    order
        Of files whose names do not tell it; every file is a section then. "numbers" compares the numbers in a name from left to
        right, "letters" the names; else a text file that lists the names.

    Raises
    ------
    UserError
        If the names do not tell order and number of the sections, and `order` or `gaps` do not either.
    """
    if order is not None:
        if gaps not in (None, "close"):
            what = f"--gaps {gaps} fills the numbers that are missing, and with --order no number counts the sections"
            raise UserError(what, str(folder), "give one of the two")
        return _order(files, folder, order)
    ordered = sorted(files, key=natural_key)
    notes = _describe_names(ordered)
    if len(ordered) == 1:
        return Series(tuple(ordered), tuple(notes))
    numbers = _find_counter(ordered, folder)
    every = _find_missing(numbers, 1)
    if not every:
        return Series(tuple(ordered), tuple(notes))
    step = math.gcd(*(b - a for a, b in pairwise(numbers)))
    missing = _find_missing(numbers, step)
    what = f"the numbers {numbers[0]} to {numbers[-1]} in the names of its sections are {step} apart"
    right = (
        "give --gaps close (no section is missing) or --gaps blank (a section of 0 for each number that is not there)"
    )
    if missing:
        what = f"of the numbers {numbers[0]} to {numbers[-1]} in the names of its sections, {_name_numbers(missing)} missing"
        right = "put them there, or give --gaps blank (sections of 0) or --gaps close (what follows moves up)"
    if missing and step > 1:
        what = f"{what}, and all are multiples of {step} apart"
        right = f"{right}; blank puts in all numbers, --gaps step only every {step}th"
    if gaps is None:
        raise UserError(what, str(folder), right)
    filled = {"blank": every, "step": missing, "close": []}[gaps]
    if _count(filled) > MOST_BLANK * len(ordered):
        raise UserError(f"{what}: too many for blank sections", str(folder), "give --gaps close")
    done = {"blank": "they are blank (0)", "step": "those are blank (0)", "close": "what follows moves up"}[gaps]
    notes.append(f"{what}: {done if missing else _say_step(gaps)}")
    numbered: list[tuple[int, Path | None]] = [*zip(numbers, ordered, strict=True)]
    numbered += [(number, None) for run in filled for number in run]
    return Series(tuple(file for _, file in sorted(numbered, key=lambda pair: pair[0])), tuple(notes))


def _say_step(gaps: Gaps) -> str:
    return "the numbers between are blank (0)" if gaps == "blank" else "no section is missing"


def _order(files: Sequence[Path], folder: Path, order: str) -> Series:
    """Return files in the order that was asked for."""
    if order == NUMBERS:
        keys = {file: [int(digits) for digits in DIGITS.findall(file.stem)] for file in files}
        ordered = sorted(files, key=lambda file: keys[file])
        for one, other in pairwise(ordered):
            if keys[one] == keys[other]:
                raise UserError(
                    f"{one.name} and {other.name} have the same numbers", str(folder), "give another --order"
                )
        return Series(tuple(ordered), ("its sections are in the order of all numbers in their names",))
    if order == LETTERS:
        return Series(tuple(sorted(files)), ("its sections are in the alphabetical order of their names",))
    names = [line.strip() for line in read_text(Path(order), "the list of sections").splitlines() if line.strip()]
    known = {file.name: file for file in files}
    for name in names:
        if name not in known:
            raise UserError(f"it lists {name!r}, which is no image in {folder}", order, "a name a line is expected")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"it lists {twice!r} twice", order, "list every section once")
    if not names:
        raise UserError("it lists no section", order, "a name a line is expected")
    notes = [f"its sections are in the order of the list {Path(order).name}"]
    if rest := [file.name for file in sorted(files) if file.name not in names]:
        shown = ", ".join(rest[:NAMED]) + (", ..." if len(rest) > NAMED else "")
        notes.append(f"{len(rest)} images that the list leaves out are not read: {shown}")
    return Series(tuple(known[name] for name in names), tuple(notes))


def _describe_names(ordered: Sequence[Path]) -> list[str]:
    notes = []
    if ordered != sorted(ordered):
        first, second = next((a, b) for a, b in pairwise(ordered) if a.name > b.name)
        notes.append(
            f"sections are in the order of their numbers ({first.name} before {second.name}), not of their names"
        )
    suffixes = sorted({file.suffix for file in ordered})
    if len(suffixes) > 1:
        notes.append(f"the names of its sections end in {' and '.join(suffixes)}")
    ways: dict[tuple[str, ...], Path] = {}
    for file in ordered:
        ways.setdefault(tuple(DIGITS.split(file.stem)[::2]), file)
    if len(ways) > 1:
        listed = ", ".join(file.name for file in [*ways.values()][:NAMED])
        notes.append(f"its sections are named in {len(ways)} ways, such as {listed}")
    return notes


def _find_counter(ordered: Sequence[Path], folder: Path) -> list[int]:
    """Return the number of each section in natural order: the one number in the names that orders them as their names do.

    Raises
    ------
    UserError
        If there is none, or another number would count them in another order.
    """
    rows = [[int(digits) for digits in DIGITS.findall(file.stem)] for file in ordered]
    columns = list(zip(*(row[: min(map(len, rows))] for row in rows), strict=True))
    if not columns:
        bare = next(file for file, row in zip(ordered, rows, strict=True) if not row)
        raise UserError(f"no number in the name {bare.name} tells which section it is", str(folder), ORDER)
    _check_signs(ordered, len(columns), folder)
    _check_decimals(ordered, folder)
    _check_digits(ordered, folder)
    counters = [column for column in columns if all(a < b for a, b in pairwise(column))]
    if not counters:
        raise _undecided(ordered, rows, columns, folder)
    counting = [column for column in counters if _counts(column)]
    # Of several that count, the one that leaves most out: whether that is missing is asked. Times and places do not count.
    chosen = max(counting, key=_span) if counting else min(counters, key=_span)
    for column in columns:
        if column not in counters and len(set(column)) == len(column) and _counts(column):
            one, other = next((a, b) for (a, x), (b, y) in pairwise(zip(ordered, column, strict=True)) if x > y)
            what = f"two numbers in the names count the sections, and in different orders ({one.name}, {other.name})"
            raise UserError(what, str(folder), ORDER)
    return list(chosen)


def _span(column: Sequence[int]) -> int:
    return max(column) - min(column)


def _counts(column: Sequence[int]) -> bool:
    """Tell whether numbers count: no more than half of them are left out. Dates, times and places leave out more."""
    return _span(column) < 2 * len(column)


def _undecided(
    ordered: Sequence[Path], rows: Sequence[Sequence[int]], columns: Sequence[Sequence[int]], folder: Path
) -> UserError:
    """Return the error of files that no number in their names orders."""
    seen: dict[tuple[int, ...], Path] = {}
    for file, row in zip(ordered, rows, strict=True):
        first = seen.setdefault(tuple(row[: len(columns)]), file)
        if first is not file:
            right = f"keep one file for each section; or, if both are sections, {ORDER}"
            return UserError(f"{first.name} and {file.name} have the same number", str(folder), right)
    if len(columns) == 1:
        one, other = next((a, b) for (a, x), (b, y) in pairwise(zip(ordered, columns[0], strict=True)) if x >= y)
        what = f"by the letters in their names {one.name} comes before {other.name}, by the numbers after it"
    else:
        what = (
            f"{len(columns)} numbers are in a name, as in {ordered[0].name} and {ordered[-1].name}; none counts alone"
        )
    return UserError(f"{what}: that does not tell the order of the sections", str(folder), ORDER)


def _check_signs(ordered: Sequence[Path], numbers: int, folder: Path) -> None:
    """Raise UserError where a sign may be no hyphen: some numbers have it, others do not, or it follows no letter or digit."""
    signs: dict[tuple[int, str], dict[str, Path]] = {}
    for file in ordered:
        for place, text in enumerate(DIGITS.split(file.stem)[: 2 * numbers : 2]):
            word = text.rstrip(SIGNS)
            signs.setdefault((place, word), {}).setdefault(text[len(word) :], file)
    for (_, word), found in signs.items():
        if not word[-1:].isalnum() and (signed := next((file for sign, file in found.items() if sign), None)):
            raise UserError(f"the numbers in the names may be negative ({signed.name})", str(folder), ORDER)
        if len(found) > 1:
            names = " and ".join(file.name for file in found.values())
            what = f"some numbers in the names have a sign and some have none ({names}): whether they are negative is not said"
            raise UserError(what, str(folder), ORDER)


def _check_decimals(ordered: Sequence[Path], folder: Path) -> None:
    """Raise UserError if numbers look like decimals of different lengths: z0.2 and z0.15 are not in the order of 2 and 15."""
    lengths: dict[int, dict[int, Path]] = {}
    for file in ordered:
        parts = DIGITS.split(file.stem)
        for place in range(1, len(parts) - 1, 2):
            is_decimal = parts[place + 1] in (".", ",") and place + 2 < len(parts)
            lengths.setdefault(place, {}).setdefault(len(parts[place + 2]) if is_decimal else 0, file)
    for found in lengths.values():
        if len(found) > 1 and any(found):
            names = " and ".join(file.name for file in list(found.values())[:2])
            raise UserError(f"the numbers in the names may be decimals ({names})", str(folder), ORDER)


def _check_digits(ordered: Sequence[Path], folder: Path) -> None:
    """Raise UserError if names look as if they counted in hexadecimal: of some the rest is digits, of others also a to f."""
    names = [file.stem for file in ordered]
    first, last = min(names), max(names)
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    rests = [name[same:] for name in names]
    lettered = [name for name, rest in zip(names, rests, strict=True) if not rest.isdecimal()]
    if lettered and all(re.fullmatch("[0-9a-fA-F]+", rest) for rest in rests):
        if len(lettered) == len(names) and len({rest.lstrip("0123456789") for rest in rests}) == 1:
            return  # a suffix that all have
        what = f"the numbers in the names may be hexadecimal ({lettered[0]})"
        raise UserError(what, str(folder), ORDER)


def _find_missing(numbers: Sequence[int], step: int) -> list[range]:
    """Return the numbers of a step that ascending ones leave out."""
    return [range(a + step, b, step) for a, b in pairwise(numbers) if b - a > step]


def _name_numbers(runs: Sequence[range]) -> str:
    """Return numbers as ``3, 7, 9 to 12 (6 in all) are``."""
    texts = [str(run[0]) if _count([run]) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:NAMED]]
    rest, count = ", ..." if len(runs) > NAMED else "", _count(runs)
    many = f" ({count} in all)" if count > len(texts) or rest else ""
    return f"{', '.join(texts)}{rest}{many} {'is' if count == 1 else 'are'}"


def _count(runs: Sequence[range]) -> int:
    return sum(-(-(run.stop - run.start) // run.step) for run in runs)  # numbers may be too large for len
