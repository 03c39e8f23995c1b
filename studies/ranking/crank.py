"""The agreement of boundaries after CRank (arXiv 2503.00450), another contrast, and the entropy: not in the product any more."""

import numpy as np
import torch
from torch import Tensor

from neuroadda.domains.consistency import BOUNDARY, Change

GAMMA = 1.3


def agree(first: np.ndarray, second: np.ndarray) -> float:
    """Return how well two boundaries agree, from 0 to 1: the mean, over the voxels that are boundary in either.

    A voxel on the same side of 1/2 in both counts the geometric mean of how sure they are, another one 0. NaN where there is no
    boundary.
    """
    here = (first > BOUNDARY) | (second > BOUNDARY)
    if not here.any():
        return float("nan")
    one, other = first[here], second[here]
    same = (one > BOUNDARY) == (other > BOUNDARY)
    sure = np.sqrt(np.maximum(one, 1 - one) * np.maximum(other, 1 - other))
    return float((same * sure).mean())


def bend(image: Tensor) -> Tensor:
    """Return raw (uint8) at another contrast: its values from 0 to 1 to the power of 1.3."""
    return ((image.float() / 255) ** GAMMA * 255).round().to(torch.uint8)


CONTRAST = Change(bend, lambda affs, _: affs)


def boundary_entropy(boundary: np.ndarray) -> float:
    """Return the mean binary entropy (bits) of the voxels that are boundary; NaN where there is none."""
    inside = boundary[boundary > BOUNDARY].astype(np.float64).clip(1e-6, 1 - 1e-6)
    if not len(inside):
        return float("nan")
    return float(-(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)).mean())
