"""Every format comes in exactly, and whatever is wrong is one line and leaves nothing behind."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import boxes, import_volume
from neuroadda.volumes.storage.nodes import ZARR3

DATA = Path(os.environ.get("NEUROADDA_DATA", Path(__file__).parents[3] / "shared" / "data"))
SHAPE = (7, 50, 61)
NM = (40.0, 4.0, 4.0)


@pytest.fixture
def raw() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture
def ids() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2**40, SHAPE, dtype=np.uint64)


def write_cremi(path: Path, raw: np.ndarray | None, ids: np.ndarray | None = None, **attrs: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, data in (("volumes/raw", raw), ("volumes/labels/neuron_ids", ids)):
            if data is not None:
                node = file.create_dataset(name, data=data, chunks=(2, 32, 32), compression="gzip")
                node.attrs["resolution"] = np.asarray(NM)
                node.attrs["offset"] = np.asarray((80.0, 8.0, 0.0))
        file.attrs.update(attrs)
    return path


def stack_of(path: Path, suffix: str, raw: np.ndarray) -> Path:
    path.mkdir()
    for z, page in enumerate(raw):  # unpadded: z10 must come after z2
        if suffix == "png":
            Image.fromarray(page).save(path / f"z{z + 5}.png")
        else:
            tifffile.imwrite(path / f"z{z + 5}.tif", page)
    return path


def nothing_left(folder: Path) -> bool:
    return not any("out" in p.name for p in folder.iterdir())


def refuse(match: str, source: Path, target: Path, **kwargs: object) -> UserError:
    with pytest.raises(UserError, match=match) as caught:
        import_volume(source, target, **kwargs)
    assert "\n" not in str(caught.value)
    assert nothing_left(source.parent)
    return caught.value


@pytest.mark.parametrize("name", ["mouse_cortex_sssem_test", "fly_larva_l3_sstem_test"])
def test_real_cremi_file_comes_in_exactly(tmp_path: Path, name: str) -> None:
    source = DATA / f"{name}.hdf"
    if not source.is_file():
        pytest.skip(f"no real data: {source} is missing (set NEUROADDA_DATA)")
    volume = import_volume(source, tmp_path / "out.zarr")
    labels = Volume.open(tmp_path / "out.zarr/labels")
    with h5py.File(source) as file:
        assert volume.read().tobytes() == file["volumes/raw"][:].tobytes()
        assert np.array_equal(labels.read(), file["volumes/labels/neuron_ids"][:])
        assert volume.voxel_size_nm == tuple(file["volumes/raw"].attrs["resolution"])
        assert volume.offset_nm == labels.offset_nm == tuple(file["volumes/raw"].attrs["offset"])
        assert volume.attrs["provenance"]["attributes"]["organism"] == file.attrs["organism"]
    assert volume.path.name == "raw"
    assert labels.dtype == np.uint64


def test_provenance_and_fingerprint(tmp_path: Path, raw: np.ndarray) -> None:
    source = write_cremi(tmp_path / "a.hdf", raw, organism="Mus musculus", licence="CC0")
    one = import_volume(source, tmp_path / "out.zarr/raw")
    provenance = one.attrs["provenance"]
    assert provenance["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (provenance["source"], provenance["dataset"]) == ("a.hdf", "volumes/raw")
    assert provenance["attributes"] == {"organism": "Mus musculus", "licence": "CC0"}
    same = import_volume(source, tmp_path / "out.zarr/chunks", chunk_vx=(2, 16, 16))
    other = import_volume(source, tmp_path / "out.zarr/other", voxel_size_nm=(30, 4, 4))
    assert same.fingerprint == one.fingerprint != other.fingerprint
    assert np.array_equal(same.read(), raw)
    moved = tmp_path / "b.hdf"
    source.rename(moved)
    assert import_volume(moved, tmp_path / "out.zarr/moved").fingerprint == one.fingerprint


@pytest.mark.parametrize("suffix", ["hdf", "tif", "zlib.tif", "ij.tif", "npy", "tifs", "pngs", "zarr", "n5"])
def test_every_format_comes_in_exactly(tmp_path: Path, raw: np.ndarray, suffix: str) -> None:
    source, given = tmp_path / f"a.{suffix}", {"voxel_size_nm": NM, "offset_nm": (40, 0, 8)}
    if suffix == "hdf":
        with h5py.File(source, "w") as file:
            file["some/where"] = raw
    elif suffix == "tif":
        tifffile.imwrite(source, raw, photometric="minisblack")
    elif suffix == "zlib.tif":
        tifffile.imwrite(source, raw, photometric="minisblack", compression="zlib", metadata=None)
    elif suffix == "ij.tif":
        tifffile.imwrite(source, raw, imagej=True, resolution=(1 / 4, 1 / 4), metadata={"spacing": 40, "unit": "nm"})
        given = {"offset_nm": (40, 0, 8)}
    elif suffix == "npy":
        np.save(source, np.asfortranarray(raw))
    elif suffix in ("tifs", "pngs"):
        stack_of(source, suffix[:3], raw)
    else:
        if suffix == "n5" and ZARR3:
            pytest.skip("zarr 3 has no N5")
        group = zarr.open_group(zarr.N5Store(str(source)) if suffix == "n5" else str(source), mode="w")
        create = group.create_array if ZARR3 else group.create_dataset  # zarr 3 makes it format 3
        array = create("em", data=raw, chunks=(3, 20, 20))
        array.attrs["resolution"] = NM[::-1] if suffix == "n5" else NM  # N5's programs write x, y, z
        source, given = source / "em", {"offset_nm": (40, 0, 8)}
    volume = import_volume(source, tmp_path / "out.zarr", chunk_vx=(3, 16, 16), **given)
    assert volume.path == tmp_path / "out.zarr/raw"
    assert volume.read().tobytes() == raw.tobytes()
    assert (volume.voxel_size_nm, volume.offset_nm) == (NM, (40, 0, 8))


def test_voxel_size_comes_from_whatever_the_array_calls_it(tmp_path: Path, raw: np.ndarray) -> None:
    names = [
        ({"voxel_size": [40, 4.6, 4.6]}, (40, 4.6, 4.6), (0, 0, 0)),
        (
            {"voxel_size": [0.04, 0.0046, 0.0046], "units": ["um"] * 3, "offset": [1, 0, 0]},
            (40, 4.6, 4.6),
            (1000, 0, 0),
        ),
        ({"element_size_um": [0.04, 0.004, 0.004]}, NM, (0, 0, 0)),
        ({"pixelResolution": {"dimensions": [4, 5, 40], "unit": "nm"}}, (40, 5, 4), (0, 0, 0)),
    ]
    for n, (attrs, size, offset) in enumerate(names):
        zarr.save_array(str(tmp_path / f"{n}.zarr"), raw)
        zarr.open(str(tmp_path / f"{n}.zarr"), mode="r+").attrs.update(attrs)
        volume = import_volume(tmp_path / f"{n}.zarr", tmp_path / "out.zarr" / str(n))
        assert (volume.voxel_size_nm, volume.offset_nm) == (size, offset)
    opened = Volume.open(tmp_path / "0.zarr")
    assert (opened.voxel_size_nm, opened.offset_nm) == names[0][1:]  # never cut to 4 nm


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_byte_order_of_tiffs(tmp_path: Path, order: str, compression: str | None) -> None:
    ids = np.random.default_rng(1).integers(0, 2**32, SHAPE, dtype=np.uint32)
    tifffile.imwrite(tmp_path / "a.tif", ids, photometric="minisblack", byteorder=order, compression=compression)
    assert np.array_equal(import_volume(tmp_path / "a.tif", tmp_path / "out.zarr", voxel_size_nm=NM).read(), ids)


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint16, np.uint8])
def test_labels_become_uint64(tmp_path: Path, dtype: type) -> None:
    ids = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, SHAPE, dtype=dtype)
    np.save(tmp_path / "a.npy", ids)
    kind = "labels" if np.dtype(dtype).itemsize < 4 else None
    volume = import_volume(tmp_path / "a.npy", tmp_path / "out.zarr", voxel_size_nm=NM, kind=kind)
    assert volume.path.name == "labels"
    assert volume.dtype == np.uint64
    assert np.array_equal(volume.read(), ids.astype(np.uint64))


def test_16_bit_raw_is_scaled_by_percentiles(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).normal(30_000, 500, (20, 64, 64)).clip(0, 65535).astype(np.uint16)
    raw[3, 5, 5] = 65535  # a hot pixel must not cost the contrast
    np.save(tmp_path / "a.npy", raw)
    volume = import_volume(tmp_path / "a.npy", tmp_path / "out.zarr", voxel_size_nm=NM)
    scale = volume.attrs["provenance"]["scale"]
    expected = np.rint((raw.astype(float) - scale["low"]) * 255 / (scale["high"] - scale["low"])).clip(0, 255)
    assert np.abs(volume.read() - expected).max() <= 1
    assert 28_000 < scale["low"] < 29_000 < 31_000 < scale["high"] < 32_000
    np.save(tmp_path / "b.npy", np.full(SHAPE, 7, np.uint16))
    assert import_volume(tmp_path / "b.npy", tmp_path / "out.zarr/flat", voxel_size_nm=NM).read().max() == 0


def test_boxes_cover_every_voxel_once_and_are_chunk_aligned() -> None:
    for shape, chunk in (((70, 90, 33), (64, 64, 64)), ((3, 5000, 70_000), (2, 64, 64)), ((1, 1, 1), (1, 1, 1))):
        seen = 0
        for box in boxes(shape, chunk, 8):
            size = [s.stop - s.start for s in box]
            seen += int(np.prod(size))
            assert all(s.start % c == 0 for s, c in zip(box, chunk, strict=True))
            assert np.prod(size) * 8 <= 65 * 2**20
        assert seen == np.prod(shape)


def test_pages_beyond_memory_go_through_a_scratch_file(tmp_path: Path, raw: np.ndarray, monkeypatch: object) -> None:
    monkeypatch.setattr("neuroadda.volumes.readers.pages.IN_MEMORY", 1000)
    monkeypatch.setattr("neuroadda.volumes.importing.BOX_BYTES", 1000)
    source = stack_of(tmp_path / "a", "png", raw)
    volume = import_volume(source, tmp_path / "out.zarr", voxel_size_nm=NM, chunk_vx=(3, 16, 16))
    assert np.array_equal(volume.read(), raw)


def test_progress_ends_at_the_total(tmp_path: Path, raw: np.ndarray, ids: np.ndarray) -> None:
    calls: list[tuple[int, int]] = []
    source = write_cremi(tmp_path / "a.hdf", raw, ids)
    import_volume(source, tmp_path / "out.zarr", progress=lambda *call: calls.append(call), chunk_vx=(2, 64, 64))
    assert calls == sorted(calls)
    assert calls[-1] == (2 * raw.size, 2 * raw.size)
    assert len(calls) == 8


def test_what_is_wrong_with_values(tmp_path: Path, raw: np.ndarray) -> None:
    target = tmp_path / "out.zarr"
    source = tmp_path / "a.npy"
    np.save(source, raw)
    refuse("does not say its voxel size; give --voxel-size", source, target)
    refuse("voxel size 30 is not three lengths", source, target, voxel_size_nm=30)
    refuse("not three lengths", source, target, voxel_size_nm=("a", 6, 6))
    refuse("not three positive lengths", source, target, voxel_size_nm=(40, 0, 4))
    refuse("not three positive lengths", source, target, voxel_size_nm=(40, float("nan"), 4))
    refuse(
        "looks like metres, taken as nm; give Z Y X in nm: 30 4 4?", source, target, voxel_size_nm=(3e-8, 4e-9, 4e-9)
    )
    refuse("holds no datasets", source, target, voxel_size_nm=NM, dataset="volumes/raw")
    np.save(source, raw.astype(np.float32))
    refuse("float32; scale it to uint8", source, target, voxel_size_nm=NM)
    refuse("labels are whole numbers", source, target, voxel_size_nm=NM, kind="labels")
    np.save(source, raw.astype(np.int64) - 5)
    refuse("negative ids", source, target, voxel_size_nm=NM)
    np.save(source, raw[0])
    refuse("three axes", source, target, voxel_size_nm=NM)
    np.save(source, raw[:0])
    refuse("empty", source, target, voxel_size_nm=NM)
    np.save(source, np.array([{}], object), allow_pickle=True)
    refuse("cannot be read", source, target, voxel_size_nm=NM)
    refuse("no such file", tmp_path / "none.tif", target)
    (tmp_path / "a.txt").write_text("?")
    refuse("format is not known", tmp_path / "a.txt", target)


def test_what_is_wrong_with_hdf5(tmp_path: Path, raw: np.ndarray) -> None:
    target = tmp_path / "out.zarr"
    source = write_cremi(tmp_path / "a.hdf", raw)
    refuse("no dataset 'volumes/row'.*volumes/raw", source, target, dataset="volumes/row")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a"], file["b"] = raw, raw
    refuse("give --dataset, one of: a, b", tmp_path / "two.h5", target, voxel_size_nm=NM)
    whole = source.read_bytes()
    source.write_bytes(whole[:-100])
    refuse("truncated", source, target)
    source.write_bytes(b"not HDF5 at all")
    refuse("cannot be opened", source, target)
    source.write_bytes(whole)
    with h5py.File(source) as file:
        chunk = file["volumes/raw"].id.get_chunk_info(9)
    with source.open("r+b") as stream:  # damaged past the headers: noticed halfway
        stream.seek(chunk.byte_offset)
        stream.write(b"\0" * chunk.size)
    refuse("sections 5 to 5 cannot be read", source, target, chunk_vx=(2, 64, 64))


def test_what_is_wrong_with_images(tmp_path: Path, raw: np.ndarray) -> None:
    target, given = tmp_path / "out.zarr", {"voxel_size_nm": NM}
    (tmp_path / "empty").mkdir()
    refuse("no images", tmp_path / "empty", target, **given)
    for suffix in ("png", "tif"):
        source = stack_of(tmp_path / suffix, suffix, raw)
        save = Image.Image.save if suffix == "png" else None
        odd, colour = source / f"z7.{suffix}", np.zeros((*SHAPE[1:], 3), np.uint8)
        for page, match in ((raw[0, :-1], "49x61 uint8, but z5.* is 50x61"), (colour, "in colour")):
            save(Image.fromarray(page), odd) if save else tifffile.imwrite(odd, page)
            refuse(match, source, target, **given)
        odd.write_bytes((source / f"z5.{suffix}").read_bytes()[:-200])
        refuse("z7.*(cannot be read|truncated)", source, target, **given)
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((3, *SHAPE[1:], 3), np.uint8), photometric="rgb")
    refuse("in colour", tmp_path / "colour.tif", target, **given)
    with tifffile.TiffWriter(tmp_path / "odd.tif") as file:
        file.write(raw[0])
        file.write(raw[0, :-1])
    refuse("pages differ", tmp_path / "odd.tif", target, **given)


@pytest.mark.parametrize("how", ["plain", "zlib", "imagej", "ome"])
@pytest.mark.parametrize("part", [0.001, 0.3, 0.6, 0.9])
def test_no_truncated_tiff_comes_in_as_a_shorter_one(tmp_path: Path, raw: np.ndarray, how: str, part: float) -> None:
    source, kwargs = tmp_path / "a.tif", {"photometric": "minisblack"}
    kwargs |= {"plain": {}, "zlib": {"compression": "zlib"}, "imagej": {"imagej": True}, "ome": {"ome": True}}[how]
    tifffile.imwrite(source, raw, **kwargs)
    whole = source.read_bytes()
    source.write_bytes(whole[: int(part * len(whole))])
    refuse("truncated|cannot be read", source, tmp_path / "out.zarr", voxel_size_nm=NM)


def test_nothing_is_overwritten_unasked(tmp_path: Path, raw: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", raw)
    target = tmp_path / "out.zarr/raw"
    import_volume(tmp_path / "a.npy", target, voxel_size_nm=NM)
    with pytest.raises(UserError, match="exists already; give --overwrite"):
        import_volume(tmp_path / "a.npy", target, voxel_size_nm=NM)
    np.save(tmp_path / "a.npy", raw[:3] // 2)
    assert np.array_equal(
        import_volume(tmp_path / "a.npy", target, voxel_size_nm=NM, overwrite=True).read(), raw[:3] // 2
    )
    np.save(tmp_path / "a.npy", raw.astype(np.float32))
    with pytest.raises(UserError):
        import_volume(tmp_path / "a.npy", target, voxel_size_nm=NM, overwrite=True)
    assert np.array_equal(Volume.open(target).read(), raw[:3] // 2)  # a failed import keeps the old array
    assert sorted(p.name for p in target.parent.iterdir()) == [".zgroup", "raw"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("precious")
    np.save(tmp_path / "a.npy", raw)
    with pytest.raises(UserError, match="not overwritten"):
        import_volume(tmp_path / "a.npy", tmp_path / "mine", voxel_size_nm=NM, overwrite=True)
    assert (tmp_path / "mine/thesis.txt").read_text() == "precious"


def test_a_killed_import_is_never_taken_for_a_volume(tmp_path: Path, raw: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", raw)
    script = (
        "import os, signal; from pathlib import Path; from neuroadda.volumes.importing import import_volume\n"
        "die = lambda done, total: done < total or os.kill(os.getpid(), signal.SIGKILL)\n"
        f"import_volume(Path({str(tmp_path / 'a.npy')!r}), Path({str(tmp_path / 'out.zarr')!r}), "
        "voxel_size_nm=(40, 4, 4), progress=die)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    with pytest.raises(UserError, match="no array here"):
        Volume.open(tmp_path / "out.zarr/raw")
    assert np.array_equal(import_volume(tmp_path / "a.npy", tmp_path / "out.zarr", voxel_size_nm=NM).read(), raw)
    assert sorted(p.name for p in (tmp_path / "out.zarr").iterdir()) == [".zgroup", "raw"]
