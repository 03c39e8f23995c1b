"""A published folder as Neuroglancer reads it, written by tensorstore: raw, and labels with meshes and sizes."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import marching_cubes

from neuroadda.viewing.viewer.server import ViewServer, open_view
from neuroadda.viewing.viewer.view import View
from neuroadda.volumes.arrays import Volume

CHUNK = [64, 64, 64]


@contextmanager
def serving(view: View, **options: Any) -> Iterator[ViewServer]:
    """Serve a view while a test looks at it."""
    with open_view(view, **options) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def publish(folder: Path, raw: Volume, labels: Volume) -> Path:
    """Write ``raw`` and ``segmentation``, with a mesh of each segment."""
    import tensorstore as ts

    for name, volume, kind, encoding in (
        ("raw", raw, "image", "raw"),
        ("segmentation", labels, "segmentation", "compressed_segmentation"),
    ):
        size, offset = ([int(v) for v in values[::-1]] for values in (volume.voxel_size_nm, volume.offset_nm))
        scale = {
            "resolution": size,
            "encoding": encoding,
            "voxel_offset": [o // s for o, s in zip(offset, size, strict=True)],
        }
        if encoding != "raw":
            scale["compressed_segmentation_block_size"] = [8, 8, 8]
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder / name}/"},
            "multiscale_metadata": {"data_type": volume.dtype.name, "num_channels": 1, "type": kind},
            "scale_metadata": scale | {"size": [int(n) for n in volume.shape_vx[::-1]], "chunk_size": CHUNK},
        }
        store = ts.open(spec, create=True).result()
        store[...] = volume.read().transpose()[..., None]
    _write_meshes(folder / "segmentation", labels)
    return folder


def _write_meshes(folder: Path, labels: Volume) -> None:
    voxels, (ids, sizes) = labels.read(), np.unique(labels.read(), return_counts=True)
    sizes, ids = sizes[ids > 0], ids[ids > 0]
    properties = {"id": "voxels", "type": "number", "data_type": "uint32", "values": sizes.tolist()}
    inline = {"ids": [str(i) for i in ids.tolist()], "properties": [properties]}
    (folder / "properties").mkdir()
    about = {"@type": "neuroglancer_segment_properties", "inline": inline}
    (folder / "properties/info").write_text(json.dumps(about))
    (folder / "mesh").mkdir()
    (folder / "mesh/info").write_text(json.dumps({"@type": "neuroglancer_legacy_mesh"}))
    for segment in ids.tolist():
        vertices, faces, _, _ = marching_cubes(np.pad(voxels == segment, 1), 0.5, spacing=labels.voxel_size_nm)
        place = (vertices - labels.voxel_size_nm + labels.offset_nm)[:, ::-1]
        body = np.uint32(len(place)).tobytes() + place.astype("<f4").tobytes() + faces.astype("<u4").tobytes()
        (folder / f"mesh/{segment}:0:1").write_bytes(body)
        (folder / f"mesh/{segment}:0").write_text(json.dumps({"fragments": [f"{segment}:0:1"]}))
    info = json.loads((folder / "info").read_text())
    (folder / "info").write_text(json.dumps(info | {"mesh": "mesh", "segment_properties": "properties"}))
