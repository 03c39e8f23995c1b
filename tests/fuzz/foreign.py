"""Volumes of every format that is imported, spoiled: their metadata and the bytes of their files.

Promised is, beside what is promised of every command: what is accepted is not in a wrong place. An import that ends with exit
code 0 must have the voxel size and the offset that the spoiled source says, by a reading of its own (`places`). Where that finds
nothing well-formed, they must be those of the source before it was spoiled, or there is a warning that a position is not taken.
Voxels are compared only where nothing but the attributes that say the place was spoiled: most formats do not let damaged voxels
be told from others. Of a folder, the number of its sections is compared.
"""

import contextlib
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.fuzz import places
from tests.fuzz.commands import Command, Kind
from tests.fuzz.mutations import Rng, mutate_bytes, mutate_json, mutate_text, odd_value, pick
from tests.fuzz.places import Imported, Place, Reading
from tests.volumes.writers import WRITERS, Written

SHAPE = (7, 6, 5)
SIZE_NM, OFFSET_NM = (40.0, 4.0, 8.0), (80.0, -12.0, 16.0)
GOOD, WITHOUT_OFFSET = Place(SIZE_NM, OFFSET_NM), Place(SIZE_NM)
VOXELS = np.random.default_rng(1).integers(1, 255, SHAPE, dtype=np.uint8)
SAID = ["--voxel-size", *map(str, SIZE_NM), "--offset", *map(str, OFFSET_NM)]
LARGEST = 10**6  # voxels
UNIT_TEXTS = ("nm", "um", "pm", "NM", "parsec", "", None, [], False, ["um", "nm", "nm"], ["um"], "nanometer", "px")


def write_foreign(folder: Path) -> None:
    """Write the same volume in every format, as its own library writes it; in nm and, below ``um``, in micrometres."""
    for unit in ("nm", "um"):
        written = Written(folder / unit, VOXELS, SIZE_NM, OFFSET_NM, unit)
        written.folder.mkdir(parents=True)
        for write in WRITERS:
            try:
                write(written)
            except pytest.skip.Exception:  # this Python has no such library
                continue
    np.save(folder / "a.npy", VOXELS)
    tifffile.imwrite(folder / "plain.tif", VOXELS, photometric="minisblack", compression="zlib")
    for name in ("png", "tif"):
        (folder / name).mkdir()
        for z, section in enumerate(VOXELS):
            path = folder / name / f"z{z + 8}.{name}"
            Image.fromarray(section).save(path) if name == "png" else tifffile.imwrite(path, section)


def bring(
    source: str,
    good: Place,
    read: Reading | None,
    untouched: bool = False,
    said: tuple[str, ...] = (),
    array: bool = False,
) -> Command:
    """Return an import; an `array` is also opened directly."""
    imported = Imported(good, read, VOXELS if untouched else None, array=source if array else None)
    return Command(["import", source, "out/new.zarr/raw", "--kind", "raw", *said], (), imported)


def spoil_json(rng: Rng, path: Path, only: tuple[str, ...] = ()) -> None:
    """Spoil a file of JSON, or only some keys of it."""
    data = json.loads(path.read_text())
    units = [(c, k) for c, k in _tables(data) if k in ("unit", "units")]
    if units and rng.random() < 0.2:
        container, key = pick(rng, units)
        container[key] = pick(rng, UNIT_TEXTS)
        path.write_text(json.dumps(data))
    elif only and rng.random() < 0.7:
        spoiled = mutate_json(rng, {key: data[key] for key in only if key in data})
        with contextlib.suppress(ValueError, TypeError, RecursionError):  # it may be JSON no more
            spoiled = json.dumps({k: v for k, v in data.items() if k not in only} | json.loads(spoiled)).encode()
        path.write_bytes(spoiled)
    else:
        path.write_bytes(mutate_json(rng, data))


def _tables(data: Any) -> list[tuple[Any, Any]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for key, value in items for found in ((data, key), *_tables(value))]


def spoil_chunk(rng: Rng, array: Path) -> None:
    """Spoil, empty or remove one file of an array that is none of its metadata."""
    files = sorted(p for p in array.rglob("*") if p.is_file() and not p.name.startswith(".") and p.suffix != ".json")
    path = pick(rng, [p for p in files if p.name != "info"])
    how = int(rng.integers(4))
    if how == 0:
        path.unlink()
    else:
        path.write_bytes(b"" if how == 1 else mutate_bytes(rng, path.read_bytes()))


def unit_of(rng: Rng) -> str:
    """Return a folder of goods."""
    return f"foreign/{pick(rng, ('nm', 'um'))}"


def tiff(rng: Rng, folder: Path) -> Command:
    """OME-TIFF, ImageJ's and plain TIFF: bytes, the description, resolutions."""
    name = pick(rng, (f"{unit_of(rng)}/h.ome.tif", f"{unit_of(rng)}/i.tif", "foreign/plain.tif"))
    path = folder / name
    plain = path.name == "plain.tif"
    if plain or rng.random() < 0.35:
        path.write_bytes(mutate_bytes(rng, path.read_bytes()))
        return bring(
            name, GOOD, None if plain else lambda place: places.of_tiff(place / name), said=tuple(SAID) if plain else ()
        )
    with tifffile.TiffFile(path) as file:
        text = file.pages.first.description
        tags = file.pages.first.tags
        resolution = tuple(n[0] / n[1] for n in (tags["XResolution"].value, tags["YResolution"].value))
    if path.name == "i.tif" and rng.random() < 0.2:
        resolution = pick(rng, ((0, 0), (0, resolution[1]), resolution[::-1], (1e-6, 1e6), (2**31, 1)))
    elif path.suffixes == [".ome", ".tif"] and rng.random() < 0.3:
        text = _move_planes(rng, text)
    else:
        text = _spoil_description(rng, text)
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    tifffile.imwrite(path, VOXELS, photometric="minisblack", description=data, metadata=None, resolution=resolution)
    return bring(name, GOOD, lambda place: places.of_tiff(place / name))


def _move_planes(rng: Rng, text: str) -> str:
    """Return OME's XML with planes whose positions fall, jump, drift, or stay."""
    axis, ways = pick(rng, "ZZYX"), (lambda z: z[::-1], lambda z: rng.permutation(z), np.zeros_like, lambda z: z * 1.3)
    more = (lambda z: z + (np.arange(len(z)) > 2) * 90, lambda z: z + rng.normal(0, 0.9, len(z)), lambda z: z * np.nan)
    found = list(re.finditer(rf' Position{axis}="([^"]*)"', text))
    moved = pick(rng, (*ways, *more))(np.array([float(one[1]) for one in found]))
    for one, value in zip(reversed(found), reversed(moved.tolist()), strict=True):
        text = f'{text[: one.start()]} Position{axis}="{value!r}"{text[one.end() :]}'
    return text


LENGTHS = ("0", "-6", "nan", "inf", "1e400", "6,0", "", "4 nm", "0.001", "40", "1e-9", "0x10", "٣", "1_0")
TIFF_UNITS = ("nm", "um", "µm", "pm", "px", "pixel", "inch", "", "reference frame", "cm")


def _spoil_description(rng: Rng, text: str) -> bytes:
    """Spoil a value, a name or the whole of OME's XML or ImageJ's lines."""
    if rng.random() < 0.25:
        return mutate_text(rng, text)
    wanted = r"(PhysicalSize|Position)[XYZ](Unit)?|spacing|unit|[xyz]origin" if rng.random() < 0.7 else r"\w+"
    found = list(re.finditer(rf'\b(?P<name>{wanted})=(?P<quote>"?)(?P<value>[^"\n]*)', text))
    for _ in range(int(pick(rng, (1, 1, 2)))):
        one = pick(rng, found)
        odd = pick(rng, TIFF_UNITS if one["name"].lower().endswith("unit") else LENGTHS)
        old = one[0] + one["quote"]
        new = pick(rng, (f"{one['name']}={one['quote']}{odd}{one['quote']}",) * 4 + ("", f"x{old}"))
        text = text.replace(old, new, 1)
    return text.encode()


def sections(rng: Rng, folder: Path) -> Command:
    """Folders of PNG or TIFF sections: bytes, kinds and shapes of images, names."""
    kind = pick(rng, ("png", "tif"))
    images = sorted((folder / "foreign" / kind).iterdir())
    path = pick(rng, images)
    other = path.with_name(
        pick(
            rng,
            (
                f"z99.{kind}",
                f"z{'9' * 5000}"[:200] + f".{kind}",
                f"z010.{kind}",
                f"a.{kind}",
                "z10.jpg",
                f".z.{kind}",
                f"z-3.{kind}",
            ),
        )
    )
    image = Image.fromarray(VOXELS[0])
    ways: tuple[Callable[[], object], ...] = (
        *[lambda: path.write_bytes(mutate_bytes(rng, path.read_bytes()))] * 4,
        lambda: path.rename(other),
        lambda: shutil.copy(path, other),
        path.unlink,
        lambda: path.write_bytes(b""),
        lambda: image.convert(
            pick(rng, ("RGB", "RGBA", "1", "P", "LA", "I;16", "CMYK" if kind == "tif" else "RGB"))
        ).save(path),
        lambda: image.resize((3, 9)).save(path),
        lambda: image.save(path, "BMP"),
    )
    pick(rng, ways)()
    # A series from which a section is gone is refused unless it was the first or last, which nobody can tell.
    count = sum(p.suffix == f".{kind}" and not p.name.startswith(".") for p in path.parent.iterdir())
    command = bring(f"foreign/{kind}", GOOD, None, said=tuple(SAID))
    return Command(command.arguments, (), Imported(GOOD, sections=count))


def hdf5(rng: Rng, folder: Path) -> Command:
    """HDF5 in the CREMI layout: bytes, attributes."""
    name = "foreign/nm/k.h5"
    if rng.random() < 0.4:
        (folder / name).write_bytes(mutate_bytes(rng, (folder / name).read_bytes()))
        return bring(name, GOOD, lambda place: places.of_hdf5(place / name))
    with h5py.File(folder / name, "r+") as file:
        attrs = file["volumes/raw"].attrs
        for _ in range(int(pick(rng, (1, 1, 2)))):
            key = pick(rng, ("resolution", "offset", "offset", "units", "unit"))
            if rng.random() < 0.2 and key in attrs:
                del attrs[key]
                continue
            attrs[key] = _odd_attribute(
                rng, np.asarray(OFFSET_NM if key == "offset" else SIZE_NM), key.startswith("unit")
            )
    return bring(name, GOOD, lambda place: places.of_hdf5(place / name), untouched=True)


def _odd_attribute(rng: Rng, triple: np.ndarray, is_unit: bool) -> Any:
    if is_unit:
        return pick(rng, ("um", b"um", ["um", "um", "um"], ["nm", "um"], "parsec", "", 5, h5py.Empty("f"), [b"um"] * 3))
    return pick(
        rng,
        (
            *(triple[::-1], triple * 1000, triple.astype("f4"), triple.astype("i4"), triple[:2], np.tile(triple, 9)),
            *(
                triple * np.nan,
                triple[:, None],
                " ".join(map(str, triple)),
                list(map(str, triple)),
                np.nan,
                np.inf,
                4.0,
            ),
            *(triple.astype(complex), triple > 0, h5py.Empty("f"), -triple, triple.astype(">f8"), triple * 1e300),
        ),
    )


def npy(rng: Rng, folder: Path) -> Command:
    """NumPy's .npy: header and voxels."""
    path = folder / "foreign/a.npy"
    data = path.read_bytes()
    if rng.random() < 0.4:
        header = {"descr": "|u1", "fortran_order": False, "shape": SHAPE}
        odd = ("|O", "<f4", "|i1", (-1, 6, 5), (7, 6), (7, 6, 5, 1), (2**40, 6, 5), True, odd_value(rng))
        header[pick(rng, list(header))] = pick(rng, odd)
        text = repr(header).encode("utf-8", "replace")[:60_000]
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data[128:])
    else:
        path.write_bytes(mutate_bytes(rng, data))
    return bring("foreign/a.npy", GOOD, None, said=tuple(SAID))


def zarr(rng: Rng, folder: Path) -> Command:
    """A zarr array as funlib.persistence writes it: attributes, metadata, chunks."""
    name = f"{unit_of(rng)}/e.zarr/raw"
    how = rng.random()
    if how < 0.65:
        spoil_json(rng, folder / name / ".zattrs")
    elif how < 0.85:
        spoil_json(rng, folder / name / ".zarray")
    else:
        spoil_chunk(rng, folder / name)
    return bring(name, GOOD, lambda place: places.of_zarr(place / name), untouched=how < 0.65, array=True)


N5_PLACE = ("resolution", "offset", "units", "transform", "pixelResolution", "downsamplingFactors", "scales")


def n5(rng: Rng, folder: Path) -> Command:
    """N5 as four programs write it: attributes of array and group, blocks."""
    found = (p for p in ("a.n5/em/raw", "b.n5/raw", "c.n5/c0/s1", "d.n5/em/s0"))
    unit = unit_of(rng)
    name = f"{unit}/{pick(rng, [p for p in found if (folder / unit / p).exists()])}"
    array = folder / name
    if rng.random() < 0.15:
        spoil_chunk(rng, array)
    else:
        metadata = [p for p in (array / "attributes.json", array.parent / "attributes.json") if p.exists()]
        spoil_json(rng, pick(rng, metadata), N5_PLACE)
    good = WITHOUT_OFFSET if "c.n5" in name else GOOD
    return bring(name, good, lambda place: places.of_n5(place / name), array=True)


LEVELS = {"f.zarr": "0", "g.zarr": "levels/s0", "l.zarr": "deep/fine"}


def ngff(rng: Rng, folder: Path) -> Command:
    """OME-NGFF groups: multiscales, their entries, levels and paths, axes, metadata, chunks."""
    unit = unit_of(rng)
    group = pick(rng, [name for name in LEVELS if (folder / unit / name).exists()])
    level, name, how = LEVELS[group], f"{unit}/{group}", rng.random()
    if how < 0.4:
        spoil_json(rng, folder / name / ".zattrs", ("multiscales",))
    elif how < 0.75:
        data = json.loads((folder / name / ".zattrs").read_text())
        for _ in range(int(pick(rng, (1, 1, 2)))):
            data["multiscales"] = _change_entries(rng, data["multiscales"], level)
        (folder / name / ".zattrs").write_text(json.dumps(data))
    elif how < 0.85:
        spoil_json(rng, folder / name / level / ".zarray")
    else:
        spoil_chunk(rng, folder / name / level)
    whole = rng.random() < 0.5
    # of a group whose entries were changed, or that has several levels, another level may be right
    source, untouched = (name, how < 0.4 and group != "l.zarr") if whole else (f"{name}/{level}", how < 0.75)
    return bring(
        source, GOOD, lambda place: places.of_ngff(place / name, None if whole else level), untouched, array=not whole
    )


def _change_entries(rng: Rng, images: list[Any], level: str) -> list[Any]:
    """Return entries of ``multiscales`` that are legal, or nearly so, and say something else."""
    image, times = images[0], pick(rng, ([2, 2, 2], [1, 0.5, 1], [1, 1, 1], [1, 1]))
    other = [
        {"type": "scale", "scale": times},
        {"type": "translation", "translation": pick(rng, ([0, 0, 0], [9, 9, 9]))},
    ]
    more = {"path": level, "coordinateTransformations": image["datasets"][0]["coordinateTransformations"][:1] + other}
    odd = pick(rng, (f"./{level}", f"{level}/", f"/{level}", f"../l.zarr/{level}", "..", f"a/../{level}", "gone", ""))
    datasets: list[Any] = image["datasets"]
    ways: tuple[Callable[[], list[Any]], ...] = (
        lambda: [{**image, "datasets": datasets[::-1]}, *images[1:]],
        lambda: [{**image, "datasets": [more, *datasets]}, *images[1:]],
        lambda: [{**image, "datasets": [{**more, "path": odd}, *datasets]}, *images[1:]],
        lambda: [{**image, "datasets": [{**datasets[0], "path": odd}, *datasets[1:]]}, *images[1:]],
        lambda: [*images, {**image, "name": "again", "type": "mean"}],
        lambda: [{**image, "datasets": [more]}, *images],
        lambda: [*images, {**image, "datasets": [{**more, "path": odd}]}],
        lambda: [{**image, "axes": [{"name": pick(rng, ("c", "t")), "type": "channel"}, *image["axes"]]}, *images[1:]],
        lambda: [{**image, "axes": image["axes"][1:]}, *images[1:]],
        lambda: [{**image, "coordinateTransformations": other}, *images[1:]],
    )
    return pick(rng, ways)()


def precomputed(rng: Rng, folder: Path) -> Command:
    """Precomputed volumes: info, chunks."""
    name = "foreign/nm/j"
    if rng.random() < 0.2:
        spoil_chunk(rng, folder / name)
    else:
        good = (folder / name / "info").read_bytes()
        spoil_json(rng, folder / name / "info", ("scales",))
        with contextlib.suppress(Exception):
            if any(
                math.prod(scale["size"]) > LARGEST
                for scale in json.loads((folder / name / "info").read_bytes())["scales"]
            ):
                (folder / name / "info").write_bytes(
                    mutate_bytes(rng, good)
                )  # a larger volume is more work and not wrong
    return bring(name, GOOD, lambda place: places.of_precomputed(place / name))


def of_annotation(spoil: Kind) -> Kind:
    """Return a kind that imports, by itself, a WEBKNOSSOS download that another spoils."""

    def webknossos(rng: Rng, folder: Path) -> Command:
        """A WEBKNOSSOS download, imported by itself: its NML, the metadata of its voxels, its names, its zips."""
        spoil(rng, folder)
        imported = Imported(Place((30.0, 6.0, 6.0)), lambda place: places.of_webknossos(place / "annotation.zip"))
        return Command(["import", "annotation.zip", "out/new.zarr/raw"], (), imported)

    return webknossos


FOREIGN: tuple[Kind, ...] = (tiff, sections, hdf5, npy, zarr, n5, ngff, precomputed)
