"""Which level of a multiscale group is wanted: the finest, or that of a voxel size; where that does not decide, it is asked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.multiscales import list_images, list_levels
from neuroadda.volumes.geometry.places import Answers, describe_size, find_place, same_size
from neuroadda.volumes.readers.source import Wanted
from neuroadda.volumes.storage.locations import Location, leaves
from neuroadda.volumes.storage.nodes import list_some


@dataclass(frozen=True)
class Chosen:
    """The array that is imported, and what people should know of the choice."""

    dataset: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Level:
    """A level of one entry of ``multiscales``: its path, and its voxel size (nm, zyx) where the group says it."""

    entry: str
    path: str
    size: ZyxFloat | None

    def __str__(self) -> str:
        told = describe_size(self.size) if self.size else "voxel size not said"
        return f"{self.path}: {told}{self.entry}"


def choose_level(
    group: Location, attributes: Mapping[str, Any], names: Sequence[str], wanted: Wanted, in_n5: bool
) -> Chosen | None:
    """Return the level of a group that is wanted; None if the group has no levels.

    Parameters
    ----------
    names
        The arrays that are in the group.

    Raises
    ------
    UserError
        If it is not there or not in the group, or entries of ``multiscales`` offer several.
    """
    where = str(group)
    images = [image for image in list_images(attributes) if list_levels(image)]
    entries = [_read_levels(n, image, where, in_n5, wanted, len(images)) for n, image in enumerate(images)]
    if not entries:
        return None
    size, every = wanted.answers.voxel_size_nm, [level for levels in entries for level in levels]
    if outside := [level.path for level in every if leaves(level.path)]:
        raise UserError(f"its multiscales name {outside[0]!r}, which is not in it", where, _offer(names))
    if size is None or len({level.path for level in every}) == 1:
        found = [level for levels in entries for level in _find_finest(levels)]
    else:
        found = [level for level in every if level.size is not None and same_size(level.size, size)]
        if not found:
            raise UserError(f"it has no level of {describe_size(size)}", where, _offer(every))
    if len({level.path for level in found}) > 1:
        several = (
            f"{len(entries)} entries, for several images" if len(entries) > 1 else "several levels of one voxel size"
        )
        raise UserError(f"its multiscales have {several}", where, _offer(every))
    level = found[0]
    if level.path not in names:
        raise UserError(f"its multiscales name the level {level.path!r}, which is not there", where, _offer(names))
    first = entries[0][0]
    if size is not None or first.path == level.path:
        return Chosen(level.path)
    return Chosen(level.path, (f"its multiscales list {first}, first; the finest level, {level}, is imported",))


def _read_levels(
    number: int, image: Mapping[str, Any], where: str, in_n5: bool, wanted: Wanted, entries: int
) -> list[_Level]:
    name = "" if entries == 1 else f" of entry {number}, {image.get('name') or image.get('type') or 'without a name'}"
    listed, answers = list_levels(image), Answers(axes=wanted.answers.axes)

    def find_size(path: str) -> ZyxFloat | None:
        groups = [(path, {"multiscales": [image]})]
        try:
            return find_place({}, where, "N5" if in_n5 else "zarr", groups, answers).voxel_size_nm
        except UserError:
            if wanted.answers.voxel_size_nm is None and len(listed) > 1:
                raise
            return None  # of a single level it is told where its place is read

    return [_Level(name, path, find_size(path)) for path, _ in listed]


def _find_finest(levels: Sequence[_Level]) -> list[_Level]:
    """Return the levels of the smallest voxels; the first level where sizes are not said."""
    sizes = [level.size for level in levels if level.size is not None]
    if len(sizes) < len(levels):
        return [levels[0]]
    finest = min(sizes, key=math.prod)
    return [level for level, size in zip(levels, sizes, strict=True) if same_size(size, finest)]


def _offer(levels: Sequence[_Level] | Sequence[str]) -> str:
    return f"give --dataset, one of: {list_some([str(level) for level in levels])}"
