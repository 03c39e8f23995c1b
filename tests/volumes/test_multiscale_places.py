"""Groups of levels that are listed in another order, in several entries, with other counts of axes, by odd paths."""

import json
from pathlib import Path
from typing import Any

import pytest
import zarr

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.places import Answers, Place, find_place
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.storage.nodes import ZARR3
from tests.volumes.writers import FORMAT_2

FINE, COARSE = (4, 8, 8), (4, 4, 4)
NM = ["nm"] * 3
SIZES = {"s0": (40, 4, 4), "s1": (40, 8, 8), "s2": (40, 16, 16)}


def step(size: Any, first: Any = None) -> list[dict[str, Any]]:
    """Return the transformations of a level; `first` is the centre of its first voxel."""
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(size)}]
    return steps if first is None else [*steps, {"type": "translation", "translation": list(first)}]


def image(levels: dict[str, list[dict[str, Any]]], axes: str = "zyx", **more: Any) -> dict[str, Any]:
    named = [{"name": a, "type": "space", "unit": "nanometer"} if a in "zyx" else {"name": a} for a in axes]
    datasets = [{"path": path, "coordinateTransformations": steps} for path, steps in levels.items()]
    return {"axes": named, "datasets": datasets, **more}


def cosem(**levels: tuple[Any, Any]) -> dict[str, Any]:
    """Return an entry of COSEM: size and centre of the first voxel of each level."""
    told = {
        name: {"axes": list("zyx"), "scale": list(s), "translate": list(f), "units": NM}
        for name, (s, f) in levels.items()
    }
    return {"datasets": [{"path": name, "transform": transform} for name, transform in told.items()]}


def write(group: Path, images: Any, shapes: dict[str, Any], **attributes: Any) -> Path:
    """Write arrays that hold 1, 2, ... in the order of their names, and the attributes of their group."""
    for n, (name, shape) in enumerate(sorted(shapes.items())):
        zarr.open(str(group / name), mode="w", shape=shape, chunks=shape, dtype="u1", **FORMAT_2)[:] = n + 1
    (group / ".zattrs").write_text(json.dumps({"multiscales": images, **attributes}))
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    return group


TWO = {"s0": FINE, "s1": COARSE}
CENTRE, CENTRE_1 = (420, 82, 162), (420, 84, 164)
ORDERS: dict[str, tuple[Any, Any]] = {
    "coarse first": ([image({"s1": step(SIZES["s1"]), "s0": step(SIZES["s0"])})], (0, 0, 0)),
    "placed": ([image({"s1": step(SIZES["s1"], CENTRE_1), "s0": step(SIZES["s0"], CENTRE)})], (400, 80, 160)),
    "the finest has no translation": (
        [image({"s1": step(SIZES["s1"], (0, 2, 2)), "s0": step(SIZES["s0"])})],
        (0, 0, 0),
    ),
    "the finest has one of zero": (
        [image({"s1": step(SIZES["s1"], (0, 2, 2)), "s0": step(SIZES["s0"], (0, 0, 0))})],
        (0, 0, 0),
    ),
    "cosem": ([cosem(s1=(SIZES["s1"], CENTRE_1), s0=(SIZES["s0"], CENTRE))], (400, 80, 160)),
    "cosem at zero": ([cosem(s1=(SIZES["s1"], (0, 2, 2)), s0=(SIZES["s0"], (0, 0, 0)))], (0, 0, 0)),
}


@pytest.mark.parametrize("case", ORDERS)
def test_the_finest_level_is_found_wherever_it_is_listed(tmp_path: Path, case: str) -> None:
    images, offset = ORDERS[case]
    group = write(tmp_path / "a.zarr", images, TWO)
    volume = import_volume(group, tmp_path / "own.zarr/raw")
    assert (volume.shape_vx, volume.voxel_size_nm, volume.offset_nm) == (FINE, SIZES["s0"], offset)
    assert volume.attrs["provenance"]["dataset"] == "s0"
    assert [note for note in volume.attrs["provenance"]["notes"] if "list s1" in note and "finest level, s0" in note]
    for level, size in (("s0", SIZES["s0"]), ("s1", SIZES["s1"])):  # the same corner, at both doors
        for opened in (Volume.open(group / level), import_volume(group, tmp_path / f"own.zarr/{level}", dataset=level)):
            assert (opened.voxel_size_nm, opened.offset_nm) == (size, offset)


def test_levels_in_their_order_are_not_noted(tmp_path: Path) -> None:
    group = write(tmp_path / "a.zarr", [image({n: step(SIZES[n]) for n in ("s0", "s1")})], TWO)
    notes = import_volume(group, tmp_path / "own.zarr/raw").attrs["provenance"]["notes"]
    assert not any("first" in note for note in notes)


def two(first: Any, second: Any, names: tuple[str, str] = ("s0", "s1"), **more: Any) -> list[Any]:
    return [image({names[0]: step(first)}, name="em"), image({names[1]: step(second)}, name="labels", **more)]


ENTRIES: dict[str, Any] = {
    "other scales": two((40, 4, 4), (40, 8, 8)),
    "other types": two((40, 4, 4), (40, 4, 4), type="mode"),
    "the finer second": two((40, 8, 8), (40, 4, 4)),
    "cosem": [cosem(s0=((40, 4, 4), (0, 0, 0))), cosem(s1=((40, 8, 8), (0, 2, 2)))],
    "without a name": [image({"s0": step((40, 4, 4))}), image({"s1": step((40, 8, 8))})],
}


@pytest.mark.parametrize("case", ENTRIES)
def test_of_several_entries_one_is_asked_for(tmp_path: Path, case: str) -> None:
    group = write(tmp_path / "a.zarr", ENTRIES[case], TWO)
    with pytest.raises(
        UserError, match=r"2 entries, for several images; give --dataset, one of: s0: .* of entry 0"
    ) as told:
        import_volume(group, tmp_path / "own.zarr/raw")
    assert str(group) in str(told.value)
    assert not (tmp_path / "own.zarr").exists()
    for name in ("s0", "s1"):
        volume = import_volume(group, tmp_path / f"own.zarr/{name}", dataset=name)
        assert volume.shape_vx == TWO[name]
        assert volume.voxel_size_nm == Volume.open(group / name).voxel_size_nm


def test_a_voxel_size_answers_which_entry_is_meant(tmp_path: Path) -> None:
    group = write(tmp_path / "a.zarr", ENTRIES["other scales"], TWO)
    volume = import_volume(group, tmp_path / "own.zarr/raw", voxel_size_nm=(40, 8, 8))
    assert (volume.shape_vx, volume.voxel_size_nm) == (COARSE, (40, 8, 8))
    both = write(tmp_path / "b.zarr", ENTRIES["other types"], TWO)
    with pytest.raises(UserError, match="give --dataset"):
        import_volume(both, tmp_path / "own.zarr/b", voxel_size_nm=(40, 4, 4))


@pytest.mark.parametrize("given", [None, (40, 4, 4)])
def test_two_levels_of_one_size_are_asked_for(tmp_path: Path, given: Any) -> None:
    group = write(tmp_path / "a.zarr", [image({"s1": step((40, 4, 4)), "s0": step((40, 4, 4))})], TWO)
    with pytest.raises(UserError, match="several levels of one voxel size; give --dataset, one of: s1: 40 x 4 x 4"):
        import_volume(group, tmp_path / "own.zarr", voxel_size_nm=given)
    assert import_volume(group, tmp_path / "own.zarr", dataset="s0").shape_vx == FINE


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (step((40, 8, 8)), "two voxel sizes.*--voxel-size Z Y X"),
        (step((40, 4, 4), (420, 2, 2)), "two offsets.*--offset Z Y X"),
        (step((40, 4, 4), (20, 2, 602)), "two offsets.*--offset Z Y X"),
    ],
)
def test_entries_that_say_two_places_of_one_array_are_told(tmp_path: Path, second: Any, told: str) -> None:
    images = [image({"s0": step((40, 4, 4))}), image({"./s0": second})]
    group = write(tmp_path / "a.zarr", images, {"s0": FINE})
    for door in (
        lambda: Volume.open(group / "s0"),
        lambda: import_volume(group, tmp_path / "own.zarr"),
        lambda: import_volume(group / "s0", tmp_path / "own.zarr"),
    ):
        with pytest.raises(UserError, match=told):
            door()
    volume = import_volume(group, tmp_path / "own.zarr", dataset="s0", voxel_size_nm=(40, 4, 4), offset_nm=(0, 0, 0))
    assert (volume.voxel_size_nm, volume.offset_nm) == ((40, 4, 4), (0, 0, 0))


def test_entries_that_agree_are_one(tmp_path: Path) -> None:
    both = image({"s0": step((40, 4, 4)), "s1": step((40, 8, 8))})
    group = write(tmp_path / "a.zarr", [both, {**both, "name": "again"}], TWO)
    assert import_volume(group, tmp_path / "own.zarr").voxel_size_nm == (40, 4, 4)


COUNTS: dict[str, tuple[Any, Any, Any]] = {
    "4 axes of NGFF over 3": (
        {},
        [image({"s0": step((1, 40, 4, 4))}, "czyx")],
        "4 axes are told .c, z, y, x., but the array has 3",
    ),
    "5 axes of NGFF over 3": ({}, [image({"s0": step((1, 1, 40, 4, 4))}, "tczyx")], "5 axes are told"),
    "3 scales for 4 axes": ({}, [image({"s0": step((40, 4, 4))}, "czyx")], "4 axes are told|4 numbers are expected"),
    "4 scales for 3 axes": ({}, [image({"s0": step((1, 40, 4, 4))})], "3 numbers are expected"),
    "2 translations for 3 axes": ({}, [image({"s0": step((40, 4, 4), (2, 2))})], "3 numbers are expected"),
    "2 axes of NGFF over 3": ({}, [image({"s0": step((4, 4))}, "yx")], "its axes are y, x"),
    "4 axes of COSEM": (
        {"transform": {"axes": list("czyx"), "scale": [1, 40, 4, 4], "translate": [0] * 4, "units": ["", *NM]}},
        [],
        "4 axes are told",
    ),
    "4 names of funlib": (
        {"voxel_size": [40, 4, 4], "axis_names": ["c^", "z", "y", "x"], "units": NM},
        [],
        "4 axes are told",
    ),
    "2 names of xarray": ({"voxel_size": [40, 4, 4], "_ARRAY_DIMENSIONS": ["y", "x"]}, [], "2 axes are told"),
    "4 units": ({"resolution": [40, 4, 4], "units": ["um", "nm", "nm", "nm"]}, [], "4 axes are told .um, nm, nm, nm."),
    "4 lengths": ({"resolution": [1, 40, 4, 4]}, [], "its voxel size is"),
    "2 lengths of an offset": ({"resolution": [40, 4, 4], "offset": [4, 4]}, [], "its offset is .*--offset"),
}


@pytest.mark.parametrize("case", COUNTS)
def test_counts_that_do_not_fit_the_array_are_told(tmp_path: Path, case: str) -> None:
    own, images, told = COUNTS[case]
    group = write(tmp_path / "a.zarr", images, {"s0": FINE})
    if own:
        zarr.open(str(group / "s0"), mode="r+").attrs.update(own)
    for door in (lambda: Volume.open(group / "s0"), lambda: import_volume(group / "s0", tmp_path / "own.zarr")):
        with pytest.raises(UserError, match=told) as error:
            door()
        assert str(group) in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "own.zarr").exists()


def test_as_many_axes_as_the_array_has_are_right(tmp_path: Path) -> None:
    group = write(tmp_path / "a.zarr", [image({"s0": step((1, 40, 4, 4))}, "czyx")], {"s0": (2, *FINE)})
    assert (Volume.open(group / "s0").voxel_size_nm, Volume.open(group / "s0").channels) == ((40, 4, 4), 2)


@pytest.mark.parametrize(
    ("told", "path"), [("./s0", "s0"), ("s0/", "s0"), ("/s0", "s0"), ("a/b", "a/b"), ("a//./b/", "a/b")]
)
def test_paths_of_levels_are_read_whatever_their_form(tmp_path: Path, told: str, path: str) -> None:
    images = [image({"s1": step(SIZES["s1"]), told: step(SIZES["s0"], CENTRE)})]
    group = write(tmp_path / "a.zarr", images, {path: FINE, "s1": COARSE})
    for volume in (
        import_volume(group, tmp_path / "own.zarr/a"),
        import_volume(group, tmp_path / "own.zarr/b", dataset=told),
        import_volume(group, tmp_path / "own.zarr/c", dataset=f"./{path}/"),
        Volume.open(group / path),
        Volume.open(f"{group}/s1/../{path}/"),
        import_volume(f"{group}/s1/../{path}", tmp_path / "own.zarr/d"),
    ):
        assert (volume.shape_vx, volume.voxel_size_nm, volume.offset_nm) == (FINE, SIZES["s0"], (400, 80, 160))


@pytest.mark.parametrize("told", ["../b.zarr/s0", "..", "s0/../../b.zarr/s0", "a/../../../s0"])
def test_a_level_outside_of_its_group_is_refused(tmp_path: Path, told: str) -> None:
    write(tmp_path / "b.zarr", [], {"s0": FINE})
    group = write(tmp_path / "a.zarr", [image({told: step(SIZES["s0"])})], {"s0": FINE})
    with pytest.raises(
        UserError, match=r"a.zarr: its multiscales name .*which is not in it; give --dataset, one of: s0"
    ):
        import_volume(group, tmp_path / "own.zarr")
    with pytest.raises(UserError, match=r"a.zarr: the dataset .* is not in it; give a path below it"):
        import_volume(group, tmp_path / "own.zarr", dataset=told, voxel_size_nm=(40, 4, 4))
    assert not (tmp_path / "own.zarr").exists()


@pytest.mark.parametrize("gone", ["s0", "deep/s0"])
def test_a_finest_level_that_is_not_there_is_told(tmp_path: Path, gone: str) -> None:
    group = write(tmp_path / "a.zarr", [image({gone: step(SIZES["s0"]), "s1": step(SIZES["s1"])})], {"s1": COARSE})
    with pytest.raises(UserError, match=f"name the level '{gone}', which is not there; give --dataset, one of: s1"):
        import_volume(group, tmp_path / "own.zarr")
    assert import_volume(group, tmp_path / "own.zarr", dataset="s1").voxel_size_nm == SIZES["s1"]


def test_levels_without_a_unit_are_asked_for_by_name(tmp_path: Path) -> None:
    told = image({"s1": step((1, 2, 2)), "s0": step((1, 1, 1))})
    for axis in told["axes"]:
        del axis["unit"]
    group = write(tmp_path / "a.zarr", [told], TWO)
    with pytest.raises(UserError, match=r"no unit.*--voxel-size"):
        import_volume(group, tmp_path / "own.zarr")
    with pytest.raises(UserError, match=r"--dataset, one of: s1: voxel size not said, s0"):
        import_volume(group, tmp_path / "own.zarr", voxel_size_nm=(40, 4, 4))
    volume = import_volume(group, tmp_path / "own.zarr", voxel_size_nm=(40, 4, 4), dataset="s0")
    assert (volume.shape_vx, volume.voxel_size_nm) == (FINE, (40, 4, 4))


@pytest.mark.skipif(ZARR3, reason="zarr 3 has no N5")
def test_levels_of_n5_by_cosem(tmp_path: Path) -> None:
    store = zarr.N5Store(str(tmp_path / "a.n5"))
    group = zarr.open_group(store, mode="w")
    for name, shape in TWO.items():
        group.create_dataset(f"em/{name}", shape=shape, chunks=shape, dtype="u1")[:] = int(name[1]) + 1
    group["em"].attrs["multiscales"] = [cosem(s1=(SIZES["s1"], CENTRE_1), s0=(SIZES["s0"], CENTRE))]
    volume = import_volume(tmp_path / "a.n5/em", tmp_path / "own.zarr/a")
    assert (volume.shape_vx, volume.voxel_size_nm, volume.offset_nm) == (FINE, SIZES["s0"], (400, 80, 160))
    assert (volume.read() == 1).all()


@pytest.mark.parametrize("translate", [None, [0, 0, 0], [2.62, 2, 2], [402.62, 2, 2]])
def test_a_level_alone_lies_as_its_transform_says(translate: Any) -> None:
    transform = {"axes": list("zyx"), "scale": [5.24, 4, 4], "translate": translate, "units": NM}
    offset = None if translate is None else (400, 0, 0) if translate[0] > 400 else (0, 0, 0)
    assert find_place({"transform": transform}, "a", "zarr", (), Answers()) == Place((5.24, 4, 4), offset)
