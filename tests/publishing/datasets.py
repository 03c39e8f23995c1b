"""A data set of WEBKNOSSOS read back: volumes and mappings, by tensorstore, as its documentation describes them."""

import json
from collections import deque
from pathlib import Path

import numpy as np

ARRAYS = (
    *("segment_to_agglomerate", "agglomerate_to_segments_offsets", "agglomerate_to_segments"),
    *("agglomerate_to_edges_offsets", "agglomerate_to_edges", "agglomerate_to_affinities", "agglomerate_to_positions"),
)


def read_layers(dataset: Path) -> dict[str, dict]:
    """Return what the data set says of each layer."""
    layers = json.loads((dataset / "datasource-properties.json").read_text())["dataLayers"]
    return {layer["name"]: layer for layer in layers}


def read_array(folder: Path) -> np.ndarray:
    import tensorstore

    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/"}}
    return np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result())


def read_mag(dataset: Path, layer: dict, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return zyx voxels from voxel 0 of the data set, and how many of the finest are in one."""
    mag = layer["mags"][index]
    assert mag["axisOrder"] == {"c": 0, "x": 1, "y": 2, "z": 3}
    voxels = read_array(dataset / mag["path"])
    assert voxels.shape[0] == 1
    return voxels[0].T, np.array(mag["mag"][::-1])


def read_box(layer: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return first voxel and shape of a layer, zyx."""
    box = layer["boundingBox"]
    return np.array(box["topLeft"][::-1]), np.array([box["depth"], box["height"], box["width"]])


def read_finest(dataset: Path, name: str) -> np.ndarray:
    """Return the voxels of a layer's box."""
    layer = read_layers(dataset)[name]
    begin, shape = read_box(layer)
    voxels, _ = read_mag(dataset, layer)
    assert tuple(voxels.shape) == tuple(begin + shape)
    return voxels[tuple(slice(b, None) for b in begin)]


def read_mapping(dataset: Path, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of a mapping that the data set names."""
    attached = read_layers(dataset)["fragments"]["attachments"]["agglomerates"]
    (one,) = (attachment for attachment in attached if attachment["name"] == name)
    assert one["dataFormat"] == "zarr3"
    group = json.loads((dataset / one["path"] / "zarr.json").read_text())
    assert (group["zarr_format"], group["node_type"]) == (3, "group")
    assert group["attributes"] == {
        "voxelytics": {"artifact_schema_version": 4, "artifact_class": "AgglomerateViewArtifact"}
    }
    return {array: read_array(dataset / one["path"] / array) for array in ARRAYS}


def check_mapping(mapping: dict[str, np.ndarray], ids: np.ndarray, begin: np.ndarray) -> None:
    """Assert all that is documented of a mapping, and that an agglomerate hangs together.

    Parameters
    ----------
    ids
        Of the fragments in their layer, zyx.
    begin
        Its first voxel.
    """
    to, offsets, segments, of_edges, edges, affinities, positions = (mapping[array] for array in ARRAYS)
    wanted = ("uint64", "uint64", ids.dtype.name, "uint64", ids.dtype.name, "float32", "int32")
    assert tuple(mapping[array].dtype.name for array in ARRAYS) == wanted
    count = int(to.max(initial=0))
    assert to[0] == 0
    assert len(offsets) == len(of_edges) == count + 2
    assert offsets[:2].tolist() == of_edges[:2].tolist() == [0, 0]
    assert (offsets[-1], of_edges[-1]) == (len(segments), len(edges))
    assert (len(positions), len(affinities)) == (len(segments), len(edges))
    assert np.array_equal(np.sort(segments), np.flatnonzero(to))
    assert np.isfinite(affinities).all()
    for one in range(1, count + 1):
        members = segments[offsets[one] : offsets[one + 1]]
        assert np.array_equal(members, np.flatnonzero(to == one))
        pairs = edges[of_edges[one] : of_edges[one + 1]].astype(int)
        assert (pairs[:, 0] < pairs[:, 1]).all()
        assert sorted(set(map(tuple, pairs.tolist()))) == [tuple(pair) for pair in pairs.tolist()]
        assert reach(len(members), pairs) == len(members)
    z, y, x = (positions[:, ::-1] - begin).T
    shown = np.isin(segments, ids)  # a fragment may lie where there is no data
    assert np.array_equal(ids[z[shown], y[shown], x[shown]], segments[shown])


def reach(nodes: int, pairs: np.ndarray) -> int:
    """Return how many of some nodes the first can be reached from."""
    near: dict[int, list[int]] = {node: [] for node in range(nodes)}
    for a, b in pairs.tolist():
        near[a].append(b)
        near[b].append(a)
    seen, left = {0}, deque([0])
    while left:
        for node in near[left.popleft()]:
            if node not in seen:
                seen.add(node)
                left.append(node)
    return len(seen)
