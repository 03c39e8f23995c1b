"""What a pass through a network takes of memory, counted without torch, whose own ways to count it take a second to import."""

from dataclasses import dataclass
from math import prod

from neuroadda.backbones.devices import Precision
from neuroadda.backbones.network import Network
from neuroadda.config import Zyx

# Of what its tensors take: convolutions on a CPU take as much again for themselves, and some is lost between tensors.
OVERHEAD = 1.3
# What `backbones.inference` puts together for a convolution at once, in values (voxels times channels).
CHUNK_VALUES = 1 << 21
AT_ONCE = 1 << 62  # as `NetworkModule.forward` does
VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def count_pass_bytes(network: Network, tile_vx: Zyx, precision: Precision, chunk_values: int = CHUNK_VALUES) -> int:
    """Return the peak memory of a pass that puts out a tile, with so many values put together at once.

    How many values are held at once, the network says itself (`Network.count_pass_values`).

    Raises
    ------
    UserError
        If the network cannot put it out.
    """
    return int(OVERHEAD * VALUE_BYTES[precision] * network.count_pass_values(tile_vx, chunk_values))


def chunk_sections(sections: int, values: int, chunk_values: int) -> int:
    """Return how many sections, of so many values each, are put together at once: one at least."""
    most = max(1, chunk_values // values)
    chunks = -(-sections // most)
    return -(-sections // chunks)


@dataclass
class Held:
    """Counts the values of all tensors that a pass holds, and the most that they were."""

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
