"""Zarr and N5 arrays in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroadda.volumes.axes import check_order
from neuroadda.volumes.locations import Location
from neuroadda.volumes.nodes import open_array
from neuroadda.volumes.readers.metadata import plain_attributes, take_place
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
    folder = path if wanted.dataset is None else path / wanted.dataset.strip("/")
    array = open_array(folder)
    attributes = plain_attributes(array.attrs)
    check_order(attributes, str(folder))
    voxel_size, offset = take_place(attributes, str(folder))
    yield Source(
        path,
        array.shape,
        array.dtype,
        array.__getitem__,
        files=tuple(sorted(p for p in folder.rglob("*") if p.is_file())),
        dataset=wanted.dataset,
        voxel_size_nm=voxel_size,
        offset_nm=offset,
        attributes=attributes,
    )


FORMAT = Format("zarr, N5", _recognises, _open, has_datasets=True)
