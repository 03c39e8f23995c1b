"""The grid of blocks over a volume: dense indices, write ROIs that tile it, read ROIs with context, and sets of blocks."""

import base64
import hashlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.config import Config, Zyx
from neuroadda.errors import UserError

PAGE = 4096  # bytes


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes
    ----------
    index
        Dense, in C order.
    position
        Its place in the grid, zyx.
    write_roi, read_roi
        In world units. The read ROI is the write ROI with the grid's context. Predict and edges do not use it: they grow the write
        ROI themselves.
    """

    index: int
    position: Zyx
    write_roi: Roi
    read_roi: Roi


class BlockGrid(Config):
    """Blocks of one shape, the last of each axis cut to the volume.

    Attributes
    ----------
    offset, shape
        The volume to be written, in world units, zyx.
    block
        Shape of a block, in world units.
    voxel_size
        In world units.
    context
        Read around a block but not written, in world units; read ROIs may leave the volume.
    """

    offset: Zyx
    shape: Zyx
    block: Zyx
    voxel_size: Zyx
    context: Zyx = (0, 0, 0)

    @classmethod
    def make(cls, roi: Roi, voxel_size: Coordinate, block_vx: Zyx, context_vx: Zyx = (0, 0, 0)) -> "BlockGrid":
        """Make a grid over `roi` from shapes in voxels.

        Raises
        ------
        UserError
            If the ROI is empty or a block has no voxels.
        """
        if roi.empty or any(s <= 0 for s in roi.shape):
            raise UserError(f"the ROI {roi} is empty")
        if min(block_vx) < 1 or min(context_vx) < 0:
            raise UserError(f"block {block_vx} with context {context_vx} has no voxels", "block_vx")
        return cls(
            offset=tuple(roi.offset),
            shape=tuple(roi.shape),
            block=tuple(Coordinate(block_vx) * voxel_size),
            voxel_size=tuple(voxel_size),
            context=tuple(Coordinate(context_vx) * voxel_size),
        )

    @property
    def roi(self) -> Roi:
        """All that is written."""
        return Roi(self.offset, self.shape)

    @property
    def counts(self) -> Zyx:
        """Blocks along each axis."""
        z, y, x = (-(-s // b) for s, b in zip(self.shape, self.block, strict=True))
        return z, y, x

    @property
    def block_vx(self) -> Zyx:
        """Shape of a block in voxels."""
        z, y, x = (b // v for b, v in zip(self.block, self.voxel_size, strict=True))
        return z, y, x

    def voxels(self, roi: Roi | None = None) -> int:
        """Return the number of voxels in `roi`, by default in all that is written."""
        shape = self.shape if roi is None else roi.shape
        return math.prod(s // v for s, v in zip(shape, self.voxel_size, strict=True))

    def voxels_of(self, blocks: np.ndarray) -> int:
        """Return the number of voxels written in some blocks (bool, by dense index)."""
        sides = zip(self.shape, self.block, self.voxel_size, self.counts, strict=True)
        z, y, x = (np.minimum(b, s - np.arange(n) * b) // v for s, b, v, n in sides)
        return sum(
            int(depth) * int(y @ (layer @ x)) for depth, layer in zip(z, blocks.reshape(self.counts), strict=True)
        )

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __getitem__(self, index: int) -> Block:
        if not 0 <= index < len(self):
            raise IndexError(f"block {index} of {len(self)}")
        _, y, x = self.counts
        return self.at((index // (y * x), index // x % y, index % x))

    def blocks(self) -> Iterator[Block]:
        """Iterate over all blocks by index."""
        return (self[index] for index in range(len(self)))

    def at(self, position: Zyx) -> Block:
        """Return the block at a place in the grid."""
        _, y, x = self.counts
        index = (position[0] * y + position[1]) * x + position[2]
        # With plain numbers: arithmetic of Roi and Coordinate was most of what an empty block cost.
        inside = [p * b for p, b in zip(position, self.block, strict=True)]
        begin = [o + i for o, i in zip(self.offset, inside, strict=True)]
        shape = [min(b, s - i) for b, s, i in zip(self.block, self.shape, inside, strict=True)]
        write_roi = read_roi = Roi(begin, shape)
        if any(self.context):
            around = list(zip(begin, shape, self.context, strict=True))
            read_roi = Roi([b - c for b, _, c in around], [s + 2 * c for _, s, c in around])
        return Block(index, position, write_roi, read_roi)

    def position_of(self, begin: Coordinate) -> Zyx:
        """Return the grid position of the block whose write ROI begins at `begin`."""
        z, y, x = (Coordinate(begin) - self.roi.begin) / Coordinate(self.block)
        return int(z), int(y), int(x)


@dataclass(frozen=True, eq=False)
class BlockSet:
    """A set of dense indices, ascending: a bit for each block of the grid, whether it is in the set or not.

    Attributes
    ----------
    bits
        uint8, eight blocks in each.
    size
        Blocks of the grid.
    """

    bits: np.ndarray
    size: int

    @classmethod
    def of(cls, mask: np.ndarray) -> "BlockSet":
        """Return the set of the true ones of bool, by block in C order."""
        return cls(np.packbits(mask.reshape(-1)), mask.size)

    @classmethod
    def full(cls, size: int) -> "BlockSet":
        """Return the set of all blocks."""
        return cls.of(np.ones(size, bool))

    @classmethod
    def load(cls, text: str, size: int) -> "BlockSet":
        """Return the set that `dump` wrote, of a grid of `size` blocks."""
        return cls(np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8), size)

    def dump(self) -> str:
        """Return the set as text, compressed."""
        return base64.b64encode(zlib.compress(self.bits.tobytes(), 1)).decode()

    @property
    def digest(self) -> str:
        """The sha256 of the set."""
        return hashlib.sha256(self.bits.tobytes()).hexdigest()

    def to_mask(self) -> np.ndarray:
        """Return bool, by block."""
        return np.unpackbits(self.bits, count=self.size).view(bool)

    def __len__(self) -> int:
        return int(np.bitwise_count(self.bits).sum())

    def __contains__(self, index: int) -> bool:
        return bool(self.bits[index >> 3] >> (7 - (index & 7)) & 1)

    def __iter__(self) -> Iterator[int]:
        for first in range(0, len(self.bits), PAGE):  # a list of all would take 36 bytes a block
            yield from (np.flatnonzero(np.unpackbits(self.bits[first : first + PAGE])) + 8 * first).tolist()


def coarsen_blocks(blocks: BlockSet, counts: Zyx, factor: int) -> BlockSet:
    """Return, of a grid with blocks `factor` times as large along each axis, those that hold a block of the set.

    Parameters
    ----------
    counts
        Blocks of the finer grid along each axis.
    """
    found = blocks.to_mask().reshape(counts)
    for axis, count in enumerate(counts):
        found = np.logical_or.reduceat(found, np.arange(0, count, factor), axis=axis)
    return BlockSet.of(found)
