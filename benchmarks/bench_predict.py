"""Measure the prediction engine beside its network's own speed in memory, on the same tiles and in the same run.

    python -m benchmarks.bench_predict RAW BACKBONE [--block Z Y X ...] [--workers N ...] [--precision P] [--rounds N]

The engine is the real one: worker processes take blocks from daisy, read them from zarr, mirror and normalise them, turn what the
network says into uint8, compress it, write it and tell the ledger. The network alone is as many processes, which pass one tile
again and again; both have one thread a worker, and are measured in turn. RAW is repeated until there are blocks enough.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from benchmarks.machine import name_processor
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.backbones.devices import set_up_thread
from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.task import Task
from neuroadda.cli.console import print_table
from neuroadda.config import Zyx
from neuroadda.ledger.open import open_ledger
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.prediction.tiles import computed_vx, useful_share
from neuroadda.volumes.arrays import Volume
from neuroadda.wording import format_bytes, format_count

SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Measured:
    """Output voxels/s between a worker's first block and its last, and with its start; the largest worker's peak memory."""

    voxels_per_second: float
    with_start: float
    peak_bytes: int


def measure_alone(backbone: Path, parameters: Predict, passes: int, workers: int) -> float:
    """Return output voxels/s of a network that sees one tile again and again, in as many processes as there are workers."""
    barrier, times = SPAWN.Barrier(workers), SPAWN.SimpleQueue()
    arguments = (backbone, parameters, passes, barrier, times)
    processes = [SPAWN.Process(target=_pass_tiles, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    begun, ended = zip(*(times.get() for _ in processes), strict=True)
    for process in processes:
        process.join()
    return workers * passes * float(np.prod(np.array(parameters.tile_vx))) / (max(ended) - min(begun))


def _pass_tiles(backbone: Path, parameters: Predict, passes: int, barrier: Any, times: Any) -> None:
    set_up_thread(parameters.device, parameters.threads)
    predictor = Predictor(load_backbone(backbone), parameters)
    assert parameters.tile_vx is not None
    tile = np.random.default_rng(0).random((1, 1, *predictor.network.input_shape_vx(parameters.tile_vx)), np.float32)
    image, kind = torch.from_numpy(tile).to(predictor.device), predictor.device.type
    with torch.inference_mode(), torch.autocast(kind, predictor.dtype, enabled=predictor.dtype != torch.float32):
        for i in range(passes + 2):
            if i == 2:
                _wait_for(kind)
                barrier.wait()
                begun = time.monotonic()
            predictor.model(image)
        _wait_for(kind)
    times.put((begun, time.monotonic()))


def _wait_for(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.synchronize()


def measure_engine(raw: Path, backbone: Path, parameters: Predict, block_vx: Zyx, workers: int) -> Measured:
    """Return what a run of the stage over a volume says in its ledger. Call it in a fresh process: its children are measured."""
    volume = Volume.open(raw)
    inputs = {"raw": (raw, volume.fingerprint), "backbone": (backbone, load_card(backbone).digest)}
    with tempfile.TemporaryDirectory(prefix="neuroadda-bench-") as folder:
        grid = BlockGrid.make(volume.roi, volume.voxel_size, block_vx)
        task = Task.make(parameters, inputs, Path(folder) / "run.zarr/affs", grid)
        url = f"sqlite:///{folder}/ledger.db"
        task = run_task(task, url, Execution(workers=workers), Path(folder) / "logs")
        ledger = open_ledger(url)
        rows = sorted(ledger.blocks(task.key), key=lambda row: (row["worker"]["pid"], row["finished"]))
        ledger.close()
    steady = 0.0
    for _, own in groupby(rows, lambda row: row["worker"]["pid"]):
        first, *others = own
        steady += sum(row["voxels"] for row in others) / (others[-1]["finished"] - first["finished"])
    whole = max(row["finished"] for row in rows) - min(row["started"] for row in rows)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Measured(steady, sum(row["voxels"] for row in rows) / whole, peak)


def measure_ratio(
    raw: Path, backbone: Path, parameters: Predict, block_vx: Zyx, workers: int, rounds: int
) -> dict[str, str]:
    """Return a row of the table: the network alone and the engine in turn, medians."""
    card, blocks = load_card(backbone), len(BlockGrid.make(Volume.open(raw).roi, Volume.open(raw).voxel_size, block_vx))
    parameters = parameters.resolve(card.architecture, block_vx, workers)
    assert parameters.tile_vx is not None
    tiles = int(np.prod([-(-b // t) for b, t in zip(block_vx, parameters.tile_vx, strict=True)]))
    alone, engine = [], []
    for _ in range(rounds):
        alone.append(measure_alone(backbone, parameters, blocks * tiles // workers, workers))
        with ProcessPoolExecutor(1, SPAWN) as fresh:
            engine.append(fresh.submit(measure_engine, raw, backbone, parameters, block_vx, workers).result())
    ratios = [e.voxels_per_second / a for e, a in zip(engine, alone, strict=True)]
    return {
        "block": "x".join(map(str, block_vx)),
        "tile": "x".join(map(str, parameters.tile_vx)),
        "precision": parameters.precision,
        "workers": str(workers),
        "network alone": format_count(median(alone), "vx/s"),
        "engine": format_count(median(e.voxels_per_second for e in engine), "vx/s"),
        "of it": f"{median(ratios):.0%} ({min(ratios):.0%} to {max(ratios):.0%})",
        "with start": format_count(median(e.with_start for e in engine), "vx/s"),
        "useful": f"{useful_share(card.architecture, block_vx, parameters.tile_vx):.0%}",
        "into it": format_count(computed_vx(card.architecture, parameters.tile_vx), "vx"),
        "peak": format_bytes(max(e.peak_bytes for e in engine)),
    }


def repeat_raw(raw: Volume, path: Path, block_vx: Zyx, blocks: int) -> None:
    """Write a volume of at least so many blocks, made of another one's voxels again and again."""
    side = int(np.ceil((blocks / 2) ** 0.5))
    shape = Coordinate(2, side, side) * Coordinate(block_vx)
    repeated = Volume.create(path, shape, raw.voxel_size_nm, np.uint8)
    times = [-(-s // own) for s, own in zip(shape, raw.shape_vx, strict=True)]
    voxels = np.tile(raw.read(Roi(raw.roi.begin, raw.roi.shape)), times)
    repeated.write(repeated.roi, voxels[tuple(slice(s) for s in shape)])


def main() -> None:
    """Measure every block shape with every number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("raw")
    parser.add_argument("backbone", type=Path)
    parser.add_argument("--block", type=int, nargs=3, action="append")
    parser.add_argument("--tile", type=int, nargs=3, help="instead of the chosen one")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--blocks", type=int, default=32, help="at least")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    parameters = Predict.model_validate(
        {"tile_vx": options.tile, "precision": options.precision, "device": options.device, "compile": options.compile}
    )
    rows = []
    for block in options.block or [(32, 256, 256)]:
        with tempfile.TemporaryDirectory(prefix="neuroadda-bench-") as folder:
            raw, block_vx = Path(folder) / "raw.zarr/raw", (block[0], block[1], block[2])
            repeat_raw(Volume.open(options.raw), raw, block_vx, options.blocks)
            for workers in options.workers:
                rows.append(measure_ratio(raw, options.backbone, parameters, block_vx, workers, options.rounds))
    print(
        f"{date.today()}, {name_processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {options.rounds} rounds"
    )
    print_table(f"{options.backbone.name} on {options.raw}", rows)


if __name__ == "__main__":
    main()
