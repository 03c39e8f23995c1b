"""Voxels that are not there: chunks, blocks and sections that are missing are counted and told, and what is empty is refused."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from numcodecs import Blosc, GZip, Zlib, Zstd

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.storage.completeness import check_stored, describe_stored
from neuroadda.volumes.storage.nodes import ZARR3, open_array
from tests.active.label_fixtures import serving
from tests.volumes.test_readers import smooth, write_precomputed

SHAPE = (8, 12, 16)
NM = [40, 4, 4]
RAW = np.random.default_rng(0).integers(1, 255, SHAPE, dtype=np.uint8)
FORMAT_2 = {"zarr_format": 2} if ZARR3 else {}
only_zarr2 = pytest.mark.skipif(ZARR3, reason="zarr 3 has no N5")


def write_zarr(
    folder: Path, separator: str = ".", chunks: tuple[int, int, int] = (4, 4, 4), **metadata: object
) -> Path:
    """Write the array; what is given of its metadata is changed afterwards."""
    keys = {"compressor": Zstd(), "dimension_separator": separator, **FORMAT_2}
    array = zarr.open(str(folder), mode="w", shape=SHAPE, chunks=chunks, dtype="u1", fill_value=0, **keys)
    array[:] = RAW
    array.attrs.update(voxel_size=NM)
    change(folder, **metadata)
    return folder


def change(folder: Path, **metadata: object) -> None:
    told = json.loads((folder / ".zarray").read_text())
    (folder / ".zarray").write_text(json.dumps(told | metadata))


def write_n5(folder: Path) -> Path:
    array = zarr.open_group(zarr.N5Store(str(folder)), mode="w").create_dataset("a", data=RAW, chunks=(4, 4, 4))
    array.attrs.update(voxel_size=NM)
    return folder / "a"


def doors(source: Path) -> tuple[str, str]:
    """Return what is said at both doors: by an import, and where an array is opened for a run."""
    said = []
    for enter in (
        lambda: import_volume(source, source.parent / "own.zarr/raw", voxel_size_nm=NM),
        lambda: check_stored(Volume.open(source)),
    ):
        with pytest.raises(UserError) as caught:
            enter()
        said.append(str(caught.value))
        assert "\n" not in said[-1]
    assert not (source.parent / "own.zarr/raw").exists()
    return said[0], said[1]


def notes_of(source: Path, **options: object) -> list[str]:
    volume = import_volume(source, source.parent / "own.zarr/raw", overwrite=True, **options)
    return volume.attrs["provenance"].get("notes", [])


@pytest.mark.parametrize(("lie", "stated"), [("/", "."), (".", "/"), ("/", None)])
def test_chunks_named_by_the_other_separator(tmp_path: Path, lie: str, stated: str | None) -> None:
    source = write_zarr(tmp_path / "a.zarr", lie)
    told = json.loads((source / ".zarray").read_text())
    del told["dimension_separator"]
    (source / ".zarray").write_text(json.dumps(told | ({} if stated is None else {"dimension_separator": stated})))
    for line in doors(source):
        assert f'set "dimension_separator" to "{lie}" in .zarray' in line
    change(source, dimension_separator=lie)
    assert np.array_equal(import_volume(source, tmp_path / "own.zarr/raw").read(), RAW)


@only_zarr2
@pytest.mark.filterwarnings("ignore:The N5Store")
def test_n5_blocks_named_as_in_zarr(tmp_path: Path) -> None:
    source = write_n5(tmp_path / "a.n5")
    for file in [p for p in source.rglob("*") if p.is_file() and p.name.isdecimal()]:
        file.rename(source / ".".join(file.relative_to(source).parts))
    assert all("N5 has a folder for each axis" in line for line in doors(source))


@only_zarr2
@pytest.mark.filterwarnings("ignore:The N5Store")
def test_n5_blocks_that_are_missing_empty_or_short(tmp_path: Path) -> None:
    source = write_n5(tmp_path / "a.n5")
    (source / "3/0/1").unlink()  # x, y, z
    volume = import_volume(source, tmp_path / "own.zarr/raw")
    told = "1 of its 24 chunks are not stored (4%): their voxels are taken as 0"
    assert volume.attrs["provenance"]["notes"] == [told]
    assert not volume.data[4:, :4, 12:].any()
    for file in [p for p in source.rglob("*") if p.is_file() and p.name.isdecimal()]:  # a few of them are looked at
        file.write_bytes(file.read_bytes()[:4] + bytes([0, 0, 0, 2] * 3))
    with pytest.raises(UserError, match=r"block ././. holds \(2, 2, 2\) voxels \(zyx\), not \(4, 4, 4\)"):
        describe_stored(source, open_array(source))
    (source / "0/0/0").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of its chunk files are empty \(0 bytes\), such as 0/0/0"):
        describe_stored(source, open_array(source))


@pytest.mark.parametrize("separator", "./")
def test_missing_chunks_are_counted(tmp_path: Path, separator: str, caplog: pytest.LogCaptureFixture) -> None:
    source = write_zarr(tmp_path / "a.zarr", separator)
    for place in ("111", "100", "122"):
        (source / separator.join(place)).unlink()
    (note,) = notes_of(source)
    assert note == "3 of its 24 chunks are not stored (12%): their voxels are taken as 0"
    check_stored(Volume.open(source))
    assert [record.getMessage() for record in caplog.records] == [f"{source}: {note}"]  # told once a process


def test_a_shape_larger_than_the_files(tmp_path: Path) -> None:
    source = write_zarr(tmp_path / "a.zarr", shape=[12, 12, 16])
    (note,) = notes_of(source)
    assert note.startswith("12 of its 36 chunks are not stored (33%)")
    assert note.endswith("what is stored ends at voxel (8, 12, 16), the shape is (12, 12, 16)")


def test_a_shape_smaller_than_the_files(tmp_path: Path) -> None:
    (note,) = notes_of(write_zarr(tmp_path / "a.zarr", shape=[4, 12, 16]))
    assert note.startswith("12 chunk files lie beyond its shape (4, 12, 16) and are not read")
    assert "reach to chunk (1, 2, 3), the shape to (0, 2, 3)" in note


def test_an_array_without_a_chunk_is_refused(tmp_path: Path) -> None:
    Volume.create(tmp_path / "a.zarr", SHAPE, NM, np.uint8, chunk_vx=(4, 4, 4))
    assert all("none of its 24 chunks is stored: the array is empty" in line for line in doors(tmp_path / "a.zarr"))
    Volume.create(tmp_path / "labels.zarr", SHAPE, NM, np.uint64, chunk_vx=(4, 4, 4))
    (note,) = notes_of(tmp_path / "labels.zarr", kind="labels")[:1]
    assert note.startswith("24 of its 24 chunks are not stored (100.00%)")


def test_missing_chunks_without_a_fill_value(tmp_path: Path) -> None:
    source = write_zarr(tmp_path / "a.zarr", fill_value=None)
    (source / "0.0.0").unlink()
    assert all("1 chunks are missing, and its fill_value is null" in line for line in doors(source))


def test_empty_chunk_files(tmp_path: Path) -> None:
    source = write_zarr(tmp_path / "a.zarr", "/")
    for name in ("0/1/2", "1/1/2"):
        (source / name).write_bytes(b"")
    assert all("2 of its chunk files are empty (0 bytes), such as " in line for line in doors(source))


@pytest.mark.parametrize("codec", [Blosc(), Zstd(), Zlib(), GZip(), None])
@pytest.mark.parametrize("chunks", [[4, 4, 8], [2, 4, 4]])
def test_chunks_of_another_length_than_the_metadata_say(tmp_path: Path, codec: object, chunks: list[int]) -> None:
    array = zarr.open(
        str(tmp_path / "a.zarr"), mode="w", shape=SHAPE, chunks=(4, 4, 4), dtype="u1", compressor=codec, **FORMAT_2
    )
    array[:] = RAW
    array.attrs.update(voxel_size=NM)
    change(tmp_path / "a.zarr", chunks=chunks)
    for line in doors(tmp_path / "a.zarr"):
        assert (
            f"holds 64 bytes, but by its metadata a chunk is {tuple(chunks)} of uint8, {np.prod(chunks)} bytes" in line
        )


@pytest.mark.skipif(ZARR3, reason="zarr 3 says so itself")
@pytest.mark.parametrize("order", "CF")
def test_no_part_of_a_short_chunk_is_read_as_it_was_before(tmp_path: Path, order: str) -> None:
    shape = (4, 16, 16)
    array = zarr.open(
        str(tmp_path / "a"), mode="w", shape=shape, chunks=shape, dtype="u1", compressor=Zstd(), order=order
    )
    array[:] = np.arange(1024).reshape(shape) % 251
    whole = open_array(tmp_path / "a")
    assert np.array_equal(whole[:], np.arange(1024).reshape(shape) % 251)  # one chunk: decoded into the result
    (tmp_path / "a/0.0.0").write_bytes(Zstd().encode(bytes(700)))
    with pytest.raises(ValueError, match="a chunk holds 700 bytes, not 1024"):
        open_array(tmp_path / "a")[:]


@pytest.mark.skipif(ZARR3, reason="of zarr 2")
@pytest.mark.parametrize(("first", "value"), [(4, 2**31 - 1), (12, 2**31 - 1), (12, 3)])
def test_a_damaged_header_does_not_crash_blosc(tmp_path: Path, first: int, value: int) -> None:
    array = zarr.open(str(tmp_path / "a"), mode="w", shape=SHAPE, chunks=(4, 12, 16), dtype="u1", compressor=Blosc())
    array[:] = RAW
    data = (tmp_path / "a/0.0.0").read_bytes()
    (tmp_path / "a/0.0.0").write_bytes(data[:first] + value.to_bytes(4, "little") + data[first + 4 :])
    for box in (slice(None), slice(0, 1)):
        with pytest.raises((ValueError, RuntimeError), match="a chunk"):
            open_array(tmp_path / "a")[box]


def test_a_zarr_array_at_a_url(tmp_path: Path) -> None:
    source = write_zarr(tmp_path / "a.zarr", ".")
    (source / "1.1.1").unlink()
    with serving(tmp_path) as (url, _):
        volume = import_volume(f"{url}/a.zarr", tmp_path / "own.zarr/raw")
        change(source, dimension_separator="/")
        with pytest.raises(UserError, match=r'set "dimension_separator" to "\." in \.zarray'):
            import_volume(f"{url}/a.zarr", tmp_path / "own.zarr/b")
        for file in source.glob("?.?.?"):
            file.unlink()
        with pytest.raises(UserError, match="none of its 24 chunks is stored"):
            import_volume(f"{url}/a.zarr", tmp_path / "own.zarr/c")
    assert volume.attrs["provenance"]["notes"] == [
        "1 of its 24 chunks are not stored (4%): their voxels are taken as 0",
    ]
    assert sorted(p.name for p in (tmp_path / "own.zarr").iterdir()) == [".zgroup", "raw"]


def test_chunks_of_a_precomputed_volume(tmp_path: Path) -> None:
    write_precomputed(tmp_path / "em", smooth(), "raw")
    finest = next(p for p in (tmp_path / "em").iterdir() if p.is_dir() and p.name.startswith("4_"))
    chunks = sorted(finest.iterdir())
    chunks[0].unlink()
    (finest / "0-16_0-16_0-8").write_bytes(b"?")  # not one of its chunks: they begin at the offset
    missing, beyond = notes_of(tmp_path / "em")
    assert missing == f"1 of its {len(chunks)} chunks are not stored (3%): their voxels are taken as 0"
    assert beyond.startswith("1 chunk files do not fit its size")
    with serving(tmp_path) as (url, _):
        there = import_volume(f"precomputed://{url}/em", tmp_path / "there.zarr")
    assert there.attrs["provenance"]["notes"] == [missing]
    chunks[1].write_bytes(b"")
    with pytest.raises(UserError, match="1 of its chunk files are empty"):
        notes_of(tmp_path / "em")
    for file in finest.iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"none of its .* chunks is stored"):
        notes_of(tmp_path / "em")


def test_precomputed_chunks_with_the_suffix_of_cloud_volume(tmp_path: Path) -> None:
    write_precomputed(tmp_path / "em", smooth(), "raw")
    finest = next(p for p in (tmp_path / "em").iterdir() if p.is_dir() and p.name.startswith("4_"))
    for file in list(finest.iterdir()):
        (finest / f"{file.name}.gz").write_bytes(GZip().encode(file.read_bytes()))
        file.unlink()
    assert np.array_equal(import_volume(tmp_path / "em", tmp_path / "own.zarr").read(), smooth())


def test_hdf5_without_some_or_all_chunks(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        node = file.create_dataset("em", SHAPE, "u1", chunks=(4, 4, 4))
        node[:4] = RAW[:4]
        file.create_dataset("none", SHAPE, "u1", chunks=(4, 4, 4))
        file.create_dataset("flat", SHAPE, "u1")
    (note,) = notes_of(tmp_path / "a.h5", dataset="em", voxel_size_nm=NM)
    assert note == "12 of its 24 chunks are not stored (50%): their voxels are taken as 0"
    for name in ("none", "flat"):
        with pytest.raises(UserError, match="none of its voxels is stored"):
            notes_of(tmp_path / "a.h5", dataset=name, voxel_size_nm=NM)


def test_a_virtual_dataset_whose_file_is_gone(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["em"] = RAW
    layout = h5py.VirtualLayout(SHAPE, "u1")
    layout[:] = h5py.VirtualSource("part.h5", "em", SHAPE)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("em", layout)
    (tmp_path / "part.h5").unlink()
    with pytest.raises(UserError, match=r"part\.h5, is not there"):
        notes_of(tmp_path / "a.h5", voxel_size_nm=NM)
