"""A volume annotation as WEBKNOSSOS downloads it: a zip of an NML and, for each volume layer, a zip of its voxels.

Each layer's zip holds one folder a magnification, of zarr format 3 (axes cxyz) or of WKW files. Voxels count from the data
set's first voxel, which is taken for the raw volume's first. Nothing is unpacked under a name that the zip gives.
"""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import numpy as np

from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.axes import ASK_SIZE, NM
from neuroadda.volumes.readers.chunks import paste
from neuroadda.volumes.readers.source import BROKEN, Box, Format, Source, Wanted, first_line
from neuroadda.volumes.readers.zarr3 import Zarr3
from neuroadda.volumes.storage.locations import Location

MAX_BYTES = 8 * 2**30
MAX_NML_BYTES = 256 * 2**20
MAX_JSON_BYTES = 2**20
FINEST = re.compile(r"(?:[^/]+/)?(?:1|1-1-1)/")
CUBE = re.compile(r"z(\d{1,7})/y(\d{1,7})/x(\d{1,7})\.wkw")
CHUNK = re.compile(r"(?:c[./])?(\d{1,7}(?:[./]\d{1,7})*)")


def _recognises(location: Location, wanted: Wanted) -> bool:
    return isinstance(location, Path) and location.suffix.lower() == ".zip" and location.is_file()


@contextmanager
def _open(path: Location, wanted: Wanted) -> Iterator[Source]:
    assert isinstance(path, Path)
    with ExitStack() as stack:
        outer = stack.enter_context(_open_zip(path, str(path)))
        tree = _read_nml(outer, path)
        volume = _choose(tree, wanted.dataset, path)
        name = volume.get("name") or volume.get("id")
        where = f"{path}:{name}"
        location = volume.get("location") or ""
        if location not in outer.namelist():
            right = "include the volume annotation when downloading"
            raise UserError("the download has no voxels of this layer", where, right)
        inner = stack.enter_context(tempfile.TemporaryFile())
        _copy(outer, location, inner, MAX_BYTES, where)
        data = stack.enter_context(_open_zip(inner, where))
        notes: tuple[str, ...] = ()
        if volume.get("fallbackLayer"):
            what = f"it changes the segmentation {volume.get('fallbackLayer')!r}"
            notes = (f"{what}: what was not changed is not in the download and counts as not labelled",)
        dtype, side, chunks = _open_layer(data, where, stack)
        yield Source(
            path,
            _extent(chunks, side),
            dtype,
            _read_by(chunks, side, dtype),
            files=(path,),
            dataset=name,
            voxel_size_nm=None if wanted.answers.voxel_size_nm else _voxel_size(tree, path),
            offset_nm=wanted.offset_nm,
            kind="labels",
            endless=True,
            parts=tuple(_part(index, side) for index in sorted(chunks)),
            notes=notes,
        )


def _open_zip(file: Path | IO[bytes], where: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, *BROKEN) as error:
        raise UserError(f"the zip cannot be opened: {first_line(error)}", where) from error


def _copy(archive: zipfile.ZipFile, name: str, target: IO[bytes], limit: int, where: str) -> None:
    """Unpack one member; zipfile never gives more bytes than the directory says."""
    try:
        if archive.getinfo(name).file_size > limit:
            raise UserError(f"{name} unpacks to more than {limit} bytes", where)
        with archive.open(name) as file:
            shutil.copyfileobj(file, target, 2**20)
    except (zipfile.BadZipFile, *BROKEN) as error:
        raise UserError(f"{name} cannot be unpacked: {first_line(error)}", where) from error


def _read(archive: zipfile.ZipFile, name: str, limit: int, where: str) -> bytes:
    with tempfile.SpooledTemporaryFile(max_size=limit) as file:
        _copy(archive, name, file, limit, where)
        file.seek(0)
        return file.read()


def _read_nml(outer: zipfile.ZipFile, path: Path) -> ElementTree.Element:
    names = [name for name in outer.namelist() if name.endswith(".nml")]
    if len(names) != 1:
        right = "give the zip of one annotation as WEBKNOSSOS downloads it"
        raise UserError(f"there are {len(names)} .nml files in it", str(path), right)
    where = f"{path}:{names[0]}"
    try:  # as text, so that no encoding hides a document type, which alone can declare entities
        text = _read(outer, names[0], MAX_NML_BYTES, str(path)).decode("utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise UserError("the NML has a document type, which none needs", where)
        return ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise UserError(f"the NML is malformed: {first_line(error)}", where) from error


def _choose(tree: ElementTree.Element, layer: str | None, path: Path) -> ElementTree.Element:
    volumes = tree.findall("volume")
    names = [volume.get("name") or volume.get("id") or "" for volume in volumes]
    if not volumes:
        raise UserError("the annotation has no volume layer", str(path), "download one that was painted in")
    if layer is None and len(volumes) > 1:
        raise UserError("it is not said which volume layer to import", str(path), f"give one of: {', '.join(names)}")
    if layer is not None and names.count(layer) != 1:
        raise UserError(f"there is no one volume layer {layer!r}", str(path), f"layers in it: {', '.join(names)}")
    return volumes[0 if layer is None else names.index(layer)]


def _voxel_size(tree: ElementTree.Element, path: Path) -> ZyxFloat | None:
    scale = tree.find("parameters/scale")
    if scale is None:
        return None
    unit = scale.get("unit", "nanometer")
    try:
        z, y, x = (round(float(scale.get(axis, "")) * NM[unit], 6) for axis in "zyx")
    except (ValueError, KeyError) as error:
        right = f"lengths in a unit that is known are expected; {ASK_SIZE}"
        raise UserError(f"its scale {dict(scale.attrib)} is not understood", str(path), right) from error
    return z, y, x


Chunks = dict[Zyx, Callable[[], np.ndarray]]


def _open_layer(data: zipfile.ZipFile, where: str, stack: ExitStack) -> tuple[np.dtype[Any], Zyx, Chunks]:
    members = {name[match.end() :]: name for name in data.namelist() if (match := FINEST.match(name))}
    if "zarr.json" in members:
        return _open_zarr3(data, members, where)
    if "header.wkw" in members:
        return _open_wkw(data, members, where, stack)
    right = "paint and download at the finest magnification, as Zarr or WKW"
    raise UserError("there are no voxels of magnification 1 in it", where, right)


def _read_by(chunks: Chunks, side: Zyx, dtype: np.dtype[Any]) -> Callable[[Box], np.ndarray]:
    def stored(box: Box) -> np.ndarray:
        out = np.zeros([s.stop - s.start for s in box], dtype)
        for index, read in chunks.items():
            part = _part(index, side)
            if all(p.start < b.stop and p.stop > b.start for p, b in zip(part, box, strict=True)):
                paste(out, box, read(), tuple(p.start for p in part))
        return out

    return stored


def _part(index: Zyx, side: Zyx) -> Box:
    z, y, x = (slice(i * s, (i + 1) * s) for i, s in zip(index, side, strict=True))
    return z, y, x


def _extent(chunks: Chunks, side: Zyx) -> Zyx:
    """Return the shape that holds all chunks; the data set's own shape is not always in the download."""
    z, y, x = (max((index[axis] + 1 for index in chunks), default=1) * side[axis] for axis in range(3))
    return z, y, x


def _open_zarr3(data: zipfile.ZipFile, members: dict[str, str], where: str) -> tuple[np.dtype[Any], Zyx, Chunks]:
    """Open the chunks that are there; what the metadata says of their names is not needed, and not always true."""
    meta = Zarr3.parse(_read(data, members["zarr.json"], MAX_JSON_BYTES, where), where)
    names = meta.dimension_names or ("c", "x", "y", "z")
    if sorted(names) != ["c", "x", "y", "z"] or len(meta.shape) != 4 or meta.chunk_shape[names.index("c")] != 1:
        raise UserError(f"its axes are {', '.join(names)}", where, "one channel of x, y and z is expected")
    channel, z, y, x = (names.index(axis) for axis in "czyx")

    def read(name: str) -> np.ndarray:
        chunk = meta.decode(_read(data, name, 2 * meta.chunk_bytes + MAX_JSON_BYTES, where))
        return chunk.transpose(channel, z, y, x)[0]

    chunks: Chunks = {}
    for key, name in members.items():
        if match := CHUNK.fullmatch(key):
            index = [int(number) for number in re.split("[./]", match[1])]
            if len(index) == 4 and index[channel] == 0:
                chunks[index[z], index[y], index[x]] = lambda name=name: read(name)  # type: ignore[misc]
    side = tuple(meta.chunk_shape[axis] for axis in (z, y, x))
    return meta.dtype, side, chunks  # type: ignore[return-value]


def _open_wkw(
    data: zipfile.ZipFile, members: dict[str, str], where: str, stack: ExitStack
) -> tuple[np.dtype[Any], Zyx, Chunks]:
    try:
        import wkw
    except ImportError as error:
        right = "pip install neuroadda[webknossos], or choose Zarr when downloading"
        raise UserError("its voxels are WKW, for which the package wkw is missing", where, right) from error
    cubes = {(int(m[1]), int(m[2]), int(m[3])): name for key, name in members.items() if (m := CUBE.fullmatch(key))}
    if sum(data.getinfo(name).file_size for name in cubes.values()) > MAX_BYTES:
        raise UserError(f"it unpacks to more than {MAX_BYTES} bytes", where)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    with (folder / "header.wkw").open("wb") as file:
        _copy(data, members["header.wkw"], file, MAX_JSON_BYTES, where)
    for (z, y, x), name in cubes.items():
        target = folder / f"z{z}" / f"y{y}" / f"x{x}.wkw"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            _copy(data, name, file, MAX_BYTES, where)
    try:
        opened = wkw.Dataset.open(str(folder))
    except Exception as error:  # wkw's own, derived from no other
        raise UserError(f"its WKW files cannot be read: {first_line(error)}", where) from error
    stack.callback(opened.close)
    header = opened.header
    if header.num_channels != 1:
        raise UserError(f"it has {header.num_channels} channels", where, "labels have one")
    edge = header.block_len * header.file_len

    def read(index: Zyx) -> np.ndarray:
        z, y, x = (i * edge for i in index)
        try:
            return np.asarray(opened.read((x, y, z), (edge, edge, edge))[0]).T
        except Exception as error:
            raise ValueError(first_line(error)) from error

    chunks: Chunks = {index: lambda index=index: read(index) for index in cubes}  # type: ignore[misc]
    return np.dtype(header.voxel_type), (edge, edge, edge), chunks


FORMAT = Format("the zip of a WEBKNOSSOS annotation", _recognises, _open, has_datasets=True)
