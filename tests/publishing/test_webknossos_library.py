"""The library of WEBKNOSSOS reads what is published. It is AGPL: it runs as another program, in an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neuroadda as na
from benchmarks.publishing.reading import WEBKNOSSOS
from neuroadda.segmentation.fragments import Fragments
from neuroadda.volumes.arrays import Volume
from tests.publishing import datasets
from tests.publishing.test_webknossos import publish, read, segment
from tests.segmentation.synthetic import write_backbone, write_raw

pytest.importorskip("tensorstore", reason="tensorstore is not installed (pip install neuroadda[publish])")
READ = Path(__file__).parents[2] / "benchmarks/publishing/webknossos_read.py"


@pytest.mark.slow
def test_the_library_reads_ids_places_and_mappings(tmp_path):
    write_raw(tmp_path / "raw.zarr/raw", (13, 70, 77))
    write_backbone(tmp_path / "backbone")
    plan = segment(tmp_path, tmp_path / "run", fragments=Fragments(seed_distance_vx=4, boundary=0.5))
    ids = np.unique(read(plan, "fragments"))
    na.add_edit(tmp_path / "run", "merge", int(ids[-1]), int(ids[1]), who="ann")
    na.apply_edits(tmp_path / "run")
    dataset = publish(plan, tmp_path / "out", thresholds=(0.4,))
    told, found = read_by_library(dataset, tmp_path)
    assert (told["factor"], told["unit"]) == ([6, 6, 30], "nanometer")
    layers = datasets.read_layers(dataset)
    raw, dense = Volume.open(plan.config.raw).read(), datasets.read_finest(dataset, "fragments")
    for name, voxels in (("raw", raw), ("fragments", dense)):
        assert told[name] == [[0, 2, 2], [77, 70, 13], layers[name]["category"]]
        assert np.array_equal(found[f"{name} 1"][0].T, voxels)
        for index, mag in enumerate(layers[name]["mags"]):
            key = f"{name} {mag['path'].rpartition('/')[2]}"
            (begin, size), factor = told[key], np.array(mag["mag"])
            first = np.array(begin) // factor
            ours, _ = datasets.read_mag(dataset, layers[name], index)
            box = tuple(slice(f, f + s) for f, s in zip(first, np.array(size) // factor, strict=True))
            assert np.array_equal(found[key][0], ours.T[box])
    assert told["largest"] == dense.max()
    assert [m["name"] for m in layers["fragments"]["attachments"]["agglomerates"]] == [
        *("corrected", "threshold_0.15", "threshold_0.4")
    ]
    to = datasets.read_mapping(dataset, "corrected")["segment_to_agglomerate"]
    assert to[dense].tobytes() == read(plan, "relabel").tobytes()
    for name in ("corrected", "threshold_0.15", "threshold_0.4"):
        to = datasets.read_mapping(dataset, name)["segment_to_agglomerate"]
        edges, nodes = found[f"edges {name}"], found[f"nodes {name}"]
        assert (to[edges[:, 0]] == to[edges[:, 1]]).all()
        assert nodes.tolist() == list(range(1, len(to)))
        z, y, x = (found[f"places {name}"][:, ::-1] - (0, 2, 2)[::-1]).T
        assert np.array_equal(dense[z, y, x], nodes)


def read_by_library(dataset: Path, folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return what the library tells and reads of a data set."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    python = folder / "environment/bin/python"
    subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", WEBKNOSSOS], check=True, env=outside)
    reading = subprocess.run(
        [python, "-W", "ignore", READ, dataset, folder / "read.npz"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=outside,
    )
    assert reading.returncode == 0
    with np.load(folder / "read.npz") as file:
        return json.loads(reading.stdout.splitlines()[-1]), dict(file)
