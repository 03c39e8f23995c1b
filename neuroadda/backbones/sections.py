"""What a network does with sections between its convolutions, in one pass over memory and one thread, on a CPU.

Sections are a tensor (z, C, y, x) whose channels are next to each other in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuroadda.config import Zyx
from neuroadda.kernels.joining import join
from neuroadda.kernels.pooling import pool

INTEGERS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}


@dataclass(frozen=True)
class Stack:
    """Sections whose channels are those of several tensors, which are put together when they are taken.

    The voxels of the last part are there `factors` times (zyx).
    """

    parts: Sequence[Tensor]
    factors: Zyx = (1, 1, 1)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sections, channels, y, x."""
        z, _, y, x = self.parts[-1].shape
        fz, fy, fx = self.factors
        return z * fz, sum(part.shape[1] for part in self.parts), y * fy, x * fx

    def take(self, begin: int, end: int, depth: int) -> Tensor:
        """Return the sections `begin` to `end`, each with its `depth` - 1 next as further channels."""
        _, channels, y, x = self.shape
        joined = self.parts[0].new_empty((end - begin, y, x, depth * channels))
        once: list[Zyx] = [(1, 1, 1)] * (len(self.parts) - 1)
        views = [(_view(part, torch.uint8), each) for part, each in zip(self.parts, [*once, self.factors], strict=True)]
        join([(*each, begin + k) for k in range(depth) for each in views], joined.view(torch.uint8).numpy())
        return joined.permute(0, 3, 1, 2)


def lay_out(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an image (C, z, y, x) as sections of a type."""
    return image.new_empty((*image.shape[1:], len(image)), dtype=dtype).copy_(image.movedim(0, 3)).permute(0, 3, 1, 2)


def pool_maxima(features: Tensor, factors: Zyx) -> Tensor:
    """Return the maxima of boxes of `factors` (zyx) voxels of rectified features."""
    integers = INTEGERS[features.dtype]  # of numbers that are not negative, they have the same order
    z, y, x = (features.shape[axis] // factor for axis, factor in zip((0, 2, 3), factors, strict=True))
    pooled = features.new_empty((z, y, x, features.shape[1]))
    pool(_view(features, integers), factors, pooled.view(integers).numpy())
    return pooled.permute(0, 3, 1, 2)


def _view(sections: Tensor, dtype: torch.dtype) -> np.ndarray:
    return sections.permute(0, 2, 3, 1).view(dtype).numpy()
