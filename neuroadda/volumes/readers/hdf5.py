"""HDF5, in the CREMI layout or with one volume, or a dataset that is named."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from neuroadda.errors import UserError
from neuroadda.volumes.locations import Location
from neuroadda.volumes.readers.metadata import plain_attributes, take_place
from neuroadda.volumes.readers.source import BROKEN, Format, Source, Wanted, first_line

CREMI_RAW = "volumes/raw"
CREMI_LABELS = "volumes/labels/neuron_ids"
HDF5_SUFFIXES = (".h5", ".hdf", ".hdf5", ".he5")


def _recognises(location: Location, wanted: Wanted) -> bool:
    if not isinstance(location, Path) or not location.is_file():
        return False
    return location.suffix.lower() in HDF5_SUFFIXES or h5py.is_hdf5(location)


@contextmanager
def _open(path: Location, wanted: Wanted) -> Iterator[Source]:
    assert isinstance(path, Path)
    with _open_file(path) as file:
        names: list[str] = []
        try:
            file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        except BROKEN as error:
            raise UserError(f"the HDF5 file is damaged: {first_line(error)}", str(path)) from error
        dataset = _choose(file, names, wanted, path)
        node = file[dataset]
        attributes = {**plain_attributes(file.attrs), **plain_attributes(node.attrs)}
        voxel_size, offset = take_place(attributes, f"{path}:{dataset}")
        yield Source(
            path,
            node.shape,
            node.dtype,
            node.__getitem__,
            files=(path,),
            dataset=dataset,
            datasets=tuple(names),
            voxel_size_nm=voxel_size,
            offset_nm=offset,
            attributes=attributes,
        )


def _open_file(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = "it is truncated" if "truncated" in str(error) else first_line(error)
        raise UserError(f"the HDF5 file cannot be opened: {reason}", str(path)) from error


def _choose(file: h5py.File, names: list[str], wanted: Wanted, path: Path) -> str:
    dataset = wanted.dataset
    if dataset is None:
        volumes = [n for n in names if file[n].ndim == 3]
        cremi = CREMI_LABELS if wanted.labels else CREMI_RAW
        if cremi not in names and len(volumes) != 1:
            raise UserError(
                "it is not said which dataset to import", str(path), f"give --dataset, one of: {_some(names)}"
            )
        dataset = cremi if cremi in names else volumes[0]
    dataset = dataset.strip("/")
    if dataset not in names:
        raise UserError(f"there is no dataset {dataset!r}", str(path), f"datasets in it: {_some(names)}")
    return dataset


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "") if names else "none"


FORMAT = Format("HDF5", _recognises, _open, has_datasets=True)
