"""Pages of results: sentences that the rows support, in lines of one width, and no longer than two screens.

A page has a conclusion, a table, a figure and how to rerun it. All other tables are on a page of their own beside it.
"""

import datetime
import math
import subprocess
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from neuroadda.errors import UserError

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PICTURES = RESULTS / "pictures"
LINES, WIDTH = 70, 130


def claim(holds: bool, sentence: str) -> str:
    """Return a sentence of a page.

    Raises
    ------
    UserError
        If the rows do not support it any more.
    """
    if not holds:
        raise UserError("the rows do not support this sentence", sentence, "write what they support into the report")
    return sentence


def show_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """Return a figure with the ends of its interval, where it has one; nothing for nan."""
    ends = "" if math.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})"
    return "" if math.isnan(value) else f"{value:.{digits}f}{ends}"


def paragraph(*sentences: str) -> str:
    """Return sentences as lines."""
    return _fill(" ".join(sentences), "")


def items(title: str, sentences: Iterable[str]) -> str:
    """Return a section that is a list."""
    return f"## {title}\n\n" + "\n".join(_fill(sentence, "- ") for sentence in sentences)


def _fill(text: str, mark: str) -> str:
    """Return a text in lines; a number and its % stay together."""
    lines = textwrap.fill(
        text.replace(" %", "\0%"),
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace("\0", " ")


def day_of(*tables: Path) -> str:
    """Return the day on which the newest of some tables was committed, or today if one of them is new."""
    days = [
        subprocess.run(
            ["git", "log", "-1", "--format=%cs", "--", str(table)], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        for table in tables
    ]
    return max(day or today() for day in days)


def today() -> str:
    """Return the date."""
    return datetime.date.today().isoformat()


def write_page(path: Path, parts: Sequence[str], short: bool = False) -> None:
    """Write a page, and print where it is.

    Raises
    ------
    UserError
        If it is to be short and does not fit on two screens.
    """
    text = "\n\n".join(parts) + "\n"
    lines = text.splitlines()
    longest = max(map(len, lines))
    if short and (len(lines) > LINES or longest > WIDTH):
        size = f"{len(lines)} lines, the longest of {longest} characters"
        raise UserError(f"the page is too long: {size}", str(path), f"at most {LINES} lines of {WIDTH} characters")
    path.write_text(text, encoding="utf-8")
    print(path)
