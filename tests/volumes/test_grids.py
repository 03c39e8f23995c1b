"""Labels and masks on a grid that is not raw's: what is told says where each lies, and what would be right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.evaluation.sweep import overlap_volumes
from neuroadda.training.sample import open_sample
from neuroadda.training.sample_config import SampleConfig
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.masks import Mask
from neuroadda.volumes.geometry.grids import check_grid

SHAPE = (8, 16, 16)


def write(path: Path, told: dict[str, Any], dtype: Any = np.uint64) -> Volume:
    """Write a volume at `size` and `at` (nm), or with other attributes of its place."""
    volume = Volume.create(path, SHAPE, told.get("size", (40, 4, 4)), dtype, offset_nm=told.get("at", (0, 0, 0)))
    volume.data[:] = np.random.default_rng(0).integers(1, 200, SHAPE).astype(dtype)
    volume.data[:, ::4] = 3
    file = path / ".zattrs"
    file.write_text(
        json.dumps(json.loads(file.read_text()) | {k: v for k, v in told.items() if k not in ("size", "at")})
    )
    return Volume.open(path)


SHIFTED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "half a voxel": ({"at": (0, 0, 2)}, {}, r"offset is 0 0 2 nm, that of raw 0 0 0 nm .*, 0, 0, 0.5 voxels apart"),
    "a fraction of a nm": (
        {"at": (0, 0, 0.5)},
        {},
        "offset is 0 0 0.5 nm, that of raw 0 0 0 nm .*0.125 voxels apart",
    ),
    "raw by a fraction": (
        {},
        {"at": (0, 1.5, 0)},
        r"offset is 0 0 0 nm, that of raw 0 1.5 0 nm .*, 0, -0.375, 0 voxels apart",
    ),
    "both in pm": (
        {"size": (40, 4.5, 4.5), "at": (0, 0, 1)},
        {"size": (40, 4.5, 4.5), "at": (80, 9, 9)},
        "offset is 0 0 1 nm, that of raw 80 9 9 nm",
    ),
    "written in um": (
        {"voxel_size": [0.04, 0.004, 0.004], "offset": [0, 0, 0.001], "units": ["um"] * 3},
        {},
        "offset is 0 0 1 nm, that of raw 0 0 0 nm",
    ),
}
NEAREST = {
    "half a voxel": "0 0 0",
    "a fraction of a nm": "0 0 0",
    "raw by a fraction": "0 1.5 0",
    "both in pm": "0 0 0",
    "written in um": "0 0 0",
}


@pytest.mark.parametrize("case", SHIFTED)
def test_a_shift_by_a_fraction_says_both_offsets_and_the_right_one(tmp_path: Path, case: str) -> None:
    of_labels, of_raw, told = SHIFTED[case]
    raw, labels = write(tmp_path / "raw.zarr/raw", of_raw, np.uint8), write(tmp_path / "l.zarr/labels", of_labels)
    right = f"if it has the voxels of raw, {raw.path}, its offset is {NEAREST[case]} nm: import it with that --offset"
    doors = (
        lambda: open_sample(SampleConfig(raw=str(raw.path), labels=str(labels.path)), (2, 4, 4)),
        lambda: Mask.open(labels.path, raw),
    )
    for door in doors:
        with pytest.raises(UserError) as error:
            door()
        text = str(error.value)
        assert "voxel size" not in text.partition("offset")[0].replace(str(tmp_path), "")
        for part in (str(labels.path), right):
            assert part in text
        with pytest.raises(UserError, match=told):
            door()
    with pytest.raises(UserError, match=told):
        overlap_volumes(raw, labels)


@pytest.mark.parametrize(
    "attributes",
    [
        {"voxel_size": [40000, 4000, 4000], "offset": [0, 8000, 0], "units": ["pm"] * 3},
        {"voxel_size": [0.04, 0.004, 0.004], "offset": [0, 0.008, 0], "units": ["um"] * 3},
        {"voxel_size": [40, 4, 4], "offset": [0, 8, 0], "units": ["nm"] * 3},
        {"voxel_size": [0.04, 4, 4000], "offset": [0, 8, 0], "units": ["um", "nm", "pm"]},
    ],
)
def test_the_same_grid_in_another_unit_is_the_same(tmp_path: Path, attributes: dict[str, Any]) -> None:
    raw = write(tmp_path / "raw.zarr/raw", {}, np.uint8)
    labels = write(tmp_path / "l.zarr/labels", attributes)
    check_grid(labels, raw, "raw")
    assert (labels.unit, labels.voxel_size_nm, labels.offset_nm) == ("nm", (40, 4, 4), (0, 8, 0))
    assert Mask.open(labels.path, raw).roi.offset == labels.roi.offset
    part = write(tmp_path / "l.zarr/part", attributes)
    assert overlap_volumes(labels, part).labels.any()


def test_other_voxel_sizes_are_told_as_such(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw.zarr/raw", {}, np.uint8)
    labels = write(tmp_path / "l.zarr/labels", {"size": (40, 4, 4.004)})
    with pytest.raises(UserError, match=r"voxel size 40 x 4 x 4.004 nm .zyx. is not that of raw, 40 x 4 x 4 nm"):
        check_grid(labels, raw, "raw")
    with pytest.raises(UserError, match=r"not on the voxel grid of raw: its voxels are 40 x 4 x 4.004 nm"):
        Mask.open(labels.path, raw)
    channels = Volume.create(tmp_path / "m.zarr/m", SHAPE, (40, 4, 4), np.uint8, channels=2)
    with pytest.raises(UserError, match="the mask has 2 channels"):
        Mask.open(channels.path, raw)


@pytest.mark.parametrize(
    "attributes",
    [
        {"voxel_size": [40, 4, 4]},
        {"voxel_size": [0.04, 0.004, 0.004], "units": ["um"] * 3},
        {"resolution": [40, 4, 4]},
        {"pixelResolution": {"dimensions": [4, 4, 40], "unit": "nm"}},
    ],
)
def test_smaller_labels_that_do_not_say_where_they_lie_are_refused(tmp_path: Path, attributes: dict[str, Any]) -> None:
    raw = write(tmp_path / "raw.zarr/raw", {}, np.uint8)
    labels = Volume.create(tmp_path / "l.zarr/labels", (4, 16, 16), (40, 4, 4), np.uint64)
    labels.data[:] = 3
    for at, told in ((None, False), ([0, 0, 0], True)):
        where = {} if at is None else {"offset": at}
        (tmp_path / "l.zarr/labels/.zattrs").write_text(json.dumps({**attributes, **where}))
        if told and "pixelResolution" not in attributes:
            assert open_sample(SampleConfig(raw=str(raw.path), labels=str(labels.path)), (2, 4, 4)).roi.shape[0] == 160
        elif not told:
            with pytest.raises(UserError, match="it has no offset"):
                open_sample(SampleConfig(raw=str(raw.path), labels=str(labels.path)), (2, 4, 4))
