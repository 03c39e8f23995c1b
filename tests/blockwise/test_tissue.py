import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from funlib.geometry import Coordinate, Roi
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroadda.blockwise.grid import BlockGrid, BlockSet, coarsen_blocks
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.boxes import find_boxes
from neuroadda.volumes.coverage.masks import Mask, open_mask, stored_chunks
from neuroadda.volumes.storage.nodes import ZARR3

RAW_NM = (30, 6, 6)
RAW_SHAPE = (7, 26, 31)
OFFSET_NM = (60, 12, -6)


def find_tissue(mask: Mask, grid: BlockGrid) -> BlockSet:
    found = find_boxes([mask], grid.roi, grid.block_vx)
    assert found is not None
    assert found.shape == grid.counts
    return BlockSet.of(found)


@pytest.fixture
def raw(tmp_path) -> Volume:
    return Volume.create(tmp_path / "raw.zarr/raw", RAW_SHAPE, RAW_NM, np.uint8, offset_nm=OFFSET_NM)


def write_mask(
    path: Path, raw: Volume, voxels: np.ndarray, factor=(1, 1, 1), before=(0, 0, 0), chunk_vx=(3, 5, 4)
) -> Volume:
    """Write a mask that begins `before` voxels of raw below raw's corner; chunks without tissue are not written."""
    nm = tuple(v * f for v, f in zip(raw.voxel_size_nm, factor, strict=True))
    offset = tuple(o - b * v for o, b, v in zip(raw.offset_nm, before, raw.voxel_size_nm, strict=True))
    mask = Volume.create(path, voxels.shape, nm, voxels.dtype, offset_nm=offset, chunk_vx=chunk_vx)
    for begin in np.ndindex(*(-(-s // c) for s, c in zip(voxels.shape, chunk_vx, strict=True))):
        box = tuple(slice(b * c, (b + 1) * c) for b, c in zip(begin, chunk_vx, strict=True))
        if voxels[box].any():
            mask.data[box] = voxels[box]
    return mask


def upsample(voxels: np.ndarray, factor, before) -> np.ndarray:
    """Return bool for every voxel of raw."""
    fine = voxels != 0
    for axis, f in enumerate(factor):
        fine = np.repeat(fine, f, axis)
    return fine[tuple(slice(b, b + s) for b, s in zip(before, RAW_SHAPE, strict=True))]


factors = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
shapes = st.tuples(st.integers(1, 7), st.integers(1, 26), st.integers(1, 31))


@settings(max_examples=15)
@given(factor=factors, before=factors, block_vx=shapes, corner=shapes, seed=st.integers(0, 99))
def test_a_mask_is_read_and_gives_its_blocks_as_its_upsampled_voxels_do(
    tmp_path_factory, factor, before, block_vx, corner, seed
):
    folder = tmp_path_factory.mktemp("mask")
    raw = Volume.create(folder / "raw.zarr/raw", RAW_SHAPE, RAW_NM, np.uint8, offset_nm=OFFSET_NM)
    before = tuple(b % (2 * f) for b, f in zip(before, factor, strict=True))
    shape = [-(-(b + s) // f) for b, s, f in zip(before, RAW_SHAPE, factor, strict=True)]
    voxels = (np.random.default_rng(seed).random(shape) < 0.03).astype(np.uint8) * 3
    mask = open_mask(write_mask(folder / "mask.zarr/mask", raw, voxels, factor, before).path, raw, raw.roi)
    fine = upsample(voxels, factor, before)
    part = Roi(raw.roi.begin + Coordinate(corner) * raw.voxel_size, raw.roi.end).intersect(raw.roi)
    for roi in (raw.roi, part):
        if roi.empty or min(roi.shape) <= 0:
            continue
        inside = fine[((roi - raw.roi.begin) / raw.voxel_size).to_slices()]
        assert mask.read(roi).dtype == bool
        assert (mask.read(roi) == inside).all()
        grid = BlockGrid.make(roi, raw.voxel_size, block_vx)
        found = find_tissue(mask, grid)
        by_hand = [
            inside[((block.write_roi - roi.begin) / raw.voxel_size).to_slices()].any() for block in grid.blocks()
        ]
        assert (found.to_mask() == by_hand).all()
        held = found.to_mask()
        assert grid.voxels_of(held) == sum(grid.voxels(grid[i].write_roi) for i in np.flatnonzero(held))


@given(st.lists(st.booleans(), min_size=1, max_size=3000) | st.just([True] * 70_000), st.integers(0, 99))
def test_a_set_of_blocks_is_its_mask(values, seed):
    mask = np.array(values) & (np.random.default_rng(seed).random(len(values)) < 0.3)
    blocks, members = BlockSet.of(mask), np.flatnonzero(mask).tolist()
    assert list(blocks) == members
    assert len(blocks) == len(members)
    assert [i for i in range(len(mask)) if i in blocks] == members
    again = BlockSet.load(blocks.dump(), len(mask))
    assert (again.to_mask() == mask).all()
    assert again.digest == blocks.digest


@given(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)), st.integers(1, 5), st.integers(0, 99))
def test_a_coarser_block_has_tissue_if_one_in_it_has(counts, factor, seed):
    fine = np.random.default_rng(seed).random(counts) < 0.05
    coarse = np.zeros([-(-n // factor) for n in counts], bool)
    for place in np.argwhere(fine):
        coarse[tuple(place // factor)] = True
    found = coarsen_blocks(BlockSet.of(fine), counts, factor)
    assert (found.to_mask() == coarse.ravel()).all()


@pytest.mark.parametrize("separator", [".", "/"])
def test_chunks_that_were_never_written_are_not_read(tmp_path, raw, separator, monkeypatch):
    voxels = np.zeros(RAW_SHAPE, np.uint8)
    voxels[6, 25, 30] = voxels[0, 0, 0] = 1
    path = write_mask(tmp_path / "mask.zarr/mask", raw, voxels).path
    metadata = json.loads((path / ".zarray").read_text())
    if separator == ".":
        (path / ".zarray").write_text(json.dumps(metadata | {"dimension_separator": separator}))
        for chunk in [*path.glob("*/*/*")]:
            chunk.rename(path / ".".join(chunk.relative_to(path).parts))
    mask = Mask.open(path, raw)
    assert set(stored_chunks(mask.volume)) == {(0, 0, 0), (2, 5, 7)}
    read, plain = [], zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, key: read.append(key) or plain(self, key))
    grid = BlockGrid.make(raw.roi, raw.voxel_size, (1, 1, 1))
    assert list(find_tissue(mask, grid)) == [0, len(grid) - 1]
    assert len(read) == 2


@pytest.mark.skipif(ZARR3, reason="zarr 3 has no N5")
@pytest.mark.filterwarnings("ignore:The N5Store is deprecated")
def test_a_mask_in_n5_is_read_right(tmp_path, raw):
    voxels = np.zeros(RAW_SHAPE, np.uint8)
    voxels[4:, 20:, :3] = 1
    store = zarr.N5Store(str(tmp_path / "mask.n5"))
    mask = zarr.create(RAW_SHAPE, chunks=(3, 5, 4), dtype="u1", store=store, path="mask", fill_value=0)
    mask.attrs.update({"voxel_size": list(RAW_NM), "offset": list(OFFSET_NM)})
    mask[4:, 20:, :3] = 1
    assert sorted(stored_chunks(Volume.open(tmp_path / "mask.n5/mask"))) == [(1, 4, 0), (1, 5, 0), (2, 4, 0), (2, 5, 0)]
    grid = BlockGrid.make(raw.roi, raw.voxel_size, (2, 7, 9))
    by_hand = [voxels[((b.write_roi - raw.roi.begin) / raw.voxel_size).to_slices()].any() for b in grid.blocks()]
    assert (find_tissue(open_mask(tmp_path / "mask.n5/mask", raw, raw.roi), grid).to_mask() == by_hand).all()


def test_what_was_never_written_may_be_tissue(tmp_path, raw):
    full = zarr.open(str(tmp_path / "full.zarr"), mode="w", shape=RAW_SHAPE, chunks=(3, 5, 4), dtype="u1", fill_value=1)
    full.attrs.update({"voxel_size": list(RAW_NM), "offset": list(OFFSET_NM)})
    grid = BlockGrid.make(raw.roi, raw.voxel_size, (2, 7, 9))
    assert len(find_tissue(open_mask(tmp_path / "full.zarr", raw, raw.roi), grid)) == len(grid)


def test_a_mask_of_other_units_fits(tmp_path):
    raw = Volume.create(tmp_path / "raw.zarr/raw", (8, 8, 8), (4.5, 4.5, 4.5), np.uint8)
    voxels = np.zeros((4, 4, 4), np.uint8)
    voxels[1, 2, 3] = 1
    made = write_mask(tmp_path / "mask.zarr/mask", raw, voxels, (2, 2, 2))
    assert (made.unit, raw.unit) == ("nm", "pm")
    tissue = open_mask(made.path, raw, raw.roi).read(raw.roi)
    assert tissue.sum() == 8
    assert tissue[2:4, 4:6, 6:8].all()


@pytest.mark.parametrize(
    ("voxel_nm", "offset_nm", "message"),
    [
        ((30, 9, 6), OFFSET_NM, "not on the voxel grid of raw"),
        ((30, 3, 6), OFFSET_NM, "not on the voxel grid of raw"),
        ((60, 12, 12), (60, 15, -6), "not on the voxel grid of raw"),
        ((60, 12, 12), (90, 12, -6), "outside the mask"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(tmp_path, raw, voxel_nm, offset_nm, message):
    path = tmp_path / "mask.zarr/mask"
    Volume.create(path, RAW_SHAPE, voxel_nm, np.uint8, offset_nm=offset_nm)
    with pytest.raises(UserError, match=message) as caught:
        open_mask(path, raw, raw.roi)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
