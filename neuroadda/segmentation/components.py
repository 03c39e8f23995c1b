"""Connected components of the fragments at a threshold, out of core: edges are streamed, memory is a few bytes a fragment."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import Written, blocks_in
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.errors import UserError
from neuroadda.kernels.forest import number_roots, unite
from neuroadda.segmentation.agglomerate import LEVEL, read_merges
from neuroadda.segmentation.constraints import constrain
from neuroadda.segmentation.edges import read_edges, read_sizes
from neuroadda.segmentation.edited_fragments import EDITS, read_pairs
from neuroadda.segmentation.ids import capacity_of, to_local

LUT, FIRST = "lut.npy", "first.npy"


@dataclass(frozen=True)
class Numbering:
    """Dense numbers for all fragments: those of block b are ``first[b] .. first[b + 1] - 1``.

    Attributes
    ----------
    first
        int64, one more than there are blocks.
    capacity
        See `ids`.
    """

    first: np.ndarray
    capacity: int

    @classmethod
    def read(cls, edges: Path, grid: BlockGrid) -> "Numbering":
        """Count the fragments in every block's edge file."""
        first = np.zeros(len(grid) + 1, np.int64)
        for index in blocks_in(edges, grid):
            first[index + 1] = len(read_sizes(edges, index))
        return cls(np.cumsum(first), capacity_of(grid))

    def to_dense(self, fragments: np.ndarray) -> np.ndarray:
        """Return the int64 dense numbers of fragment ids (all above 0)."""
        block, local = to_local(fragments, self.capacity)
        return self.first[block] + local


class Components(Stage):
    """Parameters of the last, global step; its grid is one block.

    Attributes
    ----------
    threshold
        Fragments are one segment where merges score below it (1 - mean affinity).
    min_voxels
        Smaller segments become background (0).
    blocks
        The grid of the fragments.
    """

    kind: ClassVar[str] = "components"

    threshold: float = Field(default=0.5, gt=0, le=1)
    min_voxels: int = Field(default=0, ge=0)
    blocks: BlockGrid

    def create_output(self, task: Task) -> None:
        """Create the folder of the lookup table."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return whether the lookup table is there."""
        return WrittenLut(Path(task.output))

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes the lookup table and reports the number of segments."""
        edges = Path(task.inputs["edges"])
        levels = [Path(path) for name, path in task.inputs.items() if name.startswith(LEVEL)]
        blocks = blocks_in(edges, self.blocks)

        def connect(block: Block) -> dict[str, Any]:
            numbering = Numbering.read(edges, self.blocks)
            lut = connect_components(numbering, read_merges(levels), self.threshold)
            if EDITS in task.inputs:
                merges, splits = (numbering.to_dense(pairs) for pairs in read_pairs(task))
                lut = constrain(lut, numbering, merges, splits, lambda index: read_edges(edges, index))
            if self.min_voxels:
                lut = drop_small(lut, (read_sizes(edges, i) for i in blocks), self.min_voxels)
            output = Path(task.output)
            for name, array in ((FIRST, numbering.first), (LUT, lut)):
                partial = output / f".partial-{name}"
                np.save(partial, array)
                partial.replace(output / name)
            return {"fragments": len(lut), "segments": int(lut.max(initial=0))}

        return connect


def connect_components(numbering: Numbering, merges: Iterable[dict[str, np.ndarray]], threshold: float) -> np.ndarray:
    """Return the lookup table: uint64 segment (1, 2, ... in order of first fragment) of every dense fragment number."""
    parent = np.arange(numbering.first[-1])
    for columns in merges:
        joined = columns["score"] < threshold
        u, v = (numbering.to_dense(columns[name][joined]) for name in ("u", "v"))
        unite(parent, u, v)
    return number_roots(parent)


def drop_small(lut: np.ndarray, sizes: Iterable[np.ndarray], min_voxels: int) -> np.ndarray:
    """Return the lookup table without segments of fewer voxels than `min_voxels`, renumbered."""
    voxels = np.zeros(int(lut.max(initial=0)) + 1, np.int64)
    position = 0
    for part in sizes:
        np.add.at(voxels, lut[position : position + len(part)].astype(np.int64), part)
        position += len(part)
    kept = voxels >= min_voxels
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.uint64)[lut.astype(np.int64)]


@dataclass(frozen=True)
class Lut:
    """A written lookup table, read by block.

    Raises
    ------
    UserError
        On opening, if the table is not there.
    """

    first: np.ndarray
    table: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> "Lut":
        """Open without reading: the table is mapped."""
        try:
            return cls(np.load(folder / FIRST, mmap_mode="r"), np.load(folder / LUT, mmap_mode="r"))
        except OSError as error:
            raise UserError("there is no lookup table here", str(folder), "run the components stage first") from error

    def of_block(self, index: int) -> np.ndarray:
        """Return the uint64 segments of a block's fragments, by local number."""
        return np.asarray(self.table[self.first[index] : self.first[index + 1]])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.of_block(index) for index in range(len(self.first) - 1))


@dataclass(frozen=True)
class WrittenLut:
    """A lookup table as its task's output, by the only block."""

    folder: Path

    def find(self) -> np.ndarray:
        """Return whether both arrays are there, as long as they say they are."""
        try:
            Lut.open(self.folder)
        except (UserError, ValueError):
            return np.zeros(1, bool)
        return np.ones(1, bool)

    def read(self, block: Block) -> None:
        """Read the table."""
        np.asarray(Lut.open(self.folder).table).copy()

    def remove(self, block: Block) -> None:
        """Delete both arrays."""
        for name in (FIRST, LUT):
            (self.folder / name).unlink(missing_ok=True)
