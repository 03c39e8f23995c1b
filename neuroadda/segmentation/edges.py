"""Edges between touching fragments, with affinity statistics that are exact for the whole volume.

Ownership: the affinity at voxel p for the offset (-1, 0, 0), (0, -1, 0) or (0, 0, -1) speaks of the pair (p + offset, p), and
belongs to the block that holds p. A fragment lies in one block, and along one axis p is always in the higher of two blocks, so
all affinities between two given fragments belong to one block: an edge has one owner, and its statistics need no merging.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from funlib.geometry import Coordinate

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Zyx
from neuroadda.kernels.edges import add_up
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, read_columns, write_columns
from neuroadda.segmentation.ids import capacity_of, to_local_of
from neuroadda.segmentation.rag import FULL
from neuroadda.segmentation.seams import find_cut_pairs
from neuroadda.volumes.arrays import Volume


@dataclass(frozen=True)
class Edges:
    """Edges as columns, sorted by (u, v).

    Attributes
    ----------
    u, v
        uint64 fragment ids, u < v.
    sum
        int64, sum of the uint8 affinities between them.
    count
        int64, number of affinities.
    """

    u: np.ndarray
    v: np.ndarray
    sum: np.ndarray
    count: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """float64, the mean affinity, 0 to 1."""
        return np.asarray(self.sum / (FULL * self.count))


class CollectEdges(Stage):
    """Collect the edges that each block owns, and the sizes of its fragments."""

    kind: ClassVar[str] = "edges"
    version: ClassVar[int] = 2

    def create_output(self, task: Task) -> None:
        """Create the folder of edge files."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return which blocks' files are there."""
        return WrittenFiles(Path(task.output), task.blocks.to_mask())

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes a block's edge file and reports how many edges it has."""
        affs, fragments = Volume.open(task.inputs["affs"]), Volume.open(task.inputs["fragments"])
        capacity = capacity_of(task.grid)

        def collect(block: Block) -> dict[str, Any]:
            read_roi = block.write_roi.grow(affs.voxel_size, Coordinate(0, 0, 0)).intersect(fragments.roi)
            ids = fragments.read(read_roi)
            z, y, x = (block.write_roi.begin - read_roi.begin) / affs.voxel_size
            low = (z, y, x)
            edges = collect_edges(affs.read(block.write_roi)[:3], ids, low)
            mark_as_one(edges, *find_cut_pairs(fragments.path, block.index, capacity, ids, low))
            own = ids[low[0] :, low[1] :, low[2] :]
            sizes = np.bincount(to_local_of(block.index, own, capacity).ravel())[1:]
            write_columns(block_file(Path(task.output), block.index), **vars(edges), sizes=sizes)
            return {"edges": len(edges.u), "fragments": len(sizes)}

        return collect


def read_edges(folder: Path, block: int) -> Edges:
    """Return the edges that a block owns."""
    return Edges(**read_columns(block_file(folder, block), "u", "v", "sum", "count"))


def read_sizes(folder: Path, block: int) -> np.ndarray:
    """Return int64 voxel counts of a block's fragments, by local number."""
    return read_columns(block_file(folder, block), "sizes")["sizes"]


def collect_edges(affs: np.ndarray, fragments: np.ndarray, low: Zyx = (0, 0, 0)) -> Edges:
    """Return the edges of the voxels of a block.

    Parameters
    ----------
    affs
        uint8, or uint16 of another scale, shape (3, z, y, x): those of the block's voxels to their neighbours below in z, y, x.
    fragments
        Shape (z + low_z, y + low_y, x + low_x): the block's fragments, preceded along each axis by `low` (0 or 1) voxels of the
        neighbours.
    """
    rows = add_up(np.ascontiguousarray(affs), np.ascontiguousarray(fragments, np.uint64), low)
    u, v, total, count = rows[np.lexsort((rows[:, 1], rows[:, 0]))].T
    return Edges(u.astype(np.uint64), v.astype(np.uint64), total.copy(), count.copy())


def mark_as_one(edges: Edges, u: np.ndarray, v: np.ndarray) -> None:
    """Give the edges between the pairs (u, v) the mean affinity 1: they are cuts through one fragment, and heal first."""
    cut = is_pair_of(edges.u, edges.v, u, v)
    edges.sum[cut] = FULL * edges.count[cut]


def is_pair_of(u: np.ndarray, v: np.ndarray, among_u: np.ndarray, among_v: np.ndarray) -> np.ndarray:
    """Return bool: which pairs (u, v) of uint64 ids are among others."""
    pairs, among = (
        np.stack(columns, axis=1).astype(np.uint64).view("V16").ravel() for columns in ((u, v), (among_u, among_v))
    )
    return np.isin(pairs, among)
