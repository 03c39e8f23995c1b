"""Measure what each stage costs: voxels/s, and milliseconds of scheduling and ledger a block.

    python tools/bench.py [--shape Z Y X] [--blocks N] [--workers N]

On a phantom, with a network of random weights (speed does not depend on them); ratios are of one run on one machine.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import torch
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import load_backbone, save_backbone
from neuroadda.backbones.devices import keep_freed_memory
from neuroadda.backbones.unet import UNet
from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.overhead import Empty
from neuroadda.blockwise.task import Task
from neuroadda.console import print_table
from neuroadda.evaluation.measure import measure_plan, wall_seconds
from neuroadda.formats import format_count
from neuroadda.segmentation.pipeline import Plan, SegmentConfig, segment
from neuroadda.volumes.phantom import PhantomConfig, write_phantom


def measure_stages(folder: Path, shape: tuple[int, int, int], workers: int) -> Plan:
    """Segment a phantom and print what each stage took."""
    config = PhantomConfig(shape_vx=shape)
    started = time.perf_counter()
    write_phantom(config, folder / "phantom.zarr")
    voxels = shape[0] * shape[1] * shape[2]
    rows = [_row("phantom", voxels, time.perf_counter() - started, None)]
    architecture = UNetConfig(out_channels=3)
    card = Card(
        name="bench", domain="phantom", voxel_size_nm=config.voxel_size_nm, architecture=architecture, offsets=NEAREST
    )
    torch.manual_seed(0)
    save_backbone(folder / "backbone", UNet(architecture), card)
    plan = segment(
        SegmentConfig(
            raw=str(folder / "phantom.zarr/raw"),
            backbone=str(folder / "backbone"),
            output=str(folder / "run"),
            execution=Execution(workers=workers),
        )
    )
    stages = measure_plan(plan, None).stages
    rows += [_row(name, s.voxels, wall_seconds(s), s.seconds) for name, s in stages]
    print_table(f"{shape} voxels, {workers} workers", rows)
    predict = dict(stages)["predict"]
    alone = forward_speed(folder / "backbone", plan)
    useful = predict.voxels / predict.seconds / alone
    print(
        f"the network alone, in memory, on the same tiles: {format_count(alone, 'vx/s')}; a worker reaches {useful:.0%} of it"
    )
    return plan


def forward_speed(backbone: Path, plan: Plan) -> float:
    """Return output voxels/s of the network on the plan's tiles, in memory, with the plan's threads."""
    predict = plan.config.predict
    assert predict.tile_vx is not None
    torch.set_num_threads(predict.threads)
    loaded = load_backbone(backbone)
    tile = torch.zeros(1, 1, *loaded.card.architecture.input_shape_vx(predict.tile_vx))
    seconds = []
    kind, half = torch.device(predict.device).type, predict.precision == "bfloat16"
    keep_freed_memory()
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=half):
        for _ in range(4):
            started = time.perf_counter()
            loaded.model(tile)
            seconds.append(time.perf_counter() - started)
    z, y, x = predict.tile_vx
    return z * y * x / min(seconds)


def measure_scheduling(folder: Path, blocks: int, workers: int) -> None:
    """Run empty blocks, then again, and print milliseconds a block."""
    grid = BlockGrid.make(Roi((0, 0, 0), (blocks, 1, 1)), Coordinate(1, 1, 1), (1, 1, 1))
    task = Task.make(Empty(), {}, folder / "empty", grid)
    for title in ("first run", "rerun, all done"):
        started = time.perf_counter()
        run_task(task, f"sqlite:///{folder / 'empty.db'}", Execution(workers=workers), folder / "logs")
        seconds = time.perf_counter() - started
        print(
            f"{blocks} empty blocks, {title}: {seconds:.1f} s, {1000 * seconds / blocks:.2f} ms a block (start-up included)"
        )


def _row(stage: str, voxels: int, seconds: float, worker_seconds: float | None) -> dict[str, str]:
    of_worker = "" if not worker_seconds else format_count(voxels / worker_seconds, "vx/s")
    return {
        "stage": stage,
        "seconds": f"{seconds:.2f}",
        "rate": format_count(voxels / max(seconds, 1e-3), "vx/s"),
        "rate of a worker": of_worker,
    }


def main() -> None:
    """Run both measurements in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(48, 512, 512))
    parser.add_argument("--blocks", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="neuroadda-bench-"))
    try:
        measure_stages(folder, tuple(options.shape), options.workers)
        measure_scheduling(folder, options.blocks, options.workers)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
