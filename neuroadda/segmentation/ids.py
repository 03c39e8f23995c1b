"""Fragment ids: a fragment belongs to one block, and its id says to which.

Local fragments are numbered 1, 2, ... in a block; globally they are ``block_index * capacity + local``, where the capacity is the
number of voxels of a full block. So ids are unique without any lock, and stay below 2^63.
"""

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.errors import SettingError

MAX_ID = 2**63 - 1


def capacity_of(grid: BlockGrid) -> int:
    """Return how many fragments a block may have.

    Raises
    ------
    UserError
        If ids would not fit 63 bits.
    """
    z, y, x = grid.block_vx
    capacity = z * y * x
    if len(grid) * capacity > MAX_ID:
        raise SettingError(
            f"{len(grid)} blocks of {capacity} voxels need ids above 2^63", "block_vx", "segment a smaller ROI"
        )
    return capacity


def to_global(local: np.ndarray, block: int, capacity: int) -> np.ndarray:
    """Return uint64 ids of local numbers (0 stays 0)."""
    return np.where(local > 0, local.astype(np.uint64) + np.uint64(block * capacity), np.uint64(0))


def to_local_of(block: int, fragments: np.ndarray, capacity: int) -> np.ndarray:
    """Return int64 local numbers of ids that all belong to one block (0 stays 0): the way back from `to_global`."""
    # Blocks are many voxels: a division each is slow, and so is every array of them.
    local = fragments.astype(np.int64)
    local -= block * capacity
    return np.maximum(local, 0, out=local)


def to_local(fragments: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (block index, 0-based local number) as int64 arrays, for ids above 0."""
    zero_based = fragments.astype(np.int64) - 1
    return zero_based // capacity, zero_based % capacity
