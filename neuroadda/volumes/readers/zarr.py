"""Zarr and N5 arrays in a folder; of a group, the array that is wanted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroadda.errors import UserError
from neuroadda.volumes.axes import check_order
from neuroadda.volumes.completeness import describe_stored
from neuroadda.volumes.locations import Location
from neuroadda.volumes.multiscales import list_images, list_levels
from neuroadda.volumes.nodes import (
    check_names,
    find_n5,
    is_array,
    list_arrays,
    open_array,
    read_attributes,
    read_groups,
)
from neuroadda.volumes.places import PLACE_KEYS, Answers, describe_size, find_place, same_size
from neuroadda.volumes.readers.choosing import choose
from neuroadda.volumes.readers.metadata import plain_attributes
from neuroadda.volumes.readers.source import Format, Source, Wanted

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
    dataset = _choose(path, names, wanted) if names else wanted.dataset
    folder = path if dataset is None else path / dataset.strip("/")
    array, in_n5 = open_array(folder), find_n5(folder) is not None
    attributes = plain_attributes(array.attrs)
    check_names(array, str(folder))
    if not (in_n5 and wanted.answers.axes):
        check_order(attributes, str(folder), in_n5)
    groups = ((name, plain_attributes(group)) for name, group in read_groups(folder))
    place = find_place(attributes, str(folder), "N5" if in_n5 else "zarr", groups, wanted.answers)
    yield Source(
        path,
        array.shape,
        array.dtype,
        array.__getitem__,
        files=tuple(sorted(p for p in folder.rglob("*") if p.is_file())),
        dataset=dataset,
        datasets=names,
        voxel_size_nm=place.voxel_size_nm,
        offset_nm=place.offset_nm,
        attributes={key: value for key, value in attributes.items() if key not in PLACE_KEYS},
        notes=describe_stored(folder, array, may_be_empty=wanted.labels),
    )


def _list_datasets(path: Path) -> list[str]:
    """Return the arrays below a group; none where there is an array, or nothing that holds one."""
    if not path.is_dir() or is_array(path) or "dimensions" in read_attributes(path):
        return []
    return list_arrays(path)


def _choose(path: Path, names: tuple[str, ...], wanted: Wanted) -> str:
    group = read_attributes(path)
    levels = [level for image in list_images(group)[:1] for level in list_levels(image)]
    if not levels or levels[0] not in names:
        return choose(names, [name for name in names if len(open_array(path / name).shape) == 3], wanted, str(path))
    size = wanted.answers.voxel_size_nm
    if size is None or len(levels) == 1:
        return levels[0]
    answers, in_n5, found = Answers(axes=wanted.answers.axes), find_n5(path) is not None, {}
    for level in levels:
        place = find_place({}, str(path), "N5" if in_n5 else "zarr", [(level, group)], answers)
        found[level] = place.voxel_size_nm
    for level, its in found.items():
        if its is not None and same_size(its, size):
            return level
    told = ", ".join(f"{level}: {describe_size(its) if its else 'not said'}" for level, its in found.items())
    raise UserError(f"it has no level of {describe_size(size)}", str(path), f"give --dataset, one of: {told}")


FORMAT = Format("zarr, N5", _recognises, _open, has_datasets=True, has_lists=True)
