"""What an entry of a zoo must be: its card tells whose data made it, its network and its embedding can be used."""

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.card import WEIGHTS, Card
from neuroadda.config import Zyx
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.backbones.checkpoint import Backbone

PROVENANCE = ("name", "licence", "citation")


def check_provenance(card: Card, where: str) -> None:
    """Check that a card says of what it is and whose data made it.

    Raises
    ------
    UserError
        If `domain`, `organism` or `modality` is empty, if there is no `training_data`, or one of it lacks its name,
        licence or citation; all that is missing is named.
    """
    missing = [key for key in ("domain", "organism", "modality") if not getattr(card, key).strip()]
    missing += [] if card.training_data else ["training_data"]
    for i, sample in enumerate(card.training_data):
        missing += [f"training_data[{i}].{key}" for key in PROVENANCE if not str(sample.get(key) or "").strip()]
    if missing:
        raise UserError(f"the card lacks {', '.join(missing)}", where, "a zoo says whose data made its backbones")


def check_embedding(path: Path, card: Card) -> None:
    """Check that an entry's embedding can be compared with others.

    Tensors are named ``<network>.<pooling>`` and are (patches, features); ``blocks`` has a number for every patch. Those
    of the entry's ``own`` network have as many features as its deepest level.

    Raises
    ------
    UserError
        If it is malformed, of different numbers of patches or features, or not finite.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)
    except (safetensors.SafetensorError, OSError, TypeError) as error:
        raise UserError(f"the embedding cannot be read: {error}", str(path)) from error
    blocks, features = tensors.pop("blocks", None), card.architecture.features[-1]
    if blocks is None or blocks.ndim != 1 or not tensors:
        raise UserError("the embedding lacks features or blocks", str(path))
    for key, tensor in tensors.items():
        if tensor.ndim != 2 or len(tensor) != len(blocks):
            raise UserError(f"{key} has shape {tensor.shape} for {len(blocks)} patches", str(path))
        if key.startswith("own.") and tensor.shape[1] != features:
            raise UserError(f"{key} has {tensor.shape[1]} features, the card's network {features}", str(path))
        if not np.isfinite(tensor.astype(np.float32)).all():
            raise UserError(f"{key} is not all finite", str(path))


def check_finite(backbone: "Backbone") -> None:
    """Raise UserError if a weight is not a finite number: float16 ends at 65504."""
    for key, weight in backbone.model.state_dict().items():
        if not weight.isfinite().all():
            raise UserError(f"the weights {key} are not all finite", str(backbone.folder / WEIGHTS))


def count_parameters(architecture: UNetConfig) -> int:
    """Return the number of weights and biases of a network, without building it."""

    def convolutions(channels: int, features: int, kernels: tuple[Zyx, ...]) -> int:
        sizes = [math.prod(kernel) * features for kernel in kernels]
        return channels * sizes[0] + features * (sum(sizes[1:]) + len(kernels))

    f = (architecture.in_channels, *architecture.features)
    down = sum(map(convolutions, f[:-1], f[1:], architecture.kernels))
    up = sum(map(convolutions, map(sum, pairwise(f[1:])), f[1:-1], architecture.kernels))
    return down + up + (f[1] + 1) * architecture.out_channels
