"""Files whose names a block decides, as the output of a task."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.volumes.storage.locations import Location, remove
from neuroadda.volumes.storage.stored import list_sizes


@dataclass(frozen=True)
class WrittenNames:
    """The blocks' files in a folder, by name.

    Attributes
    ----------
    names
        The names that a block writes, below the folder.
    """

    folder: Location
    grid: BlockGrid
    names: Callable[[Block], list[str]]

    def find(self) -> np.ndarray:
        """Return bool, by block: are all its files there, and not empty?"""
        found = np.ones(len(self.grid), bool)
        there: dict[str, set[str]] = {}
        for block in self.grid.blocks():
            for name in self.names(block):
                folder, _, file = name.rpartition("/")
                if folder not in there:
                    there[folder] = {file for file, size in list_sizes(self.folder / folder) if size > 0}
                found[block.index] &= file in there[folder]
        return found

    def read(self, block: Block) -> None:
        """Read the block's files."""
        for name in self.names(block):
            (self.folder / name).read_bytes()

    def remove(self, block: Block) -> None:
        """Delete the block's files."""
        for name in self.names(block):
            remove(self.folder / name)
