"""Axes of arrays that others wrote: their order, and their units in nanometres."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError

NM: dict[str, float] = {
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1.0),
    **dict.fromkeys(("pm", "picometer", "picometers"), 1e-3),
    **dict.fromkeys(("\u00c5", "angstrom", "angstroms"), 0.1),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "\\u00B5m", "micron", "microns", "micrometer", "micrometers"), 1e3),
    **dict.fromkeys(("mm", "millimeter", "millimeters"), 1e6),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 1e7),
    **dict.fromkeys(("m", "meter", "meters"), 1e9),
}
KNOWN = ", ".join(name for name in NM if "\\" not in name)  # that of ImageJ is no name for people
Order = Literal["zyx", "xyz"]
ORDERS: tuple[Order, ...] = ("zyx", "xyz")
SMALLEST_NM, LARGEST_NM = 0.5, 10_000.0  # of a voxel's longest side
COARSER = 1.001  # by less, two lengths are the same but for rounding
AXES = {"x", "y", "z", "c", "c^", "t", "channel", "time"}
ASK_SIZE = "import it with --voxel-size Z Y X (nm)"
ASK_OFFSET = "import it with --offset Z Y X (nm)"


def read_units(units: Any, where: str) -> ZyxFloat:
    """Return the nanometres in a unit of each axis, zyx.

    Parameters
    ----------
    units
        A name for all axes, alone or in a list, or a list of names that ends with those of z, y, x. An empty name, as
        funlib.persistence writes by default, or none is nm.

    Raises
    ------
    UserError
        If a unit is not known.
    """
    names = list(units) if isinstance(units, list | tuple) else [units]
    names = names[-3:] if len(names) >= 3 else names * 3
    wrong = [name for name in names if name not in (None, "") and (not isinstance(name, str) or name not in NM)]
    if wrong or len(names) != 3:
        raise UserError(f"its unit is {(wrong or [units])[0]!r}", where, f"known: {KNOWN}; {ASK_SIZE}")
    z, y, x = (NM[name or "nm"] for name in names)
    return z, y, x


def describe_axes(channels: bool, unit: str) -> dict[str, list[str]]:
    """Return names, types and units of the axes of ``[c,] z, y, x``, as funlib.persistence keeps them in attributes."""
    return {
        "axis_names": [*(["c^"] if channels else []), "z", "y", "x"],
        "types": [*(["channel"] if channels else []), "space", "space", "space"],
        "units": [unit] * 3,
    }


def check_order(attributes: Mapping[str, Any], where: str, in_n5: bool = False, ndim: int | None = None) -> None:
    """Raise UserError for an array whose attributes name other axes than (c,) z, y, x, or not as many as it has.

    Names, in capitals or not, are read from ``axis_names`` (funlib.persistence), ``_ARRAY_DIMENSIONS`` (xarray),
    ``DIMENSION_LABELS`` (HDF5), ``axistags`` (vigra, ilastik) and a list ``axes``, which N5 gives in the order of its dimensions.
    """
    types = _texts(attributes.get("types"))
    channel_last = len(types) > 3 and types[-3:] != ["space"] * 3
    every = [_texts(attributes.get(key)) for key in ("axis_names", "_ARRAY_DIMENSIONS", "DIMENSION_LABELS")]
    axes = _texts(attributes.get("axes"))
    every += [_read_axistags(attributes.get("axistags")), axes[::-1] if in_n5 else axes]
    for written in every:
        names = [name.lower().removesuffix("dim") for name in written]  # xdim, ydim, zdim
        spatial = [name for name in names if name in ("x", "y", "z")]
        moved = sorted(spatial) == ["x", "y", "z"] and names[-3:] != ["z", "y", "x"]
        others = {"c", "c^", "t", "channel", "time"} & set(names[-3:])
        if channel_last or moved or others:
            found = ", ".join(written or types)
            raise UserError(f"its axes are {found}", where, "(channels,) z, y, x is expected; transpose it")
        if ndim is not None and names and set(names) <= AXES:
            check_count(written, ndim, where, "a name for each is expected")


def check_count(told: Sequence[Any], ndim: int, where: str, right: str) -> None:
    """Raise UserError unless as many axes are told as an array has."""
    if len(told) != ndim:
        listed = ", ".join(map(str, told))
        raise UserError(f"{len(told)} axes are told ({listed}), but the array has {ndim}", where, right)


def looks_like_xyz(size: Sequence[float]) -> bool:
    """Tell whether a voxel size (zyx) looks as if it were in the order x, y, z: the last axis is the coarsest, such as 6, 6, 30.

    Sections of electron microscopy are as thick as a pixel is wide, or thicker.
    """
    z, y, x = size
    return x > COARSER * max(z, y)


def looks_turned(shape: Sequence[int]) -> bool:
    """Tell whether a shape (zyx) looks as if its last axis were z: it is a fourth of each of the others, or less."""
    z, y, x = shape
    return 4 * x <= min(z, y)


def looks_like_other_unit(size_nm: Sequence[float]) -> bool:
    """Tell whether a voxel size (nm, zyx) looks as if its unit were another: its longest side is not half a nanometre to 10 um."""
    return max(size_nm) < SMALLEST_NM or max(size_nm) > LARGEST_NM


def in_nm(lengths: Sequence[float], nm: ZyxFloat) -> ZyxFloat:
    """Return lengths (zyx) in nm, to a millionth."""
    z, y, x = (round(length * one, 6) for length, one in zip(lengths, nm, strict=True))
    return z, y, x


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list | tuple) else []


def _read_axistags(tags: Any) -> list[str]:
    """Return the keys of vigra's JSON of an array's axes."""
    try:
        return _texts([axis["key"] for axis in json.loads(tags)["axes"]])
    except (TypeError, ValueError, KeyError, RecursionError):
        return []
