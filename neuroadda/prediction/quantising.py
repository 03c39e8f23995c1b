"""Logits to affinities of a byte."""

from collections.abc import Callable

import torch
from torch import Tensor

from neuroadda.kernels.quantising import look_up

Quantiser = Callable[[Tensor, Tensor], None]


def make_quantiser(device: torch.device, rounded: bool = True) -> Quantiser:
    """Return what turns logits into probabilities times 255, rounded, in a uint8 tensor (both czyx); the logits are lost.

    Where they are not to be `rounded`, the tensor is float32. There are but 65,536 numbers in bfloat16: on a CPU what becomes of
    them is looked up, in a quarter of the time.
    """
    if not rounded:
        return _multiply
    if device.type != "cpu":
        return _quantise
    table = torch.empty(1 << 16, dtype=torch.uint8)
    _quantise(torch.arange(1 << 16).to(torch.uint16).view(torch.bfloat16), table)

    def quantise(logits: Tensor, out: Tensor) -> None:
        if logits.dtype == torch.bfloat16:
            look_up(logits.view(torch.uint16).numpy(), table.numpy(), out.numpy())
        else:
            _quantise_by_sections(logits, out)

    return quantise


def _multiply(logits: Tensor, out: Tensor) -> None:
    out.copy_(logits.float().sigmoid_().mul_(255))


def _quantise(logits: Tensor, out: Tensor) -> None:
    out.copy_(logits.float().sigmoid_().mul_(255).round_())


def _quantise_by_sections(logits: Tensor, out: Tensor) -> None:
    """Sections stay in the processor's cache."""
    for section, out_section in zip(logits.split(1, 1), out.split(1, 1), strict=True):
        _quantise(section, out_section)
