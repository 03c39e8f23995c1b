"""The tile: what goes through a network at once, by what it costs in memory and in context computed twice."""

from collections.abc import Mapping
from itertools import product

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.devices import Precision
from neuroadda.backbones.memory import CHUNK_VALUES, count_pass_bytes
from neuroadda.backbones.network import Network
from neuroadda.config import Zyx

MEMORY_EXPONENT = 0.8  # voxels by memory
LEAST_STEPS = 2  # of the alignment, in half a tile


def choose_tile_vx(
    network: Network,
    block_vx: Zyx,
    precision: Precision,
    memory_bytes: float,
    chunk_values: int = CHUNK_VALUES,
) -> Zyx:
    """Return the tile that covers a block with the fewest computed voxels, of those whose pass fits into memory.

    Where none fits, it is the smallest there is.
    """
    alignment = network.alignment_vx
    sides = [{-(-b // (n * a)) * a for n in range(1, -(-b // a) + 1)} for b, a in zip(block_vx, alignment, strict=True)]
    tiles: list[Zyx] = [(z, y, x) for z, y, x in product(*sides)]
    tiles.sort(key=lambda tile: (-useful_share(network, block_vx, tile), tile))
    most = float("inf")
    for tile in tiles:
        if computed_vx(network, tile) > most:
            continue
        needed = count_pass_bytes(network, tile, precision, chunk_values)
        if needed <= memory_bytes:
            return tile
        # Guess what fits: a smaller tile needs less for each of its voxels, too, since more of them are context.
        most = computed_vx(network, tile) * (memory_bytes / needed) ** MEMORY_EXPONENT
    return alignment


def computed_vx(network: Network, tile_vx: Zyx) -> int:
    """Return the voxels that go into a network for a tile."""
    return int(np.prod(network.input_shape_vx(tile_vx)))


def count_computed(network: Network, tiles: Mapping[Zyx, int]) -> int:
    """Return the voxels that go into a network for tiles, counted by their shape."""
    return sum(count * computed_vx(network, shape) for shape, count in tiles.items())


def useful_share(network: Network, block_vx: Zyx, tile_vx: Zyx) -> float:
    """Return a block's voxels over those of all inputs of its tiles: what is left when neighbours compute each other's context."""
    sides = zip(block_vx, tile_vx, network.context_vx, strict=True)
    return float(np.prod([b / (-(-b // t) * (t + 2 * c)) for b, t, c in sides]))


def cover_box(box: Roi, tile_vx: Zyx, alignment_vx: Zyx, *, whole: bool = False) -> list[Roi]:
    """Return tiles that cover a box (voxels), on the alignment of the whole volume, so that a voxel's value depends on no block.

    Where they reach beyond the box along z or y they are cut, unless they are to be `whole`: the network says the same in them
    (see `halve_tile`).
    """
    sides = []
    for axis, (tile, step) in enumerate(zip(tile_vx, alignment_vx, strict=True)):
        first, end = box.begin[axis] // step * step, box.end[axis]
        least = tile if whole or axis == 2 else min(tile, LEAST_STEPS * step)
        lengths = {begin: max(least, min(tile, -(-(end - begin) // step) * step)) for begin in range(first, end, tile)}
        sides.append(lengths.items())
    return [Roi(*zip(*parts, strict=True)) for parts in product(*sides)]


def halve_tile(tile: Roi, alignment_vx: Zyx) -> list[Roi]:
    """Return two halves of a tile (voxels), along z or y, whichever is longer, or nothing where they would be too small.

    The network says the same of a voxel in either, to the last bit: that was seen on CPUs in float32 and bfloat16 for sections and
    rows, not for parts of rows, nor for less than two steps of the alignment (tests/prediction/test_tiles.py). On GPUs it is not
    known.
    """
    for axis in sorted((0, 1), key=lambda axis: -tile.shape[axis]):
        step = alignment_vx[axis]
        half = tile.shape[axis] // (2 * step) * step
        if half >= LEAST_STEPS * step:
            size = Coordinate(half if a == axis else side for a, side in enumerate(tile.shape))
            rest = Coordinate(half if a == axis else 0 for a in range(3))
            return [Roi(tile.begin, size), Roi(tile.begin + rest, tile.shape - rest)]
    return []
