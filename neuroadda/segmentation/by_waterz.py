"""Agglomeration by waterz' own functions: each block with context, alone.

As in the field's scripts (Sheridan et al. 2023, doi:10.1038/s41592-022-01711-z): a block's fragments, with those around it, are
merged up to the limit, and the block keeps at which score the ends of each of its edges become one region. The components of the
edges below a threshold are its segmentation. That is not the whole volume's where a merge depends on what lies beyond the context.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Zyx
from neuroadda.segmentation.agglomerate import LEVEL
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, write_columns
from neuroadda.segmentation.contacts import FULL
from neuroadda.segmentation.edges import read_edges
from neuroadda.segmentation.rag import Merges
from neuroadda.segmentation.scoring import Scoring, name_waterz_function
from neuroadda.volumes.arrays import Volume

CONTEXT_VX = 16
QUEUE_BINS = 256  # as in these scripts; waterz takes scores of one bin for equal


class AgglomerateByWaterz(Stage):
    """Agglomeration by one of waterz' functions; it takes the place of all levels of `AgglomerateLevel`.

    Attributes
    ----------
    limit, scoring
        See `Agglomerate`.
    """

    kind: ClassVar[str] = "waterz"

    limit: float
    scoring: Scoring

    @property
    def name(self) -> str:
        """As of the first level of other scorings."""
        return f"{LEVEL}0"

    def create_output(self, task: Task) -> None:
        """Create the folder of every block's merges."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return which blocks' files are there."""
        return WrittenFiles(Path(task.output), task.blocks.to_mask())

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes which edges of a block merge, and reports how many do."""
        affs, fragments = Volume.open(task.inputs["affs"]), Volume.open(task.inputs["fragments"])

        def agglomerate(block: Block) -> dict[str, Any]:
            read_roi = block.read_roi.intersect(fragments.roi)
            edges = read_edges(Path(task.inputs["edges"]), block.index)
            merges = merge_by_waterz(
                affs.read(read_roi)[:3], fragments.read(read_roi), edges.u, edges.v, self.scoring, self.limit
            )
            # Pieces of one fragment, which a block's border cut, are one.
            whole = edges.sum == FULL * edges.count
            merges = unite_first(merges, edges.u[whole], edges.v[whole])
            write_columns(block_file(Path(task.output), block.index), **vars(merges))
            return {"edges": len(edges.u), "merges": len(merges.u)}

        return agglomerate


def context_vx(voxel_size_nm: tuple[float, ...]) -> Zyx:
    """Return what a block sees beyond its border."""
    z, y, x = (max(1, round(CONTEXT_VX * min(voxel_size_nm) / side)) for side in voxel_size_nm)
    return z, y, x


def merge_by_waterz(
    affs: np.ndarray, fragments: np.ndarray, u: np.ndarray, v: np.ndarray, scoring: str, limit: float
) -> Merges:
    """Return which pairs of fragments waterz merges below a limit, directly or through others, and at which score.

    Parameters
    ----------
    affs
        uint8, shape (3, z, y, x).
    fragments
        uint64, shape (z, y, x), 0 for nothing.
    u, v
        uint64, pairs of ids of the fragments.
    """
    import waterz  # only where it is asked for

    ids = np.unique(fragments)
    ids = ids[ids > 0]
    if len(ids) < 2 or len(u) == 0:
        return Merges(u[:0], v[:0], np.zeros(0))
    # Its memory and time grow with the highest id, and it overwrites the fragments.
    dense = np.where(fragments > 0, np.searchsorted(ids, fragments) + 1, 0).astype(np.uint64)
    with silence_stdout():
        ((_, history),) = waterz.agglomerate(
            affs.astype(np.float32) / np.float32(FULL),
            [limit],
            fragments=dense,
            scoring_function=name_waterz_function(scoring),
            discretize_queue=QUEUE_BINS,
            return_merge_history=True,
        )
    tree = [(merge["a"] - 1, merge["b"] - 1, merge["score"]) for merge in history]
    score = find_heights(len(ids), tree, np.searchsorted(ids, u), np.searchsorted(ids, v))
    merged = score < limit
    return Merges(u[merged], v[merged], score[merged])


def unite_first(merges: Merges, u: np.ndarray, v: np.ndarray) -> Merges:
    """Return merges with those of the pairs (u, v) at score 0 before them."""
    return Merges(
        np.concatenate([u, merges.u]),
        np.concatenate([v, merges.v]),
        np.concatenate([np.zeros(len(u)), merges.score]),
    )


def find_heights(count: int, tree: list[tuple[int, int, float]], u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the score (float64) at which the ends of pairs become one region; infinite if they never do.

    A merge whose score is below that of one that it depends on counts as high as that one.

    Parameters
    ----------
    count
        Number of fragments, 0 to count - 1.
    tree
        Merges in their order: of region b into region a.
    """
    # Regions are intervals of one order of the fragments: two are one at the highest of the gaps between them.
    first, last = list(range(count)), list(range(count))
    following, gap, height = [-1] * count, [np.inf] * count, [0.0] * count
    gone = [False] * count
    for a, b, score in tree:
        height[a] = max(score, height[a], height[b])
        following[last[a]], gap[last[a]] = first[b], height[a]
        last[a], gone[b] = last[b], True
    place, gaps = np.zeros(count, np.int64), np.zeros(count)
    position = 0
    for region in range(count):
        fragment = -1 if gone[region] else first[region]
        while fragment >= 0:
            place[fragment], gaps[position] = position, gap[fragment]
            position, fragment = position + 1, following[fragment]
    begin, end = np.minimum(place[u], place[v]), np.maximum(place[u], place[v])
    # Row k of the table has the highest of 2^k gaps from each on: two such runs cover any number of gaps.
    table = [gaps]
    while 2 ** len(table) <= count:
        half = 2 ** (len(table) - 1)
        table.append(np.maximum(table[-1][:-half], table[-1][half:]))
    heights = np.zeros(len(u))
    level = np.log2(np.maximum(end - begin, 1)).astype(np.int64)
    for k, row in enumerate(table):
        here = level == k
        heights[here] = np.maximum(row[begin[here]], row[end[here] - 2**k])
    return heights


@contextlib.contextmanager
def silence_stdout() -> Iterator[None]:
    """Discard what waterz prints from C++."""
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(null)
