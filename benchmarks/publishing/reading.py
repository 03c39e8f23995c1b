"""What was published, read back by the programs of others: are ids and places those of the segmentation?"""

import json
import subprocess
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from benchmarks.publishing.steps import SEGMENTATION, Segment, find_segmentation
from neuroadda.volumes.arrays import Volume

BOXES, BOX_VX = 16, 64
SLAB_VX = (64, 512, 512)
WEBKNOSSOS = "webknossos==4.3.3"
HERE = Path(__file__).parent
Found = dict[str, str]


def read_by_tensorstore(output: Path, labels: Volume) -> Found:
    """Compare every voxel of the finest scale."""
    import tensorstore

    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{output / SEGMENTATION}/"}}
    array = tensorstore.open(spec, read=True).result()[tensorstore.d[:].translate_to[0, 0, 0, 0]]
    different = 0
    for begin in product(*(range(0, s, n) for s, n in zip(labels.shape_vx, SLAB_VX, strict=True))):
        box = tuple(slice(b, min(b + n, s)) for b, n, s in zip(begin, SLAB_VX, labels.shape_vx, strict=True))
        read = np.asarray(array[(*box[::-1], 0)].read().result()).T
        different += int((read != labels.data[box]).sum())
    return {"voxels compared": f"{np.prod(labels.shape_vx):,}", "other ids": str(different)}


def read_by_cloudvolume(output: Path, labels: Volume, segments: Sequence[Segment]) -> Found:
    """Compare boxes of voxels, the boxes of meshes, and the ids at the nodes of skeletons."""
    from cloudvolume import CloudVolume

    volume = CloudVolume(
        f"precomputed://file://{(output / SEGMENTATION).absolute()}", progress=False, fill_missing=True
    )
    random, shape = np.random.default_rng(0), np.array(labels.shape_vx)
    compared = different = 0
    for _ in range(BOXES):
        begin = random.integers(0, np.maximum(shape - BOX_VX, 1))
        box = tuple(slice(int(b), int(min(b + BOX_VX, s))) for b, s in zip(begin, shape, strict=True))
        ids = labels.data[box]
        compared += ids.size
        placed = tuple(slice(side.start + o, side.stop + o) for side, o in zip(box, _offset_vx(labels), strict=True))
        different += int((ids != np.asarray(volume[placed[::-1]])[..., 0].T).sum())
    meshes = volume.mesh.get([segment.id for segment in segments], fuse=False)
    off = max(_distance(meshes[segment.id].vertices, segment) for segment in segments)
    skeletons = {segment.id: volume.skeleton.get(segment.id).vertices for segment in segments}
    return {
        "voxels compared": f"{compared:,}",
        "other ids": str(different),
        "box of a mesh differs by at most": f"{off:.0f} nm",
        "nodes of skeletons in their segment": _share_inside(skeletons, labels),
    }


def read_by_trimesh(output: Path, labels: Volume, segments: Sequence[Segment]) -> Found:
    """Compare the boxes and volumes of the PLY files."""
    import trimesh

    off, ratios, closed = 0.0, [], 0
    for segment in segments:
        mesh: Any = trimesh.load(output / f"ply/{segment.id}.ply")
        off = max(off, _distance(np.asarray(mesh.vertices), segment))
        ratios.append(float(mesh.volume) / (segment.voxels * float(np.prod(labels.voxel_size_nm))))
        closed += bool(mesh.is_watertight)
    return {
        "meshes": str(len(segments)),
        "closed": str(closed),
        "volume by that of the voxels": f"{min(ratios):.3f} to {max(ratios):.3f}",
        "box of a mesh differs by at most": f"{off:.0f} nm",
    }


def read_by_navis(python: Path, output: Path, labels: Volume, segments: Sequence[Segment]) -> Found:
    """Compare the ids at the nodes of skeletons, which navis reads in its own virtual environment."""
    command = [python, HERE / "navis_read.py", output / SEGMENTATION, *(str(segment.id) for segment in segments)]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    found = told["skeletons"]
    nodes = {int(id_): np.array(one["nodes"]) for id_, one in found.items()}
    return {
        "skeletons": str(len(found)),
        "trees": str(sum(one["trees"] for one in found.values())),
        "cable": f"{sum(one['cable'] for one in found.values()) / 1e6:.2f} mm",
        "nodes of skeletons in their segment": _share_inside(nodes, labels),
    }


def read_by_webknossos(python: Path, output: Path, run: Path) -> Found:
    """Compare all voxels of raw, fragments as a partition, and the partition that the run's own mapping makes of them.

    The library runs in its own virtual environment, and reads a mapping as a graph: its components are the segments.
    """
    config, file = json.loads((run / "config.json").read_text())["resolved"], output / "webknossos.npz"
    command = [python, "-W", "ignore", HERE / "webknossos_read.py", output / "webknossos", file]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    with np.load(file) as read:
        raw, fragments = read["raw 1"][0].T, read["fragments 1"][0].T
        edges = read[f"edges threshold_{config['components']['threshold']:g}"]
    segments = find_segmentation(run)
    size = told["largest"] + 1
    graph = coo_array((np.ones(len(edges), bool), tuple(edges.T)), (size, size))
    of_fragment = connected_components(graph, directed=False)[1] + 1
    of_fragment[0] = 0  # no fragment
    return {
        "voxel size": " x ".join(f"{length:g}" for length in told["factor"]) + f" {told['unit']}",
        "other values of raw": str(int((raw != Volume.open(config["raw"]).read()).sum())),
        "fragments": str(told["largest"]),
        "the same partition into fragments": _compare(fragments, Volume.open(segments.parent / "fragments").read()),
        "the same partition into segments": _compare(of_fragment[fragments], Volume.open(segments).read()),
    }


def _compare(some: np.ndarray, others: np.ndarray) -> str:
    """Tell whether two arrays of ids are the same but for the names of ids."""
    pairs = np.unique(np.stack([some.ravel(), others.ravel()]).astype(np.uint64), axis=1)
    return "yes" if all(len(np.unique(ids)) == pairs.shape[1] for ids in pairs) else "no"


def _offset_vx(labels: Volume) -> list[int]:
    """Return where the first voxel lies, zyx."""
    return [round(o / v) for o, v in zip(labels.offset_nm, labels.voxel_size_nm, strict=True)]


def _distance(vertices: np.ndarray, segment: Segment) -> float:
    """Return by how much the box of vertices (xyz, nm) differs from the segment's, nm."""
    box = np.stack([vertices.min(axis=0)[::-1], vertices.max(axis=0)[::-1]])
    return float(np.abs(box - [segment.begin_nm, segment.end_nm]).max())


def _share_inside(skeletons: dict[int, np.ndarray], labels: Volume) -> str:
    """Return how many nodes (xyz, nm) lie in a voxel of their segment."""
    inside = total = 0
    for id_, nodes in skeletons.items():
        places = np.floor(nodes[:, ::-1] / labels.voxel_size_nm).astype(int) - _offset_vx(labels)
        z, y, x = places.T
        inside += int((labels.data.vindex[z, y, x] == id_).sum())
        total += len(nodes)
    return f"{inside:,} of {total:,}"
