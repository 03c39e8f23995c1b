"""Small per-block files of columns, written whole or not at all."""

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from neuroadda.blockwise.grid import Block
from neuroadda.volumes.storage.locations import Location, P, remove
from neuroadda.volumes.storage.stored import list_sizes
from neuroadda.volumes.storage.urls import Url
from neuroadda.wholefiles import replacing

BLOCK_NAME = re.compile(r"\d{9}\.npz")


def block_file(folder: P, block: int) -> P:
    """Return the place of a block's file, a thousand to a folder."""
    return cast(P, folder / f"{block // 1000:06d}" / f"{block:09d}.npz")


@dataclass(frozen=True)
class WrittenFiles:
    """The blocks' files in a folder, as their task's output.

    Attributes
    ----------
    needed
        bool, by block: which have a file.
    """

    folder: Location
    needed: np.ndarray

    def find(self) -> np.ndarray:
        """Return bool, by block: is its file there, with its end? (One that a failing disk has cut has none.)"""
        found = ~self.needed
        for thousand in range(0, len(found), 1000):
            part = block_file(self.folder, thousand).parent
            for name, size in list_sizes(part):
                block = int(name[:-4]) if BLOCK_NAME.fullmatch(name) else len(found)
                if block < len(found) and size > 0:
                    # What an object store has is whole.
                    found[block] = isinstance(part, Url) or zipfile.is_zipfile(part / name)
        return found

    def read(self, block: Block) -> None:
        """Read the block's columns."""
        if self.needed[block.index]:
            read_columns(block_file(self.folder, block.index))

    def remove(self, block: Block) -> None:
        """Delete the block's file."""
        remove(block_file(self.folder, block.index))


def list_block_files(folder: Path) -> list[Path]:
    """Return the paths of all blocks' files, by block."""
    return sorted(folder.glob("*/[0-9]*.npz"))


def write_columns(path: Location, **columns: np.ndarray) -> None:
    """Write columns under a temporary name, then rename: a second writer of the same block does no harm."""
    if isinstance(path, Url):
        content = io.BytesIO()
        np.savez(content, **columns)  # type: ignore[arg-type]
        path.write_bytes(content.getvalue())
        return
    for left_by_a_killed_worker in path.parent.glob(f".{path.name}.*"):
        left_by_a_killed_worker.unlink(missing_ok=True)
    with replacing(path, shared=True) as partial, open(partial, "wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]


def read_columns(path: Location, *names: str) -> dict[str, np.ndarray]:
    """Read the named columns, all of them if none is named."""
    with np.load(io.BytesIO(path.read_bytes()) if isinstance(path, Url) else path, allow_pickle=False) as file:
        return {name: file[name] for name in names or file.files}
