"""Resampling of sections: exact on small cases, and the same however a volume is cut into boxes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import block_reduce

from neuroadda.errors import UserError
from neuroadda.volumes import importing
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.resampling import resample_sections, resample_volume

PIXELS = st.sampled_from([1.0, 2.0, 3.3, 4.0, 4.6, 4.93, 8.0, 10.0, 16.5])


@given(
    value=st.integers(0, 255),
    size=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    from_nm=st.tuples(PIXELS, PIXELS),
    to_nm=PIXELS,
)
def test_a_constant_stays_constant_and_the_extent_is_kept_to_half_a_pixel(value, size, from_nm, to_nm):
    after = resample_sections(np.full(size, value, np.uint8), from_nm, to_nm)
    assert after.dtype == np.uint8
    assert np.all(after == value)
    assert after.shape[0] == size[0]
    for new, old, nm in zip(after.shape[1:], size[1:], from_nm, strict=True):
        assert new == 1 or abs(new * to_nm - old * nm) <= to_nm / 2 + 1e-6


def test_shrinking_by_a_whole_factor_is_the_mean_of_the_pixels():
    raw = np.random.default_rng(0).integers(0, 256, (3, 24, 36), dtype=np.uint8)
    expected = np.rint(block_reduce(raw.astype(float), (1, 3, 3), np.mean))
    np.testing.assert_array_equal(resample_sections(raw, (4, 4), 12), expected)


def test_shrinking_by_a_fraction_is_the_mean_over_the_area():
    raw = np.array([[[10, 20, 40]]], np.uint8)  # new pixels of 1.5 old ones: (10 + 20 / 2) / 1.5, (20 / 2 + 40) / 1.5
    np.testing.assert_array_equal(resample_sections(raw, (6, 4), 6), [[[13, 33]]])


def test_enlarging_is_linear():
    ramp = np.tile(np.arange(0, 200, 20, dtype=np.uint8), (1, 4, 1))
    after = resample_sections(ramp, (5, 5), 2.5)
    assert after.shape == (1, 8, 20)
    np.testing.assert_array_equal(after[0, 0], [0, *range(5, 180, 10), 180])


@given(to_nm=PIXELS, seed=st.integers(0, 9))
def test_the_mean_of_an_image_hardly_changes(to_nm, seed):
    raw = np.random.default_rng(seed).integers(0, 256, (1, 60, 60), dtype=np.uint8)
    assert resample_sections(raw, (4, 4), to_nm).mean() == pytest.approx(raw.mean(), abs=8)


@given(from_nm=st.tuples(PIXELS, PIXELS), to_nm=PIXELS, seed=st.integers(0, 9))
def test_labels_are_taken_from_where_a_pixels_centre_is(from_nm, to_nm, seed):
    labels = np.random.default_rng(seed).integers(0, 2**63, (2, 11, 17), dtype=np.uint64)
    after = resample_sections(labels, from_nm, to_nm, "labels")
    assert after.dtype == np.uint64
    assert set(np.unique(after)) <= set(np.unique(labels))
    y, x = (np.arange(n) for n in after.shape[1:])
    rows = np.minimum(((y + 0.5) * (to_nm / from_nm[0])).astype(int), 10)
    columns = np.minimum(((x + 0.5) * (to_nm / from_nm[1])).astype(int), 16)
    np.testing.assert_array_equal(after, labels[:, rows][:, :, columns])


@pytest.mark.parametrize("to_nm", [2.5, 4.0, 4.6, 9.7])
def test_a_part_is_resampled_as_the_whole_is_read_there(to_nm):
    raw = np.random.default_rng(1).integers(0, 256, (2, 50, 50), dtype=np.uint8)
    part = resample_sections(raw, (4, 4), to_nm, first_px=(10, 20), shape_px=(8, 6))
    whole = resample_sections(raw[:, 10:, 20:], (4, 4), to_nm)
    assert part.shape == (2, 8, 6)
    inner = (slice(None), slice(1, None), slice(1, None))  # the first pixel of `whole` has no left neighbour
    np.testing.assert_allclose(part[inner], whole[:, :8, :6][inner], atol=1)


@pytest.mark.parametrize(("kind", "dtype"), [("raw", np.uint8), ("labels", np.uint64)])
@pytest.mark.parametrize("to_nm", [3.1, 4.6, 11.0])
def test_a_volume_is_resampled_as_its_sections_are_however_it_is_cut(tmp_path: Path, monkeypatch, kind, dtype, to_nm):
    voxels = np.random.default_rng(2).integers(0, 255, (5, 70, 90), dtype=dtype)
    attrs = {"fingerprint": "abc", "provenance": {"source": "x.hdf"}}
    shape, nm, offset = voxels.shape, (45, 4.6, 5), (90, 9.2, 10.5)
    source = Volume.create(
        tmp_path / "a.zarr/raw", shape, nm, dtype, offset_nm=offset, chunk_vx=(2, 16, 16), attrs=attrs
    )
    source.write(source.roi, voxels)
    monkeypatch.setattr(importing, "BOX_BYTES", 4000)
    after = resample_volume(source, tmp_path / "b.zarr/raw", to_nm, kind)
    np.testing.assert_array_equal(after.read(), resample_sections(voxels, nm[1:], to_nm, kind))
    assert after.voxel_size_nm == (45, to_nm, to_nm)
    assert after.offset_nm == offset
    assert after.attrs["provenance"]["source"] == "x.hdf"
    assert after.attrs["provenance"]["resampled"][0]["to_nm"] == to_nm
    assert after.fingerprint not in ("abc", resample_volume(source, tmp_path / "c.zarr/raw", 20, kind).fingerprint)
    again = resample_volume(after, tmp_path / "d.zarr/raw", 20, kind)
    assert [step["to_nm"] for step in again.attrs["provenance"]["resampled"]] == [to_nm, 20]


def test_nothing_is_overwritten_and_bad_input_is_one_line(tmp_path: Path):
    source = Volume.create(tmp_path / "a.zarr/raw", (2, 8, 8), (40, 4, 4), np.uint8)
    resample_volume(source, tmp_path / "b.zarr/raw", 8, "raw")
    with pytest.raises(UserError, match="exists already"):
        resample_volume(source, tmp_path / "b.zarr/raw", 16, "raw")
    assert Volume.open(tmp_path / "b.zarr/raw").voxel_size_nm == (40, 8, 8)
    for bad in (0, -4, float("nan"), float("inf")):
        with pytest.raises(UserError, match="not a positive length"):
            resample_volume(source, tmp_path / "c.zarr/raw", bad, "raw")
    affs = Volume.create(tmp_path / "affs.zarr/affs", (2, 8, 8), (40, 4, 4), np.uint8, channels=3)
    with pytest.raises(UserError, match="3 channels"):
        resample_volume(affs, tmp_path / "c.zarr/raw", 8, "raw")
    labels = Volume.create(tmp_path / "labels.zarr/labels", (2, 8, 8), (40, 4, 4), np.uint64)
    with pytest.raises(UserError, match="raw is uint64"):
        resample_volume(labels, tmp_path / "c.zarr/raw", 8, "raw")
    assert not (tmp_path / "c.zarr").exists()
