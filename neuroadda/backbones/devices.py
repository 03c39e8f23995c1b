"""Where a network runs and in what precision; torch is imported where it is asked."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, local
from typing import Literal

from neuroadda.errors import SettingError

Precision = Literal["float32", "bfloat16", "float16"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
_thread = local()


def resolve_device(device: str) -> str:
    """Return `device`; ``"auto"`` is CUDA where there is one."""
    if device != "auto":
        return device
    return "cuda" if count_cuda_devices() else "cpu"


def count_cuda_devices() -> int:
    """Return how many CUDA devices this process sees."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def check_device(device: str) -> None:
    """Raise UserError if a CUDA device is asked for and this machine has none."""
    if device.startswith("cuda") and not count_cuda_devices():
        raise SettingError(f"there is no CUDA device here for {device!r}", "device", "use auto or cpu")


def total_memory(device: str) -> int:
    """Return the bytes of memory of a CUDA device."""
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)


def list_cuda_devices() -> dict[str, str]:
    """Return the CUDA devices that this process sees, and what identifies each on the machine, whatever a process calls it."""
    import torch

    return {f"cuda:{i}": str(torch.cuda.get_device_properties(i).uuid) for i in range(count_cuda_devices())}


def set_up_thread(device: str, threads: int) -> None:
    """Have the calling thread use `threads` threads for an operation, and a CUDA device where no other is named."""
    import torch

    torch.set_num_threads(threads)
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)


@contextmanager
def compute_in_threads(threads: int) -> Iterator[Executor]:
    """Yield a pool of threads, each of which computes what torch does in itself alone.

    Several networks at once take a CPU less time than one after the other in several threads, which wait for each other after
    each layer: and where other work goes on, they wait long, at full load.

    Leaving the block, as an error or Ctrl-C does, cancels what is not done; what is at work ends where it calls `end_if_cancelled`.
    """
    import torch

    before, left = torch.get_num_threads(), Event()

    def set_up() -> None:
        set_up_thread("cpu", 1)
        _thread.left = left

    pool = ThreadPoolExecutor(threads, initializer=set_up)
    try:
        yield pool
    finally:
        left.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # that of threads to come


def end_if_cancelled() -> None:
    """Raise CancelledError in a thread of `compute_in_threads` whose block was left."""
    left = getattr(_thread, "left", None)
    if left is not None and left.is_set():
        raise CancelledError


def resolve_precision(
    precision: Literal["auto", "float32", "bfloat16", "float16"], device: str, training: bool = False
) -> Precision:
    """Return `precision`; ``"auto"`` is bfloat16 where the hardware computes in it natively, else float32.

    In training on a CPU ``"auto"`` is always float32: gradients of bfloat16 convolutions corrupt the heap on CPUs with AMX
    (torch 2.13, seen on a Xeon), and are hardly faster.

    Raises
    ------
    UserError
        If bfloat16 is asked for in training on a CPU, or float16 on a CPU at all.
    """
    if precision == "float16" and not device.startswith("cuda"):
        raise SettingError("a CPU does not compute in float16", "precision", "use auto, bfloat16 or float32")
    if training and precision == "bfloat16" and not device.startswith("cuda"):
        raise SettingError("training on a CPU in bfloat16 corrupts its memory", "precision", "leave it out")
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    from neuroadda.backbones.private_torch import has_bfloat16

    return "bfloat16" if not training and has_bfloat16() else "float32"


def keep_freed_memory() -> None:
    """Have this process use freed memory again, up to a gigabyte a tensor (glibc; elsewhere nothing changes).

    By default glibc hands tensors above 32 MB back to the kernel at once, and their pages have to be cleared and mapped again in
    every layer, which takes up to a third of a network's time on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def release_freed_memory(device: str) -> None:
    """Hand back what is kept of freed memory: it is there for tensors alone, not for the code of a convolution that is compiled."""
    gc.collect()
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if malloc_trim is not None:
        malloc_trim(0)
