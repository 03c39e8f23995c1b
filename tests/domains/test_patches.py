"""Patches lie where they may, are the same for the same seed however the volume is stored, and know their blocks."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroadda.domains import patches
from neuroadda.domains.patches import PatchConfig, draw_patches, draw_places, footprint_vx, read_patches
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.volumes.resampling import resample_sections

SHAPE, NM = (6, 60, 90), (40.0, 4.0, 4.0)


def write(path: Path, voxels: np.ndarray, nm=NM, offset=(0, 0, 0), chunk=None) -> Volume:
    volume = Volume.create(path, voxels.shape, nm, voxels.dtype, offset_nm=offset, chunk_vx=chunk)
    volume.data[:] = voxels
    return volume


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture(scope="module")
def volume(tmp_path_factory, raw) -> Volume:
    return write(tmp_path_factory.mktemp("patches") / "v.zarr/raw", raw)


@pytest.mark.parametrize("chunk", [(1, 7, 90), (6, 60, 13)])
def test_the_same_seed_gives_the_same_patches_however_the_volume_is_stored(tmp_path, monkeypatch, volume, raw, chunk):
    config = PatchConfig(count=30, seed=5)
    first = draw_patches(volume, 6.5, (2, 20, 16), config)
    monkeypatch.setattr(patches, "WHOLE_VOXELS", 0)  # patch by patch, not the small volume as a whole
    monkeypatch.setattr(patches, "BATCH_VOXELS", 5000)
    other = draw_patches(write(tmp_path / "v.zarr/raw", raw, chunk=chunk), 6.5, (2, 20, 16), config)
    np.testing.assert_array_equal(first.raw, other.raw)
    np.testing.assert_array_equal(first.blocks, other.blocks)
    assert first.raw.shape == (30, 2, 20, 16)
    assert first.raw.dtype == np.uint8
    assert first.pixel_nm == 6.5
    another = draw_patches(volume, 6.5, (2, 20, 16), PatchConfig(count=30, seed=6))
    assert not np.array_equal(first.raw, another.raw)


def test_at_the_volumes_own_pixel_size_patches_are_cut_out_of_it(volume, raw):
    config, shape = PatchConfig(count=20), (3, 16, 21)
    places = draw_places(volume, footprint_vx(volume, 4, shape), config)
    drawn = read_patches(volume, places, 4, shape)
    for patch, (z, y, x) in zip(drawn.raw, places.centres_vx - np.array(shape) // 2, strict=True):
        np.testing.assert_array_equal(patch, raw[z : z + 3, y : y + 16, x : x + 21])


@pytest.mark.parametrize("pixel_nm", [2.0, 3.0, 4.6, 10.0])
def test_a_patch_of_another_pixel_size_is_the_resampled_volume_there(volume, raw, pixel_nm):
    shape = (1, 12, 14)
    places = draw_places(volume, footprint_vx(volume, pixel_nm, shape), PatchConfig(count=20))
    drawn = read_patches(volume, places, pixel_nm, shape)
    size = np.array(footprint_vx(volume, pixel_nm, shape))
    for patch, (z, y, x) in zip(drawn.raw, places.centres_vx - size // 2, strict=True):
        whole = resample_sections(raw[z : z + 1], NM[1:], pixel_nm, first_px=(int(y), int(x)), shape_px=shape[1:])
        np.testing.assert_array_equal(patch, whole)


# the extent of random boxes in voxels: begin and shape, zyx
BOX = st.tuples(
    st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 40)),
    st.tuples(st.integers(1, 3), st.integers(30, 40), st.integers(30, 50)),
)


@given(box=BOX, shape=st.tuples(st.integers(1, 4), st.integers(4, 16), st.integers(4, 16)), seed=st.integers(0, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_patches_lie_inside_the_roi(volume, box, shape, seed):
    begin, size = (np.array(part) for part in box)
    roi = RoiConfig(offset_nm=tuple(begin * NM), shape_nm=tuple(size * NM))
    footprint = np.array(footprint_vx(volume, 6.4, shape))
    places = draw_places(volume, tuple(footprint), PatchConfig(count=25, seed=seed, roi=roi))
    first = places.centres_vx - footprint // 2
    for axis in (0, 1, 2) if footprint[0] <= size[0] else (1, 2):
        assert np.all(first[:, axis] >= begin[axis])
        assert np.all(first[:, axis] + footprint[axis] <= begin[axis] + size[axis])
    assert places.sections == (begin[0], begin[0] + size[0])
    assert len(read_patches(volume, places, 6.4, shape).raw) == 25


@given(seed=st.integers(0, 20), coarse=st.sampled_from([1, 4]), shape=st.sampled_from([(1, 12, 12), (9, 8, 12)]))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_patches_lie_in_the_mask_of_any_voxel_size(tmp_path, volume, seed, coarse, shape):
    """Half of a patch's voxels and its centre; outside of the mask's array there is no mask."""
    rng = np.random.default_rng(seed)
    masked = rng.random((3, 40 // coarse, 80 // coarse)) < 0.8
    masked[:, : rng.integers(0, 20 // coarse)] = False
    nm = (80.0, 4.0 * coarse, 4.0 * coarse)
    write(tmp_path / f"{seed}-{coarse}.zarr/mask", masked.astype(np.uint8), nm, offset=(0, 20, 8))
    config = PatchConfig(count=20, seed=seed, mask=str(tmp_path / f"{seed}-{coarse}.zarr/mask"))
    fine = np.zeros(SHAPE, bool)
    fine[:, 5:45, 2:82] = masked.repeat(2, 0).repeat(coarse, 1).repeat(coarse, 2)
    places = draw_places(volume, shape, config)
    for centre in places.centres_vx:
        assert fine[tuple(np.minimum(centre, np.array(SHAPE) - 1))]
        begin = centre - np.array(shape) // 2
        z, y, x = (slice(max(0, b), b + n) for b, n in zip(begin, shape, strict=True))
        assert fine[z, y, x].mean() >= 0.5


def test_a_mask_of_one_place_gives_that_place_over_and_over(tmp_path, volume):
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 20:30, 20:30] = 1
    write(tmp_path / "m.zarr/mask", mask)
    places = draw_places(volume, (6, 10, 14), PatchConfig(count=50, mask=str(tmp_path / "m.zarr/mask")))
    assert places.centres_vx.shape == (50, 3)
    assert np.all(np.abs(places.centres_vx[:, 1:] - 25) <= 5)


def test_fewer_sections_than_a_patch_has_are_mirrored(tmp_path, raw):
    for depth, expected in ((4, [0, 1, 2, 3, 2]), (3, [1, 0, 1, 2, 1]), (2, [1, 0, 1, 0, 1]), (1, [0, 0, 0, 0, 0])):
        volume = write(tmp_path / f"{depth}.zarr/raw", raw[:depth])
        drawn = draw_patches(volume, 4, (5, 60, 90), PatchConfig(count=2))
        for patch in drawn.raw:
            np.testing.assert_array_equal(patch, raw[expected])


def test_sections_outside_of_the_roi_are_not_shown(volume, raw):
    roi = RoiConfig(offset_nm=(80, 0, 0), shape_nm=(80, 240, 360))
    drawn = draw_patches(volume, 4, (4, 60, 90), PatchConfig(count=2, roi=roi))
    np.testing.assert_array_equal(drawn.raw[0], raw[[3, 2, 3, 2]])


@pytest.mark.parametrize(
    ("shape", "nm", "patch", "at_least"),
    [
        ((1, 300, 300), NM, (1, 32, 32), 16),
        ((40, 100, 100), (10.0, 10.0, 10.0), (1, 64, 64), 16),
        ((200, 34, 34), (10.0, 10.0, 10.0), (1, 32, 32), 16),
        ((5, 300, 300), NM, (9, 32, 32), 16),
        ((3, 34, 34), NM, (1, 32, 32), 8),
        ((4, 1200, 1200), (40.0, 20.0, 20.0), (1, 32, 32), 64),
    ],
)
def test_blocks_are_the_cells_of_a_grid(tmp_path, shape, nm, patch, at_least):
    """Every one has patches, equal ones share a cell, and cells are boxes: their centres' ranges do not overlap."""
    volume = Volume.create(tmp_path / "v.zarr/raw", shape, nm, np.uint8, chunk_vx=(8, 256, 256))
    places = draw_places(volume, footprint_vx(volume, nm[1], patch), PatchConfig(count=3000, no_data="none"))
    numbers = np.unique(places.blocks)
    assert at_least <= len(numbers) <= 64
    boxes = []
    for number in numbers:
        centres = places.centres_vx[places.blocks == number]
        boxes.append((centres.min(0), centres.max(0)))
    for i, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:i]:
            assert np.any((high < other_low) | (other_high < low))


def test_places_are_the_same_tissue_for_smaller_patches(volume, raw):
    """One set of places serves networks of several pixel sizes: the middle of every patch is at the same spot."""
    places = draw_places(volume, footprint_vx(volume, 8, (1, 20, 20)), PatchConfig(count=40))
    coarse, fine = (read_patches(volume, places, nm, (1, 20, 20)) for nm in (8.0, 4.0))
    np.testing.assert_array_equal(coarse.blocks, fine.blocks)
    for large, small in zip(coarse.raw, fine.raw, strict=True):
        averaged = small.astype(float).reshape(1, 10, 2, 10, 2).mean((2, 4))
        np.testing.assert_allclose(large[:, 5:15, 5:15], averaged, atol=0.51)


def test_bad_input_is_one_line(tmp_path, volume):
    with pytest.raises(
        UserError, match=r"a patch of 40 x 400 x 80 nm \(zyx\) does not fit .* volume of 240 x 240 x 360"
    ):
        draw_patches(volume, 4, (1, 100, 20), PatchConfig())
    roi = RoiConfig(offset_nm=(0, 0, 0), shape_nm=(40, 40, 40))
    with pytest.raises(UserError, match="into the ROI of 40 x 40 x 40 nm"):
        draw_patches(volume, 4, (1, 20, 20), PatchConfig(roi=roi))
    with pytest.raises(UserError, match="outside the volume"):
        draw_patches(volume, 4, (1, 20, 20), PatchConfig(roi=RoiConfig(offset_nm=(0, 0, 0), shape_nm=(4000, 40, 40))))
    write(tmp_path / "empty.zarr/mask", np.zeros(SHAPE, np.uint8))
    with pytest.raises(UserError, match="none has its centre and half of its patch in the mask"):
        draw_patches(volume, 4, (1, 20, 20), PatchConfig(count=2, mask=str(tmp_path / "empty.zarr/mask")))
    float_mask = write(tmp_path / "float.zarr/mask", np.ones(SHAPE, np.float32))
    with pytest.raises(UserError, match="masks are integers"):
        draw_patches(volume, 4, (1, 20, 20), PatchConfig(mask=str(float_mask.path)))
    with pytest.raises(UserError, match="there is no array here"):
        draw_patches(volume, 4, (1, 20, 20), PatchConfig(mask=str(tmp_path / "nothing")))
    labels = write(tmp_path / "labels.zarr/labels", np.ones(SHAPE, np.uint64))
    with pytest.raises(UserError, match="raw is uint64"):
        draw_patches(labels, 4, (1, 20, 20), PatchConfig())


@pytest.mark.parametrize("whole", [True, False])
def test_no_patch_shows_black(tmp_path, monkeypatch, raw, whole):
    if not whole:
        monkeypatch.setattr(patches, "WHOLE_MASK_VOXELS", 0)
    black = raw.copy()
    black[:, :, 40:] = 255
    black[:, :9] = 255
    config = PatchConfig(count=40)
    drawn = draw_patches(write(tmp_path / "b.zarr/raw", black), 4, (2, 12, 12), config)
    windows = np.lib.stride_tricks.sliding_window_view(raw[:, 9:, :40], (2, 12, 12)).reshape(-1, 2 * 12 * 12)
    assert {patch.tobytes() for patch in drawn.raw} <= {window.tobytes() for window in windows}
    seen = draw_patches(write(tmp_path / "r.zarr/raw", raw), 4, (2, 12, 12), config)
    as_it_is = draw_patches(write(tmp_path / "n.zarr/raw", raw), 4, (2, 12, 12), PatchConfig(count=40, no_data="none"))
    np.testing.assert_array_equal(seen.raw, as_it_is.raw)
    monkeypatch.setattr(patches, "ROUNDS", 5)
    with pytest.raises(UserError, match="none has data in all of its patch"):
        draw_patches(write(tmp_path / "e.zarr/raw", np.zeros_like(raw)), 4, (2, 12, 12), config)
