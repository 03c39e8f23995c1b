"""Re-join fragments that were split at a block border.

A block finds fragments a little beyond its border, so it sees how they go on in the layer of voxels just below it along each axis.
Where that view and what the neighbour wrote there cover each other for the most part, both are pieces of one fragment. Were the
pieces left to find each other by their affinities, the order of merges, and with it the segmentation, would depend on the blocks.
"""

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.kernels.renumbering import mark_ids
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, read_columns, write_columns
from neuroadda.segmentation.ids import to_global
from neuroadda.volumes.storage.locations import Location

VIEWS = ".views"
AXES = ("z", "y", "x")


def number_inside(found: np.ndarray, inside: tuple[slice, ...]) -> np.ndarray:
    """Return uint32, by id in `found`: the number 1, 2, ... of each that has voxels inside, 0 for the others and for 0."""
    there = np.zeros(int(found.max(initial=0)) + 1, np.uint8)
    mark_ids(found[inside], there)
    there[0] = 0
    return np.cumsum(there, dtype=np.uint32) * there


def write_views(
    fragments: Location, block: int, found: np.ndarray, inside: tuple[slice, ...], numbers: np.ndarray
) -> None:
    """Keep what a block sees of its own fragments just below its border.

    Parameters
    ----------
    fragments
        Place of the fragments array; the views lie in a hidden folder of it, and are created and removed with it.
    found
        The fragments of the block and its context, before they were cut.
    inside
        The block's place in it.
    numbers
        See `number_inside`.
    """
    views = {
        name: numbers[found[_replace(inside, axis, slice(inside[axis].start - 1, inside[axis].start))]]
        for axis, name in enumerate(AXES)
        if inside[axis].start > 0
    }
    if views:
        write_columns(block_file(fragments / VIEWS, block), **views)


def written_views(fragments: Location, grid: BlockGrid) -> WrittenFiles:
    """Return what can tell which blocks' views are there; a block without context below it in the volume has none."""
    needed = np.zeros(grid.counts, bool)
    for axis, context in enumerate(grid.context):
        if context > 0:
            needed[_replace((slice(None),) * 3, axis, slice(1, None))] = True
    return WrittenFiles(fragments / VIEWS, needed.ravel())


def find_cut_pairs(
    fragments: Location, block: int, capacity: int, ids: np.ndarray, low: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs (u, v) of uint64 ids, u < v, that are pieces of one fragment across a lower border of the block.

    Parameters
    ----------
    ids
        The block's fragments, preceded along each axis by `low` voxels of the neighbours.
    """
    path = block_file(fragments / VIEWS, block)
    empty = np.zeros(0, np.uint64)
    us, vs = [empty], [empty]
    views = read_columns(path) if path.exists() else {}
    box = tuple(slice(lo, None) for lo in low)
    for name, view in views.items():
        axis = AXES.index(name)
        if low[axis] == 0:
            continue
        written = ids[_replace(box, axis, slice(0, 1))]
        u, v = _cover_each_other(written.ravel(), to_global(view, block, capacity).ravel())
        us.append(u)
        vs.append(v)
    return np.concatenate(us), np.concatenate(vs)


def _cover_each_other(written: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of ids that share more than half of the voxels of either."""
    written_ids, a, written_sizes = np.unique(written, return_inverse=True, return_counts=True)
    seen_ids, b, seen_sizes = np.unique(seen, return_inverse=True, return_counts=True)
    pairs, shared = np.unique(a * len(seen_ids) + b, return_counts=True)
    first, second = pairs // len(seen_ids), pairs % len(seen_ids)
    one = (2 * shared > written_sizes[first]) & (2 * shared > seen_sizes[second])
    one &= (written_ids[first] > 0) & (seen_ids[second] > 0)
    return written_ids[first[one]], seen_ids[second[one]]


def _replace(box: tuple[slice, ...], axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if i == axis else s for i, s in enumerate(box))
