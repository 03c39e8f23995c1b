"""What a pass through a network takes of memory, counted without torch, whose own ways to count it take a second to import."""

from dataclasses import dataclass
from math import prod

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.devices import Precision
from neuroadda.config import Zyx

# Of what its tensors take: convolutions on a CPU take as much again for themselves, and some is lost between tensors.
OVERHEAD = 1.3
# What `backbones.inference` puts together for a convolution at once, in values (voxels times channels).
CHUNK_VALUES = 1 << 21
AT_ONCE = 1 << 62  # as `UNet.forward` does
VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def chunk_sections(sections: int, values: int, chunk_values: int) -> int:
    """Return how many sections, of so many values each, are put together at once: one at least."""
    most = max(1, chunk_values // values)
    chunks = -(-sections // most)
    return -(-sections // chunks)


def count_pass_bytes(
    architecture: UNetConfig, tile_vx: Zyx, precision: Precision, chunk_values: int = CHUNK_VALUES
) -> int:
    """Return the peak memory of a pass that puts out a tile, with so many values put together at once.

    Raises
    ------
    UserError
        If the network cannot put it out.
    """
    return int(OVERHEAD * VALUE_BYTES[precision] * count_pass_values(architecture, tile_vx, chunk_values))


def count_pass_values(architecture: UNetConfig, tile_vx: Zyx, chunk_values: int = CHUNK_VALUES) -> int:
    """Return how many values `backbones.inference` holds at most: it is followed tensor by tensor, and `UNet.forward` nearly so."""
    features, factors = architecture.features, architecture.downsample
    held, skips = _Held(chunk_values), []
    shape, channels = architecture.input_shape_vx(tile_vx), architecture.in_channels
    held.take(channels, shape)  # the caller's image
    given = held.take(channels, shape)
    for level, feature in enumerate(features):
        if level:
            z, y, x = factors[level - 1]
            shape = (shape[0] // z, shape[1] // y, shape[2] // x)
            given = held.take(channels, shape)
        values, shape = _convolve(held, architecture, level, channels, shape, given)
        channels = feature
        skips.append((values, shape))
    values, shape = skips.pop()
    for level in reversed(range(len(skips))):
        z, y, x = factors[level]
        shape = (shape[0] * z, shape[1] * y, shape[2] * x)
        parts = values + skips.pop()[0]
        values, shape = _convolve(held, architecture, level, features[level] + channels, shape, parts, joined=True)
        channels = features[level]
    held.take(architecture.out_channels, shape)
    return held.peak


@dataclass
class _Held:
    """The values of all tensors, and the most that they were."""

    chunk_values: int
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


def _convolve(
    held: _Held, architecture: UNetConfig, level: int, channels: int, shape: Zyx, given: int, joined: bool = False
) -> tuple[int, Zyx]:
    """Hold what a level's convolutions put out, and return its values and shape; let go of what was given, in so many values."""
    for depth, height, width in architecture.kernels[level]:
        put_out, before = architecture.features[level], shape
        shape = (shape[0] - depth + 1, shape[1] - height + 1, shape[2] - width + 1)
        out = held.take(put_out, shape)
        if depth > 1 or joined:
            step = chunk_sections(shape[0], depth * channels * prod(before[1:]), held.chunk_values)
            taken = held.take(depth * channels, (step, *before[1:]))
            held.free(taken + (held.take(put_out, (step, *shape[1:])) if step < shape[0] else 0))
        held.free(given)
        channels, given, joined = put_out, out, False
    return given, shape
