"""Segment an array in memory: the stages' own functions on one block, for validation and small volumes."""

from dataclasses import dataclass

import numpy as np

from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.by_waterz import merge_by_waterz
from neuroadda.segmentation.components import Numbering, connect_components
from neuroadda.segmentation.edges import collect_edges
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.segmentation.rag import Merges, contract
from neuroadda.segmentation.scoring import choose_edges, is_by_waterz


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
    found = find_fragments(affs, voxel_size_nm, fragments).astype(np.uint64)
    if tissue is not None:
        found[~tissue] = 0
    return Agglomerated(found, merge_fragments(affs[:3], found, agglomerate))


def merge_fragments(affs: np.ndarray, fragments: np.ndarray, agglomerate: Agglomerate) -> Merges:
    """Merge fragments (uint64, zyx) by affinities (uint8, shape (3, z, y, x)) up to the limit, by any scoring."""
    scoring, limit = agglomerate.scoring, agglomerate.limit
    edges = collect_edges(affs, fragments, scoring=choose_edges(scoring))
    if is_by_waterz(scoring):
        return merge_by_waterz(affs, fragments, edges.u, edges.v, scoring, limit)
    return contract(edges.to_rag(), limit).merges
