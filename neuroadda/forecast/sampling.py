"""A few small boxes of a volume, segmented for real in a temporary folder, to learn what the whole would cost."""

import tempfile
from pathlib import Path

import numpy as np
from funlib.geometry import Coordinate, Roi
from scipy.stats import qmc

from neuroadda.blockwise.task import Task
from neuroadda.config import Config
from neuroadda.errors import UserError
from neuroadda.forecast.costs import StageCost, measure_tasks
from neuroadda.forecast.overhead import Overhead, measure_overhead
from neuroadda.processes import peak_bytes
from neuroadda.segmentation.pipeline import Plan, make_plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig

TRIES = 1000  # a box: little of a volume may be tissue
BOX_BLOCKS = 2  # along each axis, beside the shell; 1 in a small volume


class Measurement(Config):
    """What sample boxes cost.

    Attributes
    ----------
    boxes
        Where they are, without their shells.
    voxels
        In all boxes together.
    stages
        Of every task of the plan; each has the boxes in their order.
    overhead
        What a task costs beside its blocks' work; None where none was measured (a serial run).
    own_bytes
        Memory of the process that planned, as of one that runs the plan.
    """

    boxes: list[RoiConfig]
    voxels: int
    stages: list[StageCost]
    overhead: Overhead | None = None
    own_bytes: int = 0


def choose_boxes(task: Task, count: int, seed: int = 0) -> list[Roi]:
    """Return boxes of `BOX_BLOCKS` whole blocks an axis, spread over a task's blocks (Halton's points), that do not touch.

    Each has a block that is done. Beyond a box is at least one more whole block, where the grid has as many. In a grid without room
    for two such boxes, they are of one block; where there is no room for two of these either, there is one box.
    """
    boxes = _choose_boxes(task, count, seed, BOX_BLOCKS)
    if len(boxes) > 1:
        return boxes
    small = _choose_boxes(task, count, seed, 1)
    return small if len(small) > 1 else boxes or small


def _choose_boxes(task: Task, count: int, seed: int, blocks: int) -> list[Roi]:
    grid, done = task.grid, task.blocks.to_mask().reshape(task.grid.counts)
    whole = [max(1, s // b) for s, b in zip(grid.shape, grid.block, strict=True)]
    sides = Coordinate(min(blocks, n) for n in whole)
    places = [max(1, n - s) for n, s in zip(whole, sides, strict=True)]
    chosen: list[Roi] = []
    for point in qmc.Halton(3, rng=seed).random(TRIES * count):
        box = Roi(Coordinate(int(p * n) for p, n in zip(point, places, strict=True)), sides)
        if done[box.to_slices()].any() and not any(box.grow(1, 1).intersects(other) for other in chosen):
            chosen.append(box)
        if len(chosen) == count:
            break
    return [(box * Coordinate(grid.block) + grid.roi.begin).intersect(grid.roi) for box in chosen]


def measure_boxes(plan: Plan, count: int) -> Measurement:
    """Do every task of a plan in `count` boxes, with its workers, in a temporary folder; nothing else is written.

    A block inside a volume has neighbours, which own edges to it and whose voxels it sees. So a box has a shell, as thick as the
    context of the fragments, on its upper sides: cut blocks that are not predicted, but filled with the mirror image of the box,
    and then done like all others. The upper blocks of a box lack nothing then.

    Raises
    ------
    UserError
        If no box with a block to do is found.
    RunFailed
        If a block fails.
    """
    execution, first = plan.config.execution, plan.tasks[0]
    boxes = choose_boxes(first, count)
    if not boxes:
        raise UserError("no box that holds tissue was found", "--measure", "look at the mask")
    raw = Volume.open(plan.config.raw)
    context = Coordinate(max(task.grid.context[axis] for task in plan.tasks) for axis in range(3))
    shell = Coordinate(max(c, v) for c, v in zip(context, raw.voxel_size, strict=True))
    names = {task.name for task in plan.tasks}
    with tempfile.TemporaryDirectory(prefix="neuroadda-measure-") as temporary:
        folder = Path(temporary)
        plans = []
        for number, box in enumerate(boxes):
            roi = _describe(box.grow(0, shell).intersect(first.grid.roi), raw)
            options = {"roi": roi, "output": str(folder / str(number)), "ledger": None, "volumes": None}
            plans.append(make_plan(plan.config.model_copy(update=options)))
        stages: list[StageCost] = []
        for tasks in zip(*(p.tasks for p in plans), strict=True):
            if tasks[0].name not in names:  # the plan ends before it
                break
            blocks = [list(task.blocks) for task in tasks]
            if tasks[0].name == first.name:
                blocks = [
                    [index for index in own if box.contains(task.grid[index].write_roi)]
                    for task, own, box in zip(tasks, blocks, boxes, strict=True)
                ]
            stages.append(measure_tasks(tasks, blocks, execution, folder))
            if tasks[0].name == first.name:
                for task, box in zip(tasks, boxes, strict=True):
                    _fill_shell(task, box)
        return Measurement(
            boxes=[_describe(box, raw) for box in boxes],
            voxels=sum(first.grid.voxels(box) for box in boxes),
            stages=stages,
            overhead=None if execution.launcher == "serial" else measure_overhead(execution, folder),
            own_bytes=peak_bytes(),
        )


def _fill_shell(task: Task, box: Roi) -> None:
    """Fill what lies above a box in a task's array with the mirror image of the box."""
    array = Volume.open(task.output, "r+")
    beyond = [(0, above) for above in (array.roi.end - box.end) / array.voxel_size]
    if any(above for _, above in beyond):
        array.write(array.roi, np.pad(array.read(box), [(0, 0), *beyond], mode="symmetric"))


def _describe(box: Roi, raw: Volume) -> RoiConfig:
    offset, shape = (tuple(c / raw.units_per_nm for c in part) for part in (box.offset, box.shape))
    return RoiConfig(offset_nm=offset, shape_nm=shape)
