"""Segment affinities by the field's usual recipe: watershed fragments, waterz, connected components, relabelling.

    python -m benchmarks.peers.classic_segment run|sweep JOB.json

With ``"blockwise": true`` the road of the scripts of Sheridan et al. 2023 (doi:10.1038/s41592-022-01711-z) on daisy: with
``"database": true`` their graph in a database, as there, else its edges in plain files, which is faster. Or the whole volume in
memory, which needs no scheduling, storage or context, and no block sees less than everything. Only fragments, and the arrays
on disk, are shared with neuroadda.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import daisy.logging
import daisy.v2
import numpy as np
import waterz
from funlib.geometry import Coordinate, Roi
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label

import benchmarks.peers.classic_database as database
from benchmarks.peers.measure import Stages
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.evaluation.baselines import classic_fragments
from neuroadda.segmentation.by_waterz import silence_stdout
from neuroadda.volumes.arrays import Volume

SCORERS = {
    "mean": "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>",
    **{
        f"quantile {q}": f"OneMinus<HistogramQuantileAffinity<RegionGraphType, {q}, ScoreValue, 256, false>>"
        for q in (50, 75)
    },
}


class Job:
    """Where a job reads and writes, and how."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.folder, self.settings = Path(job["output"]), job["settings"]
        self.affs, self.workers, self.database = Volume.open(job["affs"]), job["workers"], job.get("database", False)
        self.grid = BlockGrid.make(
            self.affs.roi, self.affs.voxel_size, tuple(job["block_vx"]), tuple(job["context_vx"])
        )

    def create(self, name: str) -> None:
        """Create an array of ids."""
        like = self.affs
        Volume.create(
            self.folder / "volumes.zarr" / name,
            like.shape_vx,
            like.voxel_size_nm,
            np.uint64,
            offset_nm=like.offset_nm,
            chunk_vx=like.chunk_vx,
        )

    def open(self, name: str) -> Volume:
        """Open an array of ids."""
        return Volume.open(self.folder / "volumes.zarr" / name, "r+")

    def read_affs(self, roi: Roi) -> np.ndarray:
        """Return affinities, 0 to 1."""
        return self.affs.read(roi)[:3].astype(np.float32) / np.float32(255)

    def over_blocks(self, name: str, function: Callable[["Job", daisy.v2.Block], None], context: bool = True) -> None:
        """Call a function on every block."""
        around = Coordinate(self.grid.context) if context else Coordinate(0, 0, 0)
        block = Roi((0, 0, 0), self.grid.block)
        task = daisy.v2.Task(
            name,
            self.grid.roi.grow(around, around),
            block.grow(around, around),
            block,
            partial(on_block, json.loads((self.folder / "job.json").read_text()), function),
            read_write_conflict=False,
            fit="shrink",
            max_workers=self.workers,
            tracking_path=False,
        )
        daisy.v2.run_blockwise(task, multiprocessing=self.workers > 1, progress=False, summary=False)


def on_block(job: dict[str, Any], function: Callable[[Job, daisy.v2.Block], None], block: daisy.v2.Block) -> None:
    """Call the function in a worker."""
    function(Job(job), block)


def find_fragments(job: Job, block: daisy.v2.Block) -> None:
    """Write a block's fragments."""
    read_roi = block.read_roi.intersect(job.affs.roi)
    found = classic_fragments(job.read_affs(read_roi), job.affs.voxel_size_nm, job.settings["seed_distance"])
    inside = ((block.write_roi - read_roi.begin) / job.affs.voxel_size).to_slices()
    local, first = label(found[inside].astype(np.int64)).astype(np.uint64), first_id(job, block)
    job.open("fragments").write(block.write_roi, np.where(local > 0, local + np.uint64(first), 0))
    if job.database:
        database.write_nodes(job.folder, local, first, block.write_roi, tuple(job.affs.voxel_size))


def first_id(job: Job, block: daisy.v2.Block) -> int:
    """Return the id below a block's first fragment."""
    index = job.grid.at(job.grid.position_of(block.write_roi.begin)).index
    return index * int(np.prod(job.grid.block_vx))


def score_edges(job: Job, block: daisy.v2.Block) -> None:
    """Write the merge scores of the edges whose smaller fragment is in the block."""
    read_roi = block.read_roi.intersect(job.affs.roi)
    ids, dense = np.unique(job.open("fragments").read(read_roi), return_inverse=True)
    shift = 0 if ids[0] == 0 else 1
    fragments = (dense.reshape(read_roi.shape / job.affs.voxel_size) + shift).astype(np.uint64)
    with silence_stdout():
        initial, final = (
            part[1:]
            for part in waterz.agglomerate(
                job.read_affs(read_roi),
                [0, 1.0],
                fragments=fragments,
                scoring_function=SCORERS[job.settings["scorer"]],
                discretize_queue=256,
                return_merge_history=True,
                return_region_graph=True,
            )
        )
    edges = [(ids[e["u"] - shift], ids[e["v"] - shift]) for e in initial[1]]
    u, v = (np.array(edges, np.uint64).reshape(-1, 2)[:, i] for i in (0, 1))
    scores = np.array(merge_scores(len(ids) + 1, [(e["u"], e["v"]) for e in initial[1]], final[0]))
    first = first_id(job, block)
    smaller = np.minimum(u, v)
    own = (smaller > first) & (smaller <= first + np.prod(job.grid.block_vx))
    if job.database:
        database.write_edges(job.folder, u[own], v[own], scores[own], block.write_roi)
    else:
        np.savez(job.folder / f"edges-{first}.npz", u=u[own], v=v[own], score=scores[own])


def merge_scores(count: int, edges: list[tuple[int, int]], history: list[dict[str, Any]]) -> list[float]:
    """Return for each edge the score at which its ends become one, infinite if they never do."""
    tree, parent, height = list(range(count)), [-1] * count, [0.0] * count
    for merge in history:
        a, b = tree[merge["a"]], tree[merge["b"]]
        node = len(parent)
        parent[a] = parent[b] = node
        parent.append(-1)
        height.append(max(merge["score"], height[a], height[b]))
        tree[merge["c"]] = node
    scores = []
    for a, b in edges:
        while a != b:  # nodes are numbered upward, so the smaller one is not above the other
            a, b = min(a, b), max(a, b)
            a = parent[a]
            if a == -1:
                break
        scores.append(height[a] if a == b else float("inf"))
    return scores


def connect(job: Job) -> None:
    """Write the lookup table: connected components of the edges below the threshold."""
    if job.database:
        u, v, score = database.read_edges(job.folder, job.affs.roi)
    else:
        parts = [dict(np.load(path)) for path in sorted(job.folder.glob("edges-*.npz"))]
        u, v, score = (np.concatenate([part[name] for part in parts]) for name in ("u", "v", "score"))
    ids, dense = np.unique(np.concatenate([u, v]), return_inverse=True)
    kept = score <= job.settings["threshold"]
    pairs = dense[: len(u)][kept], dense[len(u) :][kept]
    _, found = connected_components(coo_array((np.ones(kept.sum(), bool), pairs), (len(ids), len(ids))))
    first = np.unique(found, return_index=True)[1]
    np.savez(job.folder / "lut.npz", ids=ids, segments=ids[first][found])


def relabel(job: Job, block: daisy.v2.Block) -> None:
    """Write a block of the segmentation; a fragment without edges stays alone."""
    lut = np.load(job.folder / "lut.npz")
    here, dense = np.unique(job.open("fragments").read(block.write_roi), return_inverse=True)
    place = np.minimum(np.searchsorted(lut["ids"], here), len(lut["ids"]) - 1)
    new = np.where(lut["ids"][place] == here, lut["segments"][place], here)
    shape = block.write_roi.shape / job.affs.voxel_size
    job.open("segmentation").write(block.write_roi, new[dense].reshape(shape))


def run(data: dict[str, Any]) -> None:
    """Segment, and tell the CPU seconds of each part."""
    folder = Path(data["output"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(data))
    job, stages = Job(data), Stages()
    if data["blockwise"]:
        daisy.logging.set_log_basedir(folder / "logs")
        with stages("fragments"):
            job.create("fragments")
            if job.database:
                database.open_graph(folder, "w")
            job.over_blocks("fragments", find_fragments)
        with stages("agglomerate"):
            job.over_blocks("agglomerate", score_edges)
        with stages("components"):
            connect(job)
        with stages("relabel"):
            job.create("segmentation")
            job.over_blocks("relabel", relabel, context=False)
    else:
        affs = job.read_affs(job.affs.roi)
        with stages("fragments"):
            fragments = classic_fragments(affs, job.affs.voxel_size_nm, job.settings["seed_distance"])
        with stages("agglomerate"):
            segmentation = next(agglomerate(affs, fragments, [job.settings["threshold"]], job.settings["scorer"]))
        np.save(folder / "segmentation.npy", segmentation)
    stages.write(folder / "stages.json")


def agglomerate(affs: np.ndarray, fragments: np.ndarray, thresholds: list[float], scorer: str) -> Iterator[np.ndarray]:
    """Yield the segmentation at each threshold; it is the fragments' memory."""
    with silence_stdout():
        yield from waterz.agglomerate(
            affs, thresholds, fragments=fragments, scoring_function=SCORERS[scorer], discretize_queue=256
        )


def sweep(data: dict[str, Any]) -> None:
    """Write the fragments of each setting, and what they become at each threshold."""
    folder = Path(data["output"])
    folder.mkdir(parents=True, exist_ok=True)
    for number, settings in enumerate(data["grid"]):
        job = Job(data | {"settings": settings})
        affs = job.read_affs(job.affs.roi)
        fragments = classic_fragments(affs, job.affs.voxel_size_nm, settings["seed_distance"])
        ids, first = np.unique(fragments, return_index=True)
        merged = agglomerate(affs, fragments.copy(), data["thresholds"], settings["scorer"])
        segments = [np.asarray(found).ravel()[first] for found in merged]
        np.savez(folder / f"{number}.npz", fragments=fragments, ids=ids, segments=np.array(segments))


if __name__ == "__main__":
    data = json.loads(Path(sys.argv[2]).read_text())
    {"run": run, "sweep": sweep}[sys.argv[1]](data)
