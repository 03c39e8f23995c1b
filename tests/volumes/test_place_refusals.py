"""What is no unit, no length or no zarr target is told in one line that names the file and what answers it."""

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
from neuroadda.volumes.storage.nodes import ZARR3
from tests.volumes.writers import FORMAT_2, _tensorstore_n5

SHAPE = (4, 6, 8)
VOXELS = np.arange(192, dtype=np.uint8).reshape(SHAPE)
SIZE = (40, 4, 4)
OPTION = r"--voxel-size Z Y X \(nm\)"


def write_zarr(path: Path, **attributes: Any) -> Path:
    array = zarr.open(str(path), mode="w", shape=SHAPE, chunks=SHAPE, dtype="u1", **FORMAT_2)
    array[:] = VOXELS
    (path / ".zattrs").write_text(json.dumps(attributes))  # also what zarr would not write
    return path


def write_hdf5(path: Path, **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        file["raw"] = VOXELS
        file["raw"].attrs.update(attributes)
    return path


def ngff(size: Any, unit: str = "nanometer") -> dict[str, Any]:
    axes = [{"name": axis, "type": "space", "unit": unit} for axis in "zyx"]
    steps = [{"type": "scale", "scale": size}]
    return {"multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}]}


def cosem(size: Any, units: Any = ("nm",) * 3) -> dict[str, Any]:
    return {"transform": {"axes": list("zyx"), "scale": size, "translate": [0, 0, 0], "units": list(units)}}


BAD_SIZES = [[0, 4, 4], [40, -4, 4], [40, 4, float("nan")], [40, 4, float("inf")], [40, 4, 0.0]]
BAD: dict[str, dict[str, Any]] = {
    **{f"voxel_size {size}": {"voxel_size": size} for size in BAD_SIZES},
    **{f"resolution {size}": {"resolution": size} for size in BAD_SIZES},
    **{f"transform {size}": cosem(size) for size in BAD_SIZES},
    "units": {"voxel_size": [40, 4, 4], "units": ["parsec"] * 3},
    "unit": {"resolution": [40, 4, 4], "unit": "furlong"},
    "one unit": {"voxel_size": [40, 4, 4], "units": ["nm", "nm", "px"]},
    "units of a transform": cosem([40, 4, 4], ("nm", "nm", "px")),
    "unit of pixelResolution": {"pixelResolution": {"dimensions": [4, 4, 40], "unit": "px"}},
    "factors of zero": {"pixelResolution": {"dimensions": [4, 4, 40], "unit": "nm"}, "downsamplingFactors": [0, 1, 1]},
    "sizes too large": {"voxel_size": [1e30, 4, 4]},
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_size_or_unit_names_file_and_option(tmp_path: Path, case: str) -> None:
    path = write_zarr(tmp_path / "a.zarr", **BAD[case])
    for door in (lambda: Volume.open(path), lambda: import_volume(path, tmp_path / "own.zarr")):
        with pytest.raises(UserError, match=OPTION) as error:
            door()
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "own.zarr").exists()
    assert import_volume(path, tmp_path / "own.zarr", voxel_size_nm=SIZE).voxel_size_nm == SIZE


@pytest.mark.parametrize("told", [*(ngff(size) for size in BAD_SIZES), ngff([40, 4, 4], "parsec")])
def test_of_ngff_too(tmp_path: Path, told: Any) -> None:
    path = write_zarr(tmp_path / "a.zarr/0")
    (tmp_path / "a.zarr/.zattrs").write_text(json.dumps(told))
    for door in (
        lambda: Volume.open(path),
        lambda: import_volume(path, tmp_path / "own.zarr"),
        lambda: import_volume(tmp_path / "a.zarr", tmp_path / "own.zarr"),
    ):
        with pytest.raises(UserError, match=f"a.zarr.*{OPTION}"):
            door()
    assert import_volume(tmp_path / "a.zarr", tmp_path / "own.zarr", voxel_size_nm=SIZE).voxel_size_nm == SIZE


@pytest.mark.parametrize(
    "attributes",
    [
        *({"resolution": size} for size in BAD_SIZES),
        {"element_size_um": [0.04, 0, 0.004]},
        {"resolution": [40.0, 4, 4], "units": "parsec"},
    ],
)
def test_of_hdf5_too(tmp_path: Path, attributes: Any) -> None:
    path = write_hdf5(tmp_path / "a.h5", **attributes)
    with pytest.raises(UserError, match=f"a.h5:raw: .*{OPTION}"):
        import_volume(path, tmp_path / "own.zarr")
    assert import_volume(path, tmp_path / "own.zarr", voxel_size_nm=SIZE).voxel_size_nm == SIZE


@pytest.mark.skipif(ZARR3, reason="zarr 3 has no N5")
@pytest.mark.parametrize("told", [{"resolution": [4, 4, 0]}, {"resolution": [4, 4, 40], "units": ["parsec"] * 3}])
def test_of_n5_too(tmp_path: Path, told: Any) -> None:
    _tensorstore_n5(tmp_path / "a.n5/raw", VOXELS)
    attributes = tmp_path / "a.n5/raw/attributes.json"
    attributes.write_text(json.dumps(json.loads(attributes.read_text()) | told))
    for door in (
        lambda: Volume.open(attributes.parent),
        lambda: import_volume(attributes.parent, tmp_path / "own.zarr"),
    ):
        with pytest.raises(UserError, match=f"a.n5/raw: .*{OPTION}"):
            door()


@pytest.mark.parametrize("offset", [[0, 0, float("nan")], "here", [1, 2], [0, None, 0]])
def test_what_is_no_offset_names_its_option(tmp_path: Path, offset: Any) -> None:
    path = write_zarr(tmp_path / "a.zarr", voxel_size=[40, 4, 4], offset=offset)
    for door in (lambda: Volume.open(path), lambda: import_volume(path, tmp_path / "own.zarr")):
        with pytest.raises(UserError, match=r"a.zarr: its offset is .*--offset Z Y X \(nm\)"):
            door()
    assert import_volume(path, tmp_path / "own.zarr", offset_nm=(40, 0, 0)).offset_nm == (40, 0, 0)


def test_a_unit_of_an_offset_that_is_not_known_asks_for_the_offset(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "a.zarr", voxel_size=[40, 4, 4], offset=[40, 0, 0], units=["parsec"] * 3)
    with pytest.raises(UserError, match=r"'parsec'.*--offset Z Y X"):
        import_volume(path, tmp_path / "own.zarr", voxel_size_nm=SIZE)
    with pytest.raises(UserError, match=r"'parsec'.*--voxel-size Z Y X"):
        import_volume(path, tmp_path / "own.zarr", offset_nm=(0, 0, 0))
    volume = import_volume(path, tmp_path / "own.zarr", voxel_size_nm=SIZE, offset_nm=(40, 0, 0))
    assert (volume.voxel_size_nm, volume.offset_nm) == (SIZE, (40, 0, 0))


def test_a_place_of_the_group_counts_at_both_doors(tmp_path: Path) -> None:
    own = {"voxel_size": [40, 4, 4], "axis_names": ["z", "y", "x"], "units": ["nm"] * 3}
    path, told = write_zarr(tmp_path / "a.zarr/0", **own), ngff([40, 4, 4])
    steps = told["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    steps.append({"type": "translation", "translation": [420, 42, 82]})
    (tmp_path / "a.zarr/.zattrs").write_text(json.dumps(told))
    for volume in (Volume.open(path), import_volume(path, tmp_path / "own.zarr")):
        assert (volume.voxel_size_nm, volume.offset_nm) == (SIZE, (400, 40, 80))


@pytest.mark.parametrize("size", [(1 / 3, 4, 4), (40, 4.00025, 4)])
def test_a_size_that_is_rounded_is_noted(tmp_path: Path, size: Any) -> None:
    volume = import_volume(write_zarr(tmp_path / "a.zarr", resolution=size), tmp_path / "own.zarr", axes="zyx")
    assert any("rounded to whole picometres" in note for note in volume.attrs["provenance"]["notes"])


@pytest.mark.parametrize("chunks", [[4, 6], [4, 6, 8, 1], []])
def test_chunks_of_another_number_of_axes_are_told(tmp_path: Path, chunks: list[int]) -> None:
    path = write_zarr(tmp_path / "a.zarr", voxel_size=[40, 4, 4])
    (path / ".zarray").write_text(json.dumps(json.loads((path / ".zarray").read_text()) | {"chunks": chunks}))
    for door in (lambda: Volume.open(path), lambda: import_volume(path, tmp_path / "own.zarr")):
        with pytest.raises(UserError, match=r"a\.zarr: .*(malformed|cannot be read)"):
            door()


TARGETS = (
    "out.n5",
    "out.n5/raw",
    "OUT.N5",
    "a.n5/b.zarr/raw",
    "out.h5",
    "out.zarr/raw.tif",
    "out.npy",
    "out.precomputed",
    ".n5",
)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_of_another_format_is_refused(tmp_path: Path, target: str, command: Any) -> None:
    np.save(tmp_path / "a.npy", VOXELS)
    code, _, errors = command("import", tmp_path / "a.npy", tmp_path / target, "--voxel-size", *SIZE)
    assert code == 2
    assert errors.count("\n") == 1
    assert str(tmp_path / target) in errors
    assert "is the ending of another format; a zarr array is written: name it such as" in errors
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.parametrize("target", ["out", "out.zarr", "out.zarr/raw", "out.ome.zarr", "v.zarr/raw.v2", "em.raw"])
def test_other_targets_are_right(tmp_path: Path, target: str) -> None:
    np.save(tmp_path / "a.npy", VOXELS)
    assert np.array_equal(import_volume(tmp_path / "a.npy", tmp_path / target, voxel_size_nm=SIZE).read(), VOXELS)


def test_no_array_is_made_in_n5(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ending of another format"):
        Volume.create(tmp_path / "a.n5/mask", SHAPE, SIZE, np.uint8)


@pytest.mark.parametrize("where", ["multiscales", "transform"])
def test_axes_in_capitals_are_the_same_axes(tmp_path: Path, where: str) -> None:
    told = ngff([40, 4, 4]) if where == "multiscales" else cosem([40, 4, 4])
    text = json.dumps(told).replace('"z"', '"Z"').replace('"y"', '"Y"').replace('"x"', '"X"')
    group = tmp_path / "v.zarr"
    write_zarr(group / "0", **({} if where == "multiscales" else json.loads(text)))
    if where == "multiscales":
        (group / ".zgroup").write_text('{"zarr_format": 2}')
        (group / ".zattrs").write_text(text)
    assert Volume.open(group / "0").voxel_size_nm == SIZE


@pytest.mark.parametrize(("names", "right"), [("xyz", "transpose it"), ("abc", "--voxel-size"), ("", "--voxel-size")])
def test_what_is_no_axis_is_not_to_be_transposed(tmp_path: Path, names: str, right: str) -> None:
    group = tmp_path / "v.zarr"
    write_zarr(group / "0")
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    told = ngff([40, 4, 4])
    told["multiscales"][0]["axes"] = [{"name": name, "type": "space", "unit": "nanometer"} for name in names]
    (group / ".zattrs").write_text(json.dumps(told))
    with pytest.raises(
        UserError, match=rf"v.zarr/0: its axes are .*\(channels,\) z, y, x is expected; .*{right}"
    ) as refused:
        Volume.open(group / "0")
    assert ("transpose" in str(refused.value)) == (right == "transpose it")


def test_no_escape_is_named_among_the_units(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", resolution=[40, 4, 4], unit="furlong")
    with pytest.raises(UserError, match=r"known: nm, .*micron") as refused:
        import_volume(path, tmp_path / "own.zarr")
    assert "\\" not in str(refused.value)


@pytest.mark.parametrize("shape", [(2, 4, 6, 8), (6, 8), (1, 1, 4, 6, 8)])
def test_of_one_dataset_its_axes_are_told(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["some/data"] = np.zeros(shape, np.uint8)
    with pytest.raises(UserError, match=r"a.h5:some/data: it has shape \(.*; three axes"):
        import_volume(tmp_path / "a.h5", tmp_path / "own.zarr", voxel_size_nm=SIZE)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["other"] = np.zeros(shape, np.uint8)
    with pytest.raises(UserError, match=r"a.h5: no dataset has three axes; give --dataset, one of: other, some/data"):
        import_volume(tmp_path / "a.h5", tmp_path / "own.zarr", voxel_size_nm=SIZE)


def test_pages_of_several_types_are_told(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for dtype in (np.uint8, np.uint16):
            file.write(np.zeros((6, 8), dtype), photometric="minisblack")
    with pytest.raises(
        UserError, match="its pages differ: 6 x 8 uint16, 6 x 8 uint8; pages of one shape and data type"
    ):
        import_volume(tmp_path / "a.tif", tmp_path / "own.zarr", voxel_size_nm=SIZE)


@pytest.mark.parametrize("address", ["{}", "precomputed://file://{}", "zarr://file://{}"])
def test_what_is_no_array_but_may_be_imported_is_told(tmp_path: Path, address: str) -> None:
    (tmp_path / "info").write_text("{}")
    with pytest.raises(
        UserError, match=r"(precomputed volume|layer of Neuroglancer).*make it one with `neuroadda import`"
    ):
        Volume.open(address.format(tmp_path))
