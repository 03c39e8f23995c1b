"""Pictures of what finished blocks have written, and of no more."""

from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import dump_config
from neuroadda.errors import UserError
from neuroadda.ledger.base import TaskRecord
from neuroadda.viewing import figures
from neuroadda.viewing.dashboard.slices import SIDE_VX, Slices, cut_section, find_window
from neuroadda.volumes.arrays import Volume

SIZE = st.tuples(st.integers(1, 9), st.integers(1, 900), st.integers(1, 900))


@given(
    shape=SIZE,
    block=SIZE,
    voxel=st.tuples(*[st.integers(1, 40)] * 3),
    offset=st.tuples(*[st.integers(-50, 50)] * 3),
    place=st.floats(0, 0.999),
)
def test_a_window_is_one_section_around_the_middle_of_its_block(shape, block, voxel, offset, place):
    voxel = Coordinate(voxel)
    whole = Roi(Coordinate(offset) * voxel, Coordinate(shape) * voxel)
    grid = BlockGrid.make(whole, voxel, tuple(min(b, s) for b, s in zip(block, shape, strict=True)))
    index = int(place * len(grid))
    window = find_window(grid, index)
    assert whole.contains(window)
    assert all(o % v == 0 for o, v in zip(window.offset - whole.offset, voxel, strict=True))
    vx = window.shape / voxel
    assert tuple(vx) == (1, *(min(SIDE_VX, s) for s in shape[1:]))
    assert window.contains(grid[index].write_roi.center)


@pytest.mark.parametrize(
    ("dtype", "channels", "draw"),
    [
        (np.uint64, None, figures.labels_image),
        (np.uint32, None, figures.labels_image),
        (np.uint8, None, figures.raw_image),
        (np.float32, None, figures.raw_image),
        (np.uint8, 3, figures.affs_image),
        (np.uint8, 12, figures.affs_image),
    ],
)
def test_a_section_is_drawn_as_what_it_is(tmp_path: Path, dtype, channels, draw):
    volume = Volume.create(tmp_path / "a.zarr/x", (4, 30, 20), (9, 5, 5), dtype, channels=channels, chunk_vx=(2, 8, 8))
    shape = (4, 30, 20) if channels is None else (channels, 4, 30, 20)
    values = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    volume.write(volume.roi, values)
    section = cut_section(str(volume.path), Roi((18, 0, 0), (9, 150, 100)))
    np.testing.assert_array_equal(section, draw(values[..., 2, :, :]))


def test_only_pictures_of_finished_blocks_are_kept(tmp_path: Path):
    grid = BlockGrid.make(Roi((0, 0, 0), (2, 8, 16)), Coordinate(1, 1, 1), (2, 8, 8))
    volume = Volume.create(tmp_path / "a.zarr/x", (2, 8, 16), (1, 1, 1), np.uint8, chunk_vx=(2, 8, 8))
    task = TaskRecord(fingerprint="a", stage="s", blocks=2, voxels=256, output=str(volume.path), grid=dump_config(grid))
    slices = Slices()

    def picture(*done: bool) -> np.ndarray:
        (tmp_path / "x.png").write_bytes(slices.picture(task, 0, np.array(done)))
        with Image.open(tmp_path / "x.png") as image:
            return np.asarray(image)

    assert slices.has_array(task)
    assert not picture(True, False).any()
    volume.write(volume.roi, np.full((2, 8, 16), 7, np.uint8))
    assert (picture(True, True) == 7).all()
    volume.write(volume.roi, np.full((2, 8, 16), 9, np.uint8))
    assert (picture(True, True) == 7).all()


def test_an_output_that_is_no_array_has_no_picture(tmp_path: Path):
    task = TaskRecord(fingerprint="a", stage="s", blocks=1, voxels=1, output=str(tmp_path), grid={})
    assert not Slices().has_array(task)
    with pytest.raises(UserError):
        cut_section(str(tmp_path / "nothing"), Roi((0, 0, 0), (1, 1, 1)))
