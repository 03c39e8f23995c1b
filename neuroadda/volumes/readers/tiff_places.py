"""Voxel size and offset that a TIFF tells: ImageJ's lines, or OME's XML, whose planes have to lie where sections do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import tifffile

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.axes import ASK_OFFSET, ASK_SIZE, KNOWN, NM
from neuroadda.volumes.geometry.multiscales import Place
from neuroadda.volumes.geometry.places import Answers, describe_size

NO_LENGTHS = ("pixel", "reference frame")  # units of OME that say nothing of a size
NEAR, FAR = 0.01, 0.5  # parts of a voxel: what is nearer is rounding, what is farther is another place
NOT_TAKEN = "is not taken as its offset: it lacks an axis or a unit of length"
Told = tuple[Place, tuple[str, ...]]


def read_place(file: tifffile.TiffFile, where: str, answers: Answers) -> Told:
    """Return voxel size and offset (nm, zyx), each None where it is not said or the user says it, and notes.

    Raises
    ------
    UserError
        If what is said is malformed or contradicts itself; it names the options that answer.
    """
    read = _read_ome if file.is_ome and file.ome_metadata else _read_imagej
    place, notes = read(file, where, answers)
    size = place.voxel_size_nm if answers.voxel_size_nm is None else None
    return Place(size, place.offset_nm if answers.offset_nm is None else None), notes


def describe_sections(offsets: Mapping[int, ZyxFloat], answers: Answers, where: str) -> tuple[str, ...]:
    """Return notes on the offsets that files of single sections say, by number of section; raise UserError where they differ."""
    if not offsets or answers.offset_nm is not None:
        return ()
    planes = {number: _Plane(offset, True) for number, offset in offsets.items()}
    notes = _check_planes(planes, answers.voxel_size_nm, answers.voxel_size_nm is None, where)
    first = offsets[min(offsets)]
    if any(first):
        listed = ", ".join(f"{axis} {value:g}" for axis, value in zip("ZYX", first, strict=True))
        notes = (*notes, f"the position of its first image ({listed} nm) is not taken as its offset")
    return notes


def _read_imagej(file: tifffile.TiffFile, where: str, answers: Answers) -> Told:
    """``spacing`` and the resolution are in ``unit`` (or ``zunit``, ``yunit``); an origin is the pixel that lies at 0."""
    told, tags = file.imagej_metadata or {}, file.pages.first.tags
    asked = answers.offset_nm is None
    origin = [_to_number(told.get(f"{axis}origin", 0), f"{axis}origin", where, ASK_OFFSET, asked) for axis in "zyx"]
    z, y, x = origin
    note = (f"its position (z {z:g}, y {y:g}, x {x:g}) {NOT_TAKEN}",) if any(origin) and asked else ()
    units = [str(told.get(name, told.get("unit"))) for name in ("zunit", "yunit", "unit")]
    known = all(unit in NM for unit in units)
    if not known or "spacing" not in told or "XResolution" not in tags or "YResolution" not in tags:
        return Place(), note
    (y_pixels, y_units), (x_pixels, x_units) = tags["YResolution"].value, tags["XResolution"].value
    if not y_pixels or not x_pixels:
        return Place(), note
    spacing = _to_number(told["spacing"], "spacing", where, ASK_SIZE, answers.voxel_size_nm is None)
    lengths = zip((spacing, y_units / y_pixels, x_units / x_pixels), units, strict=True)
    size = _triple([round(length * NM[unit], 3) for length, unit in lengths])
    if answers.voxel_size_nm is None:
        _check_size(size, where)
    if not any(origin):
        return Place(size), ()
    return Place(size, _triple([-o * s + 0.0 for o, s in zip(origin, answers.voxel_size_nm or size, strict=True)])), ()


@dataclass(frozen=True)
class _Plane:
    """Where a section's plane lies (zyx): in nm, or, without units of length, in numbers that mean nothing by themselves."""

    position: ZyxFloat
    in_nm: bool


def _read_ome(file: tifffile.TiffFile, where: str, answers: Answers) -> Told:
    """``PhysicalSize`` of the pixels, by default in µm; ``Position`` of the first plane, by default in a reference frame."""
    images = ElementTree.fromstring(file.ome_metadata or "").findall(".//{*}Pixels")
    asks_size, asks_offset = answers.voxel_size_nm is None, answers.offset_nm is None
    if len(file.series) == 1:
        images = images[:1]
    sizes = [_read_lengths(pixels, "PhysicalSize", "µm", where, ASK_SIZE, asks_size) for pixels in images]
    size = sizes[0] if sizes else None
    if asks_size and any(other != size for other in sizes):
        raise UserError("its images have different voxel sizes", where, ASK_SIZE)
    if asks_size and size is not None:
        _check_size(size, where)
    planes = _find_planes(images, where, asks_offset)
    used = answers.voxel_size_nm or size
    if not planes or not asks_offset:
        return Place(size), ()
    notes = _check_planes(planes, used, asks_size, where)
    first = planes[min(planes)]
    if min(planes) == 0 and first.in_nm and all(plane.in_nm for plane in planes.values()):
        return Place(size, first.position), notes
    if any(any(plane.position) for plane in planes.values()):
        listed = ", ".join(f"{axis} {value:g}" for axis, value in zip("ZYX", first.position, strict=True))
        why = NOT_TAKEN if min(planes) == 0 else "is not taken as its offset: it is not that of the first section"
        notes = (*notes, f"its position ({listed}) {why}")
    return Place(size), notes


def _find_planes(images: Sequence[ElementTree.Element], where: str, asked: bool) -> dict[int, _Plane]:
    """Return the planes that have any position, by the number of their section."""
    found: dict[int, _Plane] = {}
    for number, pixels in enumerate(images):
        axis = "TheT" if pixels.get("SizeZ") == "1" and pixels.get("SizeT") != "1" else "TheZ"
        for plane in pixels.findall("{*}Plane"):
            names = [f"Position{axis}" for axis in "ZYX"]
            if not any(name in plane.attrib for name in names):
                continue
            units = [plane.get(f"{name}Unit", "reference frame") for name in names]
            whole = all(name in plane.attrib for name in names) and all(unit in NM for unit in units)
            values = [_to_number(plane.get(name, "0"), name, where, ASK_OFFSET, asked) for name in names]
            if whole:
                values = [round(value * NM[unit], 6) for value, unit in zip(values, units, strict=True)]
            index = number if len(images) > 1 else int(_to_number(plane.get(axis, "0"), axis, where, ASK_OFFSET, asked))
            told = _Plane(_triple(values), whole)
            if found.setdefault(index, told) != told and asked:
                raise UserError(f"it says two positions of section {index}", where, ASK_OFFSET)
    return found


def _check_planes(planes: Mapping[int, _Plane], size: ZyxFloat | None, asks_size: bool, where: str) -> tuple[str, ...]:
    """Return notes on planes that lie a little beside their sections; raise UserError where they lie elsewhere."""
    numbers = sorted(planes)
    if len(numbers) == 1 or size is None:
        return ()
    z = [planes[number].position[0] for number in numbers]
    steps = [(b - a) / (n - m) for a, b, m, n in zip(z, z[1:], numbers, numbers[1:], strict=False)]
    in_nm = all(plane.in_nm for plane in planes.values())
    right = f"give the sections in the order and at the distance in which they lie, or {ASK_OFFSET}"
    if min(steps) < 0:
        falls = next(k for k, step in enumerate(steps) if step < 0)
        what = f"PositionZ of its planes falls: {z[falls]:g} at section {numbers[falls]}, then {z[falls + 1]:g}"
        raise UserError(f"{what}; the order of its sections is in doubt", where, right)
    even, notes = max(steps) - min(steps) <= NEAR * max(steps), []
    if even and in_nm and max(steps) > 0 and not math.isclose(steps[0], size[0], rel_tol=NEAR):
        what = f"its planes are {steps[0]:g} nm apart in z, but its voxel size is {describe_size(size)}"
        if asks_size:
            raise UserError(f"it says two voxel sizes: {what}", where, ASK_SIZE)
        notes.append(what)
    if even and not in_nm and max(steps) > 0 and not _may_be(steps[0], size[0]):
        what = f"its planes are {steps[0]:g} apart in PositionZ, without a unit of length"
        notes.append(f"{what}: in no unit are that the {size[0]:g} nm of its voxel size")
    if not even:
        apart = max(abs(p - z[0] - (n - numbers[0]) * size[0]) for p, n in zip(z, numbers, strict=True))
        what = f"PositionZ of its planes is uneven: they are {min(steps):g} to {max(steps):g} apart"
        if in_nm and apart > FAR * size[0]:
            raise UserError(f"{what}, sections {size[0]:g} nm", where, right)
        notes.append(f"{what}; sections are taken as evenly spaced")
    for axis, name in ((1, "Y"), (2, "X")):
        values = [planes[number].position[axis] for number in numbers]
        spread = max(values) - min(values)
        what = f"Position{name} differs between its planes, by up to {spread:g}"
        if in_nm and spread > FAR * size[axis]:
            right = f"align the sections first, or {ASK_OFFSET}, to take them as aligned"
            raise UserError(f"{what} nm; sections are shifted against one another", where, right)
        if spread > (NEAR * size[axis] if in_nm else 0):
            notes.append(f"{what}; sections are taken as aligned")
    return tuple(notes)


def _may_be(step: float, size_nm: float) -> bool:
    """Tell whether a step without a unit is that of section numbers, or in some unit a length."""
    return any(math.isclose(step, told, rel_tol=NEAR) for told in (1.0, *(size_nm / nm for nm in NM.values())))


def _read_lengths(
    node: ElementTree.Element, prefix: str, default: str, where: str, right: str, asked: bool
) -> ZyxFloat | None:
    """Return three lengths; `default` is the unit that the schema of OME gives those without one."""
    names = [f"{prefix}{axis}" for axis in "ZYX"]
    units = [node.get(f"{name}Unit", default) for name in names]
    if any(name not in node.attrib for name in names):
        return None
    values = [_to_number(node.attrib[name], name, where, right, asked) for name in names]
    if unknown := [(n, v, u) for n, v, u in zip(names, values, units, strict=True) if u not in NM]:
        name, value, unit = unknown[0]
        if asked and unit not in NO_LENGTHS:
            raise UserError(f"its {name} is {value:g}, its unit {unit!r}", where, f"known: {KNOWN}; {right}")
        return None
    return _triple([round(value * NM[unit], 6) for value, unit in zip(values, units, strict=True)])


def _check_size(size: ZyxFloat, where: str) -> None:
    if not min(size) > 0:
        what = f"its voxel size is {describe_size(size)}"
        raise UserError(what, where, f"three lengths above 0 are expected; {ASK_SIZE}")


def _to_number(value: object, name: str, where: str, right: str, asked: bool) -> float:
    """Return a finite number; where the user answers for it, whatever is no number counts as 0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if math.isfinite(number):
        return number
    if asked:
        raise UserError(f"its {name} is {value!r}", where, f"a number is expected; {right}")
    return 0.0


def _triple(values: Sequence[float]) -> ZyxFloat:
    z, y, x = values
    return z, y, x
