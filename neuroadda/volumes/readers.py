"""What can be imported, seen one way: a `Source` gives its shape, its place in the world and any box of its voxels."""

import math
import tokenize
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.nodes import open_array
from neuroadda.volumes.stacks import BROKEN, open_folder, open_tiff

CREMI_RAW = "volumes/raw"
CREMI_LABELS = "volumes/labels/neuron_ids"
HDF5_SUFFIXES = (".h5", ".hdf", ".hdf5", ".he5")
TIFF_SUFFIXES = (".tif", ".tiff", ".btf")

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Source:
    """A volume in a foreign format.

    Attributes
    ----------
    path, dataset
        Where it lies; `dataset` is the name inside the file, if it has any.
    shape, dtype
        zyx, as stored.
    stored
        Returns a box of voxels, or fails as its library does.
    files
        What holds the voxels.
    datasets
        The names of all there are, in an HDF5 file.
    voxel_size_nm, offset_nm
        zyx, where the source says.
    attributes
        What the source tells of itself (organism, modality, licence, ...).
    """

    path: Path
    shape: Zyx
    dtype: np.dtype[Any]
    stored: Callable[[Box], np.ndarray]
    files: tuple[Path, ...]
    dataset: str | None = None
    datasets: tuple[str, ...] = ()
    voxel_size_nm: ZyxFloat | None = None
    offset_nm: ZyxFloat | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.path) if self.dataset is None else f"{self.path}:{self.dataset}"

    def read(self, box: Box) -> np.ndarray:
        """Return a box of voxels.

        Raises
        ------
        UserError
            If they cannot be read.
        """
        try:
            return np.asarray(self.stored(box))
        except BROKEN as error:
            layers = f"sections {box[0].start} to {box[0].stop - 1}"
            raise UserError(f"{layers} cannot be read: {first_line(error)}", str(self)) from error


@contextmanager
def open_source(path: Path, dataset: str | None = None, *, prefer_labels: bool = False) -> Iterator[Source]:
    """Open whatever lies at `path`: HDF5, TIFF, .npy, a zarr or N5 array, or a folder of TIFF or PNG images.

    Parameters
    ----------
    dataset
        Which, in a file or folder that holds several.
    prefer_labels
        Without a `dataset`, take the labels of a CREMI file rather than its raw.

    Raises
    ------
    UserError
        If it is missing, unknown, broken, not three-dimensional, or has no such dataset.
    """
    with ExitStack() as stack:
        yield _check(_open(path, dataset, prefer_labels, stack))


def _open(path: Path, dataset: str | None, prefer_labels: bool, stack: ExitStack) -> Source:
    suffix = path.suffix.lower()
    if _is_container(path):
        return _open_zarr(path, dataset)
    if not path.exists():
        raise UserError("there is no such file or folder", str(path))
    if path.is_file() and (suffix in HDF5_SUFFIXES or h5py.is_hdf5(path)):
        return _open_hdf5(path, stack.enter_context(_hdf5_file(path)), dataset, prefer_labels)
    if dataset is not None:
        raise UserError(f"it holds no datasets to choose {dataset!r} from", str(path), "leave --dataset out")
    if suffix == ".npy":
        return _open_npy(path)
    if path.is_file() and suffix not in TIFF_SUFFIXES:
        raise UserError("the format is not known", str(path), "HDF5, TIFF, .npy, zarr, N5 or a folder of TIFFs or PNGs")
    pages = stack.enter_context(open_folder(path) if path.is_dir() else open_tiff(path))
    return Source(
        path,
        pages.shape,
        pages.dtype,
        pages.read,
        pages.files,
        voxel_size_nm=pages.voxel_size_nm,
        offset_nm=pages.offset_nm,
    )


def _check(source: Source) -> Source:
    where = str(source)
    if len(source.shape) != 3:
        raise UserError(f"it has shape {source.shape}", where, "three axes (z, y, x) are expected")
    if 0 in source.shape:
        raise UserError(f"it is empty: shape {source.shape}", where)
    if source.dtype.kind not in "buif":
        raise UserError(f"its data type is {source.dtype}", where, "numbers are expected")
    return source


def _is_container(path: Path) -> bool:
    if any(p.suffix in (".zarr", ".n5") for p in (path, *path.parents)):
        return not path.is_file()
    return any((path / mark).exists() for mark in (".zarray", ".zgroup", "attributes.json", "zarr.json"))


def _hdf5_file(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = "it is truncated" if "truncated" in str(error) else first_line(error)
        raise UserError(f"the HDF5 file cannot be opened: {reason}", str(path)) from error


def _open_hdf5(path: Path, file: h5py.File, dataset: str | None, prefer_labels: bool) -> Source:
    names: list[str] = []
    try:
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
    except BROKEN as error:
        raise UserError(f"the HDF5 file is damaged: {first_line(error)}", str(path)) from error
    if dataset is None:
        volumes = [n for n in names if file[n].ndim == 3]
        cremi = CREMI_LABELS if prefer_labels else CREMI_RAW
        if cremi not in names and len(volumes) != 1:
            raise UserError(
                "it is not said which dataset to import", str(path), f"give --dataset, one of: {_some(names)}"
            )
        dataset = cremi if cremi in names else volumes[0]
    dataset = dataset.strip("/")
    if dataset not in names:
        raise UserError(f"there is no dataset {dataset!r}", str(path), f"datasets in it: {_some(names)}")
    node = file[dataset]
    attributes = {**plain_attributes(file.attrs), **plain_attributes(node.attrs)}
    voxel_size, offset = take_place(attributes, f"{path}:{dataset}")
    return Source(
        path, node.shape, node.dtype, node.__getitem__, (path,), dataset, tuple(names), voxel_size, offset, attributes
    )


def _open_zarr(path: Path, dataset: str | None) -> Source:
    folder = path if dataset is None else path / dataset.strip("/")
    array = open_array(folder)
    attributes = plain_attributes(array.attrs)
    voxel_size, offset = take_place(attributes, str(folder))
    files = tuple(sorted(p for p in folder.rglob("*") if p.is_file()))
    return Source(path, array.shape, array.dtype, array.__getitem__, files, dataset, (), voxel_size, offset, attributes)


def _open_npy(path: Path) -> Source:
    try:
        with np.errstate(over="ignore"):  # of a shape that is absurd, which is an error anyway
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (tokenize.TokenError, *BROKEN) as error:
        raise UserError(f"the .npy file cannot be read: {first_line(error)}", str(path)) from error
    return Source(path, array.shape, array.dtype, array.__getitem__, (path,))


def plain_attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return those attributes that are short and fit into JSON; others are left out."""
    plain = {}
    for key, value in attrs.items():
        if isinstance(value, np.ndarray | np.generic):
            value = value.tolist() if value.size <= 16 else None
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, str | int | bool | list | dict) or (isinstance(value, float) and math.isfinite(value)):
            plain[str(key)] = value
    return plain


def take_place(attributes: dict[str, Any], where: str) -> tuple[ZyxFloat | None, ZyxFloat | None]:
    """Take voxel size and offset (nm, zyx) out of `attributes`, by any name the field uses.

    ``voxel_size`` (with ``units``), ``resolution`` (CREMI, nm), ``element_size_um`` (ilastik), ``pixelResolution`` (N5,
    xyz).
    """
    units = attributes.pop("units", None) or ["nm"]
    per_nm = {"nm": 1.0, "nanometer": 1.0, "pm": 1e-3, "um": 1e3, "µm": 1e3, "micrometer": 1e3}
    unit = str(units if isinstance(units, str) else units[-1]) or "nm"
    if unit not in per_nm:
        raise UserError(f"its unit is {unit!r}", where, f"known: {', '.join(per_nm)}")
    found: list[tuple[Any, float]] = []
    for name, scale in (("voxel_size", per_nm[unit]), ("resolution", 1.0), ("element_size_um", 1e3)):
        if name in attributes:
            found.append((attributes.pop(name), scale))
    if isinstance(n5 := attributes.pop("pixelResolution", None), dict):
        n5_unit = str(n5.get("unit", "nm"))
        found.append((list(n5.get("dimensions", ()))[::-1], per_nm.get(n5_unit, math.nan)))
    offset = attributes.pop("offset", None)
    voxel_size = None if not found else _triple(*found[0], where, "voxel size")
    return voxel_size, None if offset is None else _triple(offset, per_nm[unit], where, "offset")


def _triple(values: Any, scale: float, where: str, what: str) -> ZyxFloat:
    try:
        z, y, x = (round(float(v) * scale, 6) for v in values)
    except (TypeError, ValueError) as error:
        raise UserError(f"its {what} is {values!r}", where, "three numbers (z, y, x) are expected") from error
    if not all(map(math.isfinite, (z, y, x))):
        raise UserError(f"its {what} is {values!r}", where, "three numbers (z, y, x) are expected")
    return z, y, x


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "") if names else "none"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
