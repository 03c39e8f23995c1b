"""Parts of the surface of a segment, one of each block, and how they are joined."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Piece(NamedTuple):
    """A part of a surface, open where it leaves its block.

    Places are counted in half voxels from the origin, zyx; the centre of voxel i is 2 i.

    Attributes
    ----------
    whole
        int32 ``(n, 3)``: vertices where marching cubes have put them, among them all that other pieces share.
    moved
        float64 ``(k, 3)``: vertices of this piece alone.
    faces
        uint32 ``(m, 3)``: `whole` are counted first, then `moved`. Their normals point outward where z, y, x are a right-handed
        system.
    """

    whole: np.ndarray
    moved: np.ndarray
    faces: np.ndarray


def join_pieces(pieces: Sequence[Piece]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return vertices (float64), faces (int64), and how many vertices, the first, are `whole`: at the same place they are one.

    A vertex lies on the edge between two voxels, through which a surface goes once: what has the same place is the same vertex.
    """
    whole = np.concatenate([piece.whole for piece in pieces]).astype(np.int64)
    places, same = _find_unique(whole)
    vertices, faces = [places], []
    first, count = 0, len(places)
    for piece in pieces:
        number = np.concatenate([same[first : first + len(piece.whole)], count + np.arange(len(piece.moved))])
        faces.append(number[piece.faces])
        vertices.append(piece.moved)
        first, count = first + len(piece.whole), count + len(piece.moved)
    return np.concatenate(vertices).astype(np.float64), np.concatenate(faces), len(places)


def _find_unique(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places without repetition, sorted, and which of them each is."""
    if not len(places):
        return places, np.zeros(0, np.int64)
    begin = places.min(axis=0)
    box = tuple((places.max(axis=0) - begin + 1).tolist())
    keys, same = np.unique(np.ravel_multi_index(tuple((places - begin).T), box), return_inverse=True)
    return np.stack(np.unravel_index(keys, box), axis=-1) + begin, same
