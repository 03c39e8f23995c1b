"""Ids that are not neurons: what is not labelled becomes 0 and is said, negative ids are refused, in every door of volumes."""

import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.errors import UserError, forget_warnings
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_ids import RESERVED, clean_ids, count_unlabelled
from neuroadda.volumes.exporting import export_volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.resampling import resample_volume

NM = (40.0, 4.0, 4.0)
SHAPE = (4, 12, 15)
DTYPES = (np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)


@st.composite
def id_arrays(draw: st.DrawFn) -> np.ndarray:
    dtype = draw(st.sampled_from(DTYPES))
    top = int(np.iinfo(dtype).max)
    special = [i for i in (*RESERVED, *(i - 3 for i in RESERVED), top, 0, 1) if 0 <= i <= top]
    values = draw(st.lists(st.sampled_from(special) | st.integers(0, top), max_size=40))
    return np.array(values, dtype)


@given(id_arrays())
def test_reserved_ids_become_0_and_no_other_id_changes(ids: np.ndarray) -> None:
    before = ids.copy()
    clean, unlabelled = clean_ids(ids, "x")
    expected = np.array([int(i) in RESERVED for i in ids.tolist()], bool)
    assert clean.dtype == np.uint64
    assert clean.tolist() == [0 if r else i for i, r in zip(before.tolist(), expected, strict=True)]
    assert (unlabelled is None and not expected.any()) or unlabelled.tolist() == expected.tolist()
    assert ids.tolist() == before.tolist()


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_negative_ids_are_refused_with_their_mend(dtype: type) -> None:
    with pytest.raises(UserError, match=r'x: there are negative ids \(-3\).*write 0.*background = "ignore"'):
        clean_ids(np.array([5, -3, -1], dtype), "x")


def test_what_is_no_integer_is_refused() -> None:
    with pytest.raises(UserError, match="ids of type float32"):
        clean_ids(np.ones(3, np.float32), "x")


def labels_with(reserved: int, dtype: Any = np.uint64) -> np.ndarray:
    ids = (np.indices(SHAPE).sum(0) // 5 + 1).astype(dtype)
    ids[:, :3] = 0
    ids[:, 3:6] = reserved
    return ids


def write_source(path: Path, ids: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, ids)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["volumes/labels/neuron_ids"] = ids
    elif path.suffix == ".tif":
        tifffile.imwrite(path, ids, photometric="minisblack", metadata={"axes": "ZYX"})
    else:
        zarr.open(str(path), mode="w", shape=ids.shape, dtype=ids.dtype, chunks=(2, 8, 8))[:] = ids
    return path


@pytest.mark.parametrize("name", ["a.npy", "a.h5", "a.tif", "a.zarr"])
@pytest.mark.parametrize(
    ("reserved", "dtype"),
    [
        (2**64 - 1, np.uint64),
        (2**64 - 2, np.uint64),
        (2**32 - 1, np.uint64),
        (2**32 - 1, np.uint32),
        (2**32 - 3, np.int64),
    ],
)
def test_import_says_what_became_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, reserved: int, dtype: type
) -> None:
    ids = labels_with(reserved, dtype)
    source = write_source(tmp_path / name, ids)
    forget_warnings()
    with caplog.at_level(logging.WARNING, "neuroadda"):
        volume = import_volume(source, tmp_path / "v.zarr/labels", voxel_size_nm=NM, kind="labels")
    assert (volume.read() == np.where(ids == reserved, 0, ids)).all()
    note = f"{(ids == reserved).sum()} voxels with id {reserved} ({RESERVED[reserved]}) became 0: they are not labelled"
    assert note in volume.attrs["provenance"]["notes"]
    assert note in caplog.text
    assert count_unlabelled(Volume.open(volume.path).attrs) == (ids == reserved).sum()


def test_labels_without_them_are_as_they_were(tmp_path: Path) -> None:
    ids = labels_with(7)
    np.save(tmp_path / "a.npy", ids)
    volume = import_volume(tmp_path / "a.npy", tmp_path / "v.zarr/labels", voxel_size_nm=NM, kind="labels")
    assert "notes" not in volume.attrs["provenance"]
    assert count_unlabelled(volume.attrs) == 0
    assert (volume.read() == ids).all()


def test_an_import_with_them_is_another_volume_than_one_by_the_earlier_rule(tmp_path: Path) -> None:
    for name, reserved in (("a", 2**64 - 1), ("b", 2**64 - 4)):
        np.save(tmp_path / f"{name}.npy", labels_with(reserved))
        import_volume(tmp_path / f"{name}.npy", tmp_path / "v.zarr" / name, voxel_size_nm=NM, kind="labels")
    first, second = (Volume.open(tmp_path / "v.zarr" / name) for name in "ab")
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_import_leaves_nothing_of_negative_labels(tmp_path: Path, dtype: type) -> None:
    ids = labels_with(0, dtype)
    ids[3, 11, 14] = -1
    np.save(tmp_path / "a.npy", ids)
    with pytest.raises(UserError, match=r"a.npy: there are negative ids \(-1\)"):
        import_volume(tmp_path / "a.npy", tmp_path / "v.zarr/labels", voxel_size_nm=NM, kind="labels")
    assert not (tmp_path / "v.zarr").exists()


def write_volume(path: Path, ids: np.ndarray) -> Volume:
    volume = Volume.create(path, ids.shape, NM, ids.dtype, offset_nm=(80, 8, 0), chunk_vx=(2, 8, 8))
    volume.data[:] = ids
    return volume


@pytest.mark.parametrize("name", ["a.h5", "a.tif", "b.zarr/labels"])
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_exported_labels_have_none_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, dtype: type
) -> None:
    reserved = int(np.iinfo(dtype).max)
    ids = labels_with(reserved, dtype)
    volume = write_volume(tmp_path / "v.zarr/labels", ids)
    forget_warnings()
    with caplog.at_level(logging.WARNING, "neuroadda"):
        target = export_volume(volume, tmp_path / name)
    assert f"id {reserved} (transparent) became 0" in caplog.text
    back = import_volume(target, tmp_path / "back.zarr/labels", kind="labels")
    assert (back.read() == np.where(ids == reserved, 0, ids)).all()
    if name != "a.tif":  # which has no place to say so
        assert count_unlabelled(back.attrs) == (ids == reserved).sum()


@pytest.mark.parametrize("name", ["a.h5", "a.tif", "b.zarr/labels"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_negative_labels_are_not_exported(tmp_path: Path, name: str, dtype: type) -> None:
    volume = write_volume(tmp_path / "v.zarr/labels", labels_with(-1, dtype))
    with pytest.raises(UserError, match=r"negative ids \(-1\)"):
        export_volume(volume, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["v.zarr"]


def test_resampled_and_imported_again_they_still_say_that_some_were_not_labelled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", labels_with(2**64 - 2))
    first = import_volume(tmp_path / "a.npy", tmp_path / "v.zarr/labels", voxel_size_nm=NM, kind="labels")
    coarse = resample_volume(first, tmp_path / "v.zarr/coarse", 8.0, "labels")
    again = import_volume(first.path, tmp_path / "w.zarr/labels", kind="labels")
    assert count_unlabelled(coarse.attrs) == count_unlabelled(again.attrs) == count_unlabelled(first.attrs) > 0
