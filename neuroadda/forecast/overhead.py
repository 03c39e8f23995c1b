"""What a run costs beside its blocks' work: starting, scheduling, the ledger; measured with blocks of no work."""

import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.engine import Engine
from neuroadda.blockwise.execution_config import LOOPBACK, Execution
from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Config
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.url import SQLITE
from neuroadda.segmentation.blockfiles import WrittenFiles


class Empty(Stage):
    """Nothing, in every block."""

    kind: ClassVar[str] = "empty"

    def create_output(self, task: Task) -> None:
        """Create the folder."""
        task.create_folder()

    def open(self, task: Task) -> BlockFunction:
        """Return the function that does nothing."""

        def do_nothing(block: Block) -> dict[str, Any]:
            return {}

        return do_nothing

    def written(self, task: Task) -> Written:
        """Return that no block has a file."""
        return WrittenFiles(Path(task.output), np.zeros(len(task.grid), bool))


class Overhead(Config):
    """What a task of a run costs beside its blocks' work.

    Attributes
    ----------
    launch_seconds
        Until the first worker has its first block, and from the last block to the end; of a run's second and further tasks.
    block_seconds
        For every block, with all workers at work.
    record_bytes
        Of the ledger's file, for every block.
    """

    launch_seconds: float
    block_seconds: float
    record_bytes: float


def measure_overhead(execution: Execution, folder: Path, blocks: int = 1000) -> Overhead:
    """Run empty blocks with a run's own scheduler, workers on this machine, and an SQLite ledger, in `folder`."""
    execution = execution.model_copy(update={"launcher": "local", "host": LOOPBACK})
    path = folder / "empty.db"
    with Engine(f"{SQLITE}{path}", execution, folder / "logs") as engine:
        engine.run(_make_empty(folder / "first", 2))  # the scheduler starts once a run
        started = time.perf_counter()
        task = engine.run(_make_empty(folder / "empty", blocks))
        seconds = time.perf_counter() - started
    ledger = open_ledger(f"{SQLITE}{path}")
    summary = ledger.summary(task.key)
    ledger.close()
    assert summary.started is not None
    assert summary.finished is not None
    busy = summary.finished - summary.started
    return Overhead(
        launch_seconds=max(0.0, seconds - busy),
        block_seconds=busy / blocks,
        record_bytes=path.stat().st_size / blocks,
    )


def _make_empty(output: Path, blocks: int) -> Task:
    grid = BlockGrid.make(Roi((0, 0, 0), (blocks, 1, 1)), Coordinate(1, 1, 1), (1, 1, 1))
    return Task.make(Empty(), {}, output, grid)
