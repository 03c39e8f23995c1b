"""Segmentations with known shapes, and what is measured of surfaces."""

from collections import Counter
from pathlib import Path

import numpy as np

from neuroadda.blockwise.execution_config import Execution
from neuroadda.publishing.publication import PublishConfig
from neuroadda.publishing.publishing import publish_run
from neuroadda.volumes.arrays import Volume

SERIAL = Execution(launcher="serial")
BALL, TREE, RING = 7, 2**40 + 3, 12


def make_ball(shape=(44, 48, 52), centre=(21.3, 23.1, 25.7), radius=17.0, voxel_size=(1.0, 1.0, 1.0)) -> np.ndarray:
    """Return bool: voxels whose centre lies in a ball; lengths in voxels times `voxel_size`."""
    places = (np.indices(shape).T + 0.5) * voxel_size - np.array(centre) * voxel_size
    return radius**2 > (places**2).sum(-1).T


def make_tube(shape, ends, radius, voxel_size=(1.0, 1.0, 1.0)) -> np.ndarray:
    """Return bool: voxels near a line between two places (zyx, in voxels)."""
    size = np.array(voxel_size)
    places = (np.indices(shape).reshape(3, -1).T + 0.5) * size
    a, b = (np.array(end) * size for end in ends)
    along = np.clip((places - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    away = np.linalg.norm(places - a - along[:, None] * (b - a), axis=1)
    return (away < radius).reshape(shape)


TREE_SHAPE = (40, 56, 60)
TREE_ENDS = [((20, 6, 6), (20, 28, 30)), ((20, 28, 30), (33, 48, 52)), ((20, 28, 30), (8, 47, 50))]


def make_tree(radius=4.0) -> np.ndarray:
    """Return bool: a tube that branches once."""
    return np.logical_or.reduce([make_tube(TREE_SHAPE, ends, radius) for ends in TREE_ENDS])


def make_ring(shape=(30, 50, 50)) -> np.ndarray:
    """Return bool: a torus in the plane of y and x."""
    z, y, x = np.indices(shape) + 0.5 - np.array([15, 25, 25])[:, None, None, None]
    return (np.hypot(y, x) - 15) ** 2 + z**2 < 6**2


def write_segmentation(
    path: Path, ids: np.ndarray, voxel_nm=(8, 8, 8), offset_nm=(0, 0, 0), chunk_vx=(16, 16, 16)
) -> Volume:
    volume = Volume.create(path, ids.shape, voxel_nm, ids.dtype, offset_nm=offset_nm, chunk_vx=chunk_vx)
    volume.write(volume.roi, ids)
    return volume


def publish(volume: Volume, folder: Path, overwrite=False, **options) -> Path:
    given = {"run": str(volume.path), "output": str(folder), "min_size": 1, "block_vx": (16, 16, 16)}
    return publish_run(PublishConfig(**(given | {"execution": SERIAL} | options)), overwrite=overwrite)


def count_open_edges(faces: np.ndarray) -> int:
    """Return how many directed edges lack the one that closes them, or appear twice: 0 for a closed surface."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = Counter(map(tuple, directed.tolist()))
    return sum(number != 1 or edges[(b, a)] != 1 for (a, b), number in list(edges.items()))


def count_euler(faces: np.ndarray) -> int:
    edges = {tuple(sorted(edge)) for face in faces.tolist() for edge in zip(face, face[1:] + face[:1], strict=True)}
    return len(np.unique(faces)) - len(edges) + len(faces)


def measure_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def measure_area(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def read_mesh(folder: Path, id_: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (xyz, nm) and faces of a precomputed mesh, by its manifest."""
    import json

    (name,) = json.loads((folder / f"{id_}:0").read_text())["fragments"]
    data = (folder / name).read_bytes()
    count = int(np.frombuffer(data, "<u4", 1)[0])
    vertices = np.frombuffer(data, "<f4", 3 * count, 4).reshape(-1, 3)
    return vertices, np.frombuffer(data, "<u4", offset=4 + 12 * count).reshape(-1, 3)


def list_files(folder: Path) -> dict[str, bytes]:
    """Return what was published, by name; tags hold a random id, and ``.run`` is not published."""
    files = (path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {n: p.read_bytes() for n, p in named.items() if not n.startswith(".run/") and p.name != "task.json"}
