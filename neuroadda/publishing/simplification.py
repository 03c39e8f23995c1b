"""Fewer faces for a surface, by zmesh: part by part, so that memory does not grow with the surface.

What lies on the open edges of a part stays as it is, so parts still fit together. What they share is simplified once they are
joined, in parts whose borders lie elsewhere: every vertex moves once at most.
"""

import math
from dataclasses import dataclass

import numpy as np

FEWER_FACES = 100  # simplification aims at this many times fewer faces; it stops earlier, at the largest error allowed
MOST_STEPS = 2**20 - 1  # zmesh has so many half units along an axis
AXES = np.array([1 << 42, 1 << 21, 1])


@dataclass(frozen=True)
class Simplified:
    """A part of a surface with fewer faces.

    Attributes
    ----------
    kept
        int64: the vertices of before that are still there, among them all that lie on open edges.
    moved
        float64 ``(n, 3)``: other vertices.
    faces
        int64 ``(m, 3)``: `kept` are counted first, then `moved`.
    """

    kept: np.ndarray
    moved: np.ndarray
    faces: np.ndarray


def find_open(faces: np.ndarray, count: int) -> np.ndarray:
    """Return those of `count` vertices that lie on edges of one face alone, ascending.

    The edges that leave another vertex have the same other ends as those that come to it: the sums of their hashes are equal.
    """
    begin, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    hashes = (np.arange(count, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(2**32)).astype(np.float64)
    left, come = (np.bincount(a, hashes[b], count) for a, b in ((begin, end), (end, begin)))
    return np.flatnonzero(left != come)


def simplify_part(vertices: np.ndarray, faces: np.ndarray, max_error_nm: float) -> Simplified:
    """Return a part of a surface with fewer faces, or as it is where zmesh cannot make them.

    Parameters
    ----------
    vertices
        float64 ``(n, 3)``, nm.
    faces
        int ``(m, 3)``.
    """
    import zmesh

    as_it_is = Simplified(np.arange(len(vertices)), np.zeros((0, 3)), faces.astype(np.int64))
    low = vertices.min(axis=0)
    scale = min(1.0, 2.0 ** math.floor(math.log2(MOST_STEPS / 2 / (vertices - low).max())))  # 1: zmesh's unit is nm
    steps = np.rint((vertices - low) * 2 * scale).astype(np.int64)
    if len(np.unique(steps @ AXES)) < len(steps):
        return as_it_is  # zmesh takes what has the same place for the same vertex
    mesh = zmesh.Mesh((steps / 2).astype(np.float32), np.ascontiguousarray(faces, np.uint32), None)
    less = zmesh.Mesher((1, 1, 1)).simplify(mesh, reduction_factor=FEWER_FACES, max_error=max_error_nm * scale)
    if not len(less.faces):
        return as_it_is  # it makes nothing of a speck
    faces = np.asarray(less.faces, np.int64)
    before, after = find_open(np.asarray(mesh.faces, np.int64), len(steps)), find_open(faces, len(less.vertices))
    before = before[np.argsort(steps[before] @ AXES)]
    after = after[np.argsort(np.rint(2.0 * less.vertices[after]).astype(np.int64) @ AXES)]
    if len(before) != len(after) or (steps[before] != 2.0 * less.vertices[after]).any():
        return as_it_is
    number = np.full(len(less.vertices), -1)
    number[after] = np.arange(len(after))
    moved = np.flatnonzero(number < 0)
    number[moved] = len(after) + np.arange(len(moved))
    return Simplified(before, less.vertices[moved] / scale + low, number[faces])


def simplify_near(
    vertices: np.ndarray, faces: np.ndarray, near: int, begin: np.ndarray, box: np.ndarray, max_error_nm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and faces of a surface with fewer faces near some vertices; the others stay where they are.

    Parameters
    ----------
    near
        The first so many vertices are meant.
    begin, box
        Where a box begins, and the shape of all, nm; each is a part of its own.
    """
    chosen = np.flatnonzero((faces < near).any(axis=1))
    if not len(chosen):
        return vertices, faces
    places = np.floor((vertices[faces[chosen]].mean(axis=1) - begin) / box).astype(np.int64)
    places -= places.min(axis=0)
    keys = np.ravel_multi_index(tuple(places.T), tuple((places.max(axis=0) + 1).tolist()))
    order = np.argsort(keys, kind="stable")
    all_vertices, all_faces, count = [vertices], [np.delete(faces, chosen, axis=0)], len(vertices)
    for part in np.split(chosen[order], np.flatnonzero(np.diff(keys[order])) + 1):
        used, local = np.unique(faces[part], return_inverse=True)
        less = simplify_part(vertices[used], local.reshape(-1, 3), max_error_nm)
        number = np.concatenate([used[less.kept], count + np.arange(len(less.moved))])
        all_vertices.append(less.moved)
        all_faces.append(number[less.faces])
        count += len(less.moved)
    used, local = np.unique(np.concatenate(all_faces), return_inverse=True)
    return np.concatenate(all_vertices)[used], local.reshape(-1, 3)
