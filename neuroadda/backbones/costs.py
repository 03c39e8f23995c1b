"""What a network costs on this machine: the memory of a pass through it, and whether bfloat16 is faster."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.devices import Precision
from neuroadda.backbones.unet import UNet
from neuroadda.config import Zyx

# Of what torch allocates: convolutions on a CPU take as much again for themselves, and some is lost between allocations.
OVERHEAD = 1.3
TIMED_TILE_VX = (1, 64, 64)
TIMES = 5


def count_pass_bytes(architecture: UNetConfig, tile_vx: Zyx, precision: Precision) -> int:
    """Return the peak memory of a pass that puts out a tile: the pass is run without data, and all its tensors are counted."""
    dtype = getattr(torch, precision)
    with torch.device("meta"), torch.inference_mode(), _TensorCounter() as counter:
        UNet(architecture).eval().to(dtype)(torch.empty(1, 1, *architecture.input_shape_vx(tile_vx), dtype=dtype))
    return int(OVERHEAD * counter.peak)


@cache  # a fact about the machine
def measure_bfloat16_speedup(architecture: UNetConfig, threads: int) -> float:
    """Return how many times faster than in float32 the network is in bfloat16 on this CPU, from passes of a small tile in turn."""
    z, y, x = (-(-s // a) * a for s, a in zip(TIMED_TILE_VX, architecture.alignment_vx, strict=True))
    model, image = UNet(architecture).eval(), torch.rand(1, 1, *architecture.input_shape_vx((z, y, x)))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds = [[_time_pass(model, image, cast) for cast in (False, True)] for _ in range(TIMES)]
    finally:
        torch.set_num_threads(before)
    plain, cast = map(min, zip(*seconds, strict=True))  # what disturbs a pass makes it slower
    return plain / cast


def _time_pass(model: UNet, image: torch.Tensor, cast: bool) -> float:
    started = time.thread_time()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=cast):
        model(image)
    return time.thread_time() - started


class _TensorCounter(TorchDispatchMode):
    """Follows the bytes of all tensors that live inside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._bytes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self._bytes = {storage: size for storage, size in self._bytes.items() if not storage.expired()}
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self._bytes[StorageWeakRef(storage)] = storage.nbytes()
        self.peak = max(self.peak, sum(self._bytes.values()))
        return out
