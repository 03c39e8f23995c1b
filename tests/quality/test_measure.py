"""Exact answers on known shapes: ends, branches, exits, orphans, sizes."""

from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.proofreading.places import find_at_border
from neuroadda.quality.crops import Frame, cut_crops
from neuroadda.quality.measure import Inspected, classify, find_blocks, inspect_volume
from neuroadda.quality.sizes import Sizes, find_beside_gaps
from neuroadda.segmentation.components import Lut
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.masks import Mask
from neuroadda.volumes.tissue import Tissue
from tests.publishing.shapes import make_ball, make_tube, write_segmentation

SHAPE, VOXEL = (48, 64, 96), 20
THROUGH, ENDING, FORK, ORPHAN = 3, 8, 5, 2
ARMS = [((36, 40, -9), (36, 40, 40)), ((36, 40, 40), (36, 26, 110)), ((36, 40, 40), (36, 72, 70))]


def make_ids() -> np.ndarray:
    """Return four segments: a tube through the volume, one that ends inside, a Y, and a ball that touches nothing."""
    ids = np.zeros(SHAPE, np.uint64)
    ids[make_tube(SHAPE, ((12, 12, -9), (12, 12, 110)), 5)] = THROUGH
    ids[make_tube(SHAPE, ((12, 34, -9), (12, 34, 60)), 5)] = ENDING
    ids[np.logical_or.reduce([make_tube(SHAPE, ends, 4) for ends in ARMS])] = FORK
    ids[make_ball(SHAPE, (12, 52, 80), 6)] = ORPHAN
    return ids


def inspect(volume: Volume, block_vx=(32, 32, 32), tissue=None, wanted=None) -> Inspected:
    grid, ids = BlockGrid.make(volume.roi, volume.voxel_size, block_vx), volume.read()
    touching = list(find_at_border(volume, grid))
    if tissue is not None:
        touching += find_beside_gaps(volume, grid, range(len(grid)), tissue)
    sizes = Sizes.of(np.bincount(ids.ravel().astype(np.int64)) * (np.arange(int(ids.max()) + 1) > 0), touching)
    largest = sizes.id[sizes.rank()].tolist()[:wanted]
    held = [
        (block.write_roi, sorted(set(np.unique(volume.read(block.write_roi)).tolist()) & set(largest)))
        for block in grid.blocks()
    ]
    return inspect_volume(volume, volume.roi, sizes, held, tissue)


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> Volume:
    folder = tmp_path_factory.mktemp("quality")
    return write_segmentation(folder / "v.zarr/s", make_ids(), (VOXEL,) * 3, (40, 0, 100))


def test_tubes_a_y_and_an_orphan(volume):
    quality = inspect(volume).quality
    found = {segment.id: segment for segment in quality.largest}
    told = {id_: (s.branches, s.branch_points, s.ends, len(s.dangling_nm), s.exits) for id_, s in found.items()}
    assert told[THROUGH] == (1, 0, 2, 0, 2)
    assert told[ENDING] == (1, 0, 2, 1, 1)
    assert told[FORK] == (3, 1, 3, 0, 3)
    assert told[ORPHAN][3:] == (told[ORPHAN][2], 0)  # every end of it dangles
    assert (quality.segments, quality.at_border, quality.orphans) == (4, 3, 1)
    ids = volume.read()
    assert quality.orphan_voxels == (ids == ORPHAN).sum()
    assert (quality.voxels, quality.segmented) == (ids.size, (ids > 0).sum())
    assert {id_: s.voxels for id_, s in found.items()} == {i: (ids == i).sum() for i in found}
    assert [s.id for s in quality.largest] == sorted(found, key=lambda i: -found[i].voxels)
    assert found[THROUGH].length_nm == pytest.approx(96 * VOXEL, rel=0.1)
    ((z, y, x),) = found[ENDING].dangling_nm  # in nm of the world: the volume begins at (40, 0, 100)
    end = np.array([12, 34, 65]) * VOXEL + [40, 0, 100]
    assert np.abs(np.array([z, y, x]) - end).max() < 6 * VOXEL


def test_half_is_in_the_fewest_segments(volume):
    sizes = Sizes.of(np.array([0, 10, 0, 4, 3, 3]), [])
    assert sizes.id.tolist() == [1, 3, 4, 5]
    for voxels, half in (([0, 10, 4, 3, 3], 1), ([0, 9, 4, 4, 3], 2), ([0, 5, 5, 5, 5], 2), ([0, 1], 1), ([0], 0)):
        table = Sizes.of(np.array(voxels), [np.array([0], np.uint64)])
        assert inspect_volume(volume, volume.roi, table, []).quality.half == half


def test_the_result_does_not_depend_on_blocks(volume):
    quality = inspect(volume).quality
    assert inspect(volume, (48, 64, 96)).quality == quality
    assert inspect(volume, (16, 48, 20)).quality == quality


def test_where_tissue_ends_is_a_border(volume, tmp_path):
    mask = Volume.create(tmp_path / "m.zarr/mask", (24, 32, 48), (40, 40, 40), np.uint8, offset_nm=volume.offset_nm)
    tissue = np.ones(mask.shape_vx, np.uint8)
    tissue[:, :, 33:36] = 0  # voxels 66 to 71 along x: beyond the end of the tube, before the ball
    mask.write(mask.roi, tissue)
    ids = make_ids()
    ids[:, :, 66:72] = 0
    cut = write_segmentation(tmp_path / "v.zarr/s", ids, (VOXEL,) * 3, volume.offset_nm)
    bounded = Tissue((Mask.open(mask.path, cut),))
    alone, found = inspect(cut).quality, inspect(cut, tissue=bounded).quality
    assert (alone.orphans, found.orphans) == (1, 1)  # the ball begins two voxels after the gap
    assert {s.id: len(s.dangling_nm) for s in alone.largest}[ENDING] == 1
    assert {s.id: len(s.dangling_nm) for s in found.largest}[ENDING] == 0
    tissue[:, :, 36] = 0  # now it touches
    mask.write(mask.roi, tissue)
    assert inspect(cut, tissue=bounded).quality.orphans == 0


def test_an_exit_is_counted_once_at_an_edge_and_twice_at_two_faces(tmp_path):
    ids = np.zeros((24, 40, 40), np.uint64)
    ids[:6, :6, 10:16] = 1  # along an edge
    ids[10:14, :, 20:24] = 2  # from face to face
    ids[10:14, 8:12, 0:20] = 3
    ids[16:20, 8:12, 0:20] = 3  # two places on one face
    ids[10:20, 8:12, 16:20] = 3
    quality = inspect(write_segmentation(tmp_path / "v.zarr/s", ids, (30, 20, 20))).quality
    assert {s.id: s.exits for s in quality.largest} == {1: 1, 2: 2, 3: 2}


def test_sizes_are_classed_by_powers_of_ten():
    # Voxels of 100 nm: 1000 are 1 µm³.
    voxels = np.array([0, 1000, 999, 9999, 10, 10000])
    sizes = Sizes.of(voxels, [np.array([2, 5], np.uint64)])
    classes = classify(sizes, (100.0, 100.0, 100.0))
    assert [(c.from_um3, c.segments, c.voxels, c.orphans) for c in classes] == [
        (0.01, 1, 10, 1),
        (0.1, 1, 999, 0),
        (1.0, 2, 10999, 2),
        (10.0, 1, 10000, 0),
    ]
    assert classify(Sizes.of(np.zeros(1, np.int64), []), (1.0, 1.0, 1.0)) == ()


def test_only_what_may_be_read_is_cut(volume):
    grid = BlockGrid.make(volume.roi, volume.voxel_size, (48, 64, 32))
    first = np.array([0, 2, 4, 5])
    lut = Lut(first, np.array([7, 8, 7, 9, 9], np.uint64))  # 7 in blocks 0 and 1, 8 in 0, 9 in 1 and 2
    block = 48 * 64 * 32
    assert [ids for _, ids in find_blocks(lut, grid, [7, 9, 8], 3 * block)] == [[7, 8], [7, 9], [9]]
    assert [ids for _, ids in find_blocks(lut, grid, [7, 9, 8], 2 * block)] == [[7], [7]]
    assert [ids for _, ids in find_blocks(lut, grid, [8, 7], 2 * block)] == [[7, 8], [7]]
    assert find_blocks(lut, grid, [7], block) == []
    sizes = Sizes.of(np.array([0, 5, 6]), [])
    quality = inspect_volume(volume, volume.roi, sizes, []).quality
    assert (quality.segments, quality.largest, quality.dangling) == (2, (), 0)


def test_crops_are_those_of_the_whole(tmp_path):
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 4, (13, 22, 31)).astype(np.uint64)
    ids[5:9] = 0
    volume = write_segmentation(tmp_path / "v.zarr/s", ids, (30, 10, 10), (60, 20, 0))
    frame = Frame.plan(volume, volume.roi, 1500)
    assert np.prod(frame.shape) <= 1500
    grid = BlockGrid.make(volume.roi, Coordinate(volume.voxel_size), (5, 7, 9))
    crops = cut_crops(volume, frame, [(block.write_roi, [1, 3, 99]) for block in grid.blocks()])
    assert sorted(crops) == [1, 3]
    for id_, crop in crops.items():
        expected = np.unique(np.argwhere(ids == id_) // frame.factor, axis=0)
        assert np.array_equal(np.argwhere(crop.mask) + crop.begin, expected)


def test_a_volume_without_segments_has_no_quality_to_speak_of(tmp_path: Path):
    volume = write_segmentation(tmp_path / "v.zarr/s", np.zeros((4, 5, 6), np.uint64))
    quality = inspect(volume).quality
    assert (quality.segments, quality.half, quality.orphan_share, quality.sizes, quality.largest) == (0, 0, 0.0, (), ())
