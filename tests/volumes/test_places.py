"""Voxel size and offset by the attributes that others write, at both doors: importing, and opening the array itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroadda.errors import UserError, forget_warnings
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.axes import check_order
from neuroadda.volumes.geometry.places import Answers, Place, find_place
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.storage.nodes import ZARR3
from neuroadda.volumes.storage.stored import list_stored
from tests.active.label_fixtures import serving
from tests.volumes.writers import FORMAT_2

SHAPE = (4, 6, 8)
VOXELS = np.arange(192, dtype=np.uint8).reshape(SHAPE)
NM = ["nm"] * 3
COSEM = {"axes": ["z", "y", "x"], "scale": [5.24, 4, 4], "translate": [2.62, 2, 2], "units": NM}
TURNED = {"axes": ["x", "y", "z"], "scale": [4, 4, 5.24], "translate": [402, 2, 2.62], "units": NM}
NONE = Answers()


def pixels(x: float, y: float, z: float, unit: str = "nm") -> dict[str, Any]:
    return {"pixelResolution": {"dimensions": [x, y, z], "unit": unit}}


def find(attributes: Mapping[str, Any], form: str = "N5", groups: Any = (), answers: Answers = NONE) -> Place:
    return find_place(attributes, "a", form, groups, answers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attributes", "form", "size", "offset"),
    [
        ({"resolution": [4, 5, 40], "offset": [8, 10, 400]}, "N5", (40, 5, 4), (400, 10, 8)),
        ({"resolution": [40, 5, 4], "offset": [400, 10, 8]}, "zarr", (40, 5, 4), (400, 10, 8)),
        ({"resolution": [40, 5, 4], "offset": [400, 10, 8]}, "HDF5", (40, 5, 4), (400, 10, 8)),
        ({"resolution": [8, 8, 8], "offset": [1, 2, 3]}, "N5", (8, 8, 8), (3, 2, 1)),
        ({"offset": [1, 2, 3]}, "N5", None, (3, 2, 1)),
        ({"resolution": [4, 4, 0.04], "units": ["nm", "nm", "um"]}, "N5", (40, 4, 4), None),
        (
            {"resolution": [0.04, 4, 4], "units": ["um", "nm", "nm"], "offset": [1, 2, 3]},
            "zarr",
            (40, 4, 4),
            (1000, 2, 3),
        ),
        ({"resolution": [0.004, 0.004, 0.04], "unit": "um"}, "N5", (40, 4, 4), None),
        ({"voxel_size": [40, 4, 4], "axis_names": ["z", "y", "x"], "offset": [1, 2, 3]}, "N5", (40, 4, 4), (1, 2, 3)),
        (pixels(4, 5, 40), "zarr", (40, 5, 4), None),
        (pixels(0.004, 0.005, 0.04, "um"), "N5", (40, 5, 4), None),
        (pixels(4, 4, 3.36), "N5", (3.36, 4, 4), None),
        ({**pixels(4, 4, 40), "downsamplingFactors": [2, 2, 1]}, "N5", (40, 8, 8), None),
        ({**pixels(4, 4, 40), "offset": [4, 8, 40]}, "N5", (40, 4, 4), (40, 8, 4)),
        ({"element_size_um": [0.04, 0.004, 0.005]}, "HDF5", (40, 4, 5), None),
        ({"transform": COSEM}, "N5", (5.24, 4, 4), (0, 0, 0)),
        ({"transform": COSEM, **pixels(4, 4, 5.24)}, "N5", (5.24, 4, 4), (0, 0, 0)),
        ({"transform": TURNED}, "N5", (5.24, 4, 4), (0, 0, 400)),
        ({"transform": {**TURNED, "order": "F"}}, "zarr", (5.24, 4, 4), (0, 0, 400)),
        ({"transform": {**COSEM, "units": ["nm", "pm", "um"]}}, "zarr", (5.24, 0.004, 4000), (0, 0, 0)),
        ({"transform": COSEM, "resolution": [5.24, 4, 4]}, "N5", (5.24, 4, 4), (0, 0, 0)),  # the order is plain
    ],
)
def test_what_is_read_of_an_array(attributes: dict[str, Any], form: str, size: Any, offset: Any) -> None:
    assert find(attributes, form) == Place(size, offset)


SCALES = {"scales": [[1, 1, 1], [2, 2, 1]]}
BDV = {"downsamplingFactors": [[1, 1, 1], [2, 2, 1]]}


@pytest.mark.parametrize(
    ("attributes", "groups", "size", "offset"),
    [
        ({}, [("s0", {**pixels(4, 4, 40), **SCALES})], (40, 4, 4), None),
        ({}, [("s1", {**pixels(4, 4, 40), **SCALES})], (40, 8, 8), None),
        ({"downsamplingFactors": [2, 2, 1]}, [("s1", {}), ("c0/s1", pixels(4, 4, 40))], (40, 8, 8), None),
        (
            {},
            [("s1", {"resolution": [4, 4, 40]}), ("timepoint0/s1", {}), ("setup0/timepoint0/s1", BDV)],
            (40, 8, 8),
            None,
        ),
        (
            {"downsamplingFactors": [2, 2, 1]},
            [("s1", {"resolution": [4, 4, 40], "offset": [8, 0, 80]})],
            (40, 8, 8),
            (80, 0, 8),
        ),
        (
            {"resolution": [4, 4, 40], "downsamplingFactors": [2, 2, 1]},
            [("s1", {"resolution": [4, 4, 40]})],
            (40, 8, 8),
            None,
        ),
        (
            {"resolution": [8, 8, 40], "downsamplingFactors": [2, 2, 1]},
            [("s1", {"resolution": [4, 4, 40]})],
            (40, 8, 8),
            None,
        ),
        (
            {**pixels(8, 8, 10.48)},
            [("s1", {**pixels(4, 4, 5.24), "scales": [[1, 1, 1], [2, 2, 2]]})],
            (10.48, 8, 8),
            None,
        ),
        ({}, [("s0", {"multiscales": [{"datasets": [{"path": "s0", "transform": COSEM}]}]})], (5.24, 4, 4), (0, 0, 0)),
        ({}, [("em", pixels(4, 4, 40))], None, None),  # a group's size is that of its levels, not of any array in it
    ],
)
def test_what_is_read_of_the_groups_above(attributes: dict[str, Any], groups: Any, size: Any, offset: Any) -> None:
    assert find(attributes, "N5", groups) == Place(size, offset)


def ngff(
    *datasets: list[dict[str, Any]], image: Any = None, units: Any = ("nanometer",) * 3, **more: Any
) -> dict[str, Any]:
    axes = [{"name": n, "type": "space", **({"unit": u} if u else {})} for n, u in zip("zyx", units, strict=True)]
    levels = [{"path": f"{n}", "coordinateTransformations": steps} for n, steps in enumerate(datasets)]
    whole = {} if image is None else {"coordinateTransformations": image}
    return {"multiscales": [{"axes": axes, "datasets": levels, **whole, **more}]}


def scale(*values: float) -> dict[str, Any]:
    return {"type": "scale", "scale": list(values)}


def shift(*values: float) -> dict[str, Any]:
    return {"type": "translation", "translation": list(values)}


@pytest.mark.parametrize(
    ("group", "path", "size", "offset"),
    [
        (ngff([scale(40, 4, 4)]), "0", (40, 4, 4), None),
        (ngff([scale(40, 4, 4), shift(420, 2, 12)]), "0", (40, 4, 4), (400, 0, 10)),
        (ngff([scale(10, 1, 1), shift(105, 0.5, 3)], image=[scale(4, 4, 4)]), "0", (40, 4, 4), (400, 0, 10)),
        (ngff([scale(40, 4, 4)], image=[shift(420, 2, 12)]), "0", (40, 4, 4), (400, 0, 10)),
        (
            ngff([scale(1, 1, 1)], image=[scale(0.04, 4, 4)], units=("micrometer", "nanometer", "nanometer")),
            "0",
            (40, 4, 4),
            None,
        ),
        (ngff([scale(40, 4, 4)], [scale(40, 8, 8), shift(0, 2, 2)]), "0", (40, 4, 4), (0, 0, 0)),
        (ngff([scale(40, 4, 4)], [scale(40, 8, 8), shift(0, 2, 2)]), "1", (40, 8, 8), (0, 0, 0)),
        (ngff([scale(40, 4, 4), shift(0, 0, 0)]), "0", (40, 4, 4), (0, 0, 0)),
        (ngff([scale(40, 4, 4), shift(400, 0, 8)]), "0", (40, 4, 4), (380, -2, 6)),
        ({"ome": {"version": "0.5", **ngff([scale(40, 4, 4)])}}, "0", (40, 4, 4), None),
    ],
)
def test_what_is_read_of_ngff(group: dict[str, Any], path: str, size: Any, offset: Any) -> None:
    """Levels of one image share their corner: a translation is where the centre of the first voxel lies."""
    assert find({}, "zarr", [(path, group)]) == Place(size, offset)


SIZE, ORDER, OFFSET = "--voxel-size Z Y X", "--axes zyx or --axes xyz", "--offset Z Y X"


@pytest.mark.parametrize(
    ("attributes", "form", "groups", "told"),
    [
        ({"resolution": [40, 4, 4]}, "N5", (), f"does not say the order.*{ORDER}, or with {SIZE}"),
        ({"voxel_size": [4, 4, 40]}, "N5", (), ORDER),
        ({"resolution": [4, 4, 40]}, "zarr", (), ORDER),
        ({"resolution": [6, 6, 30], "downsamplingFactors": [1, 1, 1]}, "zarr", (), ORDER),
        ({"resolution": [4, 4, 40], "downsamplingFactors": [2, 2, 1]}, "N5", (), f"finest level.*{SIZE}"),
        ({"resolution": [4, 4, 40]}, "N5", [("s1", {"resolution": [4, 4, 40]})], SIZE),
        ({}, "N5", [("s1", pixels(4, 4, 40))], f"how much coarser.*{SIZE}"),
        ({"pixelResolution": [4, 4, 40]}, "N5", (), f"no unit.*{SIZE}"),
        (pixels(4, 4, 40, "pixel"), "N5", (), "its unit is 'pixel'"),
        ({"voxel_size": [40, 4, 4], "units": ["nm", "um"]}, "zarr", (), "its unit is"),
        ({"voxel_size": [40, 4, 4], "units": []}, "zarr", (), "its unit is"),
        ({"voxel_size": [40, 4, 4], "units": False}, "HDF5", (), "its unit is False"),
        ({"voxel_size": [40, 4, 4], "units": [{}, "nm", "nm"]}, "zarr", (), "its unit is"),
        ({"voxel_size": [40, True, 4]}, "zarr", (), "its voxel size is"),
        ({"resolution": [40, 4, 4], "offset": [0, 0, True]}, "HDF5", (), "its offset is"),
        ({**pixels(0.004, 0.004, 0.04, "um"), "offset": [4, 8, 40]}, "N5", (), f"unit of its offset.*{OFFSET}"),
        ({"transform": COSEM, **pixels(8, 8, 8)}, "N5", (), f"two voxel sizes.*{SIZE}"),
        ({"transform": TURNED}, "zarr", (), "its axes are x, y, z.*transpose it"),
        ({"transform": {**COSEM, "units": None}}, "zarr", (), SIZE),
        ({"transform": {"scale": [4, 4, 4]}}, "zarr", (), SIZE),
        ({"voxel_size": [40, 4, 4]}, "zarr", [("0", ngff([scale(8, 4, 4)]))], f"two voxel sizes.*{SIZE}"),
        (
            {"voxel_size": [40, 4, 4], "offset": [0, 0, 0]},
            "zarr",
            [("0", ngff([scale(40, 4, 4), shift(100, 0, 0)]))],
            OFFSET,
        ),
        ({}, "zarr", [("0", ngff([scale(40, 4, 4)], units=("", "", "")))], f"no unit.*{SIZE}"),
        ({}, "zarr", [("0", ngff([{"type": "affine", "affine": []}]))], f"affine.*{SIZE}"),
        ({}, "zarr", [("0", ngff([{"type": "scale", "path": "of/scales"}]))], f"its scale is None.*{SIZE}"),
        ({}, "zarr", [("0", ngff([scale(40, 4)]))], f"3 numbers.*{SIZE}"),
        (
            {},
            "zarr",
            [("0", ngff([scale(4, 4, 40)], axes=[{"name": n, "unit": "nanometer"} for n in "xyz"]))],
            "transpose it",
        ),
    ],
)
def test_what_is_asked(attributes: dict[str, Any], form: str, groups: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        find(attributes, form, groups)


@pytest.mark.parametrize(
    ("attributes", "form", "answers", "place"),
    [
        (
            {"resolution": [40, 4, 4], "offset": [400, 8, 12]},
            "N5",
            Answers(axes="zyx"),
            Place((40, 4, 4), (400, 8, 12)),
        ),
        (
            {"resolution": [40, 4, 4], "offset": [400, 8, 12]},
            "N5",
            Answers(axes="xyz"),
            Place((4, 4, 40), (12, 8, 400)),
        ),
        (
            {"resolution": [4, 4, 40], "offset": [12, 8, 400]},
            "zarr",
            Answers(axes="xyz"),
            Place((40, 4, 4), (400, 8, 12)),
        ),
        (
            {"resolution": [4, 4, 40], "offset": [12, 8, 400]},
            "HDF5",
            Answers(axes="xyz"),
            Place((40, 4, 4), (400, 8, 12)),
        ),
        ({"voxel_size": [4, 4, 40]}, "zarr", Answers(axes="xyz"), Place((40, 4, 4), None)),
        # a voxel size that is given shows the order of the offset
        (
            {"resolution": [40, 4, 4], "offset": [400, 8, 12]},
            "N5",
            Answers((40.0, 4.0, 4.0)),
            Place((40, 4, 4), (400, 8, 12)),
        ),
        ({"resolution": [40, 4, 4], "offset": [0, 0, 0]}, "N5", Answers((30.0, 5.0, 5.0)), Place()),
        ({"pixelResolution": "lost"}, "N5", Answers((30.0, 5.0, 5.0)), Place()),
        ({"resolution": [40, 4, 4], "offset": "lost"}, "N5", Answers((30.0, 5.0, 5.0), (0.0, 0.0, 0.0)), Place()),
        ({"resolution": [4, 4, 40], "offset": "lost"}, "N5", Answers(None, (0.0, 0.0, 0.0)), Place((40, 4, 4), None)),
    ],
)
def test_what_the_user_says_wins(attributes: dict[str, Any], form: str, answers: Answers, place: Place) -> None:
    assert find(attributes, form, (), answers) == place


def test_an_offset_that_is_in_doubt_is_asked_for_though_the_voxel_size_is_given() -> None:
    with pytest.raises(UserError, match=OFFSET):
        find({"resolution": [40, 4, 4], "offset": [400, 8, 12]}, "N5", (), Answers((30.0, 5.0, 5.0)))


def write_zarr(path: Path, **attributes: Any) -> Path:
    array = zarr.open(str(path), mode="w", shape=SHAPE, chunks=(2, 3, 4), dtype="u1", **FORMAT_2)
    array[:] = VOXELS
    array.attrs.update(attributes)
    return path


def write_n5(container: Path, name: str, **attributes: Any) -> Path:
    z5py = pytest.importorskip("z5py")
    if ZARR3:
        pytest.skip("zarr 3 has no N5")
    with z5py.File(str(container), "w", use_zarr_format=False) as file:
        data = file.create_dataset(name, data=VOXELS, chunks=(2, 3, 4), compression="gzip")
        data.attrs.update(attributes)
    return container / name


def test_both_doors_agree(tmp_path: Path) -> None:
    group = tmp_path / "image.zarr"
    level = write_zarr(group / "0")
    (group / ".zattrs").write_text(json.dumps(ngff([scale(10, 1, 1), shift(105, 0.5, 3)], image=[scale(4, 4, 4)])))
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    imported = import_volume(group, tmp_path / "own.zarr")
    for volume in (imported, Volume.open(level), import_volume(level, tmp_path / "own.zarr/b")):
        assert (volume.voxel_size_nm, volume.offset_nm, volume.unit) == ((40, 4, 4), (400, 0, 10), "nm")
        assert np.array_equal(volume.read(), VOXELS)
    assert imported.attrs["provenance"]["dataset"] == "0"
    before = Volume.open(level).fingerprint
    (group / ".zattrs").write_text(json.dumps(ngff([scale(10, 1, 1)], image=[scale(4, 4, 4)])))
    assert Volume.open(level).fingerprint != before  # its place is that of the group


def test_n5_at_both_doors(tmp_path: Path) -> None:
    path = write_n5(tmp_path / "a.n5", "em/raw", resolution=[4, 5, 40.5], offset=[8, 10, 81], units=NM)
    for volume in (Volume.open(path), import_volume(path, tmp_path / "own.zarr")):
        assert (volume.voxel_size_nm, volume.offset_nm, volume.unit) == ((40.5, 5, 4), (81, 10, 8), "pm")
        assert np.array_equal(volume.read(), VOXELS)
    chunks = np.concatenate(list(list_stored(Volume.open(path))))
    assert sorted(map(tuple, chunks)) == sorted(np.ndindex(2, 2, 2))
    assert "voxel_size" in Volume.open(path).attrs


def test_n5_is_known_without_its_name(tmp_path: Path) -> None:
    path = write_n5(tmp_path / "stack", "em/raw", resolution=[4, 5, 40], offset=[8, 10, 80])
    by_group = import_volume(tmp_path / "stack", tmp_path / "own.zarr/b")
    for volume in (Volume.open(path), import_volume(path, tmp_path / "own.zarr/a"), by_group):
        assert (volume.voxel_size_nm, volume.offset_nm) == ((40, 5, 4), (80, 10, 8))
        assert np.array_equal(volume.read(), VOXELS)


def test_a_level_at_a_url(tmp_path: Path) -> None:
    write_zarr(tmp_path / "served/plain", resolution=[50, 4, 4])
    write_zarr(tmp_path / "served/image.zarr/0")
    told = ngff([scale(10, 1, 1), shift(105, 0.5, 3)], image=[scale(4, 4, 4)])
    (tmp_path / "served/image.zarr/.zattrs").write_text(json.dumps(told))
    with serving(tmp_path / "served") as (url, _):
        plain = import_volume(f"{url}/plain", tmp_path / "own.zarr/a")
        level = import_volume(f"{url}/image.zarr/0", tmp_path / "own.zarr/b")
    assert (plain.voxel_size_nm, plain.offset_nm) == ((50, 4, 4), (0, 0, 0))
    assert (level.voxel_size_nm, level.offset_nm) == ((40, 4, 4), (400, 0, 10))
    assert np.array_equal(level.read(), VOXELS)


def test_axes_are_for_formats_with_lists(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOXELS)
    with pytest.raises(UserError, match="gives no lists of lengths, whose order --axes says; leave --axes out"):
        import_volume(tmp_path / "a.npy", tmp_path / "own.zarr", voxel_size_nm=(40, 4, 4), axes="xyz")


def test_two_answers_are_told_at_both_doors(tmp_path: Path) -> None:
    level = write_zarr(tmp_path / "image.zarr/s1", voxel_size=[40, 4, 4])  # copied from s0
    (tmp_path / "image.zarr/.zattrs").write_text(json.dumps(ngff([scale(40, 8, 8)])).replace('"0"', '"s1"'))
    with pytest.raises(UserError, match="two voxel sizes: voxel_size 40 x 4 x 4 nm"):
        Volume.open(level)
    with pytest.raises(UserError, match="two voxel sizes"):
        import_volume(level, tmp_path / "own.zarr")
    assert import_volume(level, tmp_path / "own.zarr", voxel_size_nm=(40, 8, 8)).voxel_size_nm == (40, 8, 8)


def test_what_is_in_doubt_is_asked_at_both_doors(tmp_path: Path, command: Any) -> None:
    path, target = write_n5(tmp_path / "a.n5", "raw", resolution=[40, 4, 4], offset=[400, 8, 12]), tmp_path / "own.zarr"
    with pytest.raises(UserError, match=ORDER):
        Volume.open(path)
    code, _, errors = command("import", path, target / "a")
    assert code == 2
    assert ORDER in errors
    assert errors.count("\n") == 1
    assert not target.exists()
    assert command("import", path, target / "a", "--axes", "zyx")[0] == 0
    assert command("import", path, target / "b", "--voxel-size", 40, 4, 4)[0] == 0
    for name in "ab":
        volume = Volume.open(target / name)
        assert (volume.voxel_size_nm, volume.offset_nm) == ((40, 4, 4), (400, 8, 12))
    code, _, errors = command("import", path, target / "c", "--axes", "yxz")
    assert code == 2
    assert "--axes: 'yxz' is no order of axes; zyx or xyz" in errors


def test_a_volume_that_is_not_whole_picometres_is_imported_first(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "a.zarr", resolution=[40, 4.00025, 4])
    with pytest.raises(UserError, match="is not whole nm or pm; import it first"):
        Volume.open(path)
    assert import_volume(path, tmp_path / "own.zarr").voxel_size_nm == (40, 4, 4)


def test_a_voxel_size_that_looks_turned_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.save(tmp_path / "a.npy", VOXELS)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["volumes/raw"] = VOXELS
        file["volumes/raw"].attrs["resolution"] = (5, 5, 30)
    line = "looks like x, y, z: the last axis is the coarsest; if it is, import it with --voxel-size"
    for source, size in (("a.npy", (6, 6, 30)), ("b.h5", None), ("a.npy", (4, 8, 35))):
        forget_warnings()
        caplog.clear()
        volume = import_volume(tmp_path / source, tmp_path / "own.zarr", voxel_size_nm=size, overwrite=True)
        assert caplog.text.count(line) == 1
        assert [line in note for note in volume.attrs["provenance"]["notes"]] == [True]
    forget_warnings()
    caplog.clear()
    for size in ((30, 6, 6), (8, 8, 8), (3.36, 4, 4)):
        volume = import_volume(tmp_path / "a.npy", tmp_path / "own.zarr", voxel_size_nm=size, overwrite=True)
        assert "notes" not in volume.attrs["provenance"]
    assert not caplog.text
    Volume.open(write_zarr(tmp_path / "theirs.zarr", voxel_size=[6, 6, 30]))
    assert line in caplog.text


def test_a_shape_that_looks_turned_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = "(zyx), looks turned: x is by far the shortest axis"
    for shape, warned in (((32, 32, 8), True), ((64, 32, 8), True), ((32, 32, 9), False), ((8, 32, 32), False)):
        np.save(tmp_path / "a.npy", np.arange(np.prod(shape), dtype=np.uint8).reshape(shape))
        forget_warnings()
        caplog.clear()
        import_volume(tmp_path / "a.npy", tmp_path / "own.zarr", voxel_size_nm=(30, 6, 6), kind="raw", overwrite=True)
        assert (line in caplog.text) == warned


def test_a_group_is_opened_or_listed(tmp_path: Path) -> None:
    cremi = tmp_path / "cremi.zarr"
    for name in ("volumes/raw", "volumes/labels/neuron_ids", "volumes/labels/clefts"):
        write_zarr(cremi / name, resolution=[50, 4, 4])
    both = import_volume(cremi, tmp_path / "both.zarr")
    assert both.path == tmp_path / "both.zarr/raw"
    assert np.array_equal(Volume.open(tmp_path / "both.zarr/labels").read(), VOXELS)
    write_zarr(tmp_path / "one.zarr/deep/down/em", resolution=[50, 4, 4])
    assert import_volume(tmp_path / "one.zarr", tmp_path / "own.zarr").attrs["provenance"]["dataset"] == "deep/down/em"
    (tmp_path / "linked.zarr").mkdir()
    (tmp_path / "linked.zarr/up").symlink_to(tmp_path / "linked.zarr")
    (tmp_path / "linked.zarr/em").symlink_to(tmp_path / "one.zarr/deep")
    assert (
        import_volume(tmp_path / "linked.zarr", tmp_path / "own.zarr/l").attrs["provenance"]["dataset"] == "em/down/em"
    )
    for name in ("a", "b/c"):
        write_zarr(tmp_path / "two.zarr" / name, resolution=[50, 4, 4])
    with pytest.raises(UserError, match="not said which dataset to import; give --dataset, one of: a, b/c"):
        import_volume(tmp_path / "two.zarr", tmp_path / "own.zarr/b")
    for name in (cremi, tmp_path / "two.zarr"):
        (name / ".zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(UserError, match="a zarr group, not an array; arrays in it: a, b/c"):
        Volume.open(tmp_path / "two.zarr")


def test_a_level_is_chosen_by_its_voxel_size(tmp_path: Path) -> None:
    group = tmp_path / "image.zarr"
    for name in "01":
        write_zarr(group / name)
    (group / ".zattrs").write_text(json.dumps(ngff([scale(40, 4, 4)], [scale(40, 8, 8)])))
    assert import_volume(group, tmp_path / "own.zarr/a").voxel_size_nm == (40, 4, 4)
    coarse = import_volume(group, tmp_path / "own.zarr/b", voxel_size_nm=(40, 8, 8))
    assert (coarse.voxel_size_nm, coarse.attrs["provenance"]["dataset"]) == ((40, 8, 8), "1")
    with pytest.raises(UserError, match=r"no level of 30 x 4 x 4 nm \(zyx\); give --dataset, one of: 0: 40 x 4 x 4"):
        import_volume(group, tmp_path / "own.zarr/c", voxel_size_nm=(30, 4, 4))


def hdf5(path: Path, name: str = "em") -> Path:
    with h5py.File(path, "w") as file:
        file[name] = VOXELS
        file[name].attrs["resolution"] = (50, 4, 4)
    return path


def test_links_of_hdf5_are_followed(tmp_path: Path) -> None:
    data = hdf5(tmp_path / "data.h5", "deep/em")
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["group"] = h5py.ExternalLink("data.h5", "/deep")
        file["to_group"] = h5py.SoftLink("/group")
        file["em"] = h5py.SoftLink("/to_group/em")  # a link to what is behind two others
        file["loop"] = h5py.SoftLink("/loop")
        file["gone"] = h5py.SoftLink("/nowhere")
        file["lost"] = h5py.ExternalLink("lost.h5", "/em")
        file["up"] = h5py.SoftLink("/")
    only = import_volume(tmp_path / "links.h5", tmp_path / "own.zarr/only")  # three names of one volume
    named = import_volume(tmp_path / "links.h5", tmp_path / "own.zarr/named", dataset="to_group/em")
    for volume in (only, named):
        assert np.array_equal(volume.read(), VOXELS)
        assert volume.voxel_size_nm == (50, 4, 4)
    for name, told in (
        ("gone", "leads to /nowhere, which"),
        ("lost", "leads to /em in lost.h5, which"),
        ("loop", "/loop"),
    ):
        with pytest.raises(UserError, match=told):
            import_volume(tmp_path / "links.h5", tmp_path / "own.zarr/x", dataset=name)
    with h5py.File(data, "r+") as file:
        file["deep/em"][0, 0, 0] = 99
    assert import_volume(tmp_path / "links.h5", tmp_path / "own.zarr/again").fingerprint != only.fingerprint


def test_a_part_of_hdf5_in_another_file_has_to_be_there(tmp_path: Path) -> None:
    part = hdf5(tmp_path / "part.h5")
    layout = h5py.VirtualLayout(SHAPE, np.uint8)
    layout[:] = h5py.VirtualSource("part.h5", "em", shape=SHAPE)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("em", layout).attrs["resolution"] = (50, 4, 4)
    assert np.array_equal(import_volume(tmp_path / "a.h5", tmp_path / "own.zarr/a").read(), VOXELS)
    part.unlink()
    with pytest.raises(UserError, match=r"a part of it, .*part.h5, is not there"):
        import_volume(tmp_path / "a.h5", tmp_path / "own.zarr/b")


@pytest.mark.parametrize("key", ["axis_names", "_ARRAY_DIMENSIONS", "axistags"])
def test_other_axes_are_refused_whoever_names_them(tmp_path: Path, key: str) -> None:
    names: Any = ["x", "y", "z"]
    if key == "axistags":
        names = json.dumps({"axes": [{"key": name} for name in names]})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["em"] = VOXELS
        file["em"].attrs[key] = names
    write_zarr(tmp_path / "a.zarr", **{key: names})
    for source in ("a.h5", "a.zarr"):
        with pytest.raises(UserError, match="its axes are x, y, z"):
            import_volume(tmp_path / source, tmp_path / "own.zarr", voxel_size_nm=(40, 4, 4))


@pytest.mark.parametrize(
    ("plane", "offset"),
    [
        ({}, (0, 0, 0)),
        ({"PositionXUnit": "nm", "PositionYUnit": "nm", "PositionZUnit": "reference frame"}, (0, 0, 0)),
        ({"PositionXUnit": "pixel", "PositionYUnit": "pixel", "PositionZUnit": "pixel"}, (0, 0, 0)),
        ({"PositionXUnit": "nm", "PositionYUnit": "nm", "PositionZUnit": "µm"}, (1000, 2, 3)),
    ],
)
def test_positions_of_ome(tmp_path: Path, plane: dict[str, str], offset: Any) -> None:
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (0.04, 4, 4), strict=True)}
    sizes |= {"PhysicalSizeZUnit": "µm", "PhysicalSizeYUnit": "nm", "PhysicalSizeXUnit": "nm"}
    planes = {f"Position{axis}": [p] * 4 for axis, p in zip("ZYX", (1.0, 2.0, 3.0), strict=True)}
    planes |= {key: [unit] * 4 for key, unit in plane.items()}
    metadata = {"axes": "ZYX", **sizes, "Plane": planes}
    tifffile.imwrite(tmp_path / "a.ome.tif", VOXELS, ome=True, photometric="minisblack", metadata=metadata)
    volume = import_volume(tmp_path / "a.ome.tif", tmp_path / "own.zarr")
    assert (volume.voxel_size_nm, volume.offset_nm) == ((40, 4, 4), offset)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", None])
def test_a_position_of_ome_that_is_not_taken_is_noted(tmp_path: Path, unit: str | None) -> None:
    planes: dict[str, list[Any]] = {f"Position{axis}": [1.0] * 4 for axis in "ZYX"}
    planes |= {f"Position{axis}Unit": ["nm"] * 4 for axis in "YX"} | ({"PositionZUnit": [unit] * 4} if unit else {})
    sizes = {f"PhysicalSize{axis}": 0.004 for axis in "ZYX"}
    metadata = {"axes": "ZYX", **sizes, "Plane": planes}
    tifffile.imwrite(tmp_path / "a.ome.tif", VOXELS, ome=True, photometric="minisblack", metadata=metadata)
    volume = import_volume(tmp_path / "a.ome.tif", tmp_path / "own.zarr")
    assert any("not taken as its offset" in note for note in volume.attrs["provenance"]["notes"])


@pytest.mark.parametrize("origin", [-2, 0])
def test_an_origin_of_imagej_that_is_not_taken_is_noted(tmp_path: Path, origin: int) -> None:
    metadata = {"axes": "ZYX", "spacing": 40, "unit": "pixel", "xorigin": origin}
    tifffile.imwrite(tmp_path / "a.tif", VOXELS, imagej=True, resolution=(1, 1), metadata=metadata)
    volume = import_volume(tmp_path / "a.tif", tmp_path / "own.zarr", voxel_size_nm=(40, 4, 4))
    assert ("not taken as its offset" in str(volume.attrs["provenance"].get("notes"))) == bool(origin)


@pytest.mark.parametrize("offset", [np.nan, np.zeros(20), np.ones(3, complex), h5py.Empty("f")])
def test_an_offset_of_hdf5_that_cannot_be_read_is_not_left_out(tmp_path: Path, offset: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["volumes/raw"] = VOXELS
        file["volumes/raw"].attrs.update({"resolution": (40.0, 4.0, 4.0), "offset": offset})
    with pytest.raises(UserError, match="its offset is"):
        import_volume(tmp_path / "a.h5", tmp_path / "own.zarr")


@pytest.mark.skipif(ZARR3, reason="zarr 3 has no N5")
def test_deep_json_of_n5_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.n5/raw").mkdir(parents=True)
    (tmp_path / "a.n5/raw/attributes.json").write_text("[" * 20_000)
    with pytest.raises(UserError):
        import_volume(tmp_path / "a.n5/raw", tmp_path / "own.zarr")


def test_units_of_imagej_differ_by_axis(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "spacing": 40, "unit": "um", "zunit": "nm", "yunit": "nm", "xorigin": -2}
    tifffile.imwrite(tmp_path / "a.tif", VOXELS, imagej=True, resolution=(250, 0.25), metadata=metadata)
    volume = import_volume(tmp_path / "a.tif", tmp_path / "own.zarr")
    assert (volume.voxel_size_nm, volume.offset_nm) == ((40, 4, 4), (0, 0, 8))


WORDS = (
    "x",
    "y",
    "z",
    "c",
    "s1",
    "nm",
    "nanometer",
    "scale",
    "translation",
    "space",
    "F",
    "",
    "0",
    "multiscales",
    "offset",
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**9) | st.floats() | st.sampled_from(WORDS),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.sampled_from(WORDS), part, max_size=3),
    max_leaves=5,
)
GOOD = [
    ({"transform": COSEM, **pixels(4, 4, 5.24)}, {}),
    (
        {"resolution": [4, 4, 40], "offset": [1, 2, 3], "units": NM, "downsamplingFactors": [2, 2, 1]},
        {"resolution": [4, 4, 40]},
    ),
    ({}, {**pixels(4, 4, 40), **SCALES, "offset": [1, 2, 3]}),
    ({"axis_names": ["z", "y", "x"], "types": ["space"] * 3, "voxel_size": [40, 4, 4]}, BDV),
    (
        {"axistags": "{}", "_ARRAY_DIMENSIONS": ["z", "y", "x"], "axes": ["z"]},
        {"multiscales": [{"datasets": [{"path": "s1", "transform": COSEM}]}]},
    ),
    ({}, json.loads(json.dumps(ngff([scale(1, 2, 3), shift(1, 2, 3)], image=[scale(4, 4, 4)])).replace('"0"', '"s1"'))),
    ({}, {"ome": json.loads(json.dumps(ngff([scale(1, 2, 3)])).replace('"0"', '"s1"'))}),
]


def spoil(node: Any, data: st.DataObject) -> Any:
    """Return JSON with one part of it, anywhere, replaced by anything."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    if not keys or data.draw(st.integers(0, 3)) == 0:
        return data.draw(anything)
    key = data.draw(st.sampled_from(keys))
    changed = dict(node) if isinstance(node, dict) else list(node)
    changed[key] = spoil(node[key], data)
    return changed


@settings(max_examples=500, deadline=None)
@given(
    data=st.data(),
    good=st.sampled_from(GOOD),
    form=st.sampled_from(["zarr", "N5", "HDF5"]),
    size=st.sampled_from([None, (40.0, 4.0, 4.0)]),
)
def test_whatever_attributes_hold_is_read_or_refused(data: st.DataObject, good: Any, form: str, size: Any) -> None:
    own, group = json.loads(json.dumps(good[0])), json.loads(json.dumps(good[1]))
    if data.draw(st.booleans()) and own:
        own = spoil(own, data)
    else:
        group = spoil(group, data)
    own, group = (part if isinstance(part, dict) else {} for part in (own, group))
    try:
        check_order(own, "a", form == "N5")
        place = find(own, form, [("s1", group)], Answers(size))
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    for lengths in (place.voxel_size_nm, place.offset_nm):
        assert lengths is None or (len(lengths) == 3 and np.isfinite(lengths).all())


@pytest.mark.parametrize("names", [["X", "Y", "Z"], ["xdim", "ydim", "zdim"], ["x", "y", "z"]])
def test_axes_that_are_named_otherwise_are_refused(tmp_path: Path, names: list[str]) -> None:
    array = zarr.open(str(tmp_path / "a.zarr"), mode="w", shape=(4, 8, 8), chunks=(4, 8, 8), dtype="u1")
    array[:] = 7
    array.attrs.update({"voxel_size": [4, 4, 4], "offset": [0, 0, 400], "axis_names": names})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.ones((4, 8, 8), np.uint8)
        file["raw"].attrs["resolution"] = [4, 4, 4]
        for dimension, name in zip(file["raw"].dims, names, strict=True):
            dimension.label = name
    for source in ("a.zarr", "a.h5"):
        with pytest.raises(UserError, match=f"its axes are {names[0]}, {names[1]}, {names[2]}.*transpose it"):
            import_volume(tmp_path / source, tmp_path / "o.zarr/raw")


@pytest.mark.skipif(ZARR3, reason="zarr 3 takes attributes that are a list for none")
def test_attributes_that_are_a_list_are_told(tmp_path: Path) -> None:
    zarr.open(str(tmp_path / "a.zarr"), mode="w", shape=(4, 8, 8), chunks=(4, 8, 8), dtype="u1")[:] = 7
    (tmp_path / "a.zarr/.zattrs").write_text("[1, 2]")
    with pytest.raises(UserError, match="metadata cannot be read"):
        import_volume(tmp_path / "a.zarr", tmp_path / "o.zarr/raw", voxel_size_nm=(4, 4, 4))


@pytest.mark.parametrize("link", ["soft", "external"])
@pytest.mark.parametrize("beside", [None, "volumes/labels/neuron_ids", "volumes/other"])
def test_raw_behind_a_link_that_leads_nowhere_is_not_taken_from_elsewhere(tmp_path, link, beside):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        gone = h5py.SoftLink("/nowhere") if link == "soft" else h5py.ExternalLink("lost.h5", "/nowhere")
        file["volumes/raw"] = gone
        if beside:
            file[beside] = np.arange(60, dtype=np.uint64).reshape(3, 4, 5)
            file[beside].attrs["resolution"] = (30, 6, 6)
    with pytest.raises(UserError, match=r"the link 'volumes/raw' leads to .*nowhere.*, which is not there"):
        import_volume(tmp_path / "v.h5", tmp_path / "out.zarr/raw")
    assert not (tmp_path / "out.zarr").exists()
