"""Where an array that others wrote lies: voxel size and offset, from its attributes and from those of the groups above it.

docs/formats.md says who writes which attribute, in which order of axes. Where the attributes do not decide, the user is asked.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.axes import (
    ASK_OFFSET,
    ASK_SIZE,
    Order,
    check_count,
    looks_like_other_unit,
    looks_like_xyz,
    looks_turned,
)
from neuroadda.volumes.geometry.multiscales import (
    OFFSET,
    Place,
    find_factors,
    is_level,
    read_image,
    read_transform,
    to_triple,
)

Form = Literal["zarr", "N5", "HDF5"]
Groups = Sequence[tuple[str, Mapping[str, Any]]]
SIZES = ("voxel_size", "pixelResolution", "resolution", "element_size_um")
PLACE_KEYS = {*SIZES, "units", "unit", "offset", "transform", "downsamplingFactors"}
REL_TOLERANCE = 1e-3
ASK_ORDER = "import it with --axes zyx or --axes xyz, or with --voxel-size Z Y X (nm)"


@dataclass(frozen=True)
class Answers:
    """What the user says of a place; it wins over what the file says.

    Attributes
    ----------
    voxel_size_nm, offset_nm
        zyx.
    axes
        The order in which the file's lists give voxel size and offset.
    """

    voxel_size_nm: ZyxFloat | None = None
    offset_nm: ZyxFloat | None = None
    axes: Order | None = None


def find_place(
    attributes: Mapping[str, Any],
    where: str,
    form: Form,
    groups: Iterable[tuple[str, Mapping[str, Any]]],
    answers: Answers,
    ndim: int | None = None,
) -> Place:
    """Return voxel size and offset (nm, zyx), each None where nothing says it.

    Parameters
    ----------
    attributes
        Of the array.
    groups
        For each group above the array, nearest first: the array's path below it, and its attributes.
    ndim
        The number of the array's axes: what says its place has to speak of as many. None if it is not known.

    Raises
    ------
    UserError
        If what is said is malformed, contradicts itself or can be read in two ways; it names the options that answer.
    """
    if answers.voxel_size_nm is not None and answers.offset_nm is not None:
        return Place()
    groups = list(groups)
    try:
        told = _read(attributes, where, form, groups, answers, ndim)
        if answers.offset_nm is not None:
            told = [(name, Place(place.voxel_size_nm)) for name, place in told]
        return _agree(told, where)
    except UserError as error:
        if answers.voxel_size_nm is None and answers.offset_nm is not None and error.right is not None:
            raise UserError(error.what, where, error.right.replace(ASK_OFFSET, ASK_SIZE)) from error
        if answers.voxel_size_nm is None or error.right == ASK_OFFSET:
            raise
        if not _has_offset(attributes, groups):
            return Place()
        raise UserError(error.what, where, ASK_OFFSET) from error


def same_size(first: ZyxFloat, second: ZyxFloat) -> bool:
    """Tell whether two voxel sizes are the same but for the rounding of a file format."""
    return all(math.isclose(a, b, rel_tol=REL_TOLERANCE) for a, b in zip(first, second, strict=True))


def describe_size(size: Sequence[float]) -> str:
    """Return a voxel size as ``40 x 4 x 4 nm (zyx)``."""
    return " x ".join(f"{s:g}" for s in size) + " nm (zyx)"


def list_doubts(size_nm: ZyxFloat, shape: Sequence[int]) -> tuple[str, ...]:
    """Return what is doubtful of a voxel size and a shape (zyx), a sentence each."""
    told, doubts = f"its voxel size, {describe_size(size_nm)},", []
    if looks_like_xyz(size_nm):
        turned = " ".join(f"{s:g}" for s in reversed(size_nm))
        doubts.append(
            f"{told} looks like x, y, z: the last axis is the coarsest; if it is, import it with --voxel-size {turned}"
        )
    if looks_like_other_unit(size_nm):
        doubts.append(f"{told} is none of electron microscopy: was another unit meant?")
    if looks_turned(shape):
        told = " x ".join(str(n) for n in shape)
        doubts.append(
            f"its shape, {told} (zyx), looks turned: x is by far the shortest axis; if it is z, transpose the array"
        )
    return tuple(doubts)


Told = tuple[str, Place]


def _read(
    attributes: Mapping[str, Any], where: str, form: Form, groups: Groups, answers: Answers, ndim: int | None
) -> list[Told]:
    """Return every place that is told, by the name of what tells it; the array's own lists come first."""
    try:
        named = _read_named(attributes, where, form, groups, answers, ndim)
        known = next((place.voxel_size_nm for _, place in named if place.voxel_size_nm), None)
        lists = _Lists(attributes, where, form, groups, answers, answers.voxel_size_nm or known, ndim)
        own = [(name, lists.read(name)) for name in SIZES if name in attributes]
        if not own and known is None:
            own = lists.read_group()
        if not own and "offset" in attributes:
            own = [("offset", Place(None, lists.read_offset(attributes, lists.convention)))]
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UserError(f"what it says of its place is malformed ({error})", where, ASK_SIZE) from error
    return own + named


def _read_named(
    attributes: Mapping[str, Any], where: str, form: Form, groups: Groups, answers: Answers, ndim: int | None
) -> list[Told]:
    """Return the places that name their axes: of the ``multiscales`` of the nearest group that has the array, and ``transform``.

    The group comes first: it knows where the other levels lie.
    """
    rest = (where, form == "N5", answers.axes, ndim)
    every = (read_image(group, path, *rest) for path, group in groups)
    places = next(filter(None, every), [])
    if len(places) > 1:  # beside another entry, one without a translation says that the corner is the origin
        places = [place if place.offset_nm else Place(place.voxel_size_nm, (0.0, 0.0, 0.0)) for place in places]
    names = ("multiscales", *["another entry of multiscales"] * len(places))
    found: list[Told] = list(zip(names, places, strict=False))
    if isinstance(transform := attributes.get("transform"), Mapping):
        found.append(("transform", read_transform(transform, *rest)))
    return found


@dataclass(frozen=True)
class _Lists:
    """Lists of three lengths, whose order of axes is that of a convention.

    Attributes
    ----------
    hint
        A voxel size that is known otherwise, zyx; it shows the order of a list.
    ndim
        Of the array, where it is known.
    """

    attributes: Mapping[str, Any]
    where: str
    form: Form
    groups: Groups
    answers: Answers
    hint: ZyxFloat | None
    ndim: int | None

    @property
    def convention(self) -> Order:
        return self.answers.axes or ("xyz" if self.form == "N5" else "zyx")

    def read(self, name: str) -> Place:
        """Return the place of the array's own list."""
        order, own = self._parse(name, self.attributes)
        factors = find_factors(self.attributes, self.groups, self.where)
        base = next((g for _, g in self.groups if name in g), None)
        finest = None if base is None else self._parse(name, base)[1]
        size = self._scale(name, own, factors if factors is None or order == "xyz" else factors[::-1], finest)
        order, size = self._decide(name, order, size)
        return Place(size, self.read_offset(self.attributes, order, self._unit_of(name)))

    def read_group(self) -> list[Told]:
        """Return the place of a level of a multiscale group of N5 (``s0``, ``s1``): the group's voxel size, times its factors."""
        found = next(((n, g) for _, g in self.groups for n in ("pixelResolution", "resolution") if n in g), None)
        if found is None or not is_level(self.groups):
            return []
        name, group = found
        order, size = self._parse(name, group)
        factors = find_factors(self.attributes, self.groups, self.where)
        if factors is None:
            raise UserError(f"its group says {name}, but not how much coarser this level is", self.where, ASK_SIZE)
        size = _times(size, factors if order == "xyz" else factors[::-1])
        order, size = self._decide(name, order, size)
        holder = self.attributes if "offset" in self.attributes else group
        return [(f"{name} of its group", Place(size, self.read_offset(holder, order, self._unit_of(name, group))))]

    def read_offset(self, attributes: Mapping[str, Any], order: Order, unit: Any = None) -> ZyxFloat | None:
        """Return the offset; nothing where the user gives it."""
        offset = attributes.get("offset")
        if offset is None or self.answers.offset_nm is not None:
            return None
        units = self._units_of(attributes)
        if units is None and unit not in (None, "nm") and any(to_triple(offset, "zyx", "nm", self.where, OFFSET)):
            raise UserError(f"the unit of its offset {offset!r} is not said", self.where, ASK_OFFSET)
        return to_triple(offset, order, units, self.where, OFFSET)

    def _parse(self, name: str, attributes: Mapping[str, Any]) -> tuple[Order, ZyxFloat]:
        values, units = attributes[name], self._units_of(attributes)
        order: Order = self.answers.axes or "zyx"
        if name == "element_size_um":
            units = "um"
        elif name == "pixelResolution":
            order = self.answers.axes or "xyz"
            if isinstance(values, Mapping):
                units = values.get("unit", units)
                values = values.get("dimensions")
            if not units:
                raise UserError(f"its {name} {values!r} has no unit", self.where, ASK_SIZE)
        elif name == "resolution":
            order = self.convention
        return order, to_triple(values, order, units, self.where, "voxel size")

    def _scale(self, name: str, own: ZyxFloat, factors: ZyxFloat | None, finest: ZyxFloat | None) -> ZyxFloat:
        """Return the size of a level, whose own list may be that of the finest level, or have its factors in it."""
        is_finest = finest is not None and same_size(own, finest)
        if factors is None and is_finest and is_level(self.groups) and self.hint is None:
            raise UserError(f"its {name} is its group's, but this is a coarser level", self.where, ASK_SIZE)
        if factors is None or set(factors) == {1.0}:
            return own
        times = _times(own, factors)
        if self.hint is not None:
            return own if same_size(own, self.hint) or same_size(own[::-1], self.hint) else times
        if finest is not None and same_size(own, _times(finest, factors)):
            return own
        if name == "pixelResolution" or is_finest:
            return times
        what = f"it is not said whether its {name} is that of the finest level or has downsamplingFactors in it"
        raise UserError(what, self.where, ASK_SIZE)

    def _decide(self, name: str, order: Order, size: ZyxFloat) -> tuple[Order, ZyxFloat]:
        """Return the order of a list and the size (zyx) that it gives; ask where it is neither said nor plain."""
        if self.answers.axes is not None or name in ("pixelResolution", "element_size_um"):
            return order, size
        turned: ZyxFloat = size[::-1]
        if self.hint is not None and same_size(size, self.hint):
            return order, size
        if self.hint is not None and same_size(turned, self.hint):
            return ("xyz" if order == "zyx" else "zyx"), turned
        by_convention = name == "resolution" or (self.form == "N5" and "axis_names" not in self.attributes)
        if self.form != "HDF5" and by_convention and looks_like_xyz(size):
            what = f"its {name} {list(size if order == 'zyx' else turned)!r} does not say the order of its axes"
            raise UserError(
                f"{what}: in {order}, {self.form}'s usual one, x is the coarsest axis", self.where, ASK_ORDER
            )
        return order, size

    def _units_of(self, attributes: Mapping[str, Any]) -> Any:
        units = attributes.get("units", attributes.get("unit"))
        if isinstance(units, list) and self.ndim is not None and len(units) not in (1, 3):
            check_count(units, self.ndim, self.where, f"one unit, or one for each axis; {ASK_SIZE}")
        return units

    def _unit_of(self, name: str, attributes: Mapping[str, Any] | None = None) -> Any:
        if name == "element_size_um":
            return "um"
        value = (attributes or self.attributes).get(name)
        return value.get("unit") if isinstance(value, Mapping) else None


def _times(size: ZyxFloat, factors: ZyxFloat) -> ZyxFloat:
    z, y, x = (round(s * f, 6) for s, f in zip(size, factors, strict=True))
    return z, y, x


def _agree(found: list[Told], where: str) -> Place:
    """Return the one place that all say. Offsets may differ by half a voxel, as conventions do: then the array's own counts."""
    sizes = [(name, place.voxel_size_nm) for name, place in found if place.voxel_size_nm is not None]
    for name, other in sizes[1:]:
        if not same_size(other, sizes[0][1]):
            both = f"{sizes[0][0]} {describe_size(sizes[0][1])} and {name} {describe_size(other)}"
            raise UserError(f"it says two voxel sizes: {both}", where, ASK_SIZE)
    size = sizes[0][1] if sizes else None
    offsets = [(name, place.offset_nm) for name, place in found if place.offset_nm is not None]
    for name, offset in offsets[1:]:
        apart = [abs(a - b) for a, b in zip(offset, offsets[0][1], strict=True)]
        if any(d > 0.5 * (1 + REL_TOLERANCE) * v + 1e-6 for d, v in zip(apart, size or (0, 0, 0), strict=True)):
            raise UserError(f"it says two offsets: {offsets[0][1]} and, in {name}, {offset} nm", where, ASK_OFFSET)
    return Place(size, offsets[0][1] if offsets else None)


def describe_unread(attributes: Mapping[str, Any], place: Place, answers: Answers) -> tuple[str, ...]:
    """Return a note on an offset among an array's own attributes that is in none of the forms that are read."""
    if place.offset_nm is not None or answers.offset_nm is not None or not _has_offset(attributes, ()):
        return ()
    return ("an offset in its attributes is in no form that is known and is not taken as its offset",)


def _has_offset(attributes: Mapping[str, Any], groups: Groups) -> bool:
    """Tell whether anything but an offset of zero is said, or cannot be understood."""
    names = ("offset", "translate", "translation")

    def search(node: Any, depth: int = 0) -> bool:
        if depth > 8 or not isinstance(node, Mapping | list | tuple):
            return False
        if not isinstance(node, Mapping):
            return any(search(item, depth + 1) for item in node)
        told = [node[name] for name in names if name in node]
        if any(not isinstance(value, Sequence) or any(value) for value in told):
            return True
        return any(search(item, depth + 1) for item in node.values())

    return search(dict(attributes)) or any(search(dict(group)) for _, group in groups)
