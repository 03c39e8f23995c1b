"""Voxel size and offset of a level of a multiscale image: OME-NGFF, COSEM's ``transform``, and the groups of N5's Java programs.

A translation of NGFF and of COSEM is where the centre of the first voxel lies, as `pyramids.ngff` writes it. Our offsets are
corners: half a voxel is taken off. Where the finest level has no translation, or one of zero, the image's corner is the origin.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.axes import Order, in_nm, read_units

ASK_SIZE = "import it with --voxel-size Z Y X (nm)"
LEVEL = re.compile(r"s(\d{1,3})")


@dataclass(frozen=True)
class Place:
    """Voxel size and offset in nm, zyx; None where nothing says it."""

    voxel_size_nm: ZyxFloat | None = None
    offset_nm: ZyxFloat | None = None


def to_triple(values: Any, order: Order, units: Any, where: str, what: str) -> ZyxFloat:
    """Return three lengths in nm, zyx; lengths and units (a name, or one for each axis) are in `order`.

    Raises
    ------
    UserError
        If they are not three numbers, or a unit is not known.
    """
    wrong = UserError(f"its {what} is {values!r}", where, "three numbers (z, y, x) are expected")
    if not isinstance(values, Sequence) or isinstance(values, str) or any(isinstance(v, bool) for v in values):
        raise wrong
    if order == "xyz":
        values = values[::-1]
        units = units if units is None or isinstance(units, str) else list(units)[:3][::-1]
    nm = read_units(units, where)
    try:
        lengths = in_nm([float(v) for v in values], nm)
    except (TypeError, ValueError) as error:
        raise wrong from error
    if not all(map(math.isfinite, lengths)):
        raise wrong
    return lengths


def read_transform(transform: Mapping[str, Any], where: str, in_n5: bool, axes: Order | None) -> Place:
    """Return the place that COSEM's ``transform`` says: axes, scale, translate, units, and, in later files, order.

    Parameters
    ----------
    axes
        The order of its lists, where the user says so; else that of its own ``axes``.

    Raises
    ------
    UserError
        If it is malformed, or the array's axes are not z, y, x.
    """
    names = list(axes or transform.get("axes") or ())
    scale, translate, units = (transform.get(key) for key in ("scale", "translate", "units"))
    units = [units] * len(names) if isinstance(units, str) else units
    lists: list[Any] = [scale, [0] * len(names) if translate is None else translate, units]
    whole = all(isinstance(part, list) and len(part) == len(names) for part in lists)
    if not whole or not {"x", "y", "z"} <= set(names):
        right = "axes, scale, translate and units of z, y and x are expected; " + ASK_SIZE
        raise UserError(f"its transform is {dict(transform)!r}", where, right)
    stored = names[::-1] if transform.get("order", "C") == "F" else names
    spatial = [name for name in stored if name in ("x", "y", "z")]
    dimensions = in_n5 and "order" not in transform and spatial == ["x", "y", "z"]  # N5's own order of dimensions
    if axes is None and spatial != ["z", "y", "x"] and not dimensions:
        raise UserError(f"its axes are {', '.join(stored)}", where, "(channels,) z, y, x is expected; transpose it")
    size, first = ([part[names.index(axis)] for axis in "zyx"] for part in lists[:2])
    nm = [lists[2][names.index(axis)] for axis in "zyx"]
    length = to_triple(size, "zyx", nm, where, "voxel size")
    if translate is None:
        return Place(length)
    centre = to_triple(first, "zyx", nm, where, "offset")
    return _to_corner(length, centre, (0.0, 0.0, 0.0) if any(centre) else length)


def read_image(group: Mapping[str, Any], path: str, where: str, in_n5: bool, axes: Order | None) -> Place | None:
    """Return the place that a group's ``multiscales`` says of the array at a path below it; None if it does not say any.

    Raises
    ------
    UserError
        If it is malformed, has other transformations than scales and translations, or other axes than (t, c,) z, y, x.
    """
    for image in list_images(group):
        levels = list_levels(image)
        mine = levels.get(path)
        if mine is None:
            continue
        if isinstance(transform := mine.get("transform"), Mapping):
            return read_transform(transform, where, in_n5, axes)
        if "coordinateTransformations" in mine or "coordinateTransformations" in image:
            return _read_ngff(image, list(levels.values()), mine, where)
    return None


def list_images(group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the entries of ``multiscales``, which from version 0.5 on lie below ``ome``."""
    ome = group.get("ome")
    images = (ome if isinstance(ome, Mapping) else group).get("multiscales")
    return [image for image in images if isinstance(image, Mapping)] if isinstance(images, list) else []


def list_levels(image: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return an image's ``datasets`` by their paths; by the specification the finest comes first."""
    listed = image.get("datasets")
    levels = [level for level in listed if isinstance(level, Mapping)] if isinstance(listed, list) else []
    return {str(level.get("path", "")).strip("/"): level for level in levels}


def is_level(groups: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    """Tell whether an array's name is that of a level: s0, s1, ..."""
    return bool(groups) and LEVEL.fullmatch(groups[0][0]) is not None


def find_factors(
    attributes: Mapping[str, Any], groups: Sequence[tuple[str, Mapping[str, Any]]], where: str
) -> ZyxFloat | None:
    """Return how much coarser than the finest an array is, zyx: its own ``downsamplingFactors``, or its group's entry for it.

    Groups have a list for each level: ``scales`` (n5-viewer) or ``downsamplingFactors`` (BigDataViewer). All are in xyz.
    """
    own = attributes.get("downsamplingFactors")
    level = LEVEL.fullmatch(groups[0][0]) if groups else None
    if own is None and level is not None:
        number = int(level[1])
        for _, group in groups:
            for key in ("scales", "downsamplingFactors"):
                listed = group.get(key)
                if isinstance(listed, list) and number < len(listed) and isinstance(listed[number], list):
                    return to_triple(listed[number], "xyz", "nm", where, key)
        return (1.0, 1.0, 1.0) if number == 0 else None
    return None if own is None else to_triple(own, "xyz", "nm", where, "downsamplingFactors")


def _read_ngff(
    image: Mapping[str, Any], levels: Sequence[Mapping[str, Any]], mine: Mapping[str, Any], where: str
) -> Place:
    axes = image.get("axes")
    named = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes] if isinstance(axes, list) else []
    names = [axis.get("name") for axis in named]
    if names[-3:] != ["z", "y", "x"]:
        found = ", ".join(map(str, names)) or "not named"
        raise UserError(f"its axes are {found}", where, "(channels,) z, y, x is expected; transpose it")
    units = [axis.get("unit") for axis in named[-3:]]
    if not all(units):
        raise UserError("the axes of its multiscales have no unit", where, ASK_SIZE)

    def compose(level: Mapping[str, Any]) -> tuple[ZyxFloat, ZyxFloat]:
        """Return voxel size and centre of the first voxel (nm, zyx) of a level."""
        size, first = [1.0] * len(names), [0.0] * len(names)
        steps = (*_transformations(level, where), *_transformations(image, where))
        for kind, values in steps:
            if not isinstance(values, list) or len(values) != len(names) or not all(map(_is_number, values)):
                raise UserError(f"its {kind} is {values!r}", where, f"{len(names)} numbers are expected; {ASK_SIZE}")
            if kind == "scale":
                size = [s * v for s, v in zip(size, values, strict=True)]
                first = [f * v for f, v in zip(first, values, strict=True)]
            else:
                first = [f + v for f, v in zip(first, values, strict=True)]
        if not any(kind == "scale" for kind, _ in steps):
            raise UserError("its multiscales have no scale", where, ASK_SIZE)
        return (
            to_triple(size[-3:], "zyx", units, where, "voxel size"),
            to_triple(first[-3:], "zyx", units, where, "offset"),
        )

    every = [step for node in (*levels, image) for step in _transformations(node, where)]
    finest_size, finest_centre = compose(levels[0])
    size, centre = compose(mine)
    if not any(kind == "translation" for kind, _ in every):
        return Place(size)
    return _to_corner(size, centre, (0.0, 0.0, 0.0) if any(finest_centre) else finest_size)


def _transformations(node: Mapping[str, Any], where: str) -> list[tuple[str, Any]]:
    """Return scales and translations in the order in which they are done."""
    steps = node.get("coordinateTransformations") or []
    found = []
    for step in steps if isinstance(steps, list) else [steps]:
        kind = step.get("type") if isinstance(step, Mapping) else None
        if kind == "identity":
            continue
        if kind not in ("scale", "translation"):
            raise UserError(f"its multiscales are placed by {kind or step!r}", where, f"scale is read; {ASK_SIZE}")
        found.append((kind, step.get(kind)))
    return found


def _to_corner(size: ZyxFloat, centre: ZyxFloat, unplaced: ZyxFloat = (0.0, 0.0, 0.0)) -> Place:
    """Return the place of a first voxel with that centre.

    Parameters
    ----------
    unplaced
        Voxel size of the finest level if that has no place of its own: its corner is the origin.
    """
    z, y, x = (round(c - s / 2 + u / 2, 6) for c, s, u in zip(centre, size, unplaced, strict=True))
    return Place(size, (z, y, x))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
