"""Losses of affinities: masked and balanced between 0 and 1."""

import torch
from torch import Tensor
from torch.nn import functional

from neuroadda.training.config import LossConfig


def affinity_loss(logits: Tensor, affs: Tensor, mask: Tensor, config: LossConfig, nearest: int = 3) -> Tensor:
    """Return the loss of a batch, a scalar.

    Parameters
    ----------
    logits
        Predicted, float ``(N, C, z, y, x)``.
    affs, mask
        True affinities (0 or 1) and where they count (0 or 1), of the same shape.
    nearest
        How many of the first channels are of nearest neighbours.
    """
    logits, affs, mask = logits.float(), affs.float(), mask.float()
    weights = balance(affs, mask) if config.balance else mask
    channel = torch.ones(affs.shape[1], device=affs.device)
    channel[nearest:] = config.far
    weights = weights * channel.view(1, -1, 1, 1, 1)
    if config.kind == "bce":
        each = functional.binary_cross_entropy_with_logits(logits, affs, reduction="none")
    else:
        each = (torch.sigmoid(logits) - affs) ** 2
    loss = (each * weights).sum() / weights.sum().clamp(min=1)
    return loss + config.dice * _dice(logits, affs, mask) if config.dice else loss


def balance(affs: Tensor, mask: Tensor) -> Tensor:
    """Return weights by which 0 and 1 count equally in every channel, fractions clipped to 5..95 % (gunpowder's BalanceLabels)."""
    axes = (0, 2, 3, 4)
    ones = ((affs * mask).sum(axes) / mask.sum(axes).clamp(min=1)).clamp(0.05, 0.95).view(1, -1, 1, 1, 1)
    return mask * (affs * (0.5 / ones) + (1 - affs) * (0.5 / (1 - ones)))


def _dice(logits: Tensor, affs: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over channels of the soft Dice loss of the boundary (Milletari et al. 2016)."""
    axes = (0, 2, 3, 4)
    boundary, truth = torch.sigmoid(-logits) * mask, (1 - affs) * mask
    overlap = 2 * (boundary * truth).sum(axes) + 1
    return (1 - overlap / ((boundary**2).sum(axes) + (truth**2).sum(axes) + 1)).mean()
