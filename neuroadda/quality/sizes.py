"""Sizes of all segments of a run, and which of them touch the border of what was segmented: from tables and faces of the volume."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.outputs import blocks_in
from neuroadda.observing import track
from neuroadda.proofreading.places import find_at_border
from neuroadda.segmentation.components import Lut
from neuroadda.segmentation.edges import read_sizes
from neuroadda.segmentation.pipeline import Plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.tissue import Tissue


@dataclass(frozen=True)
class Sizes:
    """Segments as columns, by id.

    Attributes
    ----------
    id
        uint64, ascending, without 0.
    voxels
        int64, all above 0.
    at_border
        bool: touches a face of the volume, or a place without tissue.
    """

    id: np.ndarray
    voxels: np.ndarray
    at_border: np.ndarray

    @classmethod
    def of(cls, voxels: np.ndarray, touching: Iterable[np.ndarray]) -> "Sizes":
        """Return the table of voxels by id (int64, from 0 on), and of ids that touch the border, in parts."""
        at_border = np.zeros(len(voxels), bool)
        for ids in touching:
            at_border[ids.astype(np.int64)] = True
        id_ = np.flatnonzero(voxels[1:]) + 1
        return cls(id_.astype(np.uint64), voxels[id_], at_border[id_])

    def rank(self) -> np.ndarray:
        """Return the rows from the largest segment to the smallest; of equal ones the lower id comes first."""
        return np.lexsort((self.id, -self.voxels))


def gather_sizes(plan: Plan, segmentation: Volume, tissue: Tissue | None) -> Sizes:
    """Return the sizes of a finished run's segments.

    Tables of fragments are streamed, and voxels are read on the faces of the volume and where tissue ends. Memory is some bytes a
    segment.
    """
    relabel = plan.task("relabel")
    voxels = count_voxels(plan.folder("edges"), Lut.open(plan.folder("components")), relabel.grid)

    def touching() -> Iterator[np.ndarray]:
        yield from find_at_border(segmentation, relabel.grid)
        if tissue is not None:
            yield from find_beside_gaps(segmentation, relabel.grid, list(relabel.blocks), tissue)

    return Sizes.of(voxels, touching())


def count_voxels(edges: Path, lut: Lut, grid: BlockGrid) -> np.ndarray:
    """Return the int64 voxels of every segment, by id from 0 on, from the sizes of fragments."""
    voxels = np.zeros(int(np.max(lut.table, initial=0)) + 1, np.int64)
    for block in track("sizes of segments", list(blocks_in(edges, grid))):
        np.add.at(voxels, lut.of_block(block).astype(np.int64), read_sizes(edges, block))
    return voxels


def find_beside_gaps(
    segmentation: Volume, grid: BlockGrid, blocks: Iterable[int], tissue: Tissue
) -> Iterator[np.ndarray]:
    """Yield the ids whose voxels share a face with a voxel without tissue, of each block that has such voxels."""
    from scipy.ndimage import binary_dilation

    for index in blocks:
        roi, step = grid[index].write_roi, segmentation.voxel_size
        around = roi.grow(step, step).intersect(grid.roi)
        inside = tissue.read(around)
        if inside.all():
            continue
        beside = binary_dilation(~inside)[((roi - around.begin) / step).to_slices()]
        yield np.unique(segmentation.read(roi)[beside])
