"""Volumes as the libraries of their formats write them, each in its own convention; docs/formats.md names the sources."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from neuroadda.config import ZyxFloat
from neuroadda.volumes.storage.nodes import ZARR3

FORMAT_2: dict[str, Any] = {"zarr_format": 2} if ZARR3 else {}  # the line for zarr 2 writes no other
UNITS = {"nm": 1.0, "um": 1e3, "pm": 1e-3}
LONG = {"nm": "nanometer", "um": "micrometer", "pm": "picometer"}


@dataclass(frozen=True)
class Written:
    """What was written, and where it is opened.

    Attributes
    ----------
    voxels
        uint8, zyx.
    size, offset
        zyx, nm.
    unit
        In which the file gives them, where its format has units.
    """

    folder: Path
    voxels: np.ndarray
    size: ZyxFloat
    offset: ZyxFloat
    unit: str

    def lengths(self, values: ZyxFloat, order: str = "zyx") -> list[float]:
        """Return lengths in the file's unit and order."""
        found = [value / UNITS[self.unit] for value in values]
        return found if order == "zyx" else found[::-1]

    @property
    def centre(self) -> ZyxFloat:
        """Where the centre of the first voxel lies."""
        z, y, x = (o + s / 2 for o, s in zip(self.offset, self.size, strict=True))
        return z, y, x


def n5_by_z5py(w: Written) -> Path:
    z5py = pytest.importorskip("z5py")
    with z5py.File(str(w.folder / "a.n5"), "w") as file:
        data = file.create_dataset("em/raw", data=w.voxels, chunks=(4, 4, 4), compression="gzip")
        for name, values in (("resolution", w.size), ("offset", w.offset)):
            data.attrs[name] = w.lengths(values, "xyz")
        data.attrs["units"] = [w.unit] * 3
    return w.folder / "a.n5/em/raw"


def _tensorstore_n5(path: Path, voxels: np.ndarray, **metadata: object) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    shape = {"dimensions": list(voxels.shape[::-1]), "blockSize": [4, 4, 4], "dataType": "uint8"}
    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "metadata": {**shape, "compression": {"type": "gzip"}, **metadata},
        "create": True,
    }
    tensorstore.open(spec).result().write(voxels.T).result()


def n5_by_tensorstore(w: Written) -> Path:
    """Its ``resolution`` and ``units`` are in the order of the dimensions; it has no offset of its own."""
    path = w.folder / "b.n5/raw"
    _tensorstore_n5(path, w.voxels, resolution=w.lengths(w.size, "xyz"), units=[w.unit] * 3, axes=["x", "y", "z"])
    told = json.loads((path / "attributes.json").read_text())
    (path / "attributes.json").write_text(json.dumps(told | {"offset": w.lengths(w.offset, "xyz")}))
    return path


def n5_viewer_level(w: Written) -> Path:
    """Level s1 of n5-viewer: the group has the finest level's size, and the factors of each level. There is no offset."""
    group, factors = w.folder / "c.n5/c0", (1, 2, 4)
    _tensorstore_n5(group / "s1", w.voxels, downsamplingFactors=list(factors[::-1]))
    finest = [s / f for s, f in zip(w.lengths(w.size), factors, strict=True)]
    told = {
        "pixelResolution": {"unit": w.unit, "dimensions": finest[::-1]},
        "scales": [[1, 1, 1], list(factors[::-1])],
    }
    (group / "attributes.json").write_text(json.dumps(told))
    return group / "s1"


def n5_of_cosem(w: Written) -> Path:
    path = w.folder / "d.n5/em/s0"
    units = [w.unit] * 3
    transform = {"axes": ["z", "y", "x"], "scale": w.lengths(w.size), "translate": w.lengths(w.centre), "units": units}
    pixels = {"unit": w.unit, "dimensions": w.lengths(w.size, "xyz")}
    _tensorstore_n5(path, w.voxels, transform=transform, pixelResolution=pixels)
    return path


def _zarr(path: Path, voxels: np.ndarray) -> zarr.Array:
    return zarr.open(str(path), mode="w", shape=voxels.shape, chunks=(4, 4, 4), dtype=voxels.dtype, **FORMAT_2)


def zarr_of_funlib(w: Written) -> Path:
    array = _zarr(w.folder / "e.zarr/raw", w.voxels)
    array[:] = w.voxels
    array.attrs.update({"voxel_size": w.lengths(w.size), "offset": w.lengths(w.offset), "units": [w.unit] * 3})
    array.attrs["axis_names"] = ["z", "y", "x"]
    return w.folder / "e.zarr/raw"


def ngff_by_ome_zarr(w: Written) -> Path:
    """The first step of the image's own transformations is the unit's, as where pixels are counted by hand."""
    writer = pytest.importorskip("ome_zarr.writer")
    if ZARR3:
        pytest.skip("written as format 3")
    group = zarr.open_group(str(w.folder / "f.zarr"), mode="w")
    axes = [{"name": axis, "type": "space", "unit": LONG[w.unit]} for axis in "zyx"]
    steps = [
        {"type": "scale", "scale": w.lengths(w.size)},
        {"type": "translation", "translation": w.lengths(w.centre)},
    ]
    writer.write_image(w.voxels, group, scaler=None, axes=axes, coordinate_transformations=[steps])
    return w.folder / "f.zarr/0"


def ngff_group_and_dataset(w: Written) -> Path:
    """By the specification's text: the image's own transformations come after those of each level."""
    group = w.folder / "g.zarr"
    array = _zarr(group / "levels/s0", w.voxels)
    array[:] = w.voxels
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    levels = [{"path": "levels/s0", "coordinateTransformations": [{"type": "scale", "scale": [2.0, 1.0, 0.5]}]}]
    whole = [
        {"type": "scale", "scale": [s / f for s, f in zip(w.lengths(w.size), (2.0, 1.0, 0.5), strict=True)]},
        {"type": "translation", "translation": w.lengths(w.centre)},
    ]
    axes = [{"name": axis, "type": "space", "unit": LONG[w.unit]} for axis in "zyx"]
    image = {"version": "0.4", "axes": axes, "datasets": levels, "coordinateTransformations": whole}
    (group / ".zattrs").write_text(json.dumps({"multiscales": [image]}))
    return group / "levels/s0"


def ngff_levels(w: Written) -> Path:
    """Levels listed from the coarsest to the finest, by paths with needless parts; a coarser level has the same corner."""
    group, factors = w.folder / "l.zarr", (1.0, 2.0, 4.0)
    datasets = []
    for name, times in (("./coarse/", factors), ("deep//fine", (1.0, 1.0, 1.0))):
        size = [s * f for s, f in zip(w.size, times, strict=True)]
        centre = [o + s / 2 for o, s in zip(w.offset, size, strict=True)]
        voxels = w.voxels[tuple(slice(None, None, int(f)) for f in times)]
        _zarr(group / name, voxels)[:] = voxels
        steps = [
            {"type": "scale", "scale": [s / UNITS[w.unit] for s in size]},
            {"type": "translation", "translation": [c / UNITS[w.unit] for c in centre]},
        ]
        datasets.append({"path": name, "coordinateTransformations": steps})
    axes = [{"name": axis, "type": "space", "unit": LONG[w.unit]} for axis in "zyx"]
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    (group / ".zattrs").write_text(
        json.dumps({"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]})
    )
    return group


def ome_tiff(w: Written) -> Path:
    unit = {"um": "µm"}.get(w.unit, w.unit)
    sizes = {f"PhysicalSize{axis}": v for axis, v in zip("ZYX", w.lengths(w.size), strict=True)}
    first = w.lengths(w.offset)
    planes: dict[str, list[object]] = {f"Position{axis}": [first[n]] * len(w.voxels) for n, axis in enumerate("ZYX")}
    planes["PositionZ"] = [first[0] + n * w.lengths(w.size)[0] for n in range(len(w.voxels))]
    planes |= {f"Position{axis}Unit": [unit] * len(w.voxels) for axis in "ZYX"}
    metadata = {"axes": "ZYX", **sizes, **{f"PhysicalSize{axis}Unit": unit for axis in "ZYX"}, "Plane": planes}
    tifffile.imwrite(w.folder / "h.ome.tif", w.voxels, ome=True, photometric="minisblack", metadata=metadata)
    return w.folder / "h.ome.tif"


def imagej_tiff(w: Written) -> Path:
    """ImageJ keeps pixels in a unit as fractions of 32 bits, and the pixel at the origin."""
    z, y, x = w.lengths(w.size)
    origin = {f"{axis}origin": -o / s for axis, o, s in zip("zyx", w.offset, w.size, strict=True)}
    metadata = {"axes": "ZYX", "spacing": z, "unit": w.unit, **origin}
    tifffile.imwrite(w.folder / "i.tif", w.voxels, imagej=True, resolution=(1 / x, 1 / y), metadata=metadata)
    return w.folder / "i.tif"


def precomputed(w: Written) -> Path:
    """Its resolution is in nm and in xyz; its offset in whole voxels."""
    tensorstore = pytest.importorskip("tensorstore")
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{w.folder}/j/"},
        "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
        "scale_metadata": {
            "encoding": "raw",
            "chunk_size": [4, 4, 4],
            "resolution": list(w.size[::-1]),
            "size": list(w.voxels.shape[::-1]),
            "voxel_offset": [round(o / s) for o, s in zip(w.offset, w.size, strict=True)][::-1],
        },
        "create": True,
    }
    tensorstore.open(spec).result()[..., 0].write(w.voxels.T).result()
    return w.folder / "j"


def cremi_hdf5(w: Written) -> Path:
    """Of CREMI: zyx, nm."""
    with h5py.File(w.folder / "k.h5", "w") as file:
        file["volumes/raw"] = w.voxels
        file["volumes/raw"].attrs["resolution"] = w.size
        file["volumes/raw"].attrs["offset"] = w.offset
    return w.folder / "k.h5"


WRITERS: tuple[Callable[[Written], Path], ...] = (
    *(n5_by_z5py, n5_by_tensorstore, n5_viewer_level, n5_of_cosem),
    *(zarr_of_funlib, ngff_by_ome_zarr, ngff_group_and_dataset),
    *(ome_tiff, imagej_tiff, precomputed, cremi_hdf5, ngff_levels),
)
N5 = WRITERS[:4]
ARRAYS = WRITERS[:7]
WITHOUT_OFFSET = (n5_viewer_level,)


def _change_image(w: Written, change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> Path:
    group = ngff_group_and_dataset(w).parents[1]
    told = json.loads((group / ".zattrs").read_text())["multiscales"][0]
    (group / ".zattrs").write_text(json.dumps({"multiscales": change(told)}))
    return group


def two_entries(w: Written) -> Path:
    """Two images in one group; which is meant is not said."""
    other = _zarr(w.folder / "g.zarr/other", w.voxels + 1)
    other[:] = w.voxels + 1
    return _change_image(w, lambda image: [{**image, "datasets": [{**image["datasets"][0], "path": "other"}]}, image])


def two_places(w: Written) -> Path:
    """Two entries that name one array, and place it otherwise."""
    steps = [{"type": "scale", "scale": [3.0, 2.0, 1.0]}]
    return _change_image(
        w, lambda image: [image, {**image, "datasets": [{**image["datasets"][0], "coordinateTransformations": steps}]}]
    )


def four_axes(w: Written) -> Path:
    """The metadata speak of four axes, the array has three."""

    def widen(image: dict[str, Any]) -> list[dict[str, Any]]:
        for node in (image, *image["datasets"]):
            for step in node["coordinateTransformations"]:
                step[step["type"]] = [1.0, *step[step["type"]]]
        return [{**image, "axes": [{"name": "c", "type": "channel"}, *image["axes"]]}]

    return _change_image(w, widen)


def _change_planes(w: Written, axis: str, values: list[float]) -> Path:
    path = ome_tiff(w)
    tree = ElementTree.fromstring(tifffile.tiffcomment(path))
    for plane, value in zip(tree.findall(".//{*}Plane"), values, strict=True):
        plane.set(f"Position{axis}", repr(value))
    tifffile.tiffcomment(path, ElementTree.tostring(tree, encoding="utf-8"))
    return path


def planes_reversed(w: Written) -> Path:
    first, step = w.lengths(w.offset)[0], w.lengths(w.size)[0]
    return _change_planes(w, "Z", [first - n * step for n in range(len(w.voxels))])


def planes_uneven(w: Written) -> Path:
    first, step = w.lengths(w.offset)[0], w.lengths(w.size)[0]
    return _change_planes(w, "Z", [first + (n + (n > 0)) * step for n in range(len(w.voxels))])


def planes_shifted(w: Written) -> Path:
    first, step = w.lengths(w.offset)[2], w.lengths(w.size)[2]
    return _change_planes(w, "X", [first + n * step for n in range(len(w.voxels))])


def unknown_unit(w: Written) -> Path:
    path = zarr_of_funlib(w)
    zarr.open(str(path), mode="r+").attrs["units"] = ["nm", "px", "nm"]
    return path


def no_length(w: Written) -> Path:
    path = zarr_of_funlib(w)
    zarr.open(str(path), mode="r+").attrs["voxel_size"] = [0, *w.lengths(w.size)[1:]]
    return path


DOUBTFUL: dict[Callable[[Written], Path], tuple[str, ...]] = {
    two_entries: ("dataset",),
    two_places: ("voxel_size", "offset"),
    four_axes: ("voxel_size", "offset"),
    planes_reversed: ("offset",),
    planes_uneven: ("offset", "voxel_size"),
    planes_shifted: ("offset",),
    unknown_unit: ("voxel_size", "offset"),
    no_length: ("voxel_size", "offset"),
}
"""What has to be asked, and the options that answer."""
