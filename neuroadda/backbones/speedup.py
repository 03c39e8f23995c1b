"""Whether bfloat16 is faster on this machine."""

import time
from functools import cache

import torch

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.inference import Inference
from neuroadda.backbones.unet import UNet

TIMED_TILE_VX = (1, 64, 64)
TIMES = 5


@cache  # a fact about the machine
def measure_bfloat16_speedup(architecture: UNetConfig, threads: int) -> float:
    """Return how many times faster than in float32 the network is in bfloat16 on this CPU, from passes of a small tile in turn."""
    z, y, x = (-(-s // a) * a for s, a in zip(TIMED_TILE_VX, architecture.alignment_vx, strict=True))
    model, image = UNet(architecture).eval(), torch.rand(1, 1, *architecture.input_shape_vx((z, y, x)))
    networks = [Inference(model, dtype) for dtype in (torch.float32, torch.bfloat16)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds = [[_time_pass(network, image) for network in networks] for _ in range(TIMES)]
    finally:
        torch.set_num_threads(before)
    plain, cast = map(min, zip(*seconds, strict=True))  # what disturbs a pass makes it slower
    return plain / cast


def _time_pass(network: Inference, image: torch.Tensor) -> float:
    started = time.thread_time()
    with torch.inference_mode():
        network(image)
    return time.thread_time() - started
