"""`describe` tells what is there, and looks at a bounded part of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.info import describe


def test_raw(tmp_path: Path) -> None:
    attrs = {"fingerprint": "ab", "provenance": {"source": "a.hdf"}}
    volume = Volume.create(
        tmp_path / "v.zarr/raw", (4, 6, 8), (30, 4.6, 4.6), np.uint8, offset_nm=(30, 0, 0), attrs=attrs
    )
    volume.data[1:3] = 100
    told = describe(volume)
    assert json.loads(json.dumps(told)) == told
    assert (told["shape"], told["dtype"], told["bytes"]) == ([4, 6, 8], "uint8", 192)
    assert (told["voxel_size_nm"], told["offset_nm"]) == ([30, 4.6, 4.6], [30, 0, 0])
    assert told["roi_nm"] == [[30, 0, 0], [150, 27.6, 36.8]]
    assert (told["fingerprint"], told["provenance"]) == ("ab", {"source": "a.hdf"})
    values = {"min": 0, "max": 100, "mean": 50, "percentiles_1_99": [0, 100]}
    assert told["sample"] == {"box_vx": [[0, 0, 0], [4, 6, 8]]} | values
    assert told["bytes_on_disk"] == sum(p.stat().st_size for p in volume.path.rglob("*") if p.is_file()) > 0


def test_percentiles_are_told_beside_the_extremes(tmp_path: Path) -> None:
    volume = Volume.create(tmp_path / "v.zarr/raw", (10, 10, 10), (30, 4, 4), np.uint8)
    voxels = np.full((10, 10, 10), 100, np.uint8)
    voxels[0, 0, :4], voxels[0, 1, :4], voxels[0, 2:6], voxels[1, 2:6] = 0, 255, 34, 246
    volume.data[:] = voxels
    sample = describe(volume)["sample"]
    assert (sample["min"], sample["max"], sample["percentiles_1_99"]) == (0, 255, [34, 246])


def test_labels_are_counted(tmp_path: Path) -> None:
    volume = Volume.create(tmp_path / "v.zarr/labels", (4, 6, 8), (30, 4, 4), np.uint64)
    assert describe(volume)["sample"]["ids"] == 0
    volume.data[0, :3], volume.data[2] = 2**60, 5
    assert describe(volume)["sample"]["ids"] == 2


def test_sample_is_bounded_and_central(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume.create(tmp_path / "v.zarr/raw", (9, 10, 10), (30, 4, 4), np.uint8)
    for size, box in ((300, [[3, 0, 0], [6, 10, 10]]), (40, [[4, 3, 0], [5, 7, 10]]), (4, [[4, 4, 3], [5, 5, 7]])):
        monkeypatch.setattr("neuroadda.volumes.info.SAMPLE_BYTES", size)
        assert describe(volume)["sample"]["box_vx"] == box
    channels = Volume.create(tmp_path / "v.zarr/affs", (9, 10, 10), (30, 4, 4), np.uint8, channels=2)
    monkeypatch.setattr("neuroadda.volumes.info.SAMPLE_BYTES", 200)
    assert describe(channels)["sample"]["box_vx"] == [[4, 0, 0], [5, 10, 10]]
