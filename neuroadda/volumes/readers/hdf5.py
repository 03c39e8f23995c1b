"""HDF5, in the CREMI layout or with one volume, or a dataset that is named; links are followed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from neuroadda.errors import UserError
from neuroadda.volumes.geometry.axes import check_order
from neuroadda.volumes.geometry.places import PLACE_KEYS, describe_unread, find_place
from neuroadda.volumes.readers.choosing import CREMI_LABELS, CREMI_RAW, choose
from neuroadda.volumes.readers.hdf5_storage import describe_storage
from neuroadda.volumes.readers.metadata import plain_attributes
from neuroadda.volumes.readers.source import BROKEN, Format, Source, Wanted, first_line
from neuroadda.volumes.storage.locations import Location, to_name

HDF5_SUFFIXES = (".h5", ".hdf", ".hdf5", ".he5")


def _recognises(location: Location, wanted: Wanted) -> bool:
    if not isinstance(location, Path) or not location.is_file():
        return False
    return location.suffix.lower() in HDF5_SUFFIXES or h5py.is_hdf5(location)


@contextmanager
def _open(path: Location, wanted: Wanted) -> Iterator[Source]:
    assert isinstance(path, Path)
    with _open_file(path) as file:
        found = _Found()
        try:
            found.seen.add(_identify(file))
            _search(file, "", found)
            dataset = _choose(file, found, wanted, path)
            node, where = file[dataset], f"{path}:{dataset}"
            attributes = {**plain_attributes(file.attrs), **plain_attributes(node.attrs)}
            files = _files(path, node, where)
            shape, dtype = node.shape, node.dtype
            notes = describe_storage(node, where, may_be_empty=wanted.labels)
            if any(len(dimension) for dimension in node.dims):  # scales of HDF5, such as netCDF's
                notes = (*notes, "the coordinates of its axes (dimension scales) are not read")
        except BROKEN as error:
            raise UserError(f"the HDF5 file is damaged: {first_line(error)}", str(path)) from error
        check_order(attributes, where, ndim=len(shape))
        place = find_place(attributes, where, "HDF5", (), wanted.answers, len(shape))
        yield Source(
            path,
            shape,
            dtype,
            node.__getitem__,
            files=files,
            dataset=dataset,
            datasets=tuple(found.datasets),
            voxel_size_nm=place.voxel_size_nm,
            offset_nm=place.offset_nm,
            attributes={key: value for key, value in attributes.items() if key not in PLACE_KEYS},
            notes=(*notes, *describe_unread(attributes, place, wanted.answers)),
        )


def _open_file(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = "it is truncated" if "truncated" in str(error) else first_line(error)
        raise UserError(f"the HDF5 file cannot be opened: {reason}", str(path)) from error


@dataclass
class _Found:
    """What is in a file: the datasets by name, those that are the same one by another name, links that lead nowhere."""

    datasets: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    dangling: dict[str, str] = field(default_factory=dict)
    seen: set[tuple[str, int]] = field(default_factory=set)


def _search(group: h5py.Group, prefix: str, found: _Found) -> None:
    """Find all datasets below a group, also behind links; a group with several names is looked into once."""
    for name in group:
        link = group.get(name, getlink=True)
        try:
            node = group[name]
        except BROKEN:
            if isinstance(link, h5py.HardLink):
                raise
            outside = f" in {link.filename}" if isinstance(link, h5py.ExternalLink) else ""
            found.dangling[f"{prefix}{name}"] = f"{link.path}{outside}"
            continue
        new = _identify(node) not in found.seen
        found.seen.add(_identify(node))
        if isinstance(node, h5py.Dataset):
            found.datasets.append(f"{prefix}{name}")
            if new and node.ndim == 3:
                found.volumes.append(f"{prefix}{name}")
        elif isinstance(node, h5py.Group) and new:
            _search(node, f"{prefix}{name}/", found)


def _identify(node: h5py.Group | h5py.Dataset) -> tuple[str, int]:
    """Return what is the same for all names of a node: its file, which each external link opens again, and its place in it."""
    return os.path.realpath(node.file.filename), h5py.h5o.get_info(node.id).addr


def _choose(file: h5py.File, found: _Found, wanted: Wanted, path: Path) -> str:
    name = to_name(wanted.dataset or "")
    if not name and found.dangling:
        meant = CREMI_LABELS if wanted.labels else CREMI_RAW
        if meant in found.dangling or not found.datasets:
            name = meant if meant in found.dangling else min(found.dangling)
    if name in found.dangling:
        raise UserError(f"the link {name!r} leads to {found.dangling[name]}, which is not there", str(path))
    if name and name not in found.datasets and isinstance(file.get(name), h5py.Dataset):
        return name  # below a group that was found by another name
    return choose(found.datasets, found.volumes, wanted, str(path))


def _files(path: Path, node: h5py.Dataset, where: str) -> tuple[Path, ...]:
    """Return the files that hold the voxels: also that of an external link, and those that a virtual dataset is made of.

    Raises
    ------
    UserError
        If one is missing, for which HDF5 would read zeros.
    """
    home = Path(node.file.filename)
    sources = [source.file_name for source in node.virtual_sources()] if node.is_virtual else []
    others = [home.parent / name for name in sorted({*sources, *(name for name, _, _ in node.external or ())} - {"."})]
    if missing := next((p for p in others if not p.exists()), None):
        raise UserError(f"a part of it, {missing}, is not there", where, "put the file beside it")
    if home.resolve() == path.resolve() and not others:
        return (path,)
    return tuple(dict.fromkeys(p.resolve() for p in (path, home, *others)))


FORMAT = Format("HDF5", _recognises, _open, has_datasets=True, has_lists=True)
