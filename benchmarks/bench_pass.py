"""Measure a pass of a network in chunks (`backbones.inference`) beside one at once (`UNet.forward`), in one thread, in turn.

    python -m benchmarks.bench_pass BACKBONE ... [--block 32 256 256] [--rounds 7]

The tile is that which is chosen for the block in chunks, and so the same for both.
"""

import argparse
import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median

import torch

from benchmarks.machine import name_processor
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.backbones.devices import Precision, keep_freed_memory, resolve_precision
from neuroadda.backbones.inference import Inference
from neuroadda.backbones.memory import AT_ONCE, CHUNK_VALUES, count_pass_bytes
from neuroadda.cli.console import print_table
from neuroadda.config import Zyx
from neuroadda.prediction.predict import CPU_MEMORY_GB
from neuroadda.prediction.tiles import choose_tile_vx
from neuroadda.wording import format_bytes


def measure(backbone: Path, block_vx: Zyx, precision: Precision, rounds: int) -> dict[str, str]:
    """Return a row of the table: medians, and the median of the ratios."""
    model, dtype = load_backbone(backbone).model.eval(), getattr(torch, precision)
    tile_vx = choose_tile_vx(model.config, block_vx, precision, CPU_MEMORY_GB * 1e9)
    raw = torch.randn(1, model.config.in_channels, *model.config.input_shape_vx(tile_vx))
    cast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    with torch.inference_mode(), cast:
        network = Inference(model, dtype)
        difference = float((model(raw) - network(raw)).abs().max())
        seconds = [(_time(model, raw), _time(network, raw)) for _ in range(rounds)]
    at_once, in_chunks = (median(each) for each in zip(*seconds, strict=True))
    return {
        "backbone": backbone.name,
        "tile": "x".join(map(str, tile_vx)),
        "precision": precision,
        "at once": f"{at_once:.3f} s",
        "in chunks": f"{in_chunks:.3f} s",
        "x": f"{median(once / chunks for once, chunks in seconds):.2f}",
        "memory at once": format_bytes(count_pass_bytes(model.config, tile_vx, precision, AT_ONCE)),
        "in chunks ": format_bytes(count_pass_bytes(model.config, tile_vx, precision, CHUNK_VALUES)),
        "differs": f"{difference:.1g}",
    }


def _time(network: Callable[[torch.Tensor], torch.Tensor], raw: torch.Tensor) -> float:
    begun = time.perf_counter()
    network(raw)
    return time.perf_counter() - begun


def main() -> None:
    """Measure every backbone in every precision that pays on this machine."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("backbones", type=Path, nargs="+")
    parser.add_argument("--block", type=int, nargs=3, default=(32, 256, 256))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    precisions: list[Precision] = list(dict.fromkeys(["float32", resolve_precision("auto", "cpu")]))
    rows = [measure(b, tuple(options.block), p, options.rounds) for b in options.backbones for p in precisions]
    print(
        f"{date.today()}, {name_processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {options.rounds} rounds"
    )
    print_table("a pass", rows)


if __name__ == "__main__":
    main()
