"""Read published skeletons and meshes with navis, in its own virtual environment; print what it found as JSON.

python navis_read.py SEGMENTATION ID ...
"""

import json
import sys
from pathlib import Path

import navis


def main() -> None:
    """Read, and print the nodes of skeletons and the boxes of meshes, xyz in nm, by id."""
    folder, ids = Path(sys.argv[1]), sys.argv[2:]
    found = {}
    for id_ in ids:
        (skeleton,) = navis.NeuronList(
            navis.read_precomputed(folder / "skeletons" / id_, datatype="skeleton", info=folder / "skeletons/info")
        )
        nodes = skeleton.nodes[["x", "y", "z"]].to_numpy()
        found[id_] = {"nodes": nodes.tolist(), "cable": float(skeleton.cable_length), "trees": int(skeleton.n_trees)}
    print(json.dumps({"version": navis.__version__, "skeletons": found}))


if __name__ == "__main__":
    main()
