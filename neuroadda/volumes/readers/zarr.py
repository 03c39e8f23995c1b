"""Zarr and N5 arrays in a folder; of a group, the array that is wanted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from neuroadda.volumes.geometry.axes import check_order
from neuroadda.volumes.geometry.places import PLACE_KEYS, describe_unread, find_place
from neuroadda.volumes.readers.choosing import choose
from neuroadda.volumes.readers.levels import Chosen, choose_level
from neuroadda.volumes.readers.metadata import plain_attributes
from neuroadda.volumes.readers.source import Format, Source, Wanted
from neuroadda.volumes.storage.completeness import describe_stored
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.nodes import (
    check_names,
    find_n5,
    is_array,
    list_arrays,
    open_array,
    read_attributes,
    read_groups,
)

MARKS = (".zarray", ".zgroup", "attributes.json", "zarr.json")


def _recognises(location: Location, wanted: Wanted) -> bool:
    if not isinstance(location, Path):
        return False
    if any(p.suffix in (".zarr", ".n5") for p in (location, *location.parents)):
        return not location.is_file()
    return any((location / mark).exists() for mark in MARKS)


@contextmanager
def _open(path: Location, wanted: Wanted) -> Iterator[Source]:
    assert isinstance(path, Path)
    names = () if wanted.dataset is not None else tuple(_list_datasets(path))
    chosen = _choose(path, names, wanted) if names else Chosen(wanted.dataset)
    folder = replace(wanted, dataset=chosen.dataset).below(path)
    assert isinstance(folder, Path)
    array, in_n5 = open_array(folder), find_n5(folder) is not None
    attributes = plain_attributes(array.attrs)
    check_names(array, str(folder))
    if not (in_n5 and wanted.answers.axes):
        check_order(attributes, str(folder), in_n5, array.ndim)
    groups = ((name, plain_attributes(group)) for name, group in read_groups(folder))
    place = find_place(attributes, str(folder), "N5" if in_n5 else "zarr", groups, wanted.answers, array.ndim)
    yield Source(
        path,
        array.shape,
        array.dtype,
        array.__getitem__,
        files=tuple(sorted(p for p in folder.rglob("*") if p.is_file())),
        dataset=chosen.dataset,
        datasets=names,
        voxel_size_nm=place.voxel_size_nm,
        offset_nm=place.offset_nm,
        attributes={key: value for key, value in attributes.items() if key not in PLACE_KEYS},
        notes=(
            *chosen.notes,
            *describe_unread(attributes, place, wanted.answers),
            *_describe_coordinates(folder, attributes),
            *describe_stored(folder, array, may_be_empty=wanted.labels),
        ),
    )


def _list_datasets(path: Path) -> list[str]:
    """Return the arrays below a group; none where there is an array, or nothing that holds one."""
    if not path.is_dir() or is_array(path) or "dimensions" in read_attributes(path):
        return []
    return list_arrays(path)


def _describe_coordinates(folder: Path, attributes: dict[str, Any]) -> tuple[str, ...]:
    """Return a note on arrays of coordinates that xarray keeps beside an array."""
    names = attributes.get("_ARRAY_DIMENSIONS")
    names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    beside = [name for name in names if name and "/" not in name and is_array(folder.parent / name)]
    return (f"the coordinates beside it ({', '.join(beside)}) are not read",) if beside else ()


def _choose(path: Path, names: tuple[str, ...], wanted: Wanted) -> Chosen:
    level = choose_level(path, read_attributes(path), names, wanted, find_n5(path) is not None)
    if level is not None:
        return level
    return Chosen(choose(names, [name for name in names if len(open_array(path / name).shape) == 3], wanted, str(path)))


FORMAT = Format("zarr, N5", _recognises, _open, has_datasets=True, has_lists=True)
