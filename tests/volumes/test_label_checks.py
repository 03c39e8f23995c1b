"""Labels are looked at before they are used: empty, negative, raw; within a bound, however large they are."""

import logging
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from funlib.geometry import Roi

from neuroadda.errors import UserError, forget_warnings
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_checks import MOST_VX, LabelTally, check_mask, check_truth, look_at
from neuroadda.volumes.importing import import_volume

DATA = Path(os.environ.get("NEUROADDA_DATA", Path(__file__).parents[3] / "shared" / "data"))
NM = (40.0, 4.0, 4.0)


def write(path: Path, data: np.ndarray, **place: Any) -> Volume:
    volume = Volume.create(path, data.shape, NM, data.dtype, offset_nm=(400, 80, 40), **place)
    volume.data[:] = data
    return volume


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, r"nothing but 0 in \[400:720"),
        (2**64 - 1, r"nothing but 0, 18446744073709551615 \(transparent\) in"),
        (2**64 - 3, r"nothing but 0, 18446744073709551613 \(outside\) in"),
        (2**32 - 2, r"nothing but 0, 4294967294 \(invalid\) in"),
    ],
)
def test_labels_without_a_neuron_are_refused(tmp_path: Path, value: int, told: str) -> None:
    volume = write(tmp_path / "v.zarr/labels", np.full((8, 30, 30), value, np.uint64))
    with pytest.raises(UserError, match=rf"v.zarr/labels: nothing is labelled: there is {told}") as caught:
        check_truth(volume, volume.roi)
    assert "\n" not in str(caught.value)


def test_only_the_roi_counts(tmp_path: Path) -> None:
    data = np.zeros((8, 40, 40), np.uint64)
    data[5, 33, 38], data[0, 0, 0] = 9, 2**64 - 1
    volume = write(tmp_path / "v.zarr/labels", data, chunk_vx=(3, 7, 9))
    assert check_truth(volume, volume.roi).labelled == 1
    assert check_truth(volume, volume.roi).unlabelled == {2**64 - 1: 1}
    part = Roi((480, 88, 44), (240, 132, 148))
    found = look_at(volume, part)
    inside = volume.read(part)
    assert (found.voxels, found.labelled, found.unlabelled) == (inside.size, np.count_nonzero(inside), {})
    with pytest.raises(UserError, match="nothing is labelled"):
        check_truth(volume, Roi((480, 88, 44), (160, 128, 148)))


def test_negative_ids_are_refused_wherever_they_are(tmp_path: Path) -> None:
    data = np.ones((8, 40, 40), np.int64)
    data[7, 39, 39] = -1
    volume = write(tmp_path / "v.zarr/labels", data)
    with pytest.raises(UserError, match=r"v.zarr/labels: there are negative ids \(-1\)"):
        check_truth(volume, volume.roi)


REAL = sorted(DATA.glob("*.hdf"))


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.stem)
def test_real_raw_is_told_from_real_labels(path: Path) -> None:
    with h5py.File(path) as file:
        names = [name for name in ("volumes/raw", "volumes/labels/neuron_ids") if name in file]
        for name in names:
            tally, node = LabelTally(), file[name]
            middle = tuple(slice(max(0, s // 2 - 64), s // 2 + 64) for s in node.shape)
            tally.add(node[middle], path.name)
            if name == "volumes/raw":
                with pytest.raises(UserError, match="these are grey values, no labels"):
                    tally.refuse_raw(path.name)
            else:
                tally.refuse_raw(path.name)
                assert not tally.is_noise


@pytest.mark.parametrize(
    "make", [lambda raw: raw, lambda raw: raw.astype(np.uint32) * 200, lambda raw: raw.astype(np.int64)]
)
def test_raw_of_any_type_is_not_taken_for_labels(tmp_path: Path, make: Any) -> None:
    raw = np.random.default_rng(0).normal(120, 30, (12, 80, 80)).clip(0, 255).astype(np.uint8)
    volume = write(tmp_path / "v.zarr/labels", make(raw))
    with pytest.raises(UserError, match=r"v\.zarr/labels: these are grey values, no labels"):
        check_truth(volume, volume.roi)


def test_raw_itself_is_refused_however_smooth(tmp_path: Path) -> None:
    volume = write(tmp_path / "v.zarr/raw", np.full((4, 8, 8), 7, np.uint8))
    with pytest.raises(UserError, match=r"v\.zarr/raw: this is raw itself"):
        check_truth(volume, volume.roi, raw=Volume.open(volume.path))


def test_scattered_ids_are_doubted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    forget_warnings()
    ids = np.random.default_rng(0).permutation(8 * 40 * 40).reshape(8, 40, 40).astype(np.uint64) + np.uint64(2**40)
    volume = write(tmp_path / "v.zarr/labels", ids)
    with caplog.at_level(logging.WARNING, "neuroadda"):
        check_truth(volume, volume.roi)
    assert "most neighbouring voxels differ: are these labels?" in caplog.text


def test_import_says_what_may_be_no_labels(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (6, 50, 50)).astype(np.uint32)
    for name, data, told in (
        ("raw", raw, "most neighbouring voxels differ"),
        ("empty", raw * 0, "nothing is labelled"),
    ):
        np.save(tmp_path / f"{name}.npy", data)
        volume = import_volume(tmp_path / f"{name}.npy", tmp_path / "v.zarr" / name, voxel_size_nm=NM, kind="labels")
        assert told in " ".join(volume.attrs["provenance"]["notes"])


@pytest.mark.parametrize("chunk_vx", [(64, 64, 64), (1, 512, 512), (16, 16, 16)])
def test_a_look_is_bounded_and_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_vx: tuple[int, ...]
) -> None:
    read, plain = [], Volume.read
    monkeypatch.setattr(Volume, "read", lambda self, roi=None: read.append(roi) or plain(self, roi))
    volume = Volume.create(tmp_path / "v.zarr/labels", (1024, 2048, 2048), NM, np.uint64, chunk_vx=chunk_vx)
    found = look_at(volume, volume.roi)
    assert found.voxels <= 5 * MOST_VX
    assert len(read) <= 5 * 128
    assert max(box.shape[0] * box.shape[1] * box.shape[2] for box in read) <= MOST_VX * 40 * 4 * 4
    first = np.array([[*box.begin] for box in read]) / volume.roi.end
    assert (first.min(0) < 0.1).all()
    assert (first.max(0) >= (0.8 if chunk_vx[0] > 1 else [0.8, 0.7, 0.7])).all()
    once = [*read]
    read.clear()
    look_at(volume, volume.roi)
    assert read == once
    with pytest.raises(UserError, match=r"no label was found in .* % of .*; give a roi that is labelled"):
        check_truth(volume, volume.roi)
    assert not check_truth(volume, volume.roi, sparse=True).labelled


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    data = np.zeros((6, 20, 20), np.uint8)
    data[0, :3] = 1
    mask = write(tmp_path / "v.zarr/mask", data)
    check_mask(mask, mask.roi)
    with pytest.raises(UserError, match=r"v.zarr/mask: the mask is 0 everywhere in \[440:640"):
        check_mask(mask, Roi((440, 80, 40), (200, 80, 80)))
