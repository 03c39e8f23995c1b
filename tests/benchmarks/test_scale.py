"""The model of docs/scale.md: it counts as the package counts, and more voxels never cost less."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale import report as report
from benchmarks.scale import simulation as model
from benchmarks.scale import sizes as sizes_of
from benchmarks.scale.figures import SHARDED, TODAY, Design, Figures, override
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.segmentation.pipeline import SegmentConfig, make_plan
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import builtin_folder

ROOT = Path(__file__).parents[2]
FIGURES = Figures()
POWERS = range(6, 16)
SIDES = st.tuples(st.integers(1, 300), st.integers(1, 3000), st.integers(1, 3000))


@given(SIDES, st.sampled_from([(32, 256, 256), (64, 512, 512), (7, 100, 33)]))
def test_blocks_are_those_of_the_grid(shape, block_vx):
    voxel = Coordinate(30, 6, 6)
    grid = BlockGrid.make(Roi((60, 12, 0), Coordinate(shape) * voxel), voxel, block_vx)
    assert sizes_of.count(shape, block_vx) == len(grid)


@pytest.fixture
def plan(tmp_path):
    """The demo's segmentation: its shape, voxel size and block, a backbone of the zoo."""
    Volume.create(tmp_path / "raw", (24, 512, 512), (30, 6, 6), np.uint8)
    config = SegmentConfig(
        raw=str(tmp_path / "raw"),
        backbone=str(builtin_folder() / "mouse_cortex_sssem"),
        output=str(tmp_path / "run"),
        block_vx=(24, 256, 256),
    )
    return make_plan(config)


def test_blocks_bytes_and_chunks_are_those_of_the_demos_plan(plan):
    design = Design(block_vx=(24, 256, 256), file_vx=(24, 64, 64), chunk_vx=(24, 64, 64))
    shape = (24, 512, 512)
    loads, sizes = model.measure_loads(shape, design, FIGURES), sizes_of.array_bytes(shape, FIGURES)
    described = plan.describe()
    assert list(loads) == [stage["stage"] for stage in described]
    assert {stage["stage"]: stage["blocks"] for stage in described} == {
        name: load.units for name, load in loads.items()
    }
    assert {stage["stage"]: stage["bytes"] for stage in described if stage["bytes"]} == sizes
    assert plan.task("predict").chunk_vx == design.chunk_vx
    assert sizes_of.measure_sizes(shape, design, FIGURES)["array_files"] == 3 * 64


def test_the_design_of_today_is_the_packages_default(tmp_path):
    Volume.create(tmp_path / "raw", (64, 512, 512), (30, 6, 6), np.uint8)
    backbone = str(builtin_folder() / "mouse_cortex_sssem")
    plan = make_plan(SegmentConfig(raw=str(tmp_path / "raw"), backbone=backbone, output=str(tmp_path / "run")))
    assert plan.config.block_vx == TODAY.block_vx
    assert plan.task("predict").chunk_vx == TODAY.chunk_vx == TODAY.file_vx


@pytest.mark.parametrize("design", [TODAY, SHARDED], ids=["today", "built"])
def test_more_voxels_never_cost_less(design):
    sizes = [sizes_of.measure_sizes(sizes_of.shape_of(p), design, FIGURES) for p in POWERS]
    for smaller, larger in pairwise(sizes):
        assert all(larger[name] >= smaller[name] for name in sizes[0])
    for workers in report.WORKERS:
        walls = [
            model.simulate(
                model.measure_loads(sizes_of.shape_of(p), design, FIGURES), workers, design, FIGURES, on_disk=False
            )
            for p in POWERS
        ]
        assert all(a.wall_s <= b.wall_s for a, b in pairwise(walls))


@pytest.mark.parametrize("design", [TODAY, SHARDED], ids=["today", "built"])
@given(st.integers(6, 15), st.sampled_from([1, 3, 8]), st.booleans())
def test_more_workers_never_take_longer_and_never_beat_what_they_share(design, power, workers, on_disk):
    loads = model.measure_loads(sizes_of.shape_of(power), design, FIGURES)
    few, many = (model.simulate(loads, n, design, FIGURES, on_disk).wall_s for n in (workers, 1000 * workers))
    figures = replace(FIGURES, mongo_s=FIGURES.sqlite_s)  # else the ledger changes with the number of machines
    assert model.simulate(loads, 1000 * workers, design, figures, on_disk).wall_s <= few
    shared = sum(load.units for load in loads.values()) * FIGURES.block_s
    assert many >= max(shared, sum(load.moved for load in loads.values()) / FIGURES.bandwidth)


@pytest.mark.parametrize("design", [TODAY, SHARDED], ids=["today", "built"])
def test_every_block_of_every_pass_has_a_record(design):
    shape = sizes_of.shape_of(12)
    units = sum(load.units for load in model.measure_loads(shape, design, FIGURES).values())
    assert sizes_of.measure_sizes(shape, design, FIGURES)["records"] == units


def test_the_wall_time_is_what_is_waited_for():
    loads = model.measure_loads(sizes_of.shape_of(12), TODAY, FIGURES)
    done = model.simulate(loads, 100, TODAY, FIGURES, on_disk=True)
    assert done.wall_s == pytest.approx(sum(done.waits.values()))
    assert done.waits[done.bottleneck] == max(done.waits.values())


def test_a_resource_that_is_slow_enough_is_the_bottleneck():
    for name, slow in {
        "GPUs": {"gpu_vx_s": 1e3},
        "scheduler": {"block_s": 1e3},
        "ledger": {"mongo_s": 1e-3},
        "bandwidth": {"bandwidth": 1e3},
        "start-up": {"start_s": 1e9},
        "global step": {"union_s": 1e3},
        "requests": {"put_s": 1e-3},
        "request latency": {"latency_s": 1e6},
        "CPU cores": {"fragments_vx_s": 1e-2},
    }.items():
        figures = replace(FIGURES, **slow)
        # Latency slows the one process of the global step most, unless that is a tree.
        design = replace(TODAY, merged_in_tree=name == "request latency")
        loads = model.measure_loads(sizes_of.shape_of(12), design, figures)
        assert model.simulate(loads, 100, design, figures, on_disk=False).bottleneck == name


def test_reading_counts_chunks_around_a_block():
    assert sizes_of.read_once(TODAY) == (16, 1)
    assert sizes_of.read_once(TODAY, (0, 1, 1), (0, 1, 1)) == (36, 36 / 16)
    shard = Design(block_vx=(64, 512, 512), file_vx=(64, 512, 512))
    assert sizes_of.read_once(shard) == (1, 1)  # the whole file, one request
    assert sizes_of.read_once(shard, (1, 0, 0)) == (
        1 + 64 + 1,
        192 / 128,
    )  # and 64 chunks of the shard above, after its index


def test_parts_that_do_not_tile_a_block_are_refused():
    with pytest.raises(ValueError, match="tile"):
        Design(block_vx=(24, 256, 256))


def test_what_does_not_fit_is_named():
    sizes = sizes_of.measure_sizes(sizes_of.shape_of(14), TODAY, FIGURES)
    assert "memory of the global step" in sizes_of.name_limits(sizes, FIGURES)
    assert "memory of the global step" not in sizes_of.name_limits(sizes, replace(FIGURES, node_ram=1e15))
    assert not sizes_of.name_limits(sizes_of.measure_sizes(sizes_of.shape_of(9), TODAY, FIGURES), FIGURES)


@pytest.mark.parametrize("setting", ["gpu=1", "gpu_vx_s=fast", "gpu_vx_s=0", "gpu_vx_s=nan", "gpu_vx_s"])
def test_a_wrong_figure_is_refused(setting):
    with pytest.raises(ValueError, match=r"gpu|fast|float"):
        override(FIGURES, [setting])


def test_every_figure_has_a_unit_and_says_whether_it_was_measured():
    for line in report.figures_table(FIGURES).splitlines()[2:]:
        assert line.split(" | ")[3].startswith(("measured", "assumed"))


def test_the_document_is_what_the_tool_writes():
    written = (ROOT / "docs/scale.md").read_text()
    assert written == report.write_report(FIGURES, POWERS)


def test_the_tool_needs_neither_zarr_nor_torch():
    code = "import sys, benchmarks.scale.report; assert not {'zarr', 'torch', 'neuroadda'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
