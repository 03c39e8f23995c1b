"""The files of a mesh: precomputed of one resolution (the legacy format), PLY and OBJ."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Form = Literal["precomputed", "ply", "obj"]


@dataclass(frozen=True)
class Mesh:
    """A closed surface.

    Attributes
    ----------
    vertices
        float32 ``(n, 3)``, xyz in nm from the origin.
    faces
        uint32 ``(m, 3)``; their normals point outward.
    """

    vertices: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class MeshForm:
    """How meshes are written in one format.

    Attributes
    ----------
    name
        The files of a segment.
    write
        Their content.
    beside
        Files that tell readers what the folder holds.
    """

    name: Callable[[int], list[str]]
    write: Callable[[int, Mesh], dict[str, bytes]]
    beside: Mapping[str, bytes] = field(default_factory=dict)


def _write_precomputed(id_: int, mesh: Mesh) -> dict[str, bytes]:
    """Return the fragment and the manifest that names it: github.com/google/neuroglancer, precomputed/meshes.md."""
    count = np.array([len(mesh.vertices)], "<u4").tobytes()
    fragment = count + mesh.vertices.astype("<f4").tobytes() + mesh.faces.astype("<u4").tobytes()
    return {f"{id_}.mesh": fragment, f"{id_}:0": json.dumps({"fragments": [f"{id_}.mesh"]}).encode()}


def _write_by_trimesh(form: str) -> Callable[[int, Mesh], dict[str, bytes]]:
    def write(id_: int, mesh: Mesh) -> dict[str, bytes]:
        import trimesh

        content: str | bytes = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(file_type=form)  # type: ignore[assignment]
        return {f"{id_}.{form}": content.encode() if isinstance(content, str) else content}

    return write


FORMS: dict[Form, MeshForm] = {
    "precomputed": MeshForm(
        lambda id_: [f"{id_}.mesh", f"{id_}:0"],
        _write_precomputed,
        {"info": json.dumps({"@type": "neuroglancer_legacy_mesh"}).encode()},
    ),
    "ply": MeshForm(lambda id_: [f"{id_}.ply"], _write_by_trimesh("ply")),
    "obj": MeshForm(lambda id_: [f"{id_}.obj"], _write_by_trimesh("obj")),
}
