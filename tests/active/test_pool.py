"""Candidates: every box of a small map against sums made the slow way, and maps stored and read in every manner."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.active.pool import Candidates, find_candidates
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig

FULL = 65535
CELL_NM = (240.0, 128.0, 128.0)
OFFSET_NM = (480.0, 0.0, -256.0)


def write_grid(
    path: Path,
    mean: np.ndarray,
    tissue: np.ndarray,
    bins: np.ndarray | None = None,
    chunk: tuple[int, int, int] | None = None,
    cell_nm: tuple[float, float, float] = CELL_NM,
    offset_nm: tuple[float, float, float] = OFFSET_NM,
) -> Volume:
    """Store scores, tissue (and histograms, bins first) of fractions 0..1 as an uncertainty map."""
    parts = [mean[None], tissue[None]] if bins is None else [mean[None], tissue[None], bins]
    stored = np.rint(np.concatenate(parts) * FULL).astype(np.uint16)
    grid = Volume.create(
        path, mean.shape, cell_nm, np.uint16, offset_nm=offset_nm, channels=len(stored), chunk_vx=chunk
    )
    grid.data[:] = stored
    return grid


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Volume]:
    return lambda *args, **kwargs: write_grid(tmp_path / "grid.zarr" / "cells", *args, **kwargs)


def as_rows(candidates: Candidates) -> list[tuple]:
    return [
        (*map(int, c), float(s), float(t))
        for c, s, t in zip(candidates.first_cell, candidates.score, candidates.tissue, strict=True)
    ]


def test_a_score_is_the_mean_over_tissue(store: Callable[..., Volume]) -> None:
    mean = np.array([[[0.0, 1.0, 1.0, 0.0]]])
    tissue = np.array([[[1.0, 1 / 3, 1.0, 0.0]]])  # fifths of 65535 and thirds are whole
    found = find_candidates(store(mean, tissue), (1, 1, 2), (1, 1, 1), min_tissue=0.5)
    assert found.first_cell.dtype == np.int32
    assert found.first_cell.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    np.testing.assert_allclose(found.score, [0.25, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(found.tissue, [2 / 3, 2 / 3, 0.5], rtol=1e-6)
    assert found.box(1) == RoiConfig(offset_nm=(480, 0, -128), shape_nm=(240, 128, 256))


def test_a_median_is_interpolated_in_its_bin(store: Callable[..., Volume]) -> None:
    bins = np.zeros((4, 1, 1, 4))
    bins[1, ..., 0] = 1  # all of the first cell in [0.25, 0.5)
    bins[0, ..., 1] = 1
    bins[3, ..., 2] = 1
    tissue = np.array([[[1.0, 0.2, 0.6, 0.0]]])
    grid = store(np.zeros((1, 1, 4)), tissue, bins)
    one = find_candidates(grid, (1, 1, 1), (1, 1, 1), reading="median", min_tissue=0.1)
    np.testing.assert_allclose(one.score, [0.375, 0.125, 0.875])
    all_four = find_candidates(grid, (1, 1, 4), (1, 1, 1), reading="median", min_tissue=0.1)
    # Weights 0.2, 1.0, 0, 0.6 a bin: half of 1.8 is 0.7 into the second.
    np.testing.assert_allclose(all_four.score, [(1 + 0.7) / 4], rtol=1e-6)


def test_sums_of_full_cells_do_not_overflow(store: Callable[..., Volume]) -> None:
    ones = np.ones((3, 40, 40))
    grid = store(ones, ones, np.stack([0 * ones, ones]))
    for reading, right in (("mean", 1.0), ("median", 0.75)):
        found = find_candidates(grid, (3, 40, 40), (1, 1, 1), reading=reading, min_tissue=1)
        assert as_rows(found) == [(0, 0, 0, right, 1.0)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    size = draw(st.tuples(*[st.integers(1, 9)] * 3))
    shape = tuple(draw(st.integers(1, n)) for n in size)
    stride = draw(st.tuples(*[st.integers(1, 5)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    tissue = np.where(rng.random(size) < 0.7, 1.0, rng.random(size))
    tissue[rng.random(size) < 0.2] = 0
    bins = rng.dirichlet(np.ones(4), size).transpose(3, 0, 1, 2)
    min_tissue = draw(st.sampled_from([0.0, 0.3, 0.6]))
    return rng.random(size), tissue, bins, shape, stride, min_tissue


def read_slowly(grid: Volume, shape: tuple, stride: tuple, reading: str, min_tissue: float) -> list[tuple]:
    """Every box by itself, in floating point."""
    data = grid.data[:].astype(float) / FULL
    rows = []
    for first in itertools.product(
        *(range(0, n - s + 1, d) for n, s, d in zip(grid.shape_vx, shape, stride, strict=True))
    ):
        box = data[(slice(None), *(slice(f, f + s) for f, s in zip(first, shape, strict=True)))]
        tissue = box[1].sum()
        # what rounding to a stored step hides is tolerated
        if tissue == 0 or round(tissue * FULL) < (min_tissue * FULL - 1) * box[1].size:
            continue
        score = (box[0] * box[1]).sum() / tissue
        if reading == "median":
            weights = (box[2:] * box[1]).sum((1, 2, 3))
            edges = np.concatenate([[0], np.cumsum(weights)])
            score = np.interp(edges[-1] / 2, edges, np.linspace(0, 1, len(edges)))
        rows.append((*first, score, tissue / box[1].size))
    return rows


@pytest.mark.parametrize("reading", ["mean", "median"])
@given(case=cases())
def test_every_box_is_found_with_its_score(case: tuple, reading: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    mean, tissue, bins, shape, stride, min_tissue = case
    grid = write_grid(tmp_path_factory.mktemp("grid") / "cells", mean, tissue, bins)
    right = read_slowly(grid, shape, stride, reading, min_tissue)
    if not right:
        with pytest.raises(UserError, match="tissue"):
            find_candidates(grid, shape, stride, reading=reading, min_tissue=min_tissue)
        return
    found = find_candidates(grid, shape, stride, reading=reading, min_tissue=min_tissue)
    assert found.first_cell.tolist() == [list(row[:3]) for row in right]
    np.testing.assert_allclose(np.array(as_rows(found))[:, 3:], np.array(right)[:, 3:], atol=2e-6)


@given(case=cases(), chunk=st.tuples(*[st.integers(1, 9)] * 3), slab_bytes=st.integers(1, 5000))
def test_how_a_map_is_stored_and_read_does_not_matter(
    case: tuple, chunk: tuple[int, int, int], slab_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mean, tissue, bins, shape, stride, _ = case
    folder = tmp_path_factory.mktemp("grid")
    tissue[0, 0, 0] = 1  # some box has tissue
    whole = write_grid(folder / "whole", mean, tissue, bins, chunk=mean.shape)
    cut = write_grid(folder / "cut", mean, tissue, bins, chunk=chunk)
    for reading in ("mean", "median"):
        one = find_candidates(whole, shape, stride, reading=reading, min_tissue=0)
        other = find_candidates(cut, shape, stride, reading=reading, min_tissue=0, slab_bytes=slab_bytes)
        assert as_rows(one) == as_rows(other)


def test_no_box_leaves_the_mask(store: Callable[..., Volume]) -> None:
    tissue = np.ones((4, 6, 6))
    tissue[:, 2, 3] = 65534 / FULL  # one step short
    found = find_candidates(store(tissue, tissue), (2, 2, 2), (1, 1, 1), min_tissue=1)
    assert len(found) == 3 * (5 * 5 - 2 * 2)
    assert all(tissue[z : z + 2, y : y + 2, x : x + 2].min() == 1 for z, y, x in found.first_cell)


def test_a_tissue_fraction_is_met_though_it_is_rounded(store: Callable[..., Volume]) -> None:
    quarters = np.full((1, 1, 1), 0.75)  # stored as 49151, a little less
    assert len(find_candidates(store(quarters, quarters), (1, 1, 1), (1, 1, 1), min_tissue=0.75)) == 1


def test_boxes_that_overlap_an_excluded_one_are_left_out(store: Callable[..., Volume]) -> None:
    ones = np.ones((1, 1, 6))
    grid = store(ones, ones, cell_nm=(4.6, 4.6, 4.6), offset_nm=(0, 0, 9.2))
    middle = RoiConfig(offset_nm=(0, 0, 9.2 + 2 * 4.6), shape_nm=(4.6, 4.6, 4.6))  # the third cell exactly
    found = find_candidates(grid, (1, 1, 2), (1, 1, 1), excluded=[middle])
    assert found.first_cell[:, 2].tolist() == [0, 3, 4]
    beside = RoiConfig(offset_nm=(4.6, 0, 9.2), shape_nm=(4.6, 4.6, 46))
    assert len(find_candidates(grid, (1, 1, 2), (1, 1, 1), excluded=[beside])) == 5
    with pytest.raises(UserError, match="overlaps an excluded one"):
        find_candidates(grid, (1, 1, 5), (1, 1, 1), excluded=[middle])


@given(
    first=st.tuples(*[st.integers(-1, 7)] * 3), size=st.tuples(*[st.integers(1, 3)] * 3), distance=st.integers(0, 30)
)
def test_boxes_near_an_excluded_one_are_left_out(
    first: tuple, size: tuple, distance: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As the gap of every box, face to face, tells."""
    ones, cell = np.ones((7, 6, 8)), (4.0, 3.0, 3.0)
    grid = write_grid(tmp_path_factory.mktemp("grid") / "cells", ones, ones, cell_nm=cell, offset_nm=(0, 0, 0))
    box = RoiConfig(
        offset_nm=[f * c for f, c in zip(first, cell, strict=True)],
        shape_nm=[s * c for s, c in zip(size, cell, strict=True)],
    )
    right = []
    for place in itertools.product(range(6), range(5), range(7)):
        gaps = [max(f - p - 2, p - f - s) * c for p, f, s, c in zip(place, first, size, cell, strict=True)]
        if any(g >= 0 for g in gaps) and sum(max(g, 0) ** 2 for g in gaps) >= distance**2:
            right.append(list(place))
    if not right:
        with pytest.raises(UserError, match="or is too near to it"):
            find_candidates(grid, (2, 2, 2), (1, 1, 1), excluded=[box], min_distance_nm=distance)
        return
    found = find_candidates(grid, (2, 2, 2), (1, 1, 1), excluded=[box], min_distance_nm=distance)
    assert found.first_cell.tolist() == right


def test_no_box_leaves_the_volume(store: Callable[..., Volume]) -> None:
    ones = np.ones((2, 3, 5))
    grid = store(ones, ones)
    z, y, x = (s * n for s, n in zip(CELL_NM, ones.shape, strict=True))
    volume = RoiConfig(offset_nm=OFFSET_NM, shape_nm=(z, y, x - 1))  # ends inside the map's last cell
    found = find_candidates(grid, (1, 2, 2), (1, 1, 1), within=volume)
    assert found.first_cell.max(axis=0).tolist() == [1, 1, 2]
    with pytest.raises(UserError, match="does not fit"):
        find_candidates(grid, (1, 2, 5), (1, 1, 1), within=volume)
    with pytest.raises(UserError, match="a box of 3 x 1 x 1 cells does not fit into the volume of 2 x 3 x 5"):
        find_candidates(grid, (3, 1, 1), (2, 1, 1))


def test_what_is_wrong_is_told(store: Callable[..., Volume], tmp_path: Path) -> None:
    half = np.full((2, 2, 2), 0.5)
    grid = store(half, half)
    with pytest.raises(UserError, match="no box has 100% tissue, the most is 50%"):
        find_candidates(grid, (1, 1, 1), (1, 1, 1))
    with pytest.raises(UserError, match="no histograms"):
        find_candidates(grid, (1, 1, 1), (1, 1, 1), reading="median", min_tissue=0)
    with pytest.raises(UserError, match="not an uncertainty map"):
        find_candidates(Volume.create(tmp_path / "raw", (2, 2, 2), (1, 1, 1), np.uint8), (1, 1, 1), (1, 1, 1))
