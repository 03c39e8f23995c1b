"""How an image looks: what its photometric interpretation, its palette and its bits make of the stored values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile

INVERTED = "stored inverted (MinIsWhite)"
PALETTE = "stored as indices of a palette"


@dataclass(frozen=True)
class Look:
    """How a viewer shows the stored values of an image.

    Attributes
    ----------
    what
        How the values are stored; empty where they are shown as they are.
    how
        What is done to get the grey values; None if they are shown in colours.
    dtype
        Of the grey values; None for that of the stored values.
    show
        Returns the grey values of stored values, of the same shape.
    """

    what: str = ""
    how: str | None = ""
    dtype: np.dtype[Any] | None = None
    show: Callable[[np.ndarray], np.ndarray] = np.asarray


def look_of_page(page: tifffile.TiffPage) -> Look:
    """Return the look of a page of a TIFF."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        table = np.asarray(page.colormap).T
        return look_of_palette(table if table.max() < 256 or bits > 8 else table >> 8, bits)
    inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    return look_of_grey(bits, inverted) if inverted or 1 < bits < 8 else Look()


def look_of_grey(bits: int, inverted: bool = False) -> Look:
    """Return the look of grey values of some bits, of which all ones is white, or `inverted` black."""
    full, few = 2**bits - 1, 1 < bits < 8

    def show(stored: np.ndarray) -> np.ndarray:
        if inverted:
            stored = np.asarray(full, stored.dtype) - stored if stored.dtype.kind == "u" else ~stored
        return (stored.astype(np.uint16) * 255 // full).astype(np.uint8) if few else stored

    what = [INVERTED] if inverted else []
    how = ["inverted"] if inverted else []
    if few:
        what.append(f"stored in {bits} bits")
        how.append("scaled to 8 bits")
    return Look(" and ".join(what), " and ".join(how), None, show)


def look_of_palette(table: np.ndarray, bits: int) -> Look:
    """Return the look of indices into a table of colours, shape (n, 3)."""
    if not np.all(table == table[:, :1]):
        return Look(f"{PALETTE} of colours", None)
    greys = table[:, 0].astype(np.uint8 if bits <= 8 else np.uint16)
    return Look(f"{PALETTE} of greys", "made of those greys", greys.dtype, lambda stored: greys[stored.astype(np.intp)])


def describe_looks(looks: Sequence[Look]) -> tuple[str, str | None]:
    """Return in words how images are stored, and what is done to get grey values; empty if nothing is to be said."""
    counts: dict[str, int] = {}
    for look in looks:
        if look.what:
            counts[look.what] = counts.get(look.what, 0) + 1
    if sum(counts.values()) == len(looks) and len(counts) == 1:
        what = f"it is {next(iter(counts))}"
    else:
        what = ", ".join(f"{count} of {len(looks)} images are {how}" for how, count in counts.items())
    if any(look.how is None for look in looks):
        return what, None
    return what, ", ".join(dict.fromkeys(look.how for look in looks if look.how))
