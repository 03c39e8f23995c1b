"""Where a TIFF's sections lie: positions of OME's planes that fall, jump or differ, and lengths that are none."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume

VOXELS = np.arange(192, dtype=np.uint8).reshape(4, 6, 8)
SIZE = (40.0, 4.0, 4.0)
OFFSET = "--offset Z Y X"


def ome(path: Path, units: str | None = "nm", size: Any = SIZE, **positions: list[float]) -> Path:
    """Write an OME-TIFF whose planes have these positions along z, y and x, by default 0."""
    planes: dict[str, list[Any]] = {f"Position{axis.upper()}": values for axis, values in positions.items()}
    for axis in "ZYX":
        planes.setdefault(f"Position{axis}", [0.0] * 4)
        if units is not None:
            planes[f"Position{axis}Unit"] = [units] * 4
    told = {f"PhysicalSize{axis}": v for axis, v in zip("ZYX", size, strict=True)}
    told |= {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
    tifffile.imwrite(
        path, VOXELS, ome=True, photometric="minisblack", metadata={"axes": "ZYX", **told, "Plane": planes}
    )
    return path


def notes(volume: Volume) -> str:
    return "\n".join(volume.attrs["provenance"].get("notes", []))


@pytest.mark.parametrize("z", [[400, 440, 480, 520], [400, 400, 400, 400], [-80, -40, 0, 40]])
def test_planes_that_lie_where_sections_do_are_read(tmp_path: Path, z: list[float]) -> None:
    volume = import_volume(ome(tmp_path / "a.ome.tif", z=z, x=[8] * 4), tmp_path / "own.zarr")
    assert (volume.voxel_size_nm, volume.offset_nm) == (SIZE, (z[0], 0, 8))
    assert "Position" not in notes(volume)


DOUBT: dict[str, tuple[dict[str, Any], str]] = {
    "reversed": ({"z": [520, 480, 440, 400]}, "PositionZ of its planes falls: 520 at section 0, then 480"),
    "one falls": ({"z": [400, 440, 420, 520]}, "falls: 440 at section 1, then 420"),
    "reversed, without units": ({"z": [3, 2, 1, 0], "units": None}, "falls: 3 at section 0"),
    "reversed, in pixels": ({"z": [0, -1, -2, -3], "units": "pixel"}, "falls: 0 at section 0"),
    "a section is missing": ({"z": [400, 440, 520, 560]}, "PositionZ of its planes is uneven: they are 40 to 80 apart"),
    "two at one place": ({"z": [400, 400, 440, 480]}, "uneven: they are 0 to 40 apart"),
    "a jump": ({"z": [0, 40, 80, 4000]}, "uneven"),
    "shifted along x": ({"x": [0, 0, 100, 100]}, "PositionX differs between its planes, by up to 100 nm"),
    "drifting along y": (
        {"z": [0, 40, 80, 120], "y": [0, 1, 2, 3]},
        "PositionY differs between its planes, by up to 3 nm",
    ),
}


@pytest.mark.parametrize("case", DOUBT)
def test_planes_that_lie_elsewhere_are_asked_for(tmp_path: Path, case: str) -> None:
    told, what = DOUBT[case]
    path = ome(tmp_path / "a.ome.tif", **told)
    with pytest.raises(UserError, match=f"a.ome.tif: .*{what}.*{OFFSET}"):
        import_volume(path, tmp_path / "own.zarr")
    with pytest.raises(UserError, match=f"{what}.*{OFFSET}"):
        import_volume(path, tmp_path / "own.zarr", voxel_size_nm=SIZE)
    assert not (tmp_path / "own.zarr").exists()
    volume = import_volume(path, tmp_path / "own.zarr", offset_nm=(1, 2, 3))
    assert (volume.voxel_size_nm, volume.offset_nm) == (SIZE, (1, 2, 3))
    assert np.array_equal(volume.read(), VOXELS)


@pytest.mark.parametrize("step", [50, 20, 80])
def test_a_distance_of_planes_that_is_not_the_voxel_size_is_asked_for(tmp_path: Path, step: float) -> None:
    path = ome(tmp_path / "a.ome.tif", z=[400 + n * step for n in range(4)])
    with pytest.raises(UserError, match=f"planes are {step} nm apart in z, but its voxel size is 40 x.*--voxel-size"):
        import_volume(path, tmp_path / "own.zarr")
    volume = import_volume(path, tmp_path / "two.zarr", voxel_size_nm=(step, 4, 4))
    assert (volume.voxel_size_nm, volume.offset_nm) == ((step, 4, 4), (400, 0, 0))
    assert "apart" not in notes(volume)
    assert "apart in z" in notes(import_volume(path, tmp_path / "three.zarr", voxel_size_nm=SIZE))


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"z": [0, 41, 80, 121]}, "PositionZ of its planes is uneven"),
        ({"z": [0, 1, 3, 4], "units": None}, "PositionZ of its planes is uneven"),
        ({"x": [0, 0.5, 1, 1.5]}, "PositionX differs between its planes"),
        ({"y": [0, 1, 1, 1], "units": None}, "PositionY differs between its planes"),
    ],
)
def test_planes_that_lie_a_little_beside_are_noted(tmp_path: Path, told: Any, what: str) -> None:
    volume = import_volume(ome(tmp_path / "a.ome.tif", **told), tmp_path / "own.zarr")
    assert (volume.voxel_size_nm, volume.offset_nm) == (SIZE, (0, 0, 0))
    assert what in notes(volume)


@pytest.mark.parametrize("step", [0.03, 7, 300])
@pytest.mark.parametrize("units", [None, "pixel"])
def test_a_distance_without_a_unit_that_is_in_no_unit_the_voxel_size_is_told(tmp_path, caplog, step, units) -> None:
    path = ome(tmp_path / "a.ome.tif", z=[n * step for n in range(4)], units=units)
    volume = import_volume(path, tmp_path / "own.zarr")
    told = f"its planes are {step:g} apart in PositionZ, without a unit of length: in no unit are that the 40 nm"
    assert told in notes(volume)
    assert told in caplog.text


@pytest.mark.parametrize("step", [1, 40, 0.04, 0.00004])
def test_a_distance_without_a_unit_may_be_the_voxel_size_or_count_sections(tmp_path: Path, step: float) -> None:
    path = ome(tmp_path / "a.ome.tif", z=[n * step for n in range(4)], units=None)
    assert "apart in PositionZ" not in notes(import_volume(path, tmp_path / "own.zarr"))


def several(folder: Path, per_file: int, photometric: tuple[str, ...] = ("minisblack",) * 3) -> list[Path]:
    """Write an OME-TIFF in three files, each of which has the metadata of all."""
    paths = [folder / f"s{n}.ome.tif" for n in range(3)]
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{n}" for n in range(3)]
    data = "".join(
        f'<TiffData FirstZ="{n * per_file}" IFD="0" PlaneCount="{per_file}"><UUID FileName="{path.name}">{ids[n]}</UUID></TiffData>'
        for n, path in enumerate(paths)
    )
    sizes = " ".join(f'PhysicalSize{a}="{s}" PhysicalSize{a}Unit="nm"' for a, s in zip("ZYX", SIZE, strict=True))
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    for number, path in enumerate(paths):
        xml = (
            f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{space}" UUID="{ids[number]}"><Image ID="Image:0">'
            f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="6" SizeZ="{3 * per_file}" SizeC="1" '
            f'SizeT="1" {sizes}><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        voxels = VOXELS[:per_file] + np.uint8(number)
        tifffile.imwrite(path, voxels, description=xml, metadata=None, photometric=photometric[number])
    return paths


@pytest.mark.parametrize("per_file", [1, 2])
def test_all_files_of_an_ome_tiff_in_several_files_are_read_and_count(tmp_path: Path, per_file: int) -> None:
    paths = several(tmp_path, per_file)
    first = import_volume(paths[0], tmp_path / "a.zarr")
    assert first.voxel_size_nm == SIZE
    assert np.array_equal(first.read(), np.concatenate([VOXELS[:per_file] + np.uint8(n) for n in range(3)]))
    assert import_volume(paths[0], tmp_path / "b.zarr").fingerprint == first.fingerprint
    with paths[2].open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    assert import_volume(paths[0], tmp_path / "c.zarr").fingerprint != first.fingerprint


def test_files_of_an_ome_tiff_that_are_missing_or_unlike_are_told(tmp_path: Path) -> None:
    paths = several(tmp_path, 2, ("minisblack", "miniswhite", "minisblack"))
    with pytest.raises(UserError, match="its pages differ in photometric interpretation"):
        import_volume(paths[0], tmp_path / "a.zarr")
    paths = several(tmp_path, 2)
    paths[1].unlink()
    with pytest.raises(UserError, match="it has 4 pages, but by its metadata 6 images"):
        import_volume(paths[0], tmp_path / "a.zarr")


def test_the_unit_of_each_plane_is_its_own(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", z=[0.4, 440, 480, 520])
    xml = tifffile.tiffcomment(path).replace('PositionZ="0.4" PositionZUnit="nm"', 'PositionZ="0.4" PositionZUnit="um"')
    xml = xml.replace('PositionZUnit="um"', 'PositionZUnit="\u00b5m"')
    tifffile.tiffcomment(path, xml.encode())
    assert import_volume(path, tmp_path / "own.zarr").offset_nm == (400, 0, 0)


def test_a_position_that_is_not_of_the_first_section_is_noted(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", z=[400, 440, 480, 520])
    xml = (
        tifffile.tiffcomment(path)
        .replace('PositionZ="400.0" PositionZUnit="nm"', "")
        .replace('PositionZ="400" PositionZUnit="nm"', "")
    )
    first = xml.index("<Plane")
    xml = xml[:first] + xml[xml.index("/>", first) + 2 :]
    tifffile.tiffcomment(path, xml.encode())
    assert "is not that of the first section" in notes(import_volume(path, tmp_path / "own.zarr"))


def test_two_positions_of_one_section_are_told(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", z=[0, 40, 80, 120])
    xml = tifffile.tiffcomment(path)
    second = re.findall(r"<Plane .*?/>", xml)[1]
    tifffile.tiffcomment(path, xml.replace(second, second + second.replace('"40', '"90')).encode())
    with pytest.raises(UserError, match=f"two positions of section 1.*{OFFSET}"):
        import_volume(path, tmp_path / "own.zarr")


def tiles(path: Path, *images: dict[str, Any]) -> Path:
    """Write an OME-TIFF of several images of one plane each."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for page, told in zip(VOXELS, images, strict=False):
            sizes = {f"PhysicalSize{axis}": told.get("size", 4.0) for axis in "YX"}
            sizes |= {"PhysicalSizeZ": 40.0} | {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
            plane = {f"Position{axis}": told.get(axis.lower(), 0.0) for axis in "ZYX"}
            plane |= {f"Position{axis}Unit": "nm" for axis in "ZYX"}
            file.write(
                page, photometric="minisblack", contiguous=False, metadata={"axes": "YX", **sizes, "Plane": plane}
            )
    return path


def test_images_of_one_file_are_sections_or_told(tmp_path: Path) -> None:
    stack = import_volume(tiles(tmp_path / "a.ome.tif", *[{"z": 40 * n} for n in range(3)]), tmp_path / "own.zarr")
    assert (stack.voxel_size_nm, stack.offset_nm) == (SIZE, (0, 0, 0))
    side_by_side = tiles(tmp_path / "b.ome.tif", *[{"x": 32.0 * n} for n in range(3)])
    with pytest.raises(UserError, match=f"PositionX differs between its planes, by up to 64 nm.*{OFFSET}"):
        import_volume(side_by_side, tmp_path / "own.zarr", overwrite=True)
    with pytest.raises(UserError, match=r"its images have different voxel sizes.*--voxel-size"):
        import_volume(tiles(tmp_path / "c.ome.tif", {}, {"size": 8.0}), tmp_path / "own.zarr", overwrite=True)


@pytest.mark.parametrize("size", [(0, 4, 4), (40, -4, 4), (40, 4, float("nan"))])
def test_sizes_that_are_none_name_file_and_option(tmp_path: Path, size: Any) -> None:
    path = ome(tmp_path / "a.ome.tif", size=size)
    with pytest.raises(UserError, match=r"a.ome.tif: its .*--voxel-size Z Y X"):
        import_volume(path, tmp_path / "own.zarr")
    assert import_volume(path, tmp_path / "own.zarr", voxel_size_nm=SIZE).voxel_size_nm == SIZE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"nm"', '"parsec"'),
        ('"nm"', '"pixel"'),
        ('PhysicalSizeX="4.0"', 'PhysicalSizeX="4,0"'),
        ('PhysicalSizeX="4.0"', 'PhysicalSizeX=""'),
    ],
)
def test_sizes_of_ome_that_cannot_be_read_name_file_and_option(tmp_path: Path, old: str, new: str) -> None:
    path = ome(tmp_path / "a.ome.tif")
    assert old in tifffile.tiffcomment(path)
    tifffile.tiffcomment(path, tifffile.tiffcomment(path).replace(old, new).encode())
    with pytest.raises(UserError, match=r"a.ome.tif: it.*--voxel-size Z Y X"):
        import_volume(path, tmp_path / "own.zarr")
    assert import_volume(path, tmp_path / "own.zarr", voxel_size_nm=SIZE).voxel_size_nm == SIZE


@pytest.mark.parametrize("spacing", [0, -40, float("nan"), "forty"])
def test_spacings_of_imagej_that_are_none_name_file_and_option(tmp_path: Path, spacing: Any) -> None:
    metadata = {"axes": "ZYX", "spacing": spacing, "unit": "nm"}
    tifffile.imwrite(tmp_path / "a.tif", VOXELS, imagej=True, resolution=(0.25, 0.25), metadata=metadata)
    with pytest.raises(UserError, match=r"a.tif: its (voxel size|spacing) is .*--voxel-size Z Y X"):
        import_volume(tmp_path / "a.tif", tmp_path / "own.zarr")
    assert import_volume(tmp_path / "a.tif", tmp_path / "own.zarr", voxel_size_nm=SIZE).voxel_size_nm == SIZE
