"""Segment an array in memory: the stages' own functions on one block, for validation and small volumes."""

from dataclasses import dataclass

import numpy as np

from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.components import Numbering, connect_components
from neuroadda.segmentation.edges import collect_edges
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.rag import Merges, Rag, contract


@dataclass(frozen=True)
class Agglomerated:
    """Fragments (uint64, zyx, ids 1 to n) and how they merge."""

    fragments: np.ndarray
    merges: Merges

    def lut(self, threshold: float) -> np.ndarray:
        """Return uint64[n + 1]: the segment of every fragment id (0 for 0)."""
        count = int(self.fragments.max(initial=0))
        numbering = Numbering(np.array([0, count]), max(count, 1))
        return np.r_[np.uint64(0), connect_components(numbering, [vars(self.merges)], threshold)]

    def segment(self, threshold: float) -> np.ndarray:
        """Return the segmentation (uint64, zyx)."""
        return self.lut(threshold)[self.fragments]


def agglomerate_array(
    affs: np.ndarray,
    voxel_size_nm: tuple[float, ...],
    fragments: Fragments,
    agglomerate: Agglomerate,
    tissue: np.ndarray | None = None,
) -> Agglomerated:
    """Find fragments of affinities (uint8, czyx) inside tissue (bool, zyx; all by default) and merge them up to the limit."""
    found = find_fragments(affs, voxel_size_nm, fragments, tissue).astype(np.uint64)
    edges = collect_edges(affs[:3], found)
    rag = Rag(edges.u, edges.v, edges.sum, edges.count, edges.u, edges.v)
    return Agglomerated(found, contract(rag, agglomerate.limit).merges)
