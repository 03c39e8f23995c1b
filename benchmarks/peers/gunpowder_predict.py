"""Predict affinities with gunpowder: Scan over Predict, as its documentation does; of neuroadda, the network alone.

python -m benchmarks.peers.gunpowder_predict run JOB.json
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import gunpowder as gp
import numpy as np
import torch
from funlib.persistence import open_ds
from gunpowder.torch import Predict

from neuroadda.backbones.checkpoint import load_backbone


class Network(torch.nn.Module):
    """A backbone that puts out affinities, in bfloat16 where asked to."""

    def __init__(self, model: torch.nn.Module, half: bool) -> None:
        super().__init__()
        self.model, self.half = model, half

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        """Return float32 affinities."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            return torch.sigmoid(self.model(raw).float())


def run(job: dict[str, Any]) -> None:
    """Predict the volume, tile by tile."""
    output = Path(job["output"])
    shutil.rmtree(output, ignore_errors=True)
    torch.set_num_threads(1)
    backbone = load_backbone(job["backbone"])
    architecture = backbone.card.architecture
    raw, affs = gp.ArrayKey("RAW"), gp.ArrayKey("AFFS")
    array = open_ds(job["raw"])
    voxel_size, context = array.voxel_size, gp.Coordinate(architecture.context_vx) * array.voxel_size
    tile = gp.Coordinate(job["tile_vx"]) * voxel_size
    chunk = gp.BatchRequest()
    chunk.add(raw, tile + context * 2)
    chunk.add(affs, tile)
    pipeline = (
        gp.ArraySource(raw, array, interpolatable=True)  # ZarrSource would read no voxel size
        + gp.Pad(raw, context, mode="reflect")
        + gp.Normalize(raw)
        + gp.IntensityScaleShift(raw, 2, -1)
        + gp.Unsqueeze([raw])
        + gp.Unsqueeze([raw])
        + Predict(
            Network(backbone.model, job["precision"] == "bfloat16"),
            inputs={0: raw},
            outputs={0: affs},
            array_specs={affs: gp.ArraySpec(roi=array.roi, voxel_size=voxel_size)},
            device="cpu",
        )
        + gp.Squeeze([affs])
        + gp.IntensityScaleShift(affs, 255, 0.5)  # rounds
        + gp.AsType(affs, np.uint8)
        + gp.ZarrWrite({affs: "affs"}, store=str(output / "affs.zarr"))
        + gp.Scan(chunk, num_workers=job["workers"])
    )
    with gp.build(pipeline):
        pipeline.request_batch(gp.BatchRequest())


if __name__ == "__main__":
    {"run": run}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
