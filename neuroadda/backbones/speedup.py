"""Whether bfloat16 is faster on this machine."""

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from neuroadda.backbones.fast_path import fast_path
from neuroadda.backbones.network import Network

TIMED_TILE_VX = (1, 64, 64)
TIMES = 5


@cache  # a fact about the machine
def measure_bfloat16_speedup(network: Network, threads: int) -> float:
    """Return how many times faster than in float32 a network is in bfloat16 on this CPU, from passes of a small tile in turn."""
    z, y, x = (-(-s // a) * a for s, a in zip(TIMED_TILE_VX, network.alignment_vx, strict=True))
    model, image = network.build().eval(), torch.rand(1, network.in_channels, *network.input_shape_vx((z, y, x)))
    dtypes = (torch.float32, torch.bfloat16)
    runs = {dtype: fast_path(model, "cpu", threads, False, dtype) or model for dtype in dtypes}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds = [[_time_pass(run, image, dtype) for dtype, run in runs.items()] for _ in range(TIMES)]
    finally:
        torch.set_num_threads(before)
    plain, cast = map(min, zip(*seconds, strict=True))  # what disturbs a pass makes it slower
    return plain / cast


def _time_pass(run: Callable[[Tensor], Tensor], image: Tensor, dtype: torch.dtype) -> float:
    started = time.thread_time()
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        run(image)
    return time.thread_time() - started
