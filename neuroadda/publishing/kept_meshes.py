"""Finished meshes that a publication keeps, by what they were made of: a segment that did not change is not simplified again.

Simplification takes most of the time of meshes, and a correction changes few segments, though it may number all of them again.
"""

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from neuroadda.publishing.mesh_forms import Mesh
from neuroadda.wholefiles import replacing

FOLDER, BEGUN = "kept_meshes", "begun"
Piece = tuple[np.ndarray, np.ndarray]


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
    digest = hashlib.sha256(repr(settings).encode())
    for array in (array for piece in pieces for array in piece):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    name = digest.hexdigest()
    file = work / FOLDER / name[:2] / f"{name}.npz"
    try:
        os.utime(file)
        with np.load(file) as kept:
            return Mesh(kept["vertices"], kept["faces"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # there is none, or a disk has damaged it
        mesh = make()
    with replacing(file, shared=True) as partial, partial.open("wb") as opened:
        np.savez(opened, vertices=mesh.vertices, faces=mesh.faces)
    return mesh
