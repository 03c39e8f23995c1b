"""Arrays and groups of zarr, of either line of it: 2 on Python 3.11, 3 on later ones. What is written is format 2 in both.

Format 2 is a few lines of JSON beside the chunks; written here, they are the same bytes for both lines and for every location, and
their order says when an array is whole: it is one from when its ``.zarray`` is there, and that comes last.
"""

import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc, blosc

from neuroadda.errors import UserError
from neuroadda.volumes.geometry.axes import check_order
from neuroadda.volumes.storage.codecs import WholeCodec, check_codecs
from neuroadda.volumes.storage.locations import Location, remove
from neuroadda.volumes.storage.urls import ARRAY_METADATA, ATTRIBUTES, CHANGES, LAYERS, Url

ZARR3 = int(zarr.__version__.partition(".")[0]) >= 3
IMPORT = "make it one with `neuroadda import`"
GROUP_METADATA = (".zgroup", "zarr.json")
N5_ATTRIBUTES = "attributes.json"
CONTAINERS = (".zarr", ".n5")
FOREIGN = (  # endings of other formats
    *(".n5", ".h5", ".hdf", ".hdf5", ".he5", ".tif", ".tiff", ".btf", ".npy", ".npz", ".zip", ".png", ".jpg", ".jpeg"),
    *(".mrc", ".nrrd", ".nii", ".gz", ".wkw", ".json", ".precomputed"),
)
MISSING: tuple[type[Exception], ...] = (FileNotFoundError,)
if not ZARR3:
    MISSING += (zarr.errors.PathNotFoundError, zarr.errors.ArrayNotFoundError)
UNREADABLE: tuple[type[Exception], ...] = (
    *(ValueError, LookupError, TypeError, ArithmeticError, OSError, RuntimeError),
    AttributeError,  # metadata that are a list
)
if not ZARR3:
    UNREADABLE += (zarr.errors.MetadataError,)

blosc.use_threads = False  # its threads store a chunk's parts as they finish: the same voxels as different bytes
if ZARR3:
    zarr.config.set({"array.write_empty_chunks": True})  # as zarr 2 does: the same files from both


def open_array(location: Location, mode: str = "r") -> zarr.Array:
    """Open any zarr or N5 array, with or without a voxel size; format 3 and N5 each need a line of zarr that reads them.

    Raises
    ------
    UserError
        If nothing is there, or it is not a zarr array.
    """
    if isinstance(location, Path) and location.is_file():
        raise UserError("this is a file, not a zarr array", str(location), IMPORT)
    if isinstance(location, Url) and location.url.startswith(LAYERS):
        raise UserError("this is the address of a layer of Neuroglancer, not of a zarr array", str(location), IMPORT)
    is_format_3 = (location / ARRAY_METADATA[1]).is_file()  # asked of zarr 3, too: it says why a URL cannot be reached
    if is_format_3 and not ZARR3:
        raise UserError(
            "this is zarr format 3", str(location), "give format 2 or N5; with Python 3.12 or later, format 3 is read"
        )
    check_codecs(location)
    try:
        data = _open_node(location, mode)
        dict(data.attrs)  # read now, where it is told what is wrong with them
    except UNREADABLE as error:
        if isinstance(error, MISSING) and (location / "info").is_file():
            raise UserError("this is a precomputed volume, not a zarr array", str(location), IMPORT) from error
        if isinstance(error, MISSING):
            raise UserError("there is no array here", str(location), _nearby(location)) from error
        raise UserError(f"the array's metadata cannot be read ({error})", str(location)) from error
    if not isinstance(data, zarr.Array):
        arrays = list_arrays(location) if isinstance(location, Path) else sorted(name for name, _ in data.arrays())
        raise UserError("this is a zarr group, not an array", str(location), f"arrays in it: {list_some(arrays)}")
    whole = all(isinstance(n, int) and n >= 0 for n in (*data.shape, *data.chunks))
    if not whole or len(data.chunks) != len(data.shape):
        raise UserError(f"the array's shape {data.shape} or chunks {data.chunks} are malformed", str(location))
    if not ZARR3 and data.compressor is not None:
        nbytes = None if data.filters else math.prod(data.chunks) * data.dtype.itemsize
        data._compressor = WholeCodec(data.compressor, nbytes)
    return data


def create_array(
    location: Location,
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: np.dtype[Any],
    attrs: Mapping[str, Any],
    shards: Sequence[int] | None = None,
) -> None:
    """Create an empty (all zero) array of zstd-1 chunks; whatever lay there is deleted.

    Parameters
    ----------
    shards
        Shape of a file of many chunks, which makes it format 3; see `check_shards`.

    Raises
    ------
    UserError
        If the location cannot be written to.
    """
    check_target(location)
    if shards is not None:
        check_shards()
    try:
        _create_groups(location, 2 if shards is None else 3)
        remove(location)
        location.mkdir(parents=True, exist_ok=True)
        if shards is not None:
            _create_sharded(location, shape, chunks, shards, dtype, attrs)
            return
        metadata = {
            "zarr_format": 2,
            "shape": [int(s) for s in shape],
            "chunks": [int(c) for c in chunks],
            "dtype": dtype.str,
            "compressor": _compressor(dtype, chunks).get_config(),
            "fill_value": 0,
            "order": "C",
            "filters": None,
            "dimension_separator": "/",
        }
        _write_json(location / ATTRIBUTES, attrs)
        _write_json(location / ARRAY_METADATA[0], metadata)
    except OSError as error:
        raise UserError(f"the array cannot be created: {error.strerror or error}", str(location)) from error


def check_target(location: Location) -> None:
    """Raise UserError if a place is named like another format than zarr, or lies in an N5 container."""
    found = next(
        (p for p in (location, *location.parents) if _ending(p) in (FOREIGN if p is location else FOREIGN[:1])), None
    )
    if found is not None:
        name = (location.name[: -len(_ending(location))] if found is location else location.name) or "volume"
        right = f"a zarr array is written: name it such as {name}.zarr or volumes.zarr/{name}"
        raise UserError(f"{_ending(found)} is the ending of another format", str(location), right)


def _ending(location: Location) -> str:
    return (location.suffix or location.name).lower()


def check_shards() -> None:
    """Raise UserError where the installed zarr cannot write shards."""
    if not ZARR3:
        raise UserError(f"zarr {zarr.__version__} has no shards", "shard", "use Python 3.12 or later, which has zarr 3")


def read_attributes(location: Location) -> dict[str, Any]:
    """Return the attributes of an array or a group without opening it; empty where they cannot be read."""
    for name in (ATTRIBUTES, ARRAY_METADATA[1], N5_ATTRIBUTES):
        try:
            data = json.loads((location / name).read_text(encoding="utf-8"))
            return dict(data.get("attributes", {}) if name == ARRAY_METADATA[1] else data)
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            continue
    return {}


def read_groups(
    location: Location, read: Callable[[Location], Mapping[str, Any]] = read_attributes
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield, for each group above an array, nearest first, the array's path below it and the group's attributes.

    They end with the container (``.zarr``, ``.n5``), or five groups up.
    """
    path, group = "", location.resolve() if ".." in str(location).split("/") else location.absolute()
    for _ in range(5):
        if group.suffix in CONTAINERS or group.parent == group:
            return
        path, group = f"{group.name}/{path}".rstrip("/"), group.parent
        yield path, read(group)


def find_n5(location: Location) -> Path | None:
    """Return the N5 container that an array or a group lies in; None if it is zarr."""
    if not isinstance(location, Path):
        return None
    above = (location, *location.parents)
    if (named := next((p for p in above if p.suffix == ".n5"), None)) is not None:
        return named
    if not (location / N5_ATTRIBUTES).is_file() or any(
        (location / name).is_file() for name in (*ARRAY_METADATA, ".zgroup")
    ):
        return None
    return next((p for p in above if "n5" in read_attributes(p)), location.parent)


def list_arrays(folder: Path) -> list[str]:
    """Return the paths of all arrays below a folder, by name; arrays are not looked into, and a linked folder once."""
    found: list[str] = []
    seen: set[str] = set()
    for place, names, _ in os.walk(folder, followlinks=True):
        if os.path.realpath(place) in seen:
            names.clear()
            continue
        seen.add(os.path.realpath(place))
        if place != str(folder) and (is_array(Path(place)) or "dimensions" in read_attributes(Path(place))):
            found.append(Path(place).relative_to(folder).as_posix())
            names.clear()
        names[:] = sorted(name for name in names if not name.startswith("."))
    return found


def list_some(names: Sequence[str]) -> str:
    """Return at most twelve names, for a message."""
    more = f", and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more if names else "none"


def check_names(data: zarr.Array, where: str) -> None:
    """Raise UserError if format 3 names an array's dimensions, and they are not (c,) z, y, x."""
    names = getattr(getattr(data, "metadata", None), "dimension_names", None)
    check_order({"axis_names": list(names or ())}, where)


def is_array(location: Location) -> bool:
    """Tell whether a whole zarr array lies here."""
    if (location / ARRAY_METADATA[0]).is_file():
        return True
    try:
        return json.loads((location / ARRAY_METADATA[1]).read_text(encoding="utf-8")).get("node_type") == "array"
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _open_node(location: Location, mode: str) -> zarr.Array | zarr.Group:
    if isinstance(location, Url):
        return zarr.open(_remote_store(location, mode), mode=mode)
    container = find_n5(location)
    if container is None:
        return zarr.open(str(location), mode=mode)
    if ZARR3:
        raise UserError(f"zarr {zarr.__version__} does not read N5", str(location), "import it with Python 3.11")
    with warnings.catch_warnings():  # N5Store announces that zarr 3 drops it, at every opening
        warnings.simplefilter("ignore", FutureWarning)
        store = zarr.N5Store(str(container))
    return zarr.open(store, mode=mode, path=location.relative_to(container).as_posix().removeprefix("."))


def _remote_store(location: Url, mode: str) -> Any:
    if ZARR3:
        return zarr.storage.FsspecStore.from_url(str(location), storage_options=CHANGES, read_only=mode == "r")
    # By default it takes every error for a missing chunk: a lost connection would be read as zeros.
    missing = (KeyError, FileNotFoundError)
    return zarr.storage.FSStore(
        str(location), fs=location.files, mode=mode, exceptions=missing, missing_exceptions=(FileNotFoundError,)
    )


def _create_sharded(
    location: Location,
    shape: Sequence[int],
    chunks: Sequence[int],
    shards: Sequence[int],
    dtype: np.dtype[Any],
    attrs: Mapping[str, Any],
) -> None:
    codec = _compressor(dtype, chunks)
    shuffle = "shuffle" if codec.shuffle == Blosc.SHUFFLE else "noshuffle"
    zarr.create_array(
        _remote_store(location, "w") if isinstance(location, Url) else str(location),
        shape=tuple(shape),
        chunks=tuple(chunks),
        shards=tuple(shards),
        dtype=dtype,
        compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle=shuffle, blocksize=codec.blocksize),
        fill_value=0,
        attributes=dict(attrs),
    )


def _compressor(dtype: np.dtype[Any], chunks: Sequence[int]) -> Blosc:
    # Bytes need no shuffling, which goes by small parts of a chunk; as one part, zstd is faster both ways.
    shuffle, part = (Blosc.NOSHUFFLE, math.prod(chunks)) if dtype.itemsize == 1 else (Blosc.SHUFFLE, 0)
    return Blosc(cname="zstd", clevel=1, shuffle=shuffle, blocksize=part)


def _create_groups(location: Location, zarr_format: int) -> None:
    """Make every folder from the ``.zarr`` container down to the array a zarr group, as readers expect."""
    parents: list[Location] = list(location.parents)
    depth = next((n for n, p in enumerate(parents) if p.suffix == ".zarr"), -1)
    for group in reversed(parents[: depth + 1]):
        if is_array(group):
            raise UserError(
                "this is a zarr array: there cannot be another below it", str(group), "choose another place"
            )
        if not any((group / name).is_file() for name in GROUP_METADATA):
            group.mkdir(parents=True, exist_ok=True)
            of_3 = {"zarr_format": 3, "node_type": "group", "attributes": {}}
            _write_json(group / GROUP_METADATA[zarr_format - 2], {"zarr_format": 2} if zarr_format == 2 else of_3)


def _write_json(location: Location, data: Mapping[str, Any]) -> None:
    location.write_bytes(json.dumps(data, indent=4, sort_keys=True, ensure_ascii=True).encode())


def _nearby(location: Location) -> str | None:
    """Return which folders lie in a place, or beside it."""
    if not isinstance(location, Path):
        return None
    for where, folder in (("in it", location), ("beside it", location.parent)):
        found = folder.iterdir() if folder.is_dir() else ()
        if names := sorted(path.name for path in found if path.is_dir() and path != location):
            return f"{where}: {', '.join(names[:8])}"
    return None
