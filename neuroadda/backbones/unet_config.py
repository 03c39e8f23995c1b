"""The U-Net: its shapes and what a pass holds, without torch."""

import math
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import model_validator

from neuroadda.backbones.memory import Held, chunk_sections
from neuroadda.backbones.network import Network, Positive
from neuroadda.config import Zyx

if TYPE_CHECKING:
    from neuroadda.backbones.unet import UNet


class UNetConfig(Network):
    """An anisotropic, valid-padded 3-D U-Net.

    Attributes
    ----------
    features : channels
        Channels of every level, finest first.
    downsample
        zyx pooling factors between the levels: one fewer than `features`.
    kernels : voxels
        For every level the zyx sizes (odd) of its convolutions, on the way down and up again.
    """

    features: tuple[Positive, ...] = (16, 32, 64, 128)
    downsample: tuple[tuple[Positive, Positive, Positive], ...] = ((1, 2, 2), (1, 2, 2), (1, 2, 2))
    kernels: tuple[tuple[tuple[Positive, Positive, Positive], ...], ...] = (
        ((1, 3, 3), (1, 3, 3)),
        ((1, 3, 3), (1, 3, 3)),
        ((1, 3, 3), (1, 3, 3)),
        ((3, 3, 3), (3, 3, 3)),
    )

    @model_validator(mode="after")
    def _check(self) -> "UNetConfig":
        if not self.features or any(not level for level in self.kernels):
            raise ValueError("every level needs features and at least one kernel")
        if len(self.kernels) != len(self.features) or len(self.downsample) != len(self.features) - 1:
            raise ValueError(
                f"{len(self.features)} levels of features need as many of kernels (not {len(self.kernels)}) "
                f"and one fewer of downsample (not {len(self.downsample)})"
            )
        if any(k % 2 == 0 for level in self.kernels for kernel in level for k in kernel):
            raise ValueError("kernel sizes must be odd, so that the context is the same on both sides")
        return self

    @cached_property
    def scales(self) -> tuple[Zyx, ...]:
        """Voxels of the input in a voxel of each level, zyx."""
        scales = [(1, 1, 1)]
        for z, y, x in self.downsample:
            scales.append((scales[-1][0] * z, scales[-1][1] * y, scales[-1][2] * x))
        return tuple(scales)

    @property
    def alignment_vx(self) -> Zyx:
        """A voxel of the deepest level, zyx: see `Network`."""
        return self.scales[-1]

    @property
    def feature_width(self) -> int:
        """Channels of the deepest level."""
        return self.features[-1]

    @property
    def encoder_levels(self) -> int:
        """All levels, the deepest included."""
        return len(self.features)

    def lost_vx(self, level: int, axis: int) -> int:
        """Voxels of `level` that one pass through its convolutions takes off both sides together."""
        return sum(kernel[axis] - 1 for kernel in self.kernels[level])

    @cached_property
    def crop_vx(self) -> Zyx:
        """Voxels cropped from each side before the last layer, so that the output is a multiple of the alignment."""

        def crop(axis: int) -> int:
            step = self.alignment_vx[axis]
            over = -sum(self.lost_vx(lv, axis) * self.scales[lv][axis] for lv in range(len(self.features) - 1)) % step
            return over // 2 if over % 2 == 0 else (over + step) // 2

        return (crop(0), crop(1), crop(2))

    @cached_property
    def context_vx(self) -> Zyx:
        """Voxels of input beyond the output, zyx, on each side."""

        def context(axis: int) -> int:
            bottom = len(self.features) - 1
            passes = [(level, 1 if level == bottom else 2) for level in range(bottom + 1)]
            lost = sum(n * self.lost_vx(level, axis) * self.scales[level][axis] for level, n in passes)
            return lost // 2 + self.crop_vx[axis]

        return (context(0), context(1), context(2))

    def encoder_input_shape_vx(self, bottom_shape_vx: Zyx) -> Zyx:
        """Return the input shape (zyx) whose deepest features, without padding, have this shape (in their own voxels)."""
        bottom = len(self.features) - 1

        def size(axis: int) -> int:
            needed = bottom_shape_vx[axis] + self.lost_vx(bottom, axis)
            for level in reversed(range(bottom)):
                needed = needed * self.downsample[level][axis] + self.lost_vx(level, axis)
            return needed

        return (size(0), size(1), size(2))

    def count_parameters(self) -> int:
        """Return the number of weights and biases."""

        def convolutions(channels: int, features: int, kernels: tuple[Zyx, ...]) -> int:
            sizes = [math.prod(kernel) * features for kernel in kernels]
            return channels * sizes[0] + features * (sum(sizes[1:]) + len(kernels))

        f = (self.in_channels, *self.features)
        down = sum(map(convolutions, f[:-1], f[1:], self.kernels))
        up = sum(map(convolutions, map(sum, pairwise(f[1:])), f[1:-1], self.kernels))
        return down + up + (f[1] + 1) * self.out_channels

    def count_pass_values(self, tile_vx: Zyx, chunk_values: int) -> int:
        """Return how many values `backbones.inference` holds at most, tensor by tensor; `UNet.forward` holds about as many."""
        held, skips = Held(chunk_values), []
        shape, channels = self.input_shape_vx(tile_vx), self.in_channels
        held.take(channels, shape)  # the caller's image
        given = held.take(channels, shape)
        for level, feature in enumerate(self.features):
            if level:
                z, y, x = self.downsample[level - 1]
                shape = (shape[0] // z, shape[1] // y, shape[2] // x)
                given = held.take(channels, shape)
            values, shape = self._hold_level(held, level, channels, shape, given)
            channels = feature
            skips.append((values, shape))
        values, shape = skips.pop()
        for level in reversed(range(len(skips))):
            z, y, x = self.downsample[level]
            shape = (shape[0] * z, shape[1] * y, shape[2] * x)
            parts = values + skips.pop()[0]
            values, shape = self._hold_level(held, level, self.features[level] + channels, shape, parts, joined=True)
            channels = self.features[level]
        held.take(self.out_channels, shape)
        return held.peak

    def _hold_level(
        self, held: Held, level: int, channels: int, shape: Zyx, given: int, joined: bool = False
    ) -> tuple[int, Zyx]:
        """Hold what a level's convolutions put out; return its values and shape. The `given` values are freed."""
        for depth, height, width in self.kernels[level]:
            put_out, before = self.features[level], shape
            shape = (shape[0] - depth + 1, shape[1] - height + 1, shape[2] - width + 1)
            out = held.take(put_out, shape)
            if depth > 1 or joined:
                step = chunk_sections(shape[0], depth * channels * math.prod(before[1:]), held.chunk_values)
                taken = held.take(depth * channels, (step, *before[1:]))
                held.free(taken + (held.take(put_out, (step, *shape[1:])) if step < shape[0] else 0))
            held.free(given)
            channels, given, joined = put_out, out, False
        return given, shape

    def build(self, batch_norm: bool = False) -> "UNet":
        """Return the module with random weights."""
        from neuroadda.backbones.unet import UNet  # imports torch

        return UNet(self, batch_norm)
