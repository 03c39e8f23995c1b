"""Our volumes into the formats of others: zarr, CREMI HDF5 and TIFF, streamed box by box."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import tifffile

from neuroadda.errors import UserError, warn
from neuroadda.observing import track
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_checks import LabelTally
from neuroadda.volumes.contents.label_ids import count_unlabelled, describe_unlabelled
from neuroadda.volumes.identity.derived import deriving
from neuroadda.volumes.identity.moved import PLACE, check_not_moved
from neuroadda.volumes.importing import boxes
from neuroadda.volumes.readers import Box
from neuroadda.volumes.readers.choosing import CREMI_LABELS, CREMI_RAW
from neuroadda.volumes.readers.hdf5 import HDF5_SUFFIXES
from neuroadda.volumes.readers.pages import layer_buffer
from neuroadda.volumes.readers.tiff import TIFF_SUFFIXES
from neuroadda.volumes.storage.placing import placing

Format = Literal["zarr", "hdf5", "tiff"]


def export_volume(volume: Volume, target: str | Path, format: Format | None = None, *, overwrite: bool = False) -> Path:
    """Write a volume in another format.

    Zarr keeps everything, and adds ``resolution`` (as CREMI and gunpowder name the voxel size) where it is in nm. HDF5
    has the CREMI layout: uint8 is written to ``volumes/raw``, wider integers to ``volumes/labels/neuron_ids``, each with
    ``resolution`` and ``offset`` in nm; a file that has only one gets the other added. TIFF is an OME-TIFF of one
    page a section, and 64-bit ids become uint32. Ids that are not neurons become 0; see `label_ids`.

    Parameters
    ----------
    target
        The file, or for zarr the array, such as ``out.zarr/raw``.
    format
        Defaults to what the name of `target` says.
    overwrite
        Replace what is there.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    UserError
        If the format is not known or cannot hold this volume, `target` exists, or the place of the volume was edited since a run
        wrote it; nothing is left behind.
    """
    target = Path(target)
    check_not_moved(volume.path)
    format = format or _format_of(target)
    if format != "zarr" and volume.channels is not None:
        raise UserError(f"it has {volume.channels} channels", str(volume.path), "export it to zarr")
    with deriving(volume, target, "copy", again="neuroadda export {of} {made} --overwrite"):
        if format == "zarr":
            with placing(target, overwrite) as partial:
                _write_zarr(volume, partial)
        elif format == "hdf5":
            dataset = _cremi_dataset(volume)
            adds = target.is_file() and not overwrite and _lacks(target, dataset)
            with placing(target, overwrite or adds) as partial:
                if adds:
                    shutil.copyfile(target, partial)
                _write_hdf5(volume, partial, dataset)
        else:
            with placing(target, overwrite) as partial:
                _write_tiff(volume, partial)
    return target


def _format_of(target: Path) -> Format:
    suffix = target.suffix.lower()
    if suffix in HDF5_SUFFIXES:
        return "hdf5"
    if suffix in TIFF_SUFFIXES:
        return "tiff"
    if any(p.suffix == ".zarr" for p in target.parents):
        return "zarr"
    right = "name.hdf, name.tif or name.zarr/array; OME-Zarr of all scales is made by `neuroadda pyramid`"
    raise UserError("the format is not clear from the name", str(target), right)


def _write_zarr(volume: Volume, partial: Path) -> None:
    ours = ("offset", "voxel_size", "axis_names", "units", "types", PLACE)
    attrs = {key: value for key, value in volume.attrs.items() if key not in ours}
    copy = Volume.create(
        partial,
        volume.shape_vx,
        volume.voxel_size_nm,
        volume.dtype,
        offset_nm=volume.offset_nm,
        channels=volume.channels,
        chunk_vx=volume.chunk_vx,
        attrs={**attrs, **({"resolution": list(volume.voxel_size)} if volume.unit == "nm" else {})},
    )
    itemsize, tally = volume.dtype.itemsize * (volume.channels or 1), LabelTally()
    for box in _track(volume, itemsize):
        copy.data[(..., *box)] = _read(volume, box, tally)
    copy.data.attrs.update(_note_unlabelled(volume, tally))


def _cremi_dataset(volume: Volume) -> str:
    if volume.dtype == np.uint8:
        return CREMI_RAW
    if volume.dtype.kind in "iu":
        return CREMI_LABELS
    raise UserError(
        f"its data type is {volume.dtype}", str(volume.path), "CREMI files hold uint8 raw and integer labels"
    )


def _lacks(path: Path, dataset: str) -> bool:
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return dataset not in file


def _write_hdf5(volume: Volume, partial: Path, dataset: str) -> None:
    chunks = tuple(min(c, s) for c, s in zip(volume.chunk_vx, volume.shape_vx, strict=True))
    with h5py.File(partial, "a") as file:
        node = file.create_dataset(
            dataset, volume.shape_vx, volume.dtype, chunks=chunks, compression="gzip", shuffle=True
        )
        node.attrs["resolution"] = np.asarray(volume.voxel_size_nm, np.float64)
        node.attrs["offset"] = np.asarray(volume.offset_nm, np.float64)
        node.attrs["fingerprint"] = volume.fingerprint
        for key, value in volume.attrs.get("provenance", {}).get("attributes", {}).items():
            if isinstance(value, str | int | float):
                file.attrs.setdefault(key, value)
        tally = LabelTally()
        for box in _track(volume, volume.dtype.itemsize):
            node[box] = _read(volume, box, tally)
        node.attrs.update(_note_unlabelled(volume, tally))


def _write_tiff(volume: Volume, partial: Path) -> None:
    narrow = volume.dtype.kind in "iu" and volume.dtype.itemsize == 8
    dtype = np.dtype(np.uint32) if narrow else volume.dtype
    (sz, sy, sx), (oz, oy, ox) = volume.voxel_size_nm, volume.offset_nm
    depth = volume.shape_vx[0]
    size: dict[str, Any] = {"PhysicalSizeX": sx, "PhysicalSizeY": sy, "PhysicalSizeZ": sz}
    size |= {f"PhysicalSize{axis}Unit": "nm" for axis in "XYZ"}
    position: dict[str, Any] = {f"Position{axis}Unit": ["nm"] * depth for axis in "XYZ"}
    position |= {"PositionX": [ox] * depth, "PositionY": [oy] * depth, "PositionZ": [oz + i * sz for i in range(depth)]}
    with tifffile.TiffWriter(partial, bigtiff=volume.data.nbytes > 2**31, ome=True) as file:
        file.write(
            _pages(volume, dtype),
            shape=tuple(volume.shape_vx),
            dtype=dtype,
            photometric="minisblack",
            metadata={"axes": "ZYX", "Description": f"fingerprint {volume.fingerprint}", **size, "Plane": position},
        )


def _pages(volume: Volume, dtype: np.dtype[Any]) -> Iterator[np.ndarray]:
    shape, layer, start, tally = volume.shape_vx, np.empty((0, 0, 0), dtype), -1, LabelTally()
    for box in _track(volume, volume.dtype.itemsize):
        z, y, x = box
        if z.start != start:
            yield from layer
            layer = layer[:0].copy()  # never two layers at a time
            layer, start = layer_buffer((z.stop - z.start, shape[1], shape[2]), dtype), z.start
        voxels = _read(volume, box, tally)
        if voxels.dtype != dtype and (voxels.min() < 0 or voxels.max() > np.iinfo(dtype).max):
            largest = f"ids from {voxels.min()} to {voxels.max()}"
            raise UserError(
                f"{largest} do not fit into a TIFF's {dtype}", str(volume.path), "relabel it, or export to zarr or HDF5"
            )
        layer[:, y, x] = voxels
    _note_unlabelled(volume, tally)
    yield from layer


def _track(volume: Volume, itemsize: int) -> Iterator[Box]:
    return track(f"export of {volume.path}", list(boxes(volume.shape_vx, volume.chunk_vx, itemsize)))


def _read(volume: Volume, box: Box, tally: LabelTally) -> np.ndarray:
    """Return a box of voxels; of labels (integers of 32 bits or more) with 0 where nothing is labelled."""
    voxels = volume.read_box(box)
    if volume.channels is not None or voxels.dtype.kind not in "iu" or voxels.dtype.itemsize < 4:
        return voxels
    return tally.add(voxels, str(volume.path)).astype(voxels.dtype)


def _note_unlabelled(volume: Volume, tally: LabelTally) -> dict[str, int]:
    """Warn of what became 0, and return the attribute that says so; see `label_ids`."""
    for note in tally.note_unlabelled():
        warn(note, str(volume.path))
    return describe_unlabelled(count_unlabelled(volume.attrs) + sum(tally.unlabelled.values()))
