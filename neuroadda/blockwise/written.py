"""What a task has written, told by its output alone: which blocks are there for certain, whatever died since."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.config import Zyx
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.places import remove
from neuroadda.volumes.stored import file_vx, list_stored, stored_file


class Written(Protocol):
    """What the blocks of a task have written."""

    def find(self) -> np.ndarray:
        """Return bool, by block of the grid: is all there that the block writes? Memory is a few bytes a block."""
        ...

    def read(self, block: Block) -> None:
        """Read all that a block wrote; what is missing or broken raises whatever its reader raises."""
        ...

    def remove(self, block: Block) -> None:
        """Delete what is there of a block, which would be in the way of writing it again where it is broken."""
        ...


@dataclass(frozen=True)
class WrittenArray:
    """An array.

    A block writes every chunk of its own, also one that is all zero, and no other block's; a chunk's file is renamed into its
    place when it is whole. So a block whose chunks are all there was written; and since its bytes are always the same, a
    second writer that died half-way left what the first had written.

    Attributes
    ----------
    files
        In a full block along each axis: chunks, or shards.
    """

    volume: Volume
    grid: BlockGrid
    files: Zyx

    def find(self) -> np.ndarray:
        """Return bool, by block: are all its files there?"""
        sides, counts = self._sides, self.grid.counts
        found = np.zeros(counts, np.uint32)
        for places in list_stored(self.volume):
            inside = places[(places < sides).all(axis=1)]
            np.add.at(found, tuple((inside // self.files).T), 1)
        z, y, x = (np.minimum(f, side - f * np.arange(n)) for f, side, n in zip(self.files, sides, counts, strict=True))
        return np.asarray(found >= z[:, None, None] * y[:, None] * x).ravel()

    def read(self, block: Block) -> None:
        """Read the block's voxels."""
        steps = zip(self._span(block), file_vx(self.volume), strict=True)
        np.asarray(self.volume.data[(..., *(slice(part.start * step, part.stop * step) for part, step in steps))])

    def remove(self, block: Block) -> None:
        """Delete the block's files."""
        z, y, x = self._span(block)
        for place in ((i, j, k) for i in z for j in y for k in x):
            remove(stored_file(self.volume, place))

    @property
    def _sides(self) -> list[int]:
        """How many files the array has along each axis."""
        return [-(-s // f) for s, f in zip(self.volume.shape_vx, file_vx(self.volume), strict=True)]

    def _span(self, block: Block) -> list[range]:
        """Return the places of the block's files along each axis."""
        axes = zip(block.position, self.files, self._sides, strict=True)
        return [range(p * n, min((p + 1) * n, side)) for p, n, side in axes]


@dataclass(frozen=True)
class WrittenTogether:
    """Several outputs of one task."""

    parts: Sequence[Written]

    def find(self) -> np.ndarray:
        """Return bool, by block: is it in every part?"""
        return np.logical_and.reduce([part.find() for part in self.parts])

    def read(self, block: Block) -> None:
        """Read every part."""
        for part in self.parts:
            part.read(block)

    def remove(self, block: Block) -> None:
        """Delete the block from every part."""
        for part in self.parts:
            part.remove(block)
