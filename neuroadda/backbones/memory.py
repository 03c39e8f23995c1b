"""What a pass through a network takes of memory, counted without torch, whose own ways to count it take a second to import."""

from dataclasses import dataclass
from math import prod

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.devices import Precision
from neuroadda.config import Zyx

# Of what its tensors take: convolutions on a CPU take as much again for themselves, and some is lost between tensors.
OVERHEAD = 1.3
VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def count_pass_bytes(architecture: UNetConfig, tile_vx: Zyx, precision: Precision) -> int:
    """Return the peak memory of a pass that puts out a tile.

    Raises
    ------
    UserError
        If the network cannot put it out.
    """
    return int(OVERHEAD * VALUE_BYTES[precision] * count_pass_values(architecture, tile_vx))


def count_pass_values(architecture: UNetConfig, tile_vx: Zyx) -> int:
    """Return how many values (voxels times channels) `UNet.forward` holds at most at once: it is followed tensor by tensor."""
    features, factors = architecture.features, architecture.downsample
    held, skips = _Held(), []
    shape, channels = architecture.input_shape_vx(tile_vx), architecture.in_channels
    given = held.take(channels, shape)
    for level, feature in enumerate(features):
        if level:
            z, y, x = factors[level - 1]
            pooled = held.take(channels, (shape[0], shape[1] // y, shape[2] // x))
            shape = (shape[0] // z, shape[1] // y, shape[2] // x)
            given = pooled
            if z > 1:
                given = held.take(channels, shape)
                held.free(pooled)
        values, shape = _convolve(held, architecture, level, channels, shape)
        held.free(given if level else 0)  # the image is the caller's
        channels = feature
        skips.append((values, shape))
    values, shape = skips.pop()
    for level in reversed(range(len(skips))):
        z, y, x = factors[level]
        repeated = held.take(channels, (shape[0] * z, *shape[1:])) if z > 1 else 0
        shape = (shape[0] * z, shape[1] * y, shape[2] * x)
        upsampled = held.take(channels, shape)
        held.free(values + repeated)
        joined = held.take(features[level] + channels, shape)
        held.free(upsampled + skips.pop()[0])
        values, shape = _convolve(held, architecture, level, features[level] + channels, shape)
        held.free(joined)
        channels = features[level]
    held.take(architecture.out_channels, tile_vx)
    return held.peak


@dataclass
class _Held:
    """The values of all tensors, and the most that they were."""

    values: int = 0
    peak: int = 0

    def take(self, channels: int, shape: Zyx) -> int:
        """Hold a further tensor; return its values."""
        values = channels * prod(shape)
        self.values += values
        self.peak = max(self.peak, self.values)
        return values

    def free(self, values: int) -> None:
        """Let tensors of so many values go."""
        self.values -= values


def _convolve(held: _Held, architecture: UNetConfig, level: int, channels: int, shape: Zyx) -> tuple[int, Zyx]:
    """Hold what a level's convolutions put out, and return its values and shape; what they are given is the caller's."""
    values = 0
    for depth, height, width in architecture.kernels[level]:
        sections = shape[0] - depth + 1
        joined = held.take(depth * channels, (sections, *shape[1:])) if depth > 1 else 0
        shape, channels = (sections, shape[1] - height + 1, shape[2] - width + 1), architecture.features[level]
        out = held.take(channels, shape)
        held.free(joined + values)
        values = out
    return values, shape
