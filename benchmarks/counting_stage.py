"""A stage that only counts how often each block is done: what is left is the cost of scheduling and of the ledger."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.errors import UserError

COUNTS = "counts.npy"
HOLD = "hold"  # a file beside the output: the number of blocks after which all others wait until it is removed


class Count(Stage):
    """One more in a byte of the block's own; the file outlives the process that is killed."""

    kind: ClassVar[str] = "count"

    def create_output(self, task: Task) -> None:
        """Create the folder and the counts, all 0."""
        task.create_folder()
        counts = Path(task.output) / COUNTS
        partial = counts.with_name(f"partial-{COUNTS}")
        np.save(partial, np.zeros(len(task.grid), np.uint8))
        partial.replace(counts)

    def written(self, task: Task) -> Written:
        """Return which blocks are counted."""
        return WrittenCounts(Path(task.output))

    def open(self, task: Task) -> BlockFunction:
        """Return the function that counts a block."""
        counts, hold = read_counts(Path(task.output), "r+"), Path(task.output).with_name(HOLD)
        most = int(hold.read_text()) if hold.exists() else None

        def count(block: Block) -> dict[str, Any]:
            while most is not None and np.count_nonzero(counts) >= most and hold.exists():
                time.sleep(0.01)
            counts[block.index] += 1
            return {}

        return count


@dataclass(frozen=True)
class WrittenCounts:
    """Counts as their task's output."""

    output: Path

    def find(self) -> np.ndarray:
        """Return which blocks have a count."""
        return np.asarray(read_counts(self.output) > 0)

    def read(self, block: Block) -> None:
        """Read the count of a block."""
        if not read_counts(self.output)[block.index]:
            raise UserError("it was not counted", f"block {block.index}")

    def remove(self, block: Block) -> None:
        """Forget the count of a block."""
        read_counts(self.output, "r+")[block.index] = 0


def read_counts(output: Path, mode: str = "r") -> np.ndarray:
    """Map the uint8 counts by block."""
    counts: np.ndarray = np.load(output / COUNTS, mmap_mode=mode)  # type: ignore[call-overload]
    return counts
