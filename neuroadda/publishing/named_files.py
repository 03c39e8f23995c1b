"""Files whose names a block decides, as the output of a task, and how one is written."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.wholefiles import replacing


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole; a second writer of the same content does no harm."""
    with replacing(path, shared=True) as partial:
        partial.write_bytes(content)


@dataclass(frozen=True)
class WrittenNames:
    """The blocks' files in a folder, by name.

    Attributes
    ----------
    names
        The names that a block writes, below the folder.
    """

    folder: Path
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
                    there[folder] = _list_full(self.folder / folder)
                found[block.index] &= file in there[folder]
        return found

    def read(self, block: Block) -> None:
        """Read the block's files."""
        for name in self.names(block):
            (self.folder / name).read_bytes()

    def remove(self, block: Block) -> None:
        """Delete the block's files."""
        for name in self.names(block):
            (self.folder / name).unlink(missing_ok=True)


def _list_full(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file() and entry.stat().st_size}
