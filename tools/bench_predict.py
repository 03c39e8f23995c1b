"""Measure the prediction engine beside the network's own speed in memory, on the same tiles and in the same run.

    python tools/bench_predict.py RAW BACKBONE [--block Z Y X ...] [--repeat N]

A block is read, mirrored, normalised, predicted, turned into uint8, compressed and written; the network alone sees one tile
again and again. Both in one thread, in turn; medians.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.config import Zyx
from neuroadda.console import print_table
from neuroadda.formats import format_count
from neuroadda.segmentation.predict import Predict, Predictor, useful_share
from neuroadda.volumes.arrays import Volume


def measure_block(raw: Volume, backbone: Path, block_vx: Zyx, parameters: Predict, repeat: int) -> dict[str, str]:
    """Return a row of the table: a block of a volume, and the network alone."""
    loaded = load_backbone(backbone)
    architecture = loaded.card.architecture
    parameters = parameters.resolve(architecture, block_vx)
    tile_vx = parameters.tile_vx
    assert tile_vx is not None
    predictor = Predictor(loaded, parameters)
    tile = np.random.default_rng(0).integers(0, 255, architecture.input_shape_vx(tile_vx), np.uint8)
    image = torch.from_numpy(tile)[None, None].float().to(parameters.device)
    roi = Roi(raw.roi.begin, Coordinate(block_vx) * raw.voxel_size)
    with tempfile.TemporaryDirectory(prefix="neuroadda-bench-") as folder:
        affs = Volume.create(
            Path(folder) / "affs.zarr/affs",
            block_vx,
            raw.voxel_size_nm,
            np.uint8,
            offset_nm=raw.offset_nm,
            channels=predictor.channels,
        )
        steps: dict[str, Callable[[], object]] = {
            "alone": lambda: _forward(predictor, image),
            "block": lambda: affs.write(roi, predictor(raw, roi)[0]),
        }
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(repeat + 1):
            for name, step in steps.items():
                started = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - started)
    alone = np.prod(np.array(tile_vx)) / median(seconds["alone"][1:])
    engine = np.prod(np.array(block_vx)) / median(seconds["block"][1:])
    return {
        "block": "x".join(map(str, block_vx)),
        "tile": "x".join(map(str, tile_vx)),
        "precision": parameters.precision,
        "network alone": format_count(alone, "vx/s"),
        "engine": format_count(engine, "vx/s"),
        "of it": f"{engine / alone:.0%}",
        "useful": f"{useful_share(architecture, block_vx, tile_vx):.0%}",
        "peak": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB",
    }


def _forward(predictor: Predictor, image: torch.Tensor) -> None:
    kind = torch.device(predictor.device).type
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=predictor.precision == "bfloat16"):
        predictor.model(image)
    if kind == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure every block shape."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("raw")
    parser.add_argument("backbone", type=Path)
    parser.add_argument("--block", type=int, nargs=3, action="append")
    parser.add_argument("--tile", type=int, nargs=3, help="instead of the chosen one")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tile_vx = tuple(options.tile) if options.tile else None
    parameters = Predict(tile_vx=tile_vx, precision=options.precision)
    raw = Volume.open(options.raw)
    blocks = options.block or [(24, 128, 128), (24, 256, 256), (32, 256, 256)]
    rows = [measure_block(raw, options.backbone, tuple(b), parameters, options.repeat) for b in blocks]
    print_table(f"{options.backbone.name} on {options.raw}", rows)


if __name__ == "__main__":
    main()
