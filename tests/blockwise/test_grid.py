import daisy.v2
import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid, BlockSet
from neuroadda.blockwise.launchers.base import LauncherConfig
from neuroadda.blockwise.launchers.local import LocalLauncher
from neuroadda.blockwise.scheduler import ScheduledTask, make_daisy_task
from neuroadda.errors import UserError

shapes = st.tuples(*[st.integers(1, 12)] * 3)
blocks = st.tuples(*[st.integers(2, 8)] * 3)


@given(
    shape=shapes, block=blocks, context=st.tuples(*[st.integers(0, 5)] * 3), offset=st.tuples(*[st.integers(-9, 9)] * 3)
)
def test_write_rois_tile_the_volume_and_indices_are_dense(shape, block, context, offset):
    voxel_size = Coordinate(30, 6, 5)
    grid = BlockGrid.make(
        Roi(Coordinate(offset) * voxel_size, Coordinate(shape) * voxel_size), voxel_size, block, context
    )
    written = np.zeros(shape, int)
    for index, found in enumerate(grid.blocks()):
        assert found.index == index
        assert grid.at(grid.position_of(found.write_roi.begin)) == found
        box = ((found.write_roi - grid.roi.begin) / voxel_size).to_slices()
        written[box] += 1
        assert found.read_roi == found.write_roi.grow(
            Coordinate(context) * voxel_size, Coordinate(context) * voxel_size
        )
    assert (written == 1).all()
    assert grid.voxels() == written.size
    assert index + 1 == len(grid)


@given(
    shape=shapes, block=blocks, context=st.tuples(*[st.integers(0, 5)] * 3), offset=st.tuples(*[st.integers(-9, 9)] * 3)
)
def test_daisys_blocks_are_those_of_the_grid(shape, block, context, offset):
    voxel_size = Coordinate(30, 6, 5)
    grid = BlockGrid.make(
        Roi(Coordinate(offset) * voxel_size, Coordinate(shape) * voxel_size), voxel_size, block, context
    )
    skipped = [index for index in range(len(grid)) if index % 3 == 1]
    todo = BlockSet.of(np.isin(np.arange(len(grid)), skipped, invert=True))
    launch = LauncherConfig(stage="t", worker="", accelerated=False, logs=".", preload=(), private=".", run="")
    task = ScheduledTask(name="t", grid=grid, blocks=todo.dump(), execution=Execution(), launch=launch)
    daisy_task = make_daisy_task(task, LocalLauncher(task.execution, launch, print))
    assert tuple(daisy_task.block_grid_shape) == grid.counts
    scheduler, found = daisy.v2.Scheduler(daisy_task), {}
    while (given := scheduler.acquire_block("t")) is not None:
        index = grid.at(grid.position_of(given.write_roi.begin)).index
        found[index] = given.write_roi, given.read_roi
        given.status = daisy.v2.BlockStatus.SUCCESS
        scheduler.release_block(given)
    assert found == {index: (grid[index].write_roi, grid[index].read_roi) for index in todo}


def test_grid_survives_json():
    grid = BlockGrid.make(Roi((0, 30, 6), (300, 60, 60)), Coordinate(30, 6, 6), (4, 3, 3), (1, 2, 2))
    assert BlockGrid.model_validate_json(grid.model_dump_json()) == grid


def test_an_empty_roi_is_a_users_error():
    with pytest.raises(UserError, match="is empty"):
        BlockGrid.make(Roi((0, 0, 0), (0, 5, 5)), Coordinate(1, 1, 1), (1, 1, 1))


def test_a_block_without_voxels_is_a_users_error():
    with pytest.raises(UserError, match="no voxels"):
        BlockGrid.make(Roi((0, 0, 0), (5, 5, 5)), Coordinate(1, 1, 1), (1, 0, 1))
