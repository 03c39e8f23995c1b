"""Small per-block files of columns, written whole or not at all."""

import os
from pathlib import Path

import numpy as np


def block_file(folder: Path, block: int) -> Path:
    """Return the path of a block's file, a thousand to a folder."""
    return folder / f"{block // 1000:06d}" / f"{block:09d}.npz"


def list_block_files(folder: Path) -> list[Path]:
    """Return the paths of all blocks' files, by block."""
    return sorted(folder.glob("*/[0-9]*.npz"))


def write_columns(path: Path, **columns: np.ndarray) -> None:
    """Write columns under a temporary name, then rename: a second writer of the same block does no harm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_by_a_killed_worker in path.parent.glob(f".{path.name}.*"):
        left_by_a_killed_worker.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            np.savez(file, **columns)  # type: ignore[arg-type]
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_columns(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Read the named columns, all of them if none is named."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names or file.files}
