"""Agglomeration over blocks, blocks of blocks and so on is that of the whole volume."""

import math
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.task import Task
from neuroadda.segmentation.agglomerate import AgglomerateLevel, count_levels, level_grid, read_merges
from neuroadda.segmentation.blockfiles import block_file, write_columns
from neuroadda.segmentation.edges import collect_edges
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.ids import capacity_of, to_global
from neuroadda.segmentation.rag import contract
from tests.segmentation.synthetic import VOXEL_SIZE_NM, phantom_affs

SHAPE = (16, 140, 150)


@pytest.fixture(scope="module")
def flooded() -> tuple[np.ndarray, np.ndarray]:
    """Affinities and fragments of the whole volume."""
    _, affs = phantom_affs(SHAPE)
    return affs, find_fragments(affs, VOXEL_SIZE_NM, Fragments(seed_distance_vx=4))


def cut(fragments: np.ndarray, grid: BlockGrid) -> np.ndarray:
    """Return fragments cut by the blocks' borders, with the ids that blocks give."""
    ids = np.zeros(fragments.shape, np.uint64)
    for block in grid.blocks():
        box = block.write_roi.to_slices()
        _, local = np.unique(fragments[box], return_inverse=True)
        ids[box] = to_global(local.reshape(fragments[box].shape) + 1, block.index, capacity_of(grid))
    return ids


def write_edges(folder: Path, grid: BlockGrid, affs: np.ndarray, ids: np.ndarray, scoring: str) -> None:
    for block in grid.blocks():
        read = block.write_roi.grow(Coordinate(1, 1, 1), Coordinate(0, 0, 0)).intersect(grid.roi)
        low = tuple(block.write_roi.begin - read.begin)
        own = affs[(slice(None), *block.write_roi.to_slices())]
        edges = collect_edges(own, ids[read.to_slices()], low, scoring)
        write_columns(block_file(folder, block.index), **vars(edges))


def run_levels(folder: Path, grid: BlockGrid, limit: float, order: np.random.Generator) -> list[dict]:
    """Agglomerate all levels, the blocks of each in a random order; return what each block reported."""
    below, reports = folder / "edges", []
    for level in range(count_levels(grid)):
        stage = AgglomerateLevel(limit=limit, level=level, blocks=grid)
        task = Task.make(stage, {"below": (below, "")}, folder / f"level_{level}", level_grid(grid, level))
        stage.create_output(task)
        function = stage.open(task)
        reports += [function(task.grid[int(index)]) for index in order.permutation(len(task.grid))]
        below = Path(task.output)
    return reports


SCORINGS = ("contraharmonic", "quantile_75", "quantile_90_root", "quantile_100")


@pytest.mark.parametrize(
    ("block_vx", "limit", "scoring"),
    [
        *((b, lim, "mean") for b in ((16, 140, 150), (8, 40, 50), (5, 18, 17), (16, 30, 4)) for lim in (0.95, 0.5)),
        *((b, 0.95, scoring) for b in ((8, 40, 50), (16, 30, 25)) for scoring in SCORINGS),
    ],
)
def test_the_merges_of_all_levels_are_those_of_the_whole_volume(tmp_path, flooded, block_vx, limit, scoring):
    affs, fragments = flooded
    grid = BlockGrid.make(Roi((0, 0, 0), SHAPE), Coordinate(1, 1, 1), block_vx)
    assert count_levels(grid) == 1 + max(math.ceil(math.log2(n)) for n in grid.counts)
    ids = cut(fragments, grid)
    whole = contract(collect_edges(affs, ids, scoring=scoring).to_rag(), limit)
    write_edges(tmp_path / "edges", grid, affs, ids, scoring)
    reports = run_levels(tmp_path, grid, limit, np.random.default_rng(0))
    assert reports[-1]["left"] == 0
    parts = list(read_merges(tmp_path / f"level_{level}" for level in range(count_levels(grid))))
    found = {name: np.concatenate([part[name] for part in parts]) for name in ("u", "v", "score")}
    assert len(found["u"]) == len(whole.merges.u) > 100
    order, right = (np.lexsort((columns["v"], columns["u"])) for columns in (found, vars(whole.merges)))
    for name, column in vars(whole.merges).items():
        assert (found[name][order] == column[right]).all()
