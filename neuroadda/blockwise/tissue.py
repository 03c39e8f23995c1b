"""Which blocks have tissue, found before any is begun: those without are in no queue and in no ledger."""

import numpy as np
from funlib.geometry import Coordinate

from neuroadda.blockwise.blockset import BlockSet
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import Zyx
from neuroadda.volumes.masks import Mask, stored_chunks


def find_tissue(mask: Mask, grid: BlockGrid) -> BlockSet:
    """Return the blocks that have a voxel of tissue.

    Chunks of the mask that were never written are not read, nor those all of whose blocks are known to have tissue; memory is
    a byte a block.
    """
    found = np.zeros(grid.counts, bool)
    chunk_vx, shape_vx = mask.volume.chunk_vx, mask.volume.shape_vx
    begin_vx = (mask.roi.begin - grid.roi.begin) / mask.voxel_size
    axes = list(zip(begin_vx, mask.factor_vx, grid.block_vx, grid.roi.shape / mask.voxel_size, strict=True))
    for place in stored_chunks(mask.volume):
        first = Coordinate(place) * chunk_vx
        stop = [min(f + c, s) for f, c, s in zip(first, chunk_vx, shape_vx, strict=True)]
        spans = [_cut(*axis, f, s) for axis, f, s in zip(axes, first, stop, strict=True)]
        blocks = tuple(blocks for blocks, _, _ in spans)
        if found[blocks].all():  # also where there are none
            continue
        voxels = np.asarray(mask.volume.data[tuple(slice(f, s) for f, s in zip(first, stop, strict=True))]) != 0
        if not voxels.any():
            continue
        for axis, (_, low, high) in enumerate(spans):
            voxels = _any_between(voxels, low, high, axis)
        found[blocks] |= voxels
    return BlockSet.of(found)


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


def _cut(begin: int, factor: int, block: int, size: int, first: int, stop: int) -> tuple[slice, np.ndarray, np.ndarray]:
    """Cut the mask's voxels first .. stop along an axis by blocks.

    Parameters
    ----------
    begin, factor, block, size
        In voxels of raw from the grid's corner: where the mask begins, how long its voxels are, and the blocks, and the grid.

    Returns
    -------
    blocks, low, high
        The blocks they lie in, and which of these voxels (counted from `first`) lie in each.
    """
    low, high = max(0, begin + first * factor), min(size, begin + stop * factor)
    if low >= high:
        return slice(0, 0), np.zeros(0, int), np.zeros(0, int)
    blocks = slice(low // block, (high - 1) // block + 1)
    starts = np.arange(blocks.start, blocks.stop) * block
    lows, highs = np.maximum(starts, low) - begin, np.minimum(starts + block, high) - begin
    return blocks, lows // factor - first, -(-highs // factor) - first


def _any_between(values: np.ndarray, low: np.ndarray, high: np.ndarray, axis: int) -> np.ndarray:
    """Return, along an axis, whether any value of each ``low .. high`` is true."""
    ahead = np.insert(np.cumsum(values, axis=axis, dtype=np.int32), 0, 0, axis=axis)
    return np.take(ahead, high, axis=axis) > np.take(ahead, low, axis=axis)
