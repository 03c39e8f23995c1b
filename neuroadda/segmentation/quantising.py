"""Logits to affinities of a byte."""

from collections.abc import Callable

import torch
from torch import Tensor

from neuroadda.kernels.quantising import look_up

Quantiser = Callable[[Tensor, Tensor], None]


def make_quantiser(device: torch.device, dtype: torch.dtype) -> Quantiser:
    """Return what turns logits of a type into probabilities times 255, rounded, in a uint8 tensor (both czyx); the logits are lost.

    There are but 65,536 logits of two bytes: on a CPU their bytes are looked up, in a quarter of the time.
    """
    if device.type != "cpu":
        return _quantise
    if dtype != torch.bfloat16:
        return _quantise_by_sections
    table = torch.empty(1 << 16, dtype=torch.uint8)
    _quantise(torch.arange(1 << 16).to(torch.uint16).view(dtype), table)
    return lambda logits, out: look_up(logits.view(torch.uint16).numpy(), table.numpy(), out.numpy())


def _quantise(logits: Tensor, out: Tensor) -> None:
    out.copy_(logits.float().sigmoid_().mul_(255).round_())


def _quantise_by_sections(logits: Tensor, out: Tensor) -> None:
    """Sections stay in the processor's cache."""
    for section, out_section in zip(logits.split(1, 1), out.split(1, 1), strict=True):
        _quantise(section, out_section)
