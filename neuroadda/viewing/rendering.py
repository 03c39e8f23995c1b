"""Shaded pictures of surfaces in 3-D: a depth buffer in numpy, without a server, a browser or a GPU.

The view is from outside the volume's corner, and parallel: a length across the view is as long in front as behind. x runs to the
right and y down, as in a section; z runs into the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

SIDE, FINER = 280, 2  # pixels of a picture's side; each is the mean of FINER² that are drawn
TURN, TILT = np.radians(-32.0), np.radians(28.0)  # about the axes of y and x
LIGHT = np.array([0.1, -0.5, -0.86])  # where light comes from, in the picture: x right, y down, z away
AMBIENT, FADE = 0.35, 0.25  # share of light that reaches all; by how much what lies farthest is darker
GROUND, LINE, BAR = (24, 28, 32), (112, 122, 132), (240, 240, 240)
MARGIN = 0.04  # of the picture, on each side
SMOOTHING = (0.5, -0.52)  # steps of Taubin 1995: a mesh is smoothed, and does not shrink
SMOOTHED = 4
BAR_SHARE = 0.3  # of the picture's width, at most: the scale bar


@dataclass(frozen=True)
class Surface:
    """Triangles.

    Attributes
    ----------
    vertices
        float64 ``(n, 3)``, xyz in nm.
    faces
        int64 ``(m, 3)``; ``(b - a) x (c - a)`` of corners a, b, c points outward.
    """

    vertices: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class View:
    """How places become pixels of a square picture in which a box just fits.

    Attributes
    ----------
    box_nm
        Its sides, xyz; it begins at 0.
    side
        Pixels that are drawn, a side.
    nm
        Of a pixel.
    """

    box_nm: np.ndarray
    side: int
    nm: float

    @classmethod
    def of(cls, box_nm: np.ndarray, side: int = SIDE * FINER) -> "View":
        """Return the view of a box."""
        corners = (_corners(box_nm) - box_nm / 2) @ _turn().T
        widest = 2 * float(np.abs(corners[:, :2]).max())
        return cls(box_nm, side, widest / (side * (1 - 2 * MARGIN)))

    def project(self, places: np.ndarray) -> np.ndarray:
        """Return float64 ``(n, 3)``: column, row and depth, in pixels, of places (xyz in nm). Pixels' centres are whole numbers."""
        middle = np.array([self.side - 1, self.side - 1, 0]) / 2
        return np.asarray((places - self.box_nm / 2) @ _turn().T / self.nm + middle)

    @property
    def bar_nm(self) -> float:
        """A round length (1, 2 or 5 times a power of ten, nm) of at most `BAR_SHARE` of the picture."""
        most = self.nm * self.side * BAR_SHARE
        power = 10.0 ** np.floor(np.log10(most))
        return float(max(step * power for step in (1, 2, 5) if step * power <= most))


def _turn() -> np.ndarray:
    (a, b), (c, d) = ((np.cos(angle), np.sin(angle)) for angle in (TURN, TILT))
    return np.array([[1, 0, 0], [0, c, -d], [0, d, c]]) @ np.array([[a, 0, b], [0, 1, 0], [-b, 0, a]])


def _corners(box_nm: np.ndarray) -> np.ndarray:
    return np.array(list(product((0.0, 1.0), repeat=3))) * box_nm


def make_surface(mask: np.ndarray, voxel_nm: np.ndarray, begin: np.ndarray) -> Surface:
    """Return the smoothed, closed surface of voxels.

    Parameters
    ----------
    mask
        bool, zyx.
    voxel_nm, begin
        zyx: their size, and where the first lies from the origin, in voxels.
    """
    from skimage.measure import marching_cubes

    places, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5)
    places = _smooth(places.astype(np.float64), faces)
    nm = (places - 0.5 + begin) * voxel_nm  # a padded voxel before, and half a voxel to a voxel's centre
    return Surface(nm[:, ::-1], faces.astype(np.int64))  # the axes are reversed: what pointed inward points outward


def _smooth(places: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return vertices (in voxels) moved towards the mean of their neighbours and back out, `SMOOTHED` times."""
    from scipy.sparse import coo_matrix

    rows, columns = (faces[:, corners].ravel() for corners in ((0, 1, 2), (1, 2, 0)))
    near = coo_matrix((np.ones(len(rows)), (rows, columns)), (len(places), len(places))).tocsr()
    near = ((near + near.T) > 0).astype(np.float64)
    counts = np.maximum(np.asarray(near.sum(axis=1)), 1)
    for _ in range(SMOOTHED):
        for step in SMOOTHING:
            places = places + step * (near @ places / counts - places)
    return places


def render(surfaces: Sequence[tuple[Surface, np.ndarray]], view: View) -> np.ndarray:
    """Return a picture, uint8[y, x, 3], of surfaces and their colours (RGB up to 255), with the view's box and a scale bar.

    What is nearer hides what is behind it, the box's edges too.
    """
    depth = np.full(view.side**2, np.inf)
    image = np.empty((view.side**2, 3))
    image[:] = GROUND
    half = float(np.linalg.norm(view.box_nm)) / view.nm / 2
    for surface, colour in surfaces:
        _draw_surface(surface, colour, view, depth, image, half)
    _draw_box(view, depth, image)
    picture = image.reshape(view.side, view.side, 3)
    _draw_bar(view, picture)
    small = picture.reshape(view.side // FINER, FINER, view.side // FINER, FINER, 3).mean(axis=(1, 3))
    return np.asarray(small.round().astype(np.uint8))


def _draw_surface(
    surface: Surface, colour: np.ndarray, view: View, depth: np.ndarray, image: np.ndarray, half: float
) -> None:
    seen = view.project(surface.vertices)
    corners = seen[surface.faces]
    across = np.cross(
        corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    )  # outward, twice as long as the area
    normals = np.zeros_like(seen)
    for corner in range(3):
        np.add.at(normals, surface.faces[:, corner], across)
    facing = np.flatnonzero(across[:, 2] < 0)
    pixel, face, weights = _cover(corners[facing], view.side)
    face = facing[face]
    at = np.einsum("ij,ij->i", weights, corners[face, :, 2])
    np.minimum.at(depth, pixel, at)
    shown = depth[pixel] == at
    pixel, face, weights, at = pixel[shown], face[shown], weights[shown], at[shown]
    normal = np.einsum("ij,ijk->ik", weights, normals[surface.faces[face]])
    normal /= np.maximum(np.linalg.norm(normal, axis=1), 1e-12)[:, None]
    light = AMBIENT + (1 - AMBIENT) * np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    image[pixel] = (light * (1 - FADE * np.clip(at / (2 * half) + 0.5, 0, 1)))[:, None] * colour


def _cover(corners: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels whose centre lies in a triangle, the triangle of each, and the weights (sum 1) of its corners there.

    Parameters
    ----------
    corners
        float64 ``(n, 3, >= 2)``: column and row of each corner.
    """
    first = np.maximum(np.ceil(corners[:, :, :2].min(axis=1)).astype(np.int64), 0)
    last = np.minimum(np.floor(corners[:, :, :2].max(axis=1)).astype(np.int64), side - 1)
    width, height = np.maximum(last - first + 1, 0).T
    count = width * height
    face = np.repeat(np.arange(len(corners)), count)
    number = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    column, row = first[face, 0] + number % width[face], first[face, 1] + number // width[face]
    a, b, c = (corners[face, corner, :2] - np.stack([column, row], axis=1) for corner in range(3))
    parts = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
    whole = parts.sum(axis=1)
    inside = (whole != 0) & ((parts <= 0).all(axis=1) | (parts >= 0).all(axis=1))
    return (row * side + column)[inside], face[inside], parts[inside] / whole[inside, None]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _draw_box(view: View, depth: np.ndarray, image: np.ndarray) -> None:
    corners = view.project(_corners(view.box_nm))
    for a, b in combinations(range(8), 2):
        if (a ^ b).bit_count() > 1:
            continue  # no edge
        steps = np.linspace(0, 1, 2 * view.side)[:, None]
        line = corners[a] + steps * (corners[b] - corners[a])
        for offset in product(range(FINER), repeat=2):  # a pixel of the picture wide
            column, row = (np.floor(line[:, :2]).astype(np.int64) + offset).T
            pixel = row * view.side + column
            free = line[:, 2] <= depth[pixel]
            image[pixel[free]] = LINE


def _draw_bar(view: View, picture: np.ndarray) -> None:
    length, thick, gap = round(view.bar_nm / view.nm), 3 * FINER, 10 * FINER
    picture[-gap - thick : -gap, gap : gap + length] = BAR
