"""How much there is to do: the sizes that the cost of blocks grows with."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.task import Task


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
        return cls._combine(grid, lambda z, y, x: (z[:, None, None] * y[:, None] * x).ravel())

    @classmethod
    def of_grid(cls, grid: BlockGrid) -> "Work":
        """Return the sums over all blocks; the effort grows with the blocks along the axes alone."""
        return cls._combine(grid, lambda *sides: math.prod(float(side.sum()) for side in sides))

    @classmethod
    def of_task(cls, task: Task) -> "Work":
        """Return the sums over the blocks that are done."""
        if task.tissue is None:
            return cls.of_grid(task.grid)
        done = task.blocks.to_mask().reshape(task.grid.counts).astype(float)
        return cls._combine(task.grid, lambda z, y, x: float(np.einsum("zyx,z,y,x", done, z, y, x, optimize=True)))

    @classmethod
    def _combine(cls, grid: BlockGrid, combine: Callable[..., Any]) -> "Work":
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
