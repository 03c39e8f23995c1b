"""World units, and where an array lies in them.

World units are whole nanometres; a volume whose voxel size is not a whole number of nanometres is kept in picometres,
because `Roi` and `Coordinate` hold integers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neuroadda.errors import UserError
from neuroadda.volumes.geometry.axes import ASK_OFFSET, ASK_SIZE, NM, describe_axes, read_units
from neuroadda.volumes.geometry.places import Answers, find_place
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.nodes import read_groups

PM_PER_NM = 1000
FARTHEST_NM = 2.0**40  # a kilometre: whole picometres are exact in a float64


def is_whole_pm(lengths_nm: Sequence[float]) -> bool:
    """Tell whether lengths are whole picometres, but for the rounding of a float of 32 bits."""
    pm = [length * PM_PER_NM for length in lengths_nm]
    return all(math.isclose(length, round(length), rel_tol=1e-6) for length in pm)


def world_units(
    voxel_size_nm: Sequence[float], offset_nm: Sequence[float], where: str | None = None
) -> tuple[int, str]:
    """Return (world units in a nm, their name) for a voxel size and offset (zyx).

    Parameters
    ----------
    where
        The file that says them, for the error; None where the user gives them.

    Raises
    ------
    UserError
        If they are not three lengths each, or the voxel size is not positive.
    """
    in_file = where is not None
    for name, given in (("voxel size", voxel_size_nm), ("offset", offset_nm)):
        try:
            [float(each) for each in given]
        except (TypeError, ValueError) as error:
            raise UserError(f"{name} {given!r} is not three lengths", where, "give Z Y X in nm") from error
    if len(voxel_size_nm) != 3 or not all(1 / PM_PER_NM <= v < FARTHEST_NM for v in voxel_size_nm):
        what, right = f"voxel size {tuple(voxel_size_nm)}", ASK_SIZE if in_file else "give Z Y X in nm"
        if len(voxel_size_nm) == 3 and 0 < max(voxel_size_nm) < 1 / PM_PER_NM and min(voxel_size_nm) > 0:
            metres = " ".join(f"{v * NM['m']:g}" for v in voxel_size_nm)
            raise UserError(
                f"{what} is less than a picometre: it looks like metres, taken as nm", where, f"{right}: {metres}?"
            )
        raise UserError(f"{what} is not three positive lengths", where, right)
    if len(offset_nm) != 3 or not all(-FARTHEST_NM < o < FARTHEST_NM for o in offset_nm):
        what = f"offset {tuple(offset_nm)} is not three lengths"
        raise UserError(what, where, ASK_OFFSET if in_file else "give Z Y X in nm")
    whole = all(float(v).is_integer() for v in (*voxel_size_nm, *offset_nm))
    return (1, "nm") if whole else (PM_PER_NM, "pm")


def is_plain(attrs: Mapping[str, Any], in_n5: bool) -> bool:
    """Tell whether an array has its place as funlib.persistence and `Volume.create` write it, and nothing that may say another.

    That is whole numbers of a length: `Coordinate` would cut 4.6 to 4.
    """
    named = not in_n5 or "axis_names" in attrs
    if "voxel_size" not in attrs or not named or {"transform", "downsamplingFactors"} & set(attrs):
        return False
    place, units = (attrs["voxel_size"], attrs.get("offset", (0, 0, 0))), attrs.get("units")
    if not all(map(_is_triple, place)) or min(place[0]) <= 0 or not _are_units(units):
        return False
    lengths, nm = (*place[0], *place[1]), read_units(units, "")
    farthest = max(abs(length) * one for length, one in zip(lengths, nm + nm, strict=True))
    return farthest < FARTHEST_NM and all(float(length).is_integer() for length in lengths)


def _are_units(units: Any) -> bool:
    names = units if isinstance(units, list) else [units]
    return len(names) in (1, 3) and all(name is None or (isinstance(name, str) and name in {*NM, ""}) for name in names)


def read_place(attrs: Mapping[str, Any], path: Location, in_n5: bool, ndim: int) -> tuple[dict[str, Any], bool]:
    """Return our attributes of the place of an array that others wrote, and whether it says its offset."""
    place = find_place(attrs, str(path), "N5" if in_n5 else "zarr", read_groups(path), Answers(), ndim)
    if place.voxel_size_nm is None:
        raise UserError("the array has no voxel_size", str(path), ASK_SIZE)
    offset = [round(o, 3) for o in place.offset_nm or (0.0, 0.0, 0.0)]
    if not is_whole_pm(place.voxel_size_nm):
        right = "import it first"
        raise UserError(f"its voxel size {place.voxel_size_nm} in nm is not whole nm or pm", str(path), right)
    scale, unit = world_units(place.voxel_size_nm, offset, str(path))
    return {
        "voxel_size": [round(v * scale) for v in place.voxel_size_nm],
        "offset": [round(o * scale) for o in offset],
        **describe_axes(ndim == 4, unit),
    }, place.offset_nm is not None


def _is_triple(values: Any) -> bool:
    numbers = isinstance(values, Sequence) and all(isinstance(v, int | float) for v in values)
    return numbers and len(values) == 3 and all(abs(v) < FARTHEST_NM * PM_PER_NM for v in values)
