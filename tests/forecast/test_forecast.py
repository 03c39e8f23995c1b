import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.outputs import bind_output
from neuroadda.blockwise.task import Task
from neuroadda.config import dump_config
from neuroadda.errors import UserError
from neuroadda.forecast.costs import BlockCost, StageCost, TaskCost
from neuroadda.forecast.forecast import forecast
from neuroadda.forecast.overhead import Empty, Overhead, measure_overhead
from neuroadda.forecast.sampling import Measurement, choose_boxes, measure_boxes
from neuroadda.forecast.work import Work
from neuroadda.ledger.open import open_ledger
from neuroadda.segmentation.pipeline import make_plan, segment_volume
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from tests.segmentation.synthetic import VOXEL_SIZE_NM, configure, write_inputs, write_raw

METADATA = (".zarray", ".zattrs", "task.json")  # written once, by no block


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"), (24, 96, 300))


def make_task(counts: tuple[int, ...], blocks=None) -> Task:
    grid = BlockGrid.make(Roi((30, 0, 6), Coordinate(counts) * 4), Coordinate(1, 1, 1), (4, 4, 4))
    return Task.make(Empty(), {}, Path("nowhere"), grid, blocks=blocks)


def test_the_sizes_of_a_grid_are_those_of_its_blocks():
    grid = BlockGrid.make(Roi((30, 0, 6), (330, 42, 78)), Coordinate(30, 6, 6), (4, 3, 5), (1, 2, 0))
    voxel = Coordinate(grid.voxel_size)
    written = read = seam = 0
    for block in grid.blocks():
        written += grid.voxels(block.write_roi)
        read += grid.voxels(block.read_roi.intersect(grid.roi))
        below = block.write_roi.grow(voxel, Coordinate(0, 0, 0)).intersect(grid.roi)
        sides = list(zip(below.shape / voxel, block.write_roi.shape / voxel, strict=True))
        seam += sum(
            (b - s) * np.prod([t for a, (_, t) in enumerate(sides) if a != n]) for n, (b, s) in enumerate(sides)
        )
    whole, blocks = Work.of_grid(grid), Work.of_blocks(grid)
    assert (whole.written, whole.read, whole.seam) == (written, read, seam)
    assert (blocks.written.sum(), blocks.read.sum(), blocks.seam.sum()) == (written, read, seam)


def test_boxes_are_whole_blocks_apart_from_each_other_and_always_the_same():
    task = make_task((9, 7, 30))
    boxes = choose_boxes(task, 5)
    assert boxes == choose_boxes(task, 5)
    assert boxes != choose_boxes(task, 5, seed=1)
    assert len(boxes) == 5
    for box in boxes:
        assert tuple(box.shape) == (8, 8, 8)
        assert task.grid.roi.contains(box)
        assert not any((box.begin - task.grid.roi.begin) % 4)
        assert not any(box.grow(1, 1).intersects(other) for other in boxes if other != box)
    x = sorted(box.begin[2] for box in boxes)
    assert x[-1] - x[0] > 60  # spread over the volume, of 120 voxels
    assert len(choose_boxes(make_task((2, 2, 5)), 9)) <= 2


def test_boxes_have_blocks_that_are_done():
    from neuroadda.blockwise.grid import BlockSet

    done = np.zeros((4, 4, 40), bool)
    done[2, 1, 35:] = True
    boxes = choose_boxes(make_task((4, 4, 40), BlockSet.of(done)), 2)
    assert boxes
    for box in boxes:
        assert box.end[2] > 6 + 35 * 4


def cost_of(block_written: float, block_read: float, seam: float) -> dict[str, float]:
    return {"seconds": 3e-6 * block_read + 1e-5 * seam, "bytes": round(2 * block_written + 5 * seam), "edges": 7 * seam}


def test_costs_that_follow_the_sizes_are_forecast_exactly(inputs, tmp_path):
    plan = make_plan(configure(inputs, tmp_path, execution=Execution(workers=3))).upto("fragments")
    context = tuple(plan.task("fragments").grid.context)
    regions, tasks = [], []
    for box in choose_boxes(plan.tasks[0], 2):
        regions.append(RoiConfig(offset_nm=tuple(box.offset), shape_nm=tuple(box.shape)))
        roi = box.grow(Coordinate(0, 0, 0), Coordinate(30, 24 * 6, 24 * 6)).intersect(plan.tasks[0].grid.roi)
        grid = plan.task("fragments").grid.model_copy(update={"offset": tuple(roi.offset), "shape": tuple(roi.shape)})
        work = Work.of_blocks(grid)
        blocks = []
        for index in range(len(grid)):
            cost = cost_of(work.written[index], work.read[index], work.seam[index])
            results = {"edges": cost.pop("edges")}
            blocks.append(BlockCost(block=index, cpu_seconds=cost["seconds"] / 2, files=1, results=results, **cost))
        tasks.append(TaskCost(grid=grid, blocks=blocks))
    assert any(context)
    stages = [
        StageCost(name=task.name, tasks=tasks, start_seconds=2.0, start_cpu_seconds=1.0, peak_bytes=5)
        for task in plan.tasks
    ]
    overhead = Overhead(launch_seconds=4.0, block_seconds=0.001, record_bytes=100)
    found = forecast(plan, Measurement(boxes=regions, voxels=1, stages=stages, overhead=overhead))
    stage, target = found.stages[1], Work.of_grid(plan.task("fragments").grid)
    expected = cost_of(target.written, target.read, target.seam)
    assert stage.bytes.value == pytest.approx(expected["bytes"], rel=1e-6)
    assert stage.counts["edges"].value == pytest.approx(expected["edges"], rel=1e-6)
    assert stage.cpu_seconds.value == pytest.approx(expected["seconds"] / 2 + 3 * 1.0, rel=1e-6)
    blocks = len(plan.tasks[0].grid)
    assert stage.wall_seconds.value == pytest.approx(expected["seconds"] / 3 + 2.0 + 4.0 + 0.001 * blocks, rel=1e-6)
    assert stage.bytes.low == pytest.approx(stage.bytes.high, rel=1e-6)
    assert (stage.blocks, stage.voxels, stage.peak_bytes) == (blocks, 24 * 96 * 300, 5)
    assert found.total.bytes.value == pytest.approx(sum(s.bytes.value for s in found.stages))
    assert (found.total.records, found.ledger_bytes) == (2 * blocks, 200 * blocks)


def test_boxes_that_differ_widen_the_interval(inputs, tmp_path):
    plan = make_plan(configure(inputs, tmp_path)).upto("predict")
    regions = [RoiConfig(offset_nm=tuple(b.offset), shape_nm=tuple(b.shape)) for b in choose_boxes(plan.tasks[0], 2)]

    def spread(factor: int) -> float:
        grid = plan.tasks[0].grid
        tasks = [
            TaskCost(grid=grid, blocks=[BlockCost(block=0, seconds=1, cpu_seconds=1, bytes=size, files=1, results={})])
            for size in (100, 100 * factor)
        ]
        stage = StageCost(name="predict", tasks=tasks, start_seconds=0, start_cpu_seconds=0, peak_bytes=1)
        interval = forecast(plan, Measurement(boxes=regions, voxels=1, stages=[stage])).stages[0].bytes
        assert interval.low <= interval.value <= interval.high
        return interval.high - interval.low

    assert all(narrow < wide for narrow, wide in pairwise(spread(factor) for factor in (1, 2, 3)))


@pytest.mark.system
@pytest.mark.parametrize(
    ("block_vx", "boxes"),
    [
        pytest.param((8, 32, 80), 1, id="one block", marks=pytest.mark.slow),
        pytest.param((8, 32, 40), 1, id="two blocks", marks=pytest.mark.slow),
        pytest.param((8, 32, 16), 2, id="five blocks"),
        pytest.param((40, 200, 500), 1, id="less than a block", marks=pytest.mark.slow),
    ],
)
def test_of_a_small_volume_it_measures_what_there_is(inputs, tmp_path, command, block_vx, boxes):
    """Boxes become smaller; where there is room for one alone, no interval is told."""
    raw, path = write_raw(tmp_path / "raw.zarr/raw", (8, 32, 80)), tmp_path / "run.json"
    config = configure(inputs, tmp_path / "run", raw=str(raw.path), block_vx=block_vx)
    path.write_text(json.dumps({"segment": dump_config(config)}))
    code, told, err = command("segment", "-c", path, "--dry-run", "--measure", 4)
    assert code == 0, err
    _, *rows, last = told.splitlines()
    assert [row.split("\t")[:2] for row in rows[:-1]] == [[t.name, str(len(t.blocks))] for t in make_plan(config).tasks]
    assert rows[-1].startswith("total\t")
    if boxes > 1:
        assert f"From {boxes} boxes" in last
        assert last.endswith("in brackets 95 % by how they differ.")
    else:
        assert "From the one box that has room, of " in last
        assert last.endswith("one box does not tell how boxes differ.")
        assert "(" not in told


def test_no_box_with_tissue_is_told(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr("neuroadda.forecast.sampling.choose_boxes", lambda task, count: [])
    with pytest.raises(UserError, match="no box that holds tissue"):
        measure_boxes(make_plan(configure(inputs, tmp_path)), 2)


def test_the_overhead_of_empty_blocks_is_measured(tmp_path):
    found = measure_overhead(Execution(workers=2), tmp_path, blocks=60)
    assert found.block_seconds > 0
    assert found.record_bytes > 0


def test_the_command_measures_and_writes_nothing(inputs, tmp_path, command, monkeypatch):
    """Even where a run would be refused, as the disk has no room for it: how much it needs is what is asked."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=shutil.disk_usage("/"): usage._replace(free=1000))
    output = tmp_path / "run"
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"segment": dump_config(configure(inputs, output))}))
    code, told, err = command("predict", "-c", path, "--dry-run", "--measure", 2, "--json")
    assert code == 0, err
    assert "warning: segment.output: about" in err
    found = json.loads(told)
    assert [(s["stage"], s["blocks"]) for s in found["stages"]] == [("predict", 3 * 3 * 10)]
    assert found["total"]["cpu_seconds"]["value"] > 0
    assert not output.exists()
    code, _, err = command("predict", "-c", path, "--measure", 2)
    assert code == 2
    assert "add --dry-run" in err


@pytest.mark.slow
def test_a_forecast_comes_true(inputs, tmp_path):
    config = configure(inputs, tmp_path / "run")
    plan = make_plan(config)
    found = {stage.stage: stage for stage in forecast(plan, measure_boxes(plan, 2)).stages}
    assert not (tmp_path / "run").exists()
    segment_volume(config)
    ledger = open_ledger(config.ledger_url)
    for task in plan.tasks:
        blocks = ledger.blocks(bind_output(task).key)
        assert len(blocks) == found[task.name].blocks
        if task.name in ("predict", "fragments", "edges", "relabel"):
            files = [f for f in Path(task.output).rglob("*") if f.is_file() and f.name not in METADATA]
            size = sum(f.stat().st_size for f in files)
            # blocks are so small that files' headers weigh, and two boxes are few
            assert found[task.name].bytes.value == pytest.approx(size, rel=0.3)
        for name in ("fragments", "edges"):
            if name in found[task.name].counts and task.name in ("fragments", "edges", "components"):
                counted = sum(block["results"].get(name, 0) for block in blocks)
                if counted:
                    assert found[task.name].counts[name].value == pytest.approx(counted, rel=0.3)
    assert Volume.open(plan.output("relabel")).voxel_size_nm == VOXEL_SIZE_NM
