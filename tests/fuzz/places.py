"""Where a spoiled source says that it lies: read by docs/formats.md alone, with none of the library's code, to judge an import by.

A reading fails, with any error, where what is said is malformed or cannot be found.
"""

import json
import math
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
from PIL import Image

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume

Triple = tuple[float, float, float]
NM = {
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1.0),
    **dict.fromkeys(("um", "µm", "\\u00B5m", "micron", "micrometer"), 1e3),
    **dict.fromkeys(("pm", "picometer"), 1e-3),
    "mm": 1e6,
    "cm": 1e7,
}
TOLERANCE_NM = 0.0011  # lengths are kept in whole picometres
REL_TOLERANCE = 1e-5  # ImageJ keeps fractions of 32 bits


@dataclass(frozen=True)
class Place:
    """Voxel size and offset in nm, zyx."""

    size: Triple
    offset: Triple = (0.0, 0.0, 0.0)

    def is_near(self, other: "Place") -> bool:
        """Tell whether they are the same but for rounding."""
        pairs = zip((*self.size, *self.offset), (*other.size, *other.offset), strict=True)
        return all(math.isclose(a, b, rel_tol=REL_TOLERANCE, abs_tol=TOLERANCE_NM) for a, b in pairs)


class MustAsk(Exception):
    """What a source says can be read in two ways: an import that is done has guessed."""


Reading = Callable[[Path], Place]


@dataclass(frozen=True)
class Imported:
    """What an import must have given where it is accepted.

    Attributes
    ----------
    good
        The place of the source before it was spoiled.
    read
        Reads the place that the spoiled source says; None where the command line says all of it.
    voxels
        Those of the source; None where what was spoiled may have changed them.
    sections
        The number of sections that the source has now; None where what was spoiled may have changed it.
    array
        The source, where it is an array that can be opened directly: it must lie at the same place.
    """

    good: Place
    read: Reading | None = None
    voxels: np.ndarray | None = None
    sections: int | None = None
    array: str | None = None

    def judge(self, source: Path, target: Path, told: str) -> str | None:
        """Return what is wrong with an imported volume, None if nothing is.

        The place must be the one that the spoiled source says. Where that cannot be read it must be that of the good one: what is
        malformed may be refused, or do no harm, or be warned of in what the
        command `told`.
        """
        volume = Volume.open(target)
        found = Place(volume.voxel_size_nm, volume.offset_nm)
        try:
            expected = self.good if self.read is None else self.read(source)
        except MustAsk as why:
            return f"not asked: {why}"
        except Exception:
            expected = self.good
        noted = any("warning: " in line and "its offset" in line for line in told.splitlines())
        if not found.is_near(expected) and not noted:
            return f"a silent wrong place: {found}, not {expected}"
        if self.voxels is not None and not np.array_equal(volume.read(), self.voxels):
            return "other voxels, though only its place was spoiled"
        if self.sections is not None and volume.data.shape[0] != self.sections:
            return f"{volume.data.shape[0]} sections, not {self.sections}"
        return None if self.array is None else self._judge_opened(source / self.array, found)

    def _judge_opened(self, array: Path, imported: Place) -> str | None:
        try:
            volume = Volume.open(array)
        except UserError as error:
            return None if "not whole nm or pm" in str(error) else f"imported, but opened it is refused: {error}"
        opened = Place(volume.voxel_size_nm, volume.offset_nm)
        return None if opened.is_near(imported) else f"imported at {imported}, opened at {opened}"


def numbers(values: Any) -> Triple:
    """Return three finite numbers."""
    a, b, c = values
    if not all(
        isinstance(v, int | float | np.number) and not isinstance(v, bool) and math.isfinite(v) for v in (a, b, c)
    ):
        raise ValueError(values)
    return float(a), float(b), float(c)


def in_nm(values: Any, units: Any) -> Triple:
    """Return lengths in nm; units are a name, alone or in a list, a list that ends with those of the axes, or none, which is nm."""
    names = list(units) if isinstance(units, list | tuple) else [units]
    names = names[-3:] if len(names) != 1 else names * 3
    a, b, c = (v * NM[u or "nm"] for v, u in zip(numbers(values), names, strict=True))
    return a, b, c


def turned(values: Triple) -> Triple:
    """Return them from x, y, z to z, y, x."""
    return values[2], values[1], values[0]


def corner(size: Triple, centre: Triple) -> Triple:
    """Return where a first voxel begins; nowhere, which is 0, if its centre is at 0."""
    z, y, x = (c - s / 2 if any(centre) else 0.0 for c, s in zip(centre, size, strict=True))
    return z, y, x


def read_json(path: Path) -> dict[str, Any]:
    """Return a table."""
    data = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def place_in_lists(attrs: dict[str, Any], key: str) -> Place:
    """Return what two lists and their units say, in their own order."""
    units = attrs.get("units", attrs.get("unit"))
    offset = attrs.get("offset")
    return Place(in_nm(attrs[key], units), in_nm([0, 0, 0] if offset is None else offset, units))


def of_zarr(path: Path) -> Place:
    """``voxel_size`` and ``offset`` are zyx."""
    return place_in_lists(read_json(path / ".zattrs"), "voxel_size")


def of_n5(path: Path) -> Place:
    """``transform`` names its axes; ``resolution`` and ``offset`` are xyz; so is ``pixelResolution``, of the array or its group."""
    attrs = read_json(path / "attributes.json")
    if "transform" in attrs:
        told = attrs["transform"]
        order = [told["axes"].index(axis) for axis in "zyx"]
        lists = (told["scale"], told.get("translate") or [0, 0, 0], told["units"])
        scale, translate, units = ([part[n] for n in order] for part in lists)
        size = in_nm(scale, units)
        return Place(size, corner(size, in_nm(translate, units)))
    if "resolution" in attrs:
        found = place_in_lists(attrs, "resolution")
        return Place(turned(found.size), turned(found.offset))
    if "pixelResolution" in attrs:
        return Place(turned(in_nm(attrs["pixelResolution"]["dimensions"], attrs["pixelResolution"]["unit"])))
    group = read_json(path.parent / "attributes.json")
    told, factors = group["pixelResolution"], attrs.get("downsamplingFactors") or group["scales"][1]
    finest, times = in_nm(told["dimensions"], told["unit"]), numbers(factors)
    return Place((finest[2] * times[2], finest[1] * times[1], finest[0] * times[0]))


@dataclass(frozen=True)
class _Level:
    path: str
    place: Place
    centre: Triple


def of_ngff(group: Path, level: str | None = None) -> Place:
    """Of a level, or of the finest of a group: its transformations, then the image's; a translation places a voxel's centre.

    Raises
    ------
    MustAsk
        If entries offer several finest levels, or say two places of one, or axes are told that the array has not.
    """
    entries = [_read_entry(image) for image in read_json(group / ".zattrs")["multiscales"]]
    if level is None:
        if any(".." in one.path.split("/") for levels in entries for one in levels):
            raise MustAsk("a level lies outside of its group")
        finest = set()
        for levels in entries:
            best = min(levels, key=lambda one: math.prod(one.place.size)).place.size
            finest |= {one.path for one in levels if one.place.size == best}
        if len(finest) > 1:
            raise MustAsk(f"several levels are the finest of their entry: {finest}")
        (level,) = finest
    found = []
    for levels in entries:
        finest = min(levels, key=lambda one: math.prod(one.place.size))
        found += [_place_level(one, finest) for one in levels if one.path == level]
    if any(not other.is_near(found[0]) for other in found):
        raise MustAsk(f"entries say {found}")
    if len(read_json(group / level / ".zarray")["shape"]) != 3:
        raise MustAsk("three axes are told, the array has others")
    return found[0]


def _read_entry(image: dict[str, Any]) -> list[_Level]:
    names = [axis["name"] for axis in image["axes"]]
    if len(names) > 3 and names[-3:] == ["z", "y", "x"]:
        raise MustAsk(f"{names} are told of an array of three axes")
    assert names == ["z", "y", "x"]
    units = [axis["unit"] for axis in image["axes"]]
    assert all(units)
    levels = []
    for dataset in image["datasets"]:
        size, first, scaled = np.ones(3), np.zeros(3), False
        for step in (*dataset["coordinateTransformations"], *(image.get("coordinateTransformations") or [])):
            assert step["type"] in ("scale", "translation", "identity")
            if step["type"] == "scale":
                size, first, scaled = size * numbers(step["scale"]), first * numbers(step["scale"]), True
            elif step["type"] == "translation":
                first = first + numbers(step["translation"])
        assert scaled
        path = "/".join(part for part in dataset["path"].split("/") if part not in ("", "."))
        levels.append(_Level(path, Place(in_nm(size.tolist(), units)), in_nm(first.tolist(), units)))
    return levels


def _place_level(level: _Level, finest: _Level) -> Place:
    """Levels share their corner, which is the origin where the finest has its centre there."""
    size, unplaced = level.place.size, (0.0, 0.0, 0.0) if any(finest.centre) else finest.place.size
    if not any(level.centre) and not any(finest.centre):
        return Place(size)
    z, y, x = (c - s / 2 + u / 2 for c, s, u in zip(level.centre, size, unplaced, strict=True))
    return Place(size, (z, y, x))


def of_hdf5(path: Path) -> Place:
    """``resolution`` and ``offset`` of CREMI are zyx."""
    with h5py.File(path, "r") as file:
        attrs = {**file.attrs, **file["volumes/raw"].attrs}
    lists = {
        key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value for key, value in attrs.items()
    }
    return place_in_lists(lists, "resolution")


def of_precomputed(path: Path) -> Place:
    """The finest scale: xyz, nm; the offset in voxels."""
    scales = read_json(path / "info")["scales"]
    finest = min(scales, key=lambda scale: math.prod(numbers(scale["resolution"])))
    size, voxels = numbers(finest["resolution"]), numbers(finest.get("voxel_offset", [0, 0, 0]))
    x, y, z = (s * v for s, v in zip(size, voxels, strict=True))
    return Place(turned(size), (z, y, x))


def of_tiff(path: Path) -> Place:
    """OME's XML or ImageJ's lines, both in the first description; read by Pillow."""
    with Image.open(path) as image:
        tags = dict(image.tag_v2)  # type: ignore[attr-defined]
    text = tags[270].encode("latin-1").decode("utf-8")  # Pillow reads each byte as a letter
    if "<OME" in text:
        pixels = ElementTree.fromstring(text).find(".//{*}Pixels")
        assert pixels is not None
        plane = next((p for p in pixels.findall("{*}Plane") if p.get("TheZ", "0") == "0"), None)
        size = _of_node(pixels, "PhysicalSize", "µm")
        placed = plane is not None and all(
            plane.get(f"Position{axis}Unit") and plane.get(f"Position{axis}") for axis in "ZYX"
        )
        _check_planes(pixels.findall("{*}Plane"), size)
        return Place(size, _of_node(plane, "Position", "") if placed else (0.0, 0.0, 0.0))  # type: ignore[arg-type]
    told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    lengths = (float(told["spacing"]), 1 / float(tags[283]), 1 / float(tags[282]))
    size = in_nm(lengths, [told.get("zunit", told["unit"]), told.get("yunit", told["unit"]), told["unit"]])
    z, y, x = (-float(told.get(f"{axis}origin", 0)) * s for axis, s in zip("zyx", size, strict=True))
    return Place(size, (z, y, x))


def _check_planes(planes: list[ElementTree.Element], size: Triple) -> None:
    """Raise MustAsk if planes lie elsewhere than sections do, where all of them say it in units of length."""
    every = {f"Position{axis}{part}" for axis in "ZYX" for part in ("", "Unit")}
    if not planes or not all(all(plane.get(name) for name in every) for plane in planes):
        return
    numbers = np.array([int(plane.attrib["TheZ"]) for plane in planes])
    found = np.array([_of_node(plane, "Position", "") for plane in planes]) - _of_node(planes[0], "Position", "")
    if not np.isfinite(found).all() or sorted(numbers) != list(range(len(planes))):
        return
    z = found[np.argsort(numbers), 0]
    if (np.diff(z) < 0).any() or (z.any() and (abs(z - z[0] - np.arange(len(z)) * size[0]) > 0.51 * size[0]).any()):
        raise MustAsk(f"planes lie at {z.tolist()} along z")
    if (np.ptp(found[:, 1:], axis=0) > 0.51 * np.array(size[1:])).any():
        raise MustAsk("planes are shifted against one another")


def _of_node(node: ElementTree.Element, prefix: str, unit: str) -> Triple:
    names = [node.get(f"{prefix}{axis}Unit", unit) for axis in "ZYX"]
    return in_nm([float(node.attrib[f"{prefix}{axis}"]) for axis in "ZYX"], names)


def of_webknossos(path: Path) -> Place:
    """``scale`` of the NML, by default in nm; voxels count from the first of the data set."""
    with zipfile.ZipFile(path) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".nml"))
        text = file.read(name).decode("utf-8")
    scale = ElementTree.fromstring(re.sub(r"<!DOCTYPE", "<", text)).find("parameters/scale")
    assert scale is not None
    return Place(in_nm([float(scale.attrib[axis]) for axis in "zyx"], scale.get("unit", "nanometer")))
