"""What a plan will cost, from what a few sample boxes of its volume cost.

A block's time is taken to grow with the voxels it reads (context included, cut at the volume), what it leaves behind with the
voxels it writes, and both with its faces to lower neighbours, across which it owns edges: a sum of two parts, fitted to the samples'
blocks without negative parts (Lawson and Hanson 1974). The sums of these sizes over the whole grid are known, with its cut blocks
and borders. Intervals are the jackknife's over boxes (Tukey 1958) at 95 %, by Student's t: they tell how much boxes differ, not what
all have in common, such as a busy machine.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import t as student

from neuroadda.blockwise.costs import StageCost
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.overhead import Overhead
from neuroadda.blockwise.task import Task
from neuroadda.config import Config
from neuroadda.segmentation.pipeline import Plan
from neuroadda.segmentation.sampling import Measurement

CONFIDENCE = 0.95
ADDED = ("bytes", "files", "cpu_seconds", "wall_seconds")
COUNTED = ("fragments", "edges")
GLOBAL_BYTES_PER_FRAGMENT = 16  # the global step's union-find and lookup table


class Interval(Config):
    """A forecast value, and between what it lies by the samples' spread."""

    value: float
    low: float
    high: float


class StageForecast(Config):
    """What one stage will cost.

    Attributes
    ----------
    bytes, files
        On disk, compressed.
    cpu_seconds
        Processor time of all workers, their start included.
    wall_seconds
        With the plan's workers.
    peak_bytes
        Of a worker; of the whole process, libraries included.
    records
        In the ledger.
    counts
        What blocks report, such as fragments.
    """

    stage: str
    blocks: int
    voxels: int
    bytes: Interval
    files: Interval
    cpu_seconds: Interval
    wall_seconds: Interval
    peak_bytes: int
    records: int
    counts: dict[str, Interval]


class Forecast(Config):
    """What a plan will cost: by stage, and all together (the peak is the highest).

    Attributes
    ----------
    workers
        For which the wall time is forecast.
    ledger_bytes
        Of an SQLite ledger; None where it was not measured.
    measurement
        What it is made from.
    """

    workers: int
    stages: list[StageForecast]
    total: StageForecast
    ledger_bytes: float | None
    measurement: Measurement


@dataclass(frozen=True)
class Work:
    """Sizes that a block's cost grows with, in voxels: float64 by block, or their sums over a grid.

    Attributes
    ----------
    written, read
        Without and with context, cut at the volume.
    seam
        Faces to lower neighbours.
    """

    written: Any
    read: Any
    seam: Any

    @classmethod
    def of_blocks(cls, grid: BlockGrid) -> "Work":
        """Return the sizes of every block, by index."""

        def combine(*sides: np.ndarray) -> np.ndarray:
            z, y, x = sides
            return (z[:, None, None] * y[:, None] * x).ravel()

        return cls._combine(grid, combine)

    @classmethod
    def of_grid(cls, grid: BlockGrid) -> "Work":
        """Return the sums over all blocks; the effort grows with the blocks along the axes alone."""
        return cls._combine(grid, lambda *sides: math.prod(float(side.sum()) for side in sides))

    @classmethod
    def _combine(cls, grid: BlockGrid, combine: Any) -> "Work":
        written, read, lower = zip(*(_sides(grid, axis) for axis in range(3)), strict=True)
        seams = [combine(*(lower[a] if a == axis else written[a] for a in range(3))) for axis in range(3)]
        return cls(combine(*written), combine(*read), sum(seams))


def _sides(grid: BlockGrid, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the blocks' sides along an axis in voxels, written and read, and whether there is a lower neighbour."""
    voxel = grid.voxel_size[axis]
    side, context, total = grid.block[axis] // voxel, grid.context[axis] // voxel, grid.shape[axis] // voxel
    begin = np.arange(grid.counts[axis]) * side
    end = np.minimum(begin + side, total)
    read = np.minimum(end + context, total) - np.maximum(begin - context, 0)
    return (end - begin).astype(float), read.astype(float), (begin > 0).astype(float)


def forecast(plan: Plan, measurement: Measurement) -> Forecast:
    """Forecast the cost of a plan from boxes of its volume, or of one much like it, at the same parameters and block shape."""
    costs = [_find_cost(plan.tasks, index, measurement.stages) for index in range(len(plan.tasks))]
    boxes = range(len(measurement.boxes))
    execution = plan.config.execution
    workers = 1 if execution.launcher == "serial" else execution.workers

    def extrapolate(kept: Sequence[int]) -> list[dict[str, float]]:
        rows = [
            _extrapolate(task, cost, levels, kept, workers, measurement.overhead)
            for task, (cost, levels) in zip(plan.tasks, costs, strict=True)
        ]
        return [*rows, {name: sum(row[name] for row in rows) for name in ADDED}]

    whole = extrapolate(boxes)
    without = [extrapolate([b for b in boxes if b != left_out]) for left_out in boxes]
    rows = [
        {name: _spread(value, [other[n][name] for other in without]) for name, value in row.items()}
        for n, row in enumerate(whole)
    ]
    stages = [
        StageForecast(
            stage=task.name,
            blocks=len(task.grid),
            voxels=task.grid.voxels(),
            records=len(task.grid),
            peak_bytes=_peak_bytes(task, cost, row),
            counts={name: row[name] for name in COUNTED if name in row},
            **{name: row[name] for name in ADDED},
        )
        for task, (cost, _), row in zip(plan.tasks, costs, rows, strict=False)
    ]
    records = sum(stage.records for stage in stages)
    total = StageForecast(
        stage="total",
        blocks=sum(stage.blocks for stage in stages),
        voxels=sum(stage.voxels for stage in stages),
        records=records,
        peak_bytes=max(stage.peak_bytes for stage in stages),
        counts={},
        **rows[-1],
    )
    overhead = measurement.overhead
    ledger_bytes = None if overhead is None else records * overhead.record_bytes
    return Forecast(workers=workers, stages=stages, total=total, ledger_bytes=ledger_bytes, measurement=measurement)


def _find_cost(tasks: Sequence[Task], index: int, stages: Sequence[StageCost]) -> tuple[StageCost, int]:
    """Return what a task's stage cost in the boxes, and how many levels of its pyramid lie between (0: that very task).

    A pyramid over the whole volume has more levels than one over a box: the highest that a box has stands for those above.
    """
    family = _family(tasks[index].name)
    level = [_family(task.name) for task in tasks[:index]].count(family)
    known = [stage for stage in stages if _family(stage.name) == family]
    return known[min(level, len(known) - 1)], max(0, level - len(known) + 1)


def _family(name: str) -> str:
    return re.sub(r"\W?\d+$", "", name)


def _extrapolate(
    task: Task, cost: StageCost, levels: int, kept: Sequence[int], workers: int, overhead: Overhead | None
) -> dict[str, float]:
    samples = [cost.tasks[box] for box in kept]
    blocks = [block for sample in samples for block in sample.blocks]
    work = [Work.of_blocks(sample.grid) for sample in samples]
    target = Work.of_grid(task.grid)
    # A block of a pyramid joins the faces between its parts, of which there are half as many a voxel at each level.
    share = 0.5**levels

    def scale(size: str, values: list[float]) -> float:
        columns = [np.concatenate([getattr(w, name) for w in work]) for name in (size, "seam")]
        return share * _fit(columns, values) @ (getattr(target, size), target.seam)

    counts = [name for name in COUNTED if all(name in block.results for block in blocks)]
    row = {name: scale("written", [float(block.results[name]) for block in blocks]) for name in counts}
    row |= {name: scale("written", [float(getattr(block, name)) for block in blocks]) for name in ("bytes", "files")}
    busy, cpu = (scale("read", [getattr(block, name) for block in blocks]) for name in ("seconds", "cpu_seconds"))
    if len(task.grid) == 1:  # done by the run's own process, without workers
        files = float(np.mean([block.files for block in blocks]))
        return row | {"files": files, "cpu_seconds": cpu, "wall_seconds": busy}
    workers = min(workers, len(task.grid))
    aside = 0.0 if overhead is None else overhead.launch_seconds + overhead.block_seconds * len(task.grid)
    return row | {
        "cpu_seconds": cpu + workers * cost.start_cpu_seconds,
        "wall_seconds": busy / workers + cost.start_seconds + aside,
    }


def _fit(columns: list[np.ndarray], values: list[float]) -> np.ndarray:
    """Return the non-negative parts of `columns` that add up to `values` best."""
    scales = np.array([max(column.max(), 1.0) for column in columns])
    return np.asarray(nnls(np.stack(columns, axis=1) / scales, np.array(values))[0] / scales)


def _spread(value: float, without: Sequence[float]) -> Interval:
    """Return a value with its interval, from those that came out without each box in turn."""
    n = len(without)
    error = math.sqrt((n - 1) / n * float(np.sum((np.array(without) - np.mean(without)) ** 2)))
    reach = float(student.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    return Interval(value=value, low=max(0.0, value - reach), high=value + reach)


def _peak_bytes(task: Task, cost: StageCost, row: dict[str, Interval]) -> int:
    one_block = len(task.grid) == 1 and "fragments" in row
    return cost.peak_bytes + (round(GLOBAL_BYTES_PER_FRAGMENT * row["fragments"].value) if one_block else 0)
