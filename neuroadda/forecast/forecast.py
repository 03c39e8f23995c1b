"""What a plan will cost, from what a few sample boxes of its volume cost.

- A block's time is taken to grow with the voxels it reads (context included, cut at the volume), and what it leaves behind with
  those it writes; both also with its faces to lower neighbours, across which it owns edges. These two parts are fitted to the whole
  blocks of all boxes, neither below zero (Lawson and Hanson 1974).
- What a block of a pyramid's upper levels does grows with the faces of its parts.
- What is done once, for all blocks, takes time for each block, and leaves something for each fragment.

The sums of these sizes over a grid are known, with its borders and cut blocks. Intervals are the jackknife's over boxes (Tukey
1958) at 95 %, by Student's t: they tell how much boxes differ, not what all have in common, such as a busy machine.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import t as student

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.task import Task
from neuroadda.config import Config
from neuroadda.forecast.costs import BlockCost, StageCost
from neuroadda.forecast.overhead import Overhead
from neuroadda.forecast.sampling import Measurement
from neuroadda.forecast.work import Work
from neuroadda.segmentation.pipeline import Plan

CONFIDENCE = 0.95
ADDED = ("bytes", "files", "cpu_seconds", "wall_seconds")
TIMES = ("seconds", "cpu_seconds")
COUNTED = ("fragments", "edges")
GLOBAL_BYTES_PER_FRAGMENT = 16  # the global step's union-find and lookup table


class Interval(Config):
    """A forecast value, and between what it lies by the samples' spread; of a single sample all three are the same."""

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
    passes
        How often networks see each block.
    ledger_bytes
        Of an SQLite ledger; None where it was not measured.
    measurement
        What it is made from.
    """

    workers: int
    stages: list[StageForecast]
    total: StageForecast
    passes: int = 1
    ledger_bytes: float | None
    measurement: Measurement


def forecast(plan: Plan, measurement: Measurement) -> Forecast:
    """Forecast the cost of a plan from boxes of its volume, or of one much like it, at the same parameters and block shape."""
    costs = [_find_cost(plan.tasks, index, measurement.stages) for index in range(len(plan.tasks))]
    boxes = range(len(measurement.boxes))
    # The first stage leaves out the shells' blocks; the last is a pass over all.
    parts = [max(len(stage.tasks[box].blocks) for stage in measurement.stages) for box in boxes]
    workers = 1 if plan.config.execution.launcher == "serial" else plan.config.execution.workers

    def extrapolate(kept: Sequence[int]) -> list[dict[str, float]]:
        rows: list[dict[str, float]] = []
        for task, cost in zip(plan.tasks, costs, strict=True):
            if cost.parts is not None:
                row = _scale_levels(cost, kept, len(task.blocks))
            elif len(task.grid) == 1:
                row = _scale_once(
                    cost, kept, parts, len(plan.tasks[0].blocks), next((r for r in rows if "fragments" in r), {})
                )
            else:
                row = _scale_blocks(task, cost.stage, kept)
            rows.append(_add_start(row, len(task.blocks), cost.stage, workers, measurement.overhead))
        return [*rows, {name: sum(row[name] for row in rows) for name in ADDED}]

    whole = extrapolate(boxes)
    without = [extrapolate([b for b in boxes if b != left_out]) for left_out in boxes] if len(boxes) > 1 else []
    rows = [
        {name: _spread(value, [other[n][name] for other in without]) for name, value in row.items()}
        for n, row in enumerate(whole)
    ]
    stages = [
        StageForecast(
            stage=task.name,
            blocks=len(task.blocks),
            voxels=task.voxels,
            records=len(task.blocks),
            peak_bytes=_peak_bytes(task, cost.stage, row, measurement.own_bytes),
            counts={name: row[name] for name in COUNTED if name in row},
            **{name: row[name] for name in ADDED},
        )
        for task, cost, row in zip(plan.tasks, costs, rows[:-1], strict=True)
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
    return Forecast(
        workers=workers,
        stages=stages,
        total=total,
        passes=plan.passes,
        ledger_bytes=ledger_bytes,
        measurement=measurement,
    )


@dataclass(frozen=True)
class _Cost:
    """What tells the cost of a task: its stage in the boxes; for upper levels of a pyramid, its parts and those of the boxes'."""

    stage: StageCost
    parts: Task | None
    box_parts: list[BlockGrid]


def _find_cost(tasks: Sequence[Task], index: int, stages: Sequence[StageCost]) -> _Cost:
    """Return what tells a task's cost; the highest level of the boxes' pyramid stands for all above, which boxes do not have."""
    family = _family(tasks[index].name)
    below = [task for task in tasks[:index] if _family(task.name) == family]
    known = [stage for stage in stages if _family(stage.name) == family]
    level = min(len(below), len(known) - 1)
    if level == 0:
        return _Cost(known[0], None, [])
    return _Cost(known[level], below[-1], [task.grid for task in known[level - 1].tasks])


def _family(name: str) -> str:
    return re.sub(r"-\d+$", "", name)


def _scale_blocks(task: Task, stage: StageCost, kept: Sequence[int]) -> dict[str, float]:
    """Scale what whole blocks cost to all blocks of a task."""
    target = Work.of_task(task)
    blocks: list[BlockCost] = []
    rows = []
    for box in kept:
        work = Work.of_blocks(stage.tasks[box].grid)
        whole = work.written == work.written.max()
        chosen = [block for block in stage.tasks[box].blocks if whole[block.block]]
        blocks += chosen
        indices = [block.block for block in chosen]
        rows.append(np.stack([work.written[indices], work.read[indices], work.seam[indices]], axis=1))
    sizes, sums = np.concatenate(rows), np.array([target.written, target.read, target.seam])
    found = {}
    for name, values in _values(blocks).items():
        columns = [1, 2] if name in TIMES else [0, 2]
        found[name] = float(_fit(sizes[:, columns], values) @ sums[columns])
    return found


def _scale_levels(cost: _Cost, kept: Sequence[int], count: int) -> dict[str, float]:
    """Scale by the faces between parts, and the files to `count` blocks."""
    assert cost.parts is not None
    blocks = _blocks(cost.stage, kept)
    share = Work.of_task(cost.parts).seam / max(1.0, sum(Work.of_grid(cost.box_parts[box]).seam for box in kept))
    found = {name: share * float(values.sum()) for name, values in _values(blocks).items()}
    return found | {"files": count * sum(block.files for block in blocks) / len(blocks)}


def _scale_once(
    cost: _Cost, kept: Sequence[int], parts: Sequence[int], count: int, whole: dict[str, float]
) -> dict[str, float]:
    """Scale the time by blocks, `parts` in the boxes to `count`, what is left behind by the fragments forecast in the whole."""
    blocks = _blocks(cost.stage, kept)
    found = {name: float(values.sum()) for name, values in _values(blocks).items()}
    times = count / sum(parts[box] for box in kept)
    known = "fragments" in whole and "fragments" in found
    fragments = whole["fragments"] / max(1.0, found["fragments"]) if known else times
    scaled = {name: value * (times if name in TIMES else fragments) for name, value in found.items()}
    return scaled | {"files": found["files"] / len(kept)}


def _blocks(stage: StageCost, kept: Sequence[int]) -> list[BlockCost]:
    return [block for box in kept for block in stage.tasks[box].blocks]


def _values(blocks: Sequence[BlockCost]) -> dict[str, np.ndarray]:
    """Return the blocks' costs by name, and those of their results that are counted."""
    names = [name for name in COUNTED if all(name in block.results for block in blocks)]
    counted = {name: [block.results[name] for block in blocks] for name in names}
    costs = {name: [getattr(block, name) for block in blocks] for name in (*TIMES, "bytes", "files")}
    return {name: np.array(values, float) for name, values in (counted | costs).items()}


def _add_start(
    row: dict[str, float], blocks: int, stage: StageCost, workers: int, overhead: Overhead | None
) -> dict[str, float]:
    """Turn the seconds of all blocks into those of a run: with workers, their start and what else is not the blocks' work."""
    seconds, cpu = row.pop("seconds"), row.pop("cpu_seconds")
    if blocks == 1:  # the run's own process does it, and has started long before
        return row | {"cpu_seconds": cpu, "wall_seconds": seconds}
    busy = min(workers, blocks)
    aside = 0.0 if overhead is None else overhead.launch_seconds + overhead.block_seconds * blocks
    wall = seconds / busy + stage.start_seconds + aside
    return row | {"cpu_seconds": cpu + busy * stage.start_cpu_seconds, "wall_seconds": wall}


def _fit(sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return what a voxel of each size costs, not below zero, so that the costs of all blocks (rows) come out best."""
    scales = np.maximum(sizes.max(axis=0), 1.0)
    return np.asarray(nnls(sizes / scales, values)[0] / scales)


def _spread(value: float, without: Sequence[float]) -> Interval:
    """Return a value with its interval, from those that came out without each box in turn; one box tells none."""
    n = len(without)
    if n < 2:
        return Interval(value=value, low=value, high=value)
    error = math.sqrt((n - 1) / n * float(np.sum((np.array(without) - np.mean(without)) ** 2)))
    reach = float(student.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    return Interval(value=value, low=max(0.0, value - reach), high=value + reach)


def _peak_bytes(task: Task, cost: StageCost, row: dict[str, Interval], own_bytes: int) -> int:
    if len(task.blocks) > 1:
        return cost.peak_bytes
    of_fragments = round(GLOBAL_BYTES_PER_FRAGMENT * row["fragments"].value) if "fragments" in row else 0
    return max(cost.peak_bytes, own_bytes) + of_fragments
