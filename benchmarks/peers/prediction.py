"""Raw to affinities: voxels per second and per CPU second, neuroadda beside gunpowder, on the same tiles of the same network."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.peers.inputs import import_part, tile_raw
from benchmarks.peers.neuroadda_predict import config_of
from neuroadda.backbones.devices import resolve_precision
from neuroadda.config import Zyx
from neuroadda.segmentation.pipeline import make_plan
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import builtin_folder

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WRITTEN = {"neuroadda": "volumes.zarr/affs", "gunpowder": "affs.zarr/affs"}


@dataclass(frozen=True)
class Prediction:
    """One measured run; `difference` is the largest of uint8 affinities to neuroadda's of the same precision."""

    contestant: str
    precision: str
    workers: int
    voxels: int
    tile_vx: Zyx
    wall: float
    cpu: float
    peak_bytes: int
    difference: int


def compare_prediction(
    domain: str, sizes: Sequence[Zyx], workers: Sequence[int], data: Path, folder: Path
) -> list[Prediction]:
    """Measure both on the train part of a volume, mirrored to several sizes, in every precision that pays on this machine."""
    container = import_part(data, domain, "train", folder / "data")
    precisions = dict.fromkeys(["float32", resolve_precision("auto", "cpu")])
    results = []
    for size in sizes:
        tiled = folder / "data" / f"{domain}_train_{'x'.join(map(str, size))}.zarr/raw"
        raw = tile_raw(container / "raw", size, tiled)
        for precision in precisions:
            for count in workers:
                job = {
                    "raw": str(raw.absolute()),
                    "backbone": str(builtin_folder() / domain),
                    "precision": precision,
                    "workers": count,
                }
                for name in WRITTEN:
                    results.append(_measure(name, job, folder / "runs" / "prediction"))
                    print(results[-1], flush=True)
    return results


def _measure(name: str, job: dict[str, Any], folder: Path) -> Prediction:
    folder.mkdir(parents=True, exist_ok=True)
    outputs = {other: folder / other for other in WRITTEN}
    job = job | {"output": str(outputs[name].absolute())}
    tile_vx = make_plan(config_of(job | {"output": str(folder / "none")})).config.predict.tile_vx
    path, report = folder / "job.json", folder / "report.json"
    path.write_text(json.dumps(job | {"tile_vx": tile_vx}))
    measured = [sys.executable, "-S", str(HERE / "measure.py"), str(report)]
    with (folder / f"{name}.log").open("w") as log:
        command = [*measured, sys.executable, str(HERE / f"{name}_predict.py"), "run", str(path)]
        if subprocess.run(command, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode:
            raise SystemExit(f"{name} failed: {log.name}")
    voxels = int(np.prod(Volume.open(job["raw"]).shape_vx))
    difference = _largest_difference(*(outputs[n] / WRITTEN[n] for n in ("neuroadda", name)))
    cost = json.loads(report.read_text())
    return Prediction(name, job["precision"], job["workers"], voxels, tile_vx, **cost, difference=difference)


def _largest_difference(one: Path, other: Path) -> int:
    a, b = zarr.open(str(one), "r"), zarr.open(str(other), "r")
    step = a.chunks[1]
    return max(
        int(np.abs(a[:, z : z + step].astype(np.int16) - b[:, z : z + step]).max()) for z in range(0, a.shape[1], step)
    )
