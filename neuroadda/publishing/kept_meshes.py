"""Simplified pieces and finished meshes that a publication keeps, by what they were made of: what did not change is not made again.

Simplification takes most of the time of meshes, and a correction changes few segments, though it may number all of them again.
"""

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from neuroadda.publishing.mesh_forms import Mesh
from neuroadda.publishing.mesh_pieces import Piece
from neuroadda.segmentation.blockfiles import block_file, read_columns, write_columns
from neuroadda.wholefiles import replacing

FOLDER, PIECES, BEGUN = "kept_meshes", "kept_pieces", "begun"
DAMAGED = (OSError, ValueError, KeyError, zipfile.BadZipFile)  # there is none, or a disk has damaged it


def begin(work: Path) -> None:
    """Remove the meshes that were not used since this was last called: before the pieces of another segmentation are made."""
    marker = work / FOLDER / BEGUN
    before = marker.stat().st_mtime_ns if marker.exists() else 0
    for file in (work / FOLDER).glob("*/*"):
        if file.stat().st_mtime_ns < before:
            file.unlink(missing_ok=True)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def find_or_make(work: Path, pieces: Sequence[Piece], settings: Sequence[object], make: Callable[[], Mesh]) -> Mesh:
    """Return the mesh that is kept of these pieces, else make and keep it.

    Parameters
    ----------
    settings
        What else decides the mesh.
    """
    name = _name(pieces, settings)
    file = work / FOLDER / name[:2] / f"{name}.npz"
    try:
        os.utime(file)
        with np.load(file) as kept:
            return Mesh(kept["vertices"], kept["faces"])
    except DAMAGED:
        mesh = make()
    with replacing(file, shared=True) as partial, partial.open("wb") as opened:
        np.savez(opened, vertices=mesh.vertices, faces=mesh.faces)
    return mesh


class KeptPieces:
    """The simplified pieces of a block, with what they were made of; only those of the last publication are kept.

    Parameters
    ----------
    settings
        What else decides a piece.
    """

    def __init__(self, work: Path, block: int, settings: Sequence[object]) -> None:
        self._file, self._settings = block_file(work / PIECES, block), settings
        self._used: dict[str, np.ndarray] = {}
        try:
            self._kept = read_columns(self._file)
        except DAMAGED:
            self._kept = {}

    def find_or_make(self, piece: Piece, make: Callable[[Piece], Piece]) -> Piece:
        """Return what is kept of a piece that is not simplified, else make it."""
        name = _name([piece], self._settings)
        columns = [f"{name}_{part}" for part in Piece._fields]
        found = Piece(*(self._kept[c] for c in columns)) if columns[-1] in self._kept else make(piece)
        self._used |= dict(zip(columns, found, strict=True))
        return found

    def write(self) -> None:
        """Keep what was asked for, and nothing else."""
        write_columns(self._file, **self._used)


def _name(pieces: Sequence[Piece], settings: Sequence[object]) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for array in (array for piece in pieces for array in piece):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
