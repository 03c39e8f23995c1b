"""The one choice of how a network computes: in chunks where that is faster, else as its module does."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from neuroadda.backbones.network import Network
from neuroadda.backbones.unet_config import UNetConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from neuroadda.backbones.module import NetworkModule


def runs_in_chunks(network: Network, device: str, threads: int, compile: bool) -> bool:
    """Return whether `fast_path` has a way for a network, so that its memory can be counted before torch is imported.

    That way is for U-Nets on a CPU in one thread: in several, and compiled, the module itself is faster.
    """
    return isinstance(network, UNetConfig) and device == "cpu" and threads == 1 and not compile


def fast_path(
    model: "NetworkModule", device: str, threads: int, compile: bool, dtype: "torch.dtype"
) -> "Callable[[Tensor], Tensor] | None":
    """Return what computes the same as a module (in eval mode, without batch norm) faster, or None.

    Parameters
    ----------
    device
        Where it runs, such as "cpu" or "cuda:0".
    threads
        Of torch, as they are set where it runs.
    compile
        Whether the module would be compiled.
    dtype
        In which it computes.
    """
    if not runs_in_chunks(model.config, device, threads, compile):
        return None
    from neuroadda.backbones.inference import Inference
    from neuroadda.backbones.unet import UNet

    assert isinstance(model, UNet)
    return Inference(model, dtype)
