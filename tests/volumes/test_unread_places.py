"""A place that is told in a form that is not read is noted; what lies in several places is asked for, not taken for one."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from tests.volumes.writers import FORMAT_2, Written, precomputed

VOXELS = np.arange(192, dtype=np.uint8).reshape(4, 6, 8)
SIZE = (40.0, 4.0, 4.0)


def write_zarr(path: Path, voxels: np.ndarray = VOXELS, **attributes: Any) -> Path:
    array = zarr.open(str(path), mode="w", shape=voxels.shape, chunks=voxels.shape, dtype=voxels.dtype, **FORMAT_2)
    array[:] = voxels
    array.attrs.update(attributes)
    return path


def notes(source: Path, **given: Any) -> str:
    volume = import_volume(source, source.parent / "own.zarr/raw", overwrite=True, **given)
    assert np.array_equal(volume.read(), VOXELS)
    return "\n".join(volume.attrs["provenance"].get("notes", []))


@pytest.mark.parametrize(
    "attributes",
    [
        {
            "spatialTransform": {
                "transform": {"type": "scale_offset", "scale": [4, 4, 40], "translation": [8, 8, 400]},
                "unit": "nm",
            }
        },
        {"coordinateTransformations": [{"type": "translation", "translation": [1, 2, 3]}]},
        {"em": {"translate": [0, 0, 4]}},
    ],
)
def test_an_offset_in_another_form_is_noted(tmp_path: Path, attributes: Any) -> None:
    path = write_zarr(tmp_path / "a.zarr", **attributes)
    assert "an offset in its attributes" in notes(path, voxel_size_nm=SIZE)
    assert "an offset in its attributes" not in notes(path, voxel_size_nm=SIZE, offset_nm=(0, 0, 0))


def test_coordinates_beside_an_array_are_noted(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "a.zarr/em", _ARRAY_DIMENSIONS=list("zyx"))
    assert "coordinates" not in notes(path, voxel_size_nm=SIZE)
    for axis, n in zip("zyx", VOXELS.shape, strict=True):
        write_zarr(tmp_path / "a.zarr" / axis, np.arange(n) * 4.0 + 400)
    assert "the coordinates beside it (z, y, x) are not read" in notes(path, voxel_size_nm=SIZE)


def test_scales_of_hdf5_are_noted(tmp_path: Path) -> None:
    """Its attributes hold references then, which do not fit into JSON."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["em"] = VOXELS
        for n, axis in enumerate("zyx"):
            file[axis] = np.arange(VOXELS.shape[n]) * 4.0 + 400
            file[axis].make_scale(axis)
            file["em"].dims[n].attach_scale(file[axis])
    assert "(dimension scales) are not read" in notes(tmp_path / "a.h5", voxel_size_nm=SIZE)


@pytest.mark.parametrize("unit", ["nanometer", "micrometer", "millimeter"])
def test_a_size_of_1_is_noted(tmp_path: Path, unit: str) -> None:
    axes = [{"name": axis, "type": "space", "unit": unit} for axis in "zyx"]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]}]
    write_zarr(tmp_path / "a.zarr/0")
    (tmp_path / "a.zarr/.zattrs").write_text(json.dumps({"multiscales": [{"axes": axes, "datasets": levels}]}))
    assert "is 1 along each axis" in notes(tmp_path / "a.zarr")
    assert "is 1 along each axis" not in notes(tmp_path / "a.zarr", voxel_size_nm=(1000, 1000, 1000))


def test_new_and_old_multiscales_have_to_agree(tmp_path: Path) -> None:
    def image(z: float) -> list[Any]:
        axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
        levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [z, 4, 4]}]}]
        return [{"axes": axes, "datasets": levels}]

    write_zarr(tmp_path / "a.zarr/0")
    for old, right in ((40, True), (80, False)):
        told = {"ome": {"version": "0.5", "multiscales": image(40)}, "multiscales": image(old)}
        (tmp_path / "a.zarr/.zattrs").write_text(json.dumps(told))
        if right:
            notes(tmp_path / "a.zarr")
            continue
        for door in (
            lambda: Volume.open(tmp_path / "a.zarr/0"),
            lambda: import_volume(tmp_path / "a.zarr", tmp_path / "b.zarr"),
        ):
            with pytest.raises(UserError, match="two voxel sizes"):
                door()


def test_pages_that_are_not_named_are_refused(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 4, "PhysicalSizeY": 4, "PhysicalSizeZ": 40}
    tifffile.imwrite(tmp_path / "a.ome.tif", VOXELS, ome=True, photometric="minisblack", metadata=metadata)
    assert "pages" not in notes(tmp_path / "a.ome.tif")
    xml = tifffile.tiffcomment(tmp_path / "a.ome.tif").replace('SizeZ="4"', 'SizeZ="3"')
    tifffile.tiffcomment(tmp_path / "a.ome.tif", xml.encode())
    with pytest.raises(UserError, match="it has 4 pages, but by its metadata 3 images"):
        import_volume(tmp_path / "a.ome.tif", tmp_path / "b.zarr/raw")


def sections(folder: Path, **positions: list[float]) -> Path:
    folder.mkdir()
    for n, section in enumerate(VOXELS):
        plane = {f"Position{axis}": [positions.get(axis.lower(), [0.0] * 4)[n]] for axis in "ZYX"}
        plane |= {f"Position{axis}Unit": ["nm"] for axis in "ZYX"}
        metadata = {"axes": "YX", "PhysicalSizeX": 4, "PhysicalSizeY": 4, "Plane": plane}
        tifffile.imwrite(folder / f"s{n}.ome.tif", section, ome=True, photometric="minisblack", metadata=metadata)
    return folder


def test_positions_of_section_files_are_noted(tmp_path: Path) -> None:
    rising = [0.0, 40.0, 80.0, 120.0]
    assert "position" not in notes(sections(tmp_path / "a", z=rising), voxel_size_nm=SIZE)
    placed = sections(tmp_path / "b", z=[z + 400 for z in rising])
    assert "(Z 400, Y 0, X 0 nm) is not taken as its offset" in notes(placed, voxel_size_nm=SIZE)


@pytest.mark.parametrize(
    ("positions", "told"),
    [
        ({"z": [0, -40, -80, -120]}, "PositionZ of its planes falls"),
        ({"z": [0, 40, 120, 160]}, "PositionZ of its planes is uneven"),
        ({"x": [0, 100, 200, 300]}, "PositionX differs"),
    ],
)
def test_section_files_that_lie_elsewhere_are_asked_for(tmp_path: Path, positions: Any, told: str) -> None:
    folder = sections(tmp_path / "a", **positions)
    with pytest.raises(UserError, match=f"{told}.*--offset Z Y X"):
        import_volume(folder, tmp_path / "own.zarr", voxel_size_nm=SIZE)
    notes(folder, voxel_size_nm=SIZE, offset_nm=(0, 0, 0))


def cremi(path: Path, raw: dict[str, Any], labels: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, voxels, attributes in (("raw", VOXELS, raw), ("labels/neuron_ids", VOXELS.astype("u8"), labels)):
            file[f"volumes/{name}"] = voxels
            file[f"volumes/{name}"].attrs.update(attributes)
    return path


def test_one_offset_is_not_given_to_raw_and_labels_that_lie_apart(tmp_path: Path) -> None:
    path = cremi(tmp_path / "a.h5", {"resolution": SIZE}, {"resolution": SIZE, "offset": (400.0, 40.0, 40.0)})
    import_volume(path, tmp_path / "own.zarr")
    assert Volume.open(tmp_path / "own.zarr/labels").offset_nm == (400, 40, 40)
    with pytest.raises(
        UserError, match="say other places, and one is given for both; import each by itself, with --dataset"
    ):
        import_volume(path, tmp_path / "b.zarr", offset_nm=(0, 0, 0))
    import_volume(path, tmp_path / "c.zarr", voxel_size_nm=(50, 4, 4))
    assert Volume.open(tmp_path / "c.zarr/labels").offset_nm == (400, 40, 40)
    sizes = cremi(tmp_path / "b.h5", {"resolution": SIZE}, {"resolution": (40.0, 8.0, 8.0)})
    with pytest.raises(UserError, match="say other places"):
        import_volume(sizes, tmp_path / "b.zarr", voxel_size_nm=SIZE)
    unsaid = cremi(tmp_path / "c.h5", {}, {"resolution": SIZE})
    import_volume(unsaid, tmp_path / "d.zarr", voxel_size_nm=SIZE, offset_nm=(40, 0, 0))
    assert Volume.open(tmp_path / "d.zarr/labels").offset_nm == (40, 0, 0)


def test_scales_of_one_voxel_size_are_told(tmp_path: Path) -> None:
    folder = precomputed(Written(tmp_path, VOXELS, SIZE, (0.0, 0.0, 0.0), "nm"))
    told = json.loads((folder / "info").read_text())
    told["scales"].append({**told["scales"][0], "key": "moved", "voxel_offset": [9, 0, 0]})
    (folder / "info").write_text(json.dumps(told))
    for size in (None, SIZE):
        with pytest.raises(UserError, match=r"several scales of one voxel size: .*moved"):
            import_volume(folder, tmp_path / "own.zarr", voxel_size_nm=size)
