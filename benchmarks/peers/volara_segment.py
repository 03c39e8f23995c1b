"""Segment affinities with volara, as its own CREMI example does; run by the interpreter of volara's virtual environment.

    python -m benchmarks.peers.volara_segment run|export|sweep JOB.json

A job names affs, output, block_vx, context_vx, workers and settings; see `contestants`. `run` is what is measured, `export` puts
the segmentation where any zarr version reads it, and `sweep` tries settings: mutex watershed of voxels at several biases, and of
fragments at several more.
"""

import json
import logging
import multiprocessing
import shutil
import sys
from pathlib import Path
from typing import Any

import mwatershed
import networkx
import numpy as np
from funlib.geometry import Coordinate
from volara.blockwise import AffAgglom, ExtractFrags, GraphMWS, Relabel
from volara.datasets import Affs, Labels
from volara.dbs import SQLite
from volara.logging import set_log_basedir
from volara.lut import LUT

from benchmarks.peers.measure import Stages

NEAREST = [Coordinate(-1, 0, 0), Coordinate(0, -1, 0), Coordinate(0, 0, -1)]
SCORES = {"z_aff": NEAREST[:1], "xy_aff": NEAREST[1:]}


class Tasks:
    """volara's four tasks of one job, in a folder."""

    def __init__(self, job: dict[str, Any], folder: Path, settings: dict[str, Any]) -> None:
        set_log_basedir(folder / "logs")
        affs = Affs(store=Path(job["affs"]), neighborhood=NEAREST, writable=False)
        self.graph = SQLite(path=folder / "fragments.db", edge_attrs=dict.fromkeys(SCORES, "float"))
        self.fragments, self.segments = (
            Labels(store=folder / f"volumes.zarr/{name}") for name in ("fragments", "segments")
        )
        self.lut = LUT(path=folder / "lut.npz")
        block_vx, workers = Coordinate(job["block_vx"]), job["workers"]
        self.roi = affs.array("r").roi
        self.extract = ExtractFrags(
            db=self.graph,
            affs_data=affs,
            frags_data=self.fragments,
            block_size=block_vx,
            context=Coordinate(max(1, side) for side in job["context_vx"]),
            bias=[settings["bias"]] * 3,
            noise_eps=settings["noise"] or None,
            voronoi=settings["voronoi"],
            min_seed_distance=settings["seed_distance"],
            num_workers=workers,
            bulk_write=settings["bulk"],
        )
        self.agglomerate = AffAgglom(
            db=self.graph,
            affs_data=affs,
            frags_data=self.fragments,
            block_size=block_vx,
            context=Coordinate(1, 1, 1),
            scores=SCORES,
            num_workers=workers,
            bulk_write=settings["bulk"],
        )
        self.relabel = Relabel(
            lut=self.lut,
            frags_data=self.fragments,
            seg_data=self.segments,
            block_size=block_vx,
            num_workers=workers,
        )

    def merge(self, threshold: float) -> GraphMWS:
        """Return the task that merges fragments: scores above the threshold attract, those below repel."""
        weights = dict.fromkeys(SCORES, (1.0, -threshold))
        return GraphMWS(db=self.graph, lut=self.lut, weights=weights, roi=self.roi)


def run(job: dict[str, Any], folder: Path) -> None:
    """Segment, and tell the CPU seconds of each task."""
    shutil.rmtree(folder, ignore_errors=True)
    stages, parallel = Stages(), job["workers"] > 1
    tasks = Tasks(job, folder, job["settings"])
    merge = tasks.merge(job["settings"]["threshold"])
    named = {"fragments": tasks.extract, "edges": tasks.agglomerate, "components": merge, "relabel": tasks.relabel}
    for name, task in named.items():
        with stages(name):
            task.run_blockwise(multiprocessing=parallel and name != "components")
    stages.write(folder / "stages.json")


def export(job: dict[str, Any], folder: Path) -> None:
    """Write the segmentation as .npy."""
    np.save(folder / "segmentation.npy", Tasks(job, folder, job["settings"]).segments.array("r")[:])


def sweep(job: dict[str, Any], folder: Path) -> None:
    """Write fragments of each setting, and what they become at each threshold."""
    for number, settings in enumerate(job["grid"]):
        place = folder / str(number)
        shutil.rmtree(place, ignore_errors=True)
        tasks = Tasks(job, place, settings)
        for task in (tasks.extract, tasks.agglomerate):
            task.run_blockwise(multiprocessing=job["workers"] > 1)
        fragments = tasks.fragments.array("r")[:]
        ids = np.unique(fragments)
        segments = []
        graph = tasks.graph.open("r").read_graph()
        for threshold in job["thresholds"]:
            before, after = cluster(graph, threshold)
            new = ids.copy()  # what has no edge stays alone
            new[np.searchsorted(ids, before)] = after
            segments.append(new)
        np.savez(folder / f"{number}.npz", fragments=fragments, ids=ids, segments=np.array(segments))


def cluster(graph: networkx.Graph, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return fragments and their segments as volara's GraphMWS does, without reading the graph from the database each time."""
    weights = [
        (data[name] - threshold, u, v)
        for u, v, data in graph.edges(data=True)
        for name in SCORES
        if data.get(name) is not None
    ]
    weights.sort(key=lambda edge: abs(edge[0]), reverse=True)
    merged = np.array(mwatershed.cluster([(weight > 0, u, v) for weight, u, v in weights]), np.uint64)
    return merged[:, 0], merged[:, 1]


if __name__ == "__main__":
    multiprocessing.set_start_method("fork", force=True)  # as volara's examples do
    logging.disable(logging.INFO)
    job = json.loads(Path(sys.argv[2]).read_text())
    {"run": run, "export": export, "sweep": sweep}[sys.argv[1]](job, Path(job["output"]))
