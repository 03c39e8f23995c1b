"""The shape arithmetic of the U-Net, free of torch, so that blocks can be planned without loading a network."""

from functools import cached_property
from typing import Annotated

from pydantic import Field, model_validator

from neuroadda.config import Config, Zyx
from neuroadda.errors import UserError

Positive = Annotated[int, Field(gt=0)]


class UNetConfig(Config):
    """An anisotropic, valid-padded 3-D U-Net.

    Attributes
    ----------
    in_channels, out_channels
        Image channels in, affinity channels out.
    features
        Channels of every level, finest first.
    downsample
        zyx pooling factors between the levels: one fewer than `features`.
    kernels
        For every level the zyx sizes (odd) of its convolutions, on the way down and up again.
    """

    in_channels: Positive = 1
    out_channels: Positive = 3
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
        """Output shapes are multiples of it (zyx), and so are the origins of tiles that are to agree with each other."""
        return self.scales[-1]

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

    def input_shape_vx(self, output_shape_vx: Zyx) -> Zyx:
        """Return the input shape (zyx) that gives this output shape.

        Raises
        ------
        UserError
            If there is none; the nearest allowed output shape is named.
        """
        near = self.nearest_output_shape_vx(output_shape_vx)
        if near != tuple(output_shape_vx):
            right = f"it must be a multiple of {self.alignment_vx}; the nearest is {near}"
            raise UserError(f"the network cannot put out shape {tuple(output_shape_vx)}", None, right)
        z, y, x = (o + 2 * c for o, c in zip(output_shape_vx, self.context_vx, strict=True))
        return (z, y, x)

    def output_shape_vx(self, input_shape_vx: Zyx) -> Zyx:
        """Return the output shape (zyx) of this input shape.

        Raises
        ------
        UserError
            If the network cannot take it; the nearest allowed input shape is named.
        """
        z, y, x = (i - 2 * c for i, c in zip(input_shape_vx, self.context_vx, strict=True))
        near = self.nearest_output_shape_vx((z, y, x))
        if near != (z, y, x):
            right = f"the nearest is {self.input_shape_vx(near)}"
            raise UserError(f"the network cannot take shape {tuple(input_shape_vx)}", None, right)
        return near

    def nearest_output_shape_vx(self, shape_vx: Zyx) -> Zyx:
        """Return the allowed output shape (zyx) nearest to `shape_vx`."""
        z, y, x = (max(1, round(s / a)) * a for s, a in zip(shape_vx, self.alignment_vx, strict=True))
        return (z, y, x)
