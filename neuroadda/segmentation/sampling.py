"""A few small boxes of a volume, segmented for real in a temporary folder, to learn what the whole would cost."""

import tempfile
from pathlib import Path

from funlib.geometry import Coordinate, Roi
from scipy.stats import qmc

from neuroadda.blockwise.costs import StageCost, measure_tasks
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.overhead import Overhead, measure_overhead
from neuroadda.config import Config
from neuroadda.errors import UserError
from neuroadda.segmentation.pipeline import Plan, make_plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.regions import RoiConfig

BOX_BLOCKS = 2  # along each axis: every block has a neighbour, and one has all those that it owns edges to


class Measurement(Config):
    """What sample boxes cost.

    Attributes
    ----------
    boxes
        Where they are; all have the same shape.
    voxels
        In all boxes together.
    stages
        Of every task of the plan, in its order; each has the boxes in theirs.
    overhead
        What a task costs beside its blocks' work; None where none was measured (a serial run).
    """

    boxes: list[RoiConfig]
    voxels: int
    stages: list[StageCost]
    overhead: Overhead | None = None


def choose_boxes(grid: BlockGrid, count: int, seed: int = 0) -> list[Roi]:
    """Return boxes of `BOX_BLOCKS` whole blocks an axis, spread over a grid (Halton's points), that do not overlap.

    A grid with room for fewer has fewer; where no block of an axis is whole, the one that is there is taken.
    """
    whole = [max(1, s // b) for s, b in zip(grid.shape, grid.block, strict=True)]
    sides = Coordinate(min(BOX_BLOCKS, n) for n in whole)
    free = Coordinate(n - s + 1 for n, s in zip(whole, sides, strict=True))
    chosen: list[Roi] = []
    for point in qmc.Halton(3, rng=seed).random(64 * count):
        box = Roi(Coordinate(int(p * n) for p, n in zip(point, free, strict=True)), sides)
        if not any(box.intersects(other) for other in chosen):
            chosen.append(box)
        if len(chosen) == count:
            break
    return [(box * Coordinate(grid.block) + grid.roi.begin).intersect(grid.roi) for box in chosen]


def measure_boxes(plan: Plan, count: int) -> Measurement:
    """Do every task of a plan in `count` boxes, with its workers, in a temporary folder; nothing else is written.

    Raises
    ------
    UserError
        If the volume has no room for two boxes.
    RunFailed
        If a block fails.
    """
    execution = plan.config.execution
    boxes = choose_boxes(plan.tasks[0].grid, count)
    if len(boxes) < 2:
        raise UserError("the volume has no room for two samples", "--measure", "segment it, or choose smaller blocks")
    raw = Volume.open(plan.config.raw)
    regions = [_describe(box, raw) for box in boxes]
    with tempfile.TemporaryDirectory(prefix="neuroadda-measure-") as temporary:
        folder = Path(temporary)
        plans = [
            make_plan(plan.config.model_copy(update={"roi": region, "output": str(folder / str(n)), "ledger": None}))
            for n, region in enumerate(regions)
        ]
        tasks = [tasks for tasks in zip(*(p.tasks for p in plans), strict=True) if _is_part(tasks[0].name, plan)]
        return Measurement(
            boxes=regions,
            voxels=sum(p.tasks[0].grid.voxels() for p in plans),
            stages=[measure_tasks(same, execution, folder) for same in tasks],
            overhead=None if execution.launcher == "serial" else measure_overhead(execution, folder),
        )


def _is_part(name: str, plan: Plan) -> bool:
    return any(task.name == name for task in plan.tasks)


def _describe(box: Roi, raw: Volume) -> RoiConfig:
    offset, shape = (tuple(c / raw.units_per_nm for c in part) for part in (box.offset, box.shape))
    return RoiConfig(offset_nm=offset, shape_nm=shape)
