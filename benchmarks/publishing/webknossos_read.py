"""Read a data set with the library of WEBKNOSSOS (AGPL), in its own virtual environment.

python webknossos_read.py DATASET VOXELS.npz

Prints JSON: boxes of layers and scales (xyz voxels), the voxel size, and the largest id. Writes the voxels of every scale, and
nodes, places and edges of every mapping.
"""

import json
import sys
from typing import Any

import numpy as np
import webknossos


def main() -> None:
    """Read, print and write."""
    dataset = webknossos.Dataset.open(sys.argv[1])
    size = dataset.voxel_size_with_unit
    told: dict[str, Any] = {"factor": list(size.factor), "unit": size.unit.value}
    voxels = {}
    for name, layer in dataset.layers.items():
        told[name] = [list(layer.bounding_box.topleft), list(layer.bounding_box.size), layer.category]
        for mag, view in layer.mags.items():
            box = view.bounding_box
            told[f"{name} {mag}"] = [list(box.topleft), list(box.size)]
            voxels[f"{name} {mag}"] = view.read()
    fragments = dataset.get_layer("fragments").as_segmentation_layer()
    told["largest"] = fragments.largest_segment_id
    for attachment in fragments.attachments.agglomerates:
        graph = attachment.to_graph()
        nodes = sorted(graph.nodes)
        voxels[f"nodes {attachment.name}"] = np.array(nodes)
        voxels[f"places {attachment.name}"] = np.array([list(graph.nodes[node]["position"]) for node in nodes])
        voxels[f"edges {attachment.name}"] = np.array(sorted(sorted(edge) for edge in graph.edges))
    np.savez(sys.argv[2], **voxels)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
