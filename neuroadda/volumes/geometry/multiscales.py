"""Voxel size and offset of a level of a multiscale image: OME-NGFF, COSEM's ``transform``, and the groups of N5's Java programs.

A translation of NGFF and of COSEM is where the centre of the first voxel lies, as `pyramids.ngff` writes it. Our offsets are
corners: half a voxel is taken off. Where the finest level has no translation, or one of zero, the image's corner is the origin.
The finest level is that of the smallest voxels, wherever it is listed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.axes import ASK_OFFSET, ASK_SIZE, Order, check_count, in_nm, read_units
from neuroadda.volumes.storage.locations import to_name

OFFSET = "offset"
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
        If they are not three numbers, above 0 unless they are an offset, or a unit is not known.
    """
    right = (
        f"three numbers (z, y, x) are expected; {ASK_OFFSET}"
        if what == OFFSET
        else f"three lengths above 0 (z, y, x) are expected; {ASK_SIZE}"
    )
    wrong = UserError(f"its {what} is {values!r}", where, right)
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
    if not all(math.isfinite(length) and (length > 0 or what == OFFSET) for length in lengths):
        raise wrong
    return lengths


@dataclass(frozen=True)
class _Level:
    """A level's voxel size (nm, zyx), and where the centre of its first voxel lies; None where nothing says it."""

    size: ZyxFloat
    centre: ZyxFloat | None

    def to_place(self, levels: Sequence["_Level"]) -> Place:
        """Return its place, as one of the levels of an image."""
        centres = [level.centre for level in levels if level.centre is not None]
        if not any(map(any, centres)):
            return Place(self.size, (0.0, 0.0, 0.0) if centres else None)
        finest = min(levels, key=lambda level: math.prod(level.size))
        unplaced = finest.size if not any(finest.centre or ()) else (0.0, 0.0, 0.0)  # then its corner is the origin
        centre = self.centre or (0.0, 0.0, 0.0)
        z, y, x = (round(c - s / 2 + u / 2, 6) for c, s, u in zip(centre, self.size, unplaced, strict=True))
        return Place(self.size, (z, y, x))


def read_transform(
    transform: Mapping[str, Any], where: str, in_n5: bool, axes: Order | None, ndim: int | None = None
) -> Place:
    """Return the place that COSEM's ``transform`` says: axes, scale, translate, units, and, in later files, order.

    Parameters
    ----------
    axes
        The order of its lists, where the user says so; else that of its own ``axes``.
    ndim
        The number of the array's axes, where it is known.

    Raises
    ------
    UserError
        If it is malformed, or the array's axes are not z, y, x.
    """
    level = _read_cosem(transform, where, in_n5, axes, ndim)
    return level.to_place([level])


def read_image(
    group: Mapping[str, Any], path: str, where: str, in_n5: bool, axes: Order | None, ndim: int | None = None
) -> list[Place]:
    """Return the places that the entries of a group's ``multiscales`` say of the array at a path below it.

    Raises
    ------
    UserError
        If one is malformed, has other transformations than scales and translations, or other axes than (t, c,) z, y, x.
    """
    found = []
    for image in list_images(group):
        listed = list_levels(image)
        for mine in (level for name, level in listed if name == path):
            if isinstance(transform := mine.get("transform"), Mapping):
                others = [t for _, level in listed if isinstance(t := level.get("transform"), Mapping)]
                levels = [_read_cosem(other, where, in_n5, axes) for other in others]
                found.append(_read_cosem(transform, where, in_n5, axes, ndim).to_place(levels))
            elif "coordinateTransformations" in mine or "coordinateTransformations" in image:
                found.append(_read_ngff(image, [level for _, level in listed], mine, where, ndim))
    return found


def list_images(group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the entries of ``multiscales``, which from version 0.5 on lie below ``ome``; some groups have both."""
    ome = group.get("ome")
    images: list[Mapping[str, Any]] = []
    for node in (ome if isinstance(ome, Mapping) else {}, group):
        listed = node.get("multiscales")
        images += [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, Mapping)]
    return images


def list_levels(image: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return an image's ``datasets`` with their paths; by the specification the finest comes first."""
    listed = image.get("datasets")
    levels = [level for level in listed if isinstance(level, Mapping)] if isinstance(listed, list) else []
    return [(to_name(str(level.get("path", ""))), level) for level in levels]


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


def _read_cosem(
    transform: Mapping[str, Any], where: str, in_n5: bool, axes: Order | None, ndim: int | None = None
) -> _Level:
    names = [str(name).lower() for name in axes or transform.get("axes") or ()]
    scale, translate, units = (transform.get(key) for key in ("scale", "translate", "units"))
    units = [units] * len(names) if isinstance(units, str) else units
    lists: list[Any] = [scale, [0] * len(names) if translate is None else translate, units]
    whole = all(isinstance(part, list) and len(part) == len(names) for part in lists)
    if not whole or not {"x", "y", "z"} <= set(names):
        right = "axes, scale, translate and units of z, y and x are expected; " + ASK_SIZE
        raise UserError(f"its transform is {dict(transform)!r}", where, right)
    if ndim is not None and axes is None:
        check_count(names, ndim, where, f"its transform has to tell each; {ASK_SIZE}")
    stored = names[::-1] if transform.get("order", "C") == "F" else names
    spatial = [name for name in stored if name in ("x", "y", "z")]
    dimensions = in_n5 and "order" not in transform and spatial == ["x", "y", "z"]  # N5's own order of dimensions
    if axes is None and spatial != ["z", "y", "x"] and not dimensions:
        raise UserError(f"its axes are {', '.join(stored)}", where, "(channels,) z, y, x is expected; transpose it")
    size, first = ([part[names.index(axis)] for axis in "zyx"] for part in lists[:2])
    nm = [lists[2][names.index(axis)] for axis in "zyx"]
    length = to_triple(size, "zyx", nm, where, "voxel size")
    return _Level(length, None if translate is None else to_triple(first, "zyx", nm, where, OFFSET))


def _read_ngff(
    image: Mapping[str, Any],
    levels: Sequence[Mapping[str, Any]],
    mine: Mapping[str, Any],
    where: str,
    ndim: int | None,
) -> Place:
    axes = image.get("axes")
    named = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes] if isinstance(axes, list) else []
    written = [str(axis.get("name")) for axis in named]
    names = [name.lower() for name in written]
    if names[-3:] != ["z", "y", "x"]:
        right = "transpose it" if {"z", "y", "x"} <= set(names) else ASK_SIZE
        what = f"its axes are {', '.join(written) or 'not named'}"
        raise UserError(what, where, f"(channels,) z, y, x is expected; {right}")
    if ndim is not None:
        check_count(names, ndim, where, f"its multiscales have to tell each; {ASK_SIZE}")
    units = [axis.get("unit") for axis in named[-3:]]
    if not all(units):
        raise UserError("the axes of its multiscales have no unit", where, ASK_SIZE)

    def compose(level: Mapping[str, Any]) -> _Level:
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
        kinds = {kind for kind, _ in steps}
        if "scale" not in kinds:
            raise UserError("its multiscales have no scale", where, ASK_SIZE)
        centre = to_triple(first[-3:], "zyx", units, where, OFFSET) if "translation" in kinds else None
        return _Level(to_triple(size[-3:], "zyx", units, where, "voxel size"), centre)

    return compose(mine).to_place([compose(level) for level in levels])


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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
