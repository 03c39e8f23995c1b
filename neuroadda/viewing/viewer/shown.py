"""A volume that a viewer shows, in any of the forms that Neuroglancer reads itself."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.multiscales import list_images, list_levels
from neuroadda.volumes.neuroglancer import Kind, Layer, Scheme
from neuroadda.volumes.storage.locations import Location, leaves
from neuroadda.volumes.storage.nodes import read_attributes

INFO = "info"  # of a precomputed volume, and of its segment properties
SIZES = ("voxels", "size", "num_voxels", "voxel_count")  # numbers by which a segment is large
MOST_SELECTED = 12
FEWEST_CHANNELS = 3  # of affinities


@dataclass(frozen=True)
class Shown:
    """A volume that is shown; see `neuroadda.volumes.neuroglancer.Layer` for what is not told here.

    Attributes
    ----------
    location
        Its folder, or where it is served already.
    shape_nm
        Its extent, zyx.
    levels
        Names in the folder that are links to arrays elsewhere: level 0 of a pyramid is one, to the volume itself.
    """

    name: str
    location: Location
    kind: Kind
    voxel_size_nm: ZyxFloat
    offset_nm: ZyxFloat
    shape_nm: ZyxFloat
    scheme: Scheme = "zarr"
    places_itself: bool = False
    visible: bool = True
    segments: tuple[int, ...] = ()
    levels: Mapping[str, Path] = field(default_factory=dict)

    def to_layer(self, url: str) -> Layer:
        """Return the layer of it, where it is served at `url`."""
        place = self.voxel_size_nm, self.offset_nm, self.scheme, self.places_itself
        return Layer(self.name, url, self.kind, *place, self.visible, self.segments)

    def read_id(self, place_nm: ZyxFloat) -> int:
        """Return the id of labels at a place (zyx), 0 outside.

        Raises
        ------
        UserError
            If it is precomputed and tensorstore is missing.
        """
        near = zip(place_nm, self.offset_nm, self.voxel_size_nm, strict=True)
        at = [math.floor((place - offset) / size) for place, offset, size in near]
        extent = zip(at, self.shape_nm, self.voxel_size_nm, strict=True)
        if not all(0 <= index < round(shape / size) for index, shape, size in extent):
            return 0
        if self.scheme == "precomputed":
            return _read_precomputed(Path(str(self.location)), at)
        array = self.location
        if self.places_itself:
            array /= list_levels(list_images(read_attributes(array))[0])[0][0]
        return int(Volume.open(array).data[tuple(at)])


def show_volume(volume: Volume, name: str, kind: Kind, visible: bool = True) -> Shown:
    """Return an array that is shown."""
    z, y, x = (s / volume.units_per_nm for s in volume.roi.shape)
    return Shown(name, volume.path, kind, volume.voxel_size_nm, volume.offset_nm, (z, y, x), visible=visible)


def show_pyramid(group: Path, name: str, kind: Kind, finest: str, visible: bool = True) -> Shown:
    """Return an OME-NGFF image, whose levels the viewer finds and places by its metadata.

    Parameters
    ----------
    finest
        Name of the level that is the volume itself.
    """
    links = {
        level.name: level.resolve() for level in group.iterdir() if level.is_symlink() and (level / ".zarray").is_file()
    }
    whole = show_volume(Volume.open(group / finest), name, kind, visible)
    place = whole.voxel_size_nm, whole.offset_nm, whole.shape_nm
    return Shown(name, group, kind, *place, places_itself=True, visible=visible, levels=links)


def show_precomputed(folder: Path, name: str) -> Shown:
    """Return a precomputed volume; its largest segments are selected, as far as its segment properties tell sizes.

    Raises
    ------
    UserError
        If its ``info`` is malformed.
    """
    info = read_info(folder)
    try:
        first = info["scales"][0]
        size, offset, shape = (
            [float(v) for v in values[::-1]]
            for values in (first["resolution"], first.get("voxel_offset", [0, 0, 0]), first["size"])
        )
        if not len(size) == len(offset) == len(shape) == 3:
            raise ValueError("three numbers are expected")
        is_labels, channels = info["type"] == "segmentation", int(info.get("num_channels", 1))
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"it is no precomputed volume that can be shown ({error!r})", str(folder / INFO)) from error
    kind: Kind = "labels" if is_labels else "affs" if channels >= FEWEST_CHANNELS else "raw"
    z, y, x = size
    oz, oy, ox = (o * s for o, s in zip(offset, size, strict=True))
    ez, ey, ex = (n * s for n, s in zip(shape, size, strict=True))
    return Shown(
        name,
        folder,
        kind,
        (z, y, x),
        (oz, oy, ox),
        (ez, ey, ex),
        "precomputed",
        places_itself=True,
        visible=kind != "affs",
        segments=_find_largest(folder, info),
    )


def read_info(folder: Path) -> dict[str, Any]:
    """Return the ``info`` of a precomputed folder; empty where there is none, or none that is an object."""
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def is_precomputed(folder: Path) -> bool:
    """Tell whether a folder is that of a precomputed volume."""
    return "scales" in read_info(folder)


def _read_precomputed(folder: Path, at: Sequence[int]) -> int:
    """Return a voxel (zyx, from the first) of the finest scale."""
    try:
        import tensorstore
    except ImportError as error:
        right = "pip install neuroadda[publish]"
        raise UserError(
            "it is precomputed, for which the package tensorstore is missing", str(folder), right
        ) from error
    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{folder.resolve()}/"}}
    array = tensorstore.open(spec, read=True).result()
    z, y, x = at
    begin = array.domain.origin
    return int(array[begin[0] + x, begin[1] + y, begin[2] + z, 0].read().result())


def _find_largest(folder: Path, info: Mapping[str, Any]) -> tuple[int, ...]:
    name = info.get("segment_properties")
    if not isinstance(name, str) or leaves(name):
        return ()
    inline = read_info(folder / name).get("inline")
    try:
        assert isinstance(inline, dict)
        sizes = next(p["values"] for p in inline["properties"] if p.get("type") == "number" and p["id"] in SIZES)
        largest = sorted(zip(sizes, map(int, inline["ids"]), strict=True), key=lambda pair: (-pair[0], pair[1]))
    except (AssertionError, LookupError, TypeError, ValueError, AttributeError, StopIteration):
        return ()  # properties of others: a person selects
    return tuple(segment for _, segment in largest[:MOST_SELECTED])
