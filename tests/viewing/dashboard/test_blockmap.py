"""The map and the history say of many blocks in few numbers what there is to say."""

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import dump_config
from neuroadda.ledger.base import STATUSES, BlockColumns, TaskRecord, Worker
from neuroadda.viewing.dashboard.blockmap import MOST_BINS, MOST_CELLS, count_history, map_blocks
from neuroadda.viewing.dashboard.progress import DONE, UNKNOWN, StageProgress


def make_progress(counts: tuple[int, int, int], seed: int = 0, span: float = 100.0) -> StageProgress:
    """Return blocks of random states, of 2 x 2 x 2 voxels but for the last along x, over some seconds."""
    shape = tuple(2 * n for n in counts)
    grid = BlockGrid.make(Roi((0, 0, 0), (*shape[:2], shape[2] - 1)), Coordinate(1, 1, 1), (2, 2, 2))
    size, random = len(grid), np.random.default_rng(seed)
    task = TaskRecord(
        fingerprint="a",
        stage="s",
        blocks=size,
        voxels=grid.voxels(),
        output="/o",
        grid=dump_config(grid),
        created=1000.0,
    )
    progress = StageProgress(task)
    statuses = random.choice([*range(len(STATUSES)), UNKNOWN], size).astype(np.uint8)
    told = np.flatnonzero(statuses != UNKNOWN)
    when = 1001 + random.uniform(0, span, len(told)).round(1)
    worker = (Worker(host="a", pid=1),)
    progress.update(BlockColumns(told, statuses[told], when, np.ones(len(told)), np.zeros(len(told), np.int64), worker))
    return progress


@given(counts=st.tuples(st.integers(1, 5), st.integers(1, 60), st.integers(1, 110)), seed=st.integers(0, 99))
def test_every_block_is_in_one_cell_of_each_view(counts, seed):
    progress = make_progress(counts, seed)
    for view, (axis, down, right) in zip(map_blocks(progress), ((0, 1, 2), (1, 0, 2)), strict=True):
        assert max(view["rows"], view["columns"]) <= MOST_CELLS
        places = np.unravel_index(np.arange(len(progress.statuses)), counts)
        rows, columns = (places[a] // f for a, f in zip((down, right), view["blocks_per_cell"], strict=True))
        cell = rows * view["columns"] + columns
        size = view["rows"] * view["columns"]
        assert view["blocks"] == np.bincount(cell, minlength=size).tolist()
        for place, name in enumerate(STATUSES):
            assert view[name] == np.bincount(cell[progress.statuses == place], minlength=size).tolist()
        for at, (pick, when) in enumerate(zip(view["pick"], view["when"], strict=True)):
            inside = (cell == at) & (progress.statuses == DONE)
            assert (pick is None) == (when is None) == (not inside.any())
            if pick is not None:
                assert inside[pick]
                assert when == pytest.approx(1000 + progress.when[inside].mean(dtype=float), abs=0.06)
                away = np.abs(2 * places[axis] - counts[axis] + 1)
                other = sum(np.abs(2 * places[a] - counts[a] + 1) for a in (down, right))
                assert (away + other)[pick] == (away + other)[inside].min()


@given(counts=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)), span=st.floats(0, 1e7))
def test_the_history_holds_every_block_and_voxel_that_is_done(counts, span):
    progress = make_progress(counts, span=span)
    history, done = count_history(progress), progress.statuses == DONE
    assert sum(history["blocks"]) == done.sum()
    assert sum(history["voxels"]) == progress.voxels_of(done).sum()
    assert len(history["blocks"]) <= MOST_BINS + 1
    if done.any():
        assert history["start"] == progress.first
        assert history["width"] * len(history["blocks"]) >= history["span"]


def test_a_bin_holds_what_was_done_in_its_time():
    progress = make_progress((1, 1, 6))
    size = 6
    columns = BlockColumns(
        np.arange(size),
        np.full(size, DONE, np.uint8),
        1000 + np.array([1, 2, 2.5, 40, 41, 90.0]),
        np.ones(size),
        np.zeros(size, np.int64),
        (Worker(host="a", pid=1),),
    )
    progress = StageProgress(progress.task)
    progress.update(columns)
    history = count_history(progress)
    assert (history["start"], history["width"], history["span"]) == (1000.0, 1, 90.0)
    assert {second: n for second, n in enumerate(history["blocks"]) if n} == {1: 1, 2: 2, 40: 1, 41: 1, 90: 1}
    assert history["voxels"][90] == 4
    assert history["voxels"][2] == 16


def test_without_a_grid_there_is_no_map_and_without_blocks_no_history():
    progress = StageProgress(TaskRecord(fingerprint="a", stage="s", blocks=4, voxels=40, output="/out"))
    assert map_blocks(progress) == []
    assert count_history(progress)["blocks"] == []
