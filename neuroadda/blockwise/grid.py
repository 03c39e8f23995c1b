"""The grid of blocks over a volume: dense indices, write ROIs that tile it, read ROIs with context."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.config import Config, Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import describe_roi


@dataclass(frozen=True)
class Block:
    """One block: `index` is dense in C order, `position` its place in the grid, ROIs are in world units."""

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
            raise UserError(f"the ROI {describe_roi(roi)} is empty")
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
