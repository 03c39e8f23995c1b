"""How far a task is, block by block, kept up to date from what changes in its ledger."""

import copy
from dataclasses import dataclass, field

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.ledger.base import STATUSES, BlockColumns, TaskRecord, Worker

RUNNING, DONE, FAILED = (STATUSES.index(name) for name in ("running", "done", "failed"))
UNKNOWN = 255  # not begun, or without tissue


@dataclass
class SeenWorker:
    """A worker as its records show it.

    Attributes
    ----------
    worker
        With its highest processor time and memory.
    first, last
        When its first block started, and its last record; seconds since the epoch.
    """

    worker: Worker
    first: float
    last: float


@dataclass
class StageProgress:
    """A task's blocks: nine bytes for each, whatever the ledger holds of it.

    Attributes
    ----------
    statuses
        uint8, by block: places in `STATUSES`, or `UNKNOWN`.
    when
        float32, by block, seconds since `task.created`: when it finished, or started where it has not.
    worker
        int32, by block: who worked on it, a place in `workers`.
    longest
        Seconds that the longest done block took.
    first, last
        First start and last record of all, seconds since the epoch.
    """

    task: TaskRecord
    grid: BlockGrid | None = field(init=False)
    statuses: np.ndarray = field(init=False)
    when: np.ndarray = field(init=False)
    worker: np.ndarray = field(init=False)
    workers: list[SeenWorker] = field(default_factory=list, init=False)
    longest: float = field(default=0.0, init=False)
    first: float | None = field(default=None, init=False)
    last: float | None = field(default=None, init=False)
    _places: dict[tuple[str, int], int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Know of no block yet."""
        self.grid = BlockGrid(**self.task.grid) if self.task.grid else None
        size = self.task.blocks if self.grid is None else len(self.grid)
        self.statuses = np.full(size, UNKNOWN, np.uint8)
        self.when = np.zeros(size, np.float32)
        self.worker = np.zeros(size, np.int32)

    def update(self, columns: BlockColumns) -> bool:
        """Take in what the ledger says about some blocks; return whether that was news."""
        known = columns.blocks < len(self.statuses)
        blocks, statuses, when = (each[known] for each in (columns.blocks, columns.statuses, columns.when))
        seconds = np.nan_to_num(columns.seconds[known])
        relative = (when - self.task.created).astype(np.float32)
        if not len(blocks):
            return False
        begun = when - seconds
        worker = self._meet(columns.workers, columns.worker[known], begun, when)
        told = (self.statuses, statuses), (self.when, relative), (self.worker, worker)
        if all(np.array_equal(mine[blocks], theirs) for mine, theirs in told):
            return False
        self.longest = max(self.longest, float(seconds[statuses == DONE].max(initial=0.0)))
        self.first = min(float(begun.min()), np.inf if self.first is None else self.first)
        self.last = max(float(when.max()), -np.inf if self.last is None else self.last)
        for mine, theirs in told:
            mine[blocks] = theirs
        return True

    @property
    def started_running(self) -> list[float]:
        """When each block began that is marked as running, seconds since the epoch."""
        return [self.task.created + float(when) for when in self.when[self.statuses == RUNNING]]

    def without_interrupted(self, since: float) -> "StageProgress":
        """Return the same, but with blocks that are marked as running since an earlier time as not begun."""
        cut = (self.statuses == RUNNING) & (self.task.created + self.when.astype(np.float64) < since)
        shown = copy.copy(self)
        shown.statuses = np.where(cut, np.uint8(UNKNOWN), self.statuses)
        return shown

    def voxels_of(self, chosen: np.ndarray) -> np.ndarray:
        """Return the voxels of some blocks (bool, by block), int64, in their order."""
        if self.grid is None:
            return np.full(np.count_nonzero(chosen), self.task.voxels // max(1, self.task.blocks), np.int64)
        axes = zip(self.grid.shape, self.grid.block, self.grid.voxel_size, self.grid.counts, strict=True)
        z, y, x = (np.minimum(block, shape - np.arange(n) * block) // voxel for shape, block, voxel, n in axes)
        return np.asarray((z[:, None, None] * y[:, None] * x).ravel()[chosen], np.int64)

    def _meet(self, workers: tuple[Worker, ...], worker: np.ndarray, begun: np.ndarray, when: np.ndarray) -> np.ndarray:
        """Return the places of the workers of some blocks, having noted when and how they were seen."""
        first, last = np.full(len(workers), np.inf), np.full(len(workers), -np.inf)
        np.minimum.at(first, worker, begun)
        np.maximum.at(last, worker, when)
        places = np.zeros(len(workers), np.int32)
        for number, told in enumerate(workers):
            key = told.host, told.pid
            if key not in self._places:
                self._places[key] = len(self.workers)
                self.workers.append(SeenWorker(told, first[number], last[number]))
            places[number] = self._places[key]
            seen = self.workers[places[number]]
            newest = told if last[number] >= seen.last else seen.worker
            most = {
                name: max((n for w in (told, seen.worker) if (n := getattr(w, name)) is not None), default=None)
                for name in ("cpu_seconds", "peak_bytes")
            }
            seen.worker = newest.model_copy(update=most)
            seen.first, seen.last = min(seen.first, first[number]), max(seen.last, last[number])
        return places[worker]
