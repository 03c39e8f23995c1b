"""What is exported comes back as it was."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.exporting import export_volume
from neuroadda.volumes.importing import import_volume

SHAPE = (70, 40, 37)


def make(path: Path, dtype: type, top: int, **kwargs: object) -> Volume:
    place = {"voxel_size_nm": (45, 4.6, 4.6), "offset_nm": (90, 9.2, -4.6)}
    attrs = {"fingerprint": "f" * 64, "provenance": {"attributes": {"organism": "worm", "licence": "CC0"}}}
    volume = Volume.create(path, SHAPE, dtype=dtype, attrs=attrs, chunk_vx=(16, 16, 16), **place, **kwargs)
    volume.data[...] = np.random.default_rng(0).integers(0, top, volume.data.shape, dtype=dtype)
    return volume


@pytest.mark.parametrize("name", ["a.hdf", "a.tif", "a.zarr/x"])
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 256), (np.uint64, 2**32)])
def test_round_trip(tmp_path: Path, name: str, dtype: type, top: int) -> None:
    volume = make(tmp_path / "in.zarr/x", dtype, top)
    assert export_volume(volume, tmp_path / "out" / name) == tmp_path / "out" / name
    back = import_volume(tmp_path / "out" / name, tmp_path / "back.zarr")
    assert back.path.name == ("raw" if dtype is np.uint8 else "labels")
    assert back.read().tobytes() == volume.read().tobytes()
    assert (back.roi, back.voxel_size, back.unit) == (volume.roi, volume.voxel_size, "pm")


def test_round_trip_of_the_largest_ids(tmp_path: Path) -> None:
    volume = make(tmp_path / "in.zarr/x", np.uint64, 2**63)
    for name in ("a.hdf", "a.zarr/x"):
        back = import_volume(export_volume(volume, tmp_path / name), tmp_path / "back.zarr" / name[2:5])
        assert np.array_equal(back.read(), volume.read())
    with pytest.raises(UserError, match="do not fit into a TIFF's uint32; relabel it"):
        export_volume(volume, tmp_path / "out.tif")
    assert not any("out" in p.name for p in tmp_path.iterdir())


def test_cremi_file_takes_raw_and_labels(tmp_path: Path) -> None:
    raw, ids = make(tmp_path / "in.zarr/raw", np.uint8, 256), make(tmp_path / "in.zarr/ids", np.uint64, 2**50)
    target = tmp_path / "a.hdf"
    export_volume(raw, target)
    export_volume(ids, target)
    with h5py.File(target) as file:
        assert np.array_equal(file["volumes/raw"][:], raw.read())
        assert np.array_equal(file["volumes/labels/neuron_ids"][:], ids.read())
        assert file["volumes/raw"].attrs["resolution"].tolist() == [45, 4.6, 4.6]
        assert file["volumes/raw"].attrs["offset"].tolist() == [90, 9.2, -4.6]
        assert file.attrs["organism"] == "worm"
    before = target.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        export_volume(raw, target)
    assert target.read_bytes() == before
    export_volume(raw, target, overwrite=True)
    with h5py.File(target) as file:
        assert list(file["volumes"]) == ["raw"]


def test_tiff_is_what_other_tools_expect(tmp_path: Path) -> None:
    volume = make(tmp_path / "in.zarr/x", np.uint64, 1000)
    with tifffile.TiffFile(export_volume(volume, tmp_path / "a.tif")) as file:
        assert (file.is_ome, file.series[0].axes, len(file.pages)) == (True, "ZYX", SHAPE[0])
        assert file.pages[0].dtype == np.uint32
        assert np.array_equal(file.asarray(), volume.read())


def test_zarr_keeps_channels_and_attributes(tmp_path: Path) -> None:
    volume = make(tmp_path / "in.zarr/affs", np.uint8, 256, channels=3)
    export_volume(volume, tmp_path / "out.zarr/affs")
    copy = Volume.open(tmp_path / "out.zarr/affs")
    assert np.array_equal(copy.read(), volume.read())
    assert copy.fingerprint == volume.fingerprint
    assert (copy.data.chunks, copy.roi, copy.channels) == (volume.data.chunks, volume.roi, 3)
    assert list(zarr.open(str(tmp_path / "out.zarr"), mode="r").array_keys()) == ["affs"]
    whole = Volume.create(tmp_path / "in.zarr/whole", (4, 4, 4), (40, 4, 4), np.uint8)
    export_volume(whole, tmp_path / "out.zarr/whole")
    assert Volume.open(tmp_path / "out.zarr/whole").attrs["resolution"] == [40, 4, 4]  # for gunpowder's ZarrSource


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    affs = make(tmp_path / "in.zarr/affs", np.uint8, 256, channels=3)
    for name in ("a.tif", "a.hdf"):
        with pytest.raises(UserError, match="3 channels; export it to zarr"):
            export_volume(affs, tmp_path / name)
    with pytest.raises(UserError, match="format is not clear"):
        export_volume(affs, tmp_path / "a.dat")
    floats = Volume.create(tmp_path / "in.zarr/f", (4, 4, 4), (40, 4, 4), np.float32)
    with pytest.raises(UserError, match="uint8 raw and integer labels"):
        export_volume(floats, tmp_path / "a.hdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        export_volume(floats, tmp_path / "file/a.tif")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "in.zarr"]
