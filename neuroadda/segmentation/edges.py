"""Edges between touching fragments, with affinity statistics that are exact for the whole volume.

Ownership: the affinity at voxel p for the offset (-1, 0, 0), (0, -1, 0) or (0, 0, -1) speaks of the pair (p + offset, p), and
belongs to the block that holds p. A fragment lies in one block, and along one axis p is always in the higher of two blocks, so
all affinities between two given fragments belong to one block: an edge has one owner, and its statistics need no merging.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import fastremap
import numpy as np
from funlib.geometry import Coordinate

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.segmentation.blockfiles import block_file, read_columns, write_columns
from neuroadda.segmentation.ids import capacity_of, to_local_of
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
        float64, sum of the affinities (0 to 1) between them.
    count
        int64, number of affinities.
    """

    u: np.ndarray
    v: np.ndarray
    sum: np.ndarray
    count: np.ndarray

    @classmethod
    def concatenate(cls, parts: list["Edges"]) -> "Edges":
        """Join edges of several owners, sorted."""
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("u", "v", "sum", "count")]
        order = np.lexsort((columns[1], columns[0]))
        return cls(*(column[order] for column in columns))


class CollectEdges(Stage):
    """Collect the edges that each block owns, and the sizes of its fragments."""

    name: ClassVar[str] = "edges"

    def create_output(self, task: Task) -> None:
        """Create the folder of edge files."""
        task.create_folder()

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes a block's edge file and reports how many edges it has."""
        affs, fragments = Volume.open(task.inputs["affs"]), Volume.open(task.inputs["fragments"])
        capacity = capacity_of(task.grid)

        def collect(block: Block) -> dict[str, Any]:
            read_roi = block.write_roi.grow(affs.voxel_size, Coordinate(0, 0, 0)).intersect(fragments.roi)
            ids = fragments.read(read_roi)
            low = tuple((block.write_roi.begin - read_roi.begin) / affs.voxel_size)
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


def collect_edges(affs: np.ndarray, fragments: np.ndarray, low: tuple[int, ...] = (0, 0, 0)) -> Edges:
    """Return the edges of the voxels of a block.

    Parameters
    ----------
    affs
        uint8 or float, shape (3, z, y, x), the affinities of the block's voxels to their neighbours below in z, y, x.
    fragments
        Shape (z + low_z, y + low_y, x + low_x): the block's fragments, preceded along each axis by `low` (0 or 1) voxels of the
        neighbours.
    """
    scale = 255.0 if affs.dtype == np.uint8 else 1.0
    dense, mapping = fastremap.renumber(fragments, preserve_zero=True)
    us, vs, values = [], [], []
    box = [slice(lo, None) for lo in low]
    for axis, channel in enumerate(affs):
        upper, lower = list(box), list(box)
        cut = 1 - low[axis]
        upper[axis] = slice(1, None)
        lower[axis] = slice(0, -1)
        a, b = dense[tuple(lower)], dense[tuple(upper)]
        value = channel[tuple(slice(cut, None) if i == axis else slice(None) for i in range(3))]
        touching = (a != b) & (a > 0) & (b > 0)
        us.append(a[touching])
        vs.append(b[touching])
        values.append(value[touching])
    ids = np.zeros(len(mapping) + 1, np.uint64)
    ids[np.fromiter(mapping.values(), np.int64)] = np.fromiter(mapping.keys(), np.uint64)
    return _sum_up(ids, np.concatenate(us), np.concatenate(vs), np.concatenate(values), scale)


def mark_as_one(edges: Edges, u: np.ndarray, v: np.ndarray) -> None:
    """Give the edges between the pairs (u, v) the mean affinity 1: they are cuts through one fragment, and heal first."""
    cut = is_pair_of(edges.u, edges.v, u, v)
    edges.sum[cut] = edges.count[cut]


def is_pair_of(u: np.ndarray, v: np.ndarray, among_u: np.ndarray, among_v: np.ndarray) -> np.ndarray:
    """Return bool: which pairs (u, v) of uint64 ids are among others."""
    pairs, among = (
        np.stack(columns, axis=1).astype(np.uint64).view("V16").ravel() for columns in ((u, v), (among_u, among_v))
    )
    return np.isin(pairs, among)


def _sum_up(ids: np.ndarray, a: np.ndarray, b: np.ndarray, values: np.ndarray, scale: float) -> Edges:
    # A pair of dense numbers is one int64, which sorts several times as fast as two ids; only edges are put in the ids' order.
    pairs = np.minimum(a, b).astype(np.int64) * len(ids) + np.maximum(a, b)
    order = np.argsort(pairs, kind="stable")
    pairs, values = pairs[order], values[order]
    starts = np.flatnonzero(np.r_[True, pairs[1:] != pairs[:-1]][: len(pairs)])
    count = np.diff(np.r_[starts, len(pairs)])
    # uint8 values are summed before they are scaled, so that sums are exact and the same for every block size.
    total = np.add.reduceat(values.astype(np.float64), starts) if len(pairs) else np.zeros(0)
    first, second = ids[pairs[starts] // len(ids)], ids[pairs[starts] % len(ids)]
    edges = Edges(np.minimum(first, second), np.maximum(first, second), total / scale, count.astype(np.int64))
    return Edges.concatenate([edges])
