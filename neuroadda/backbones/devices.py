"""Where a network runs and in what precision."""

from typing import Literal

import torch

from neuroadda.errors import UserError

Precision = Literal["float32", "bfloat16"]


def resolve_device(device: str) -> str:
    """Return `device`; ``"auto"`` is CUDA where there is one."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_precision(
    precision: Literal["auto", "float32", "bfloat16"], device: str, training: bool = False
) -> Precision:
    """Return `precision`; ``"auto"`` is bfloat16 where the hardware computes in it natively, else float32.

    In training on a CPU ``"auto"`` is always float32: gradients of bfloat16 convolutions corrupt the heap on CPUs with AMX
    (torch 2.13, seen on a Xeon), and are hardly faster.

    Raises
    ------
    UserError
        If bfloat16 is asked for in training on a CPU.
    """
    if training and precision == "bfloat16" and not device.startswith("cuda"):
        raise UserError("training on a CPU in bfloat16 corrupts its memory", "train.precision", "leave it out")
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capable = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if capable and not training else "float32"
