"""Segment an array in memory: the stages' own functions on one block, for validation and small volumes."""

from dataclasses import dataclass

import numpy as np

from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.agglomeration import score_edges
from neuroadda.segmentation.components import Numbering, connect_components
from neuroadda.segmentation.edges import collect_edges
from neuroadda.segmentation.fragments import Fragments, find_fragments


@dataclass(frozen=True)
class Agglomerated:
    """Fragments (uint64, zyx, ids 1 to n) with the merge scores of their edges."""

    fragments: np.ndarray
    u: np.ndarray
    v: np.ndarray
    score: np.ndarray

    def lut(self, threshold: float) -> np.ndarray:
        """Return uint64[n + 1]: the segment of every fragment id (0 for 0)."""
        count = int(self.fragments.max(initial=0))
        numbering = Numbering(np.array([0, count]), max(count, 1))
        columns = {"u": self.u, "v": self.v, "score": self.score}
        return np.r_[np.uint64(0), connect_components(numbering, [columns], threshold)]

    def segment(self, threshold: float) -> np.ndarray:
        """Return the segmentation (uint64, zyx)."""
        return self.lut(threshold)[self.fragments]


def agglomerate_array(
    affs: np.ndarray, voxel_size_nm: tuple[float, ...], fragments: Fragments, agglomerate: Agglomerate
) -> Agglomerated:
    """Find fragments of affinities (c, z, y, x; uint8 or float) and score their edges."""
    found = find_fragments(affs, voxel_size_nm, fragments).astype(np.uint64)
    edges = collect_edges(affs[:3], found)
    scores = score_edges(edges.u, edges.v, edges.sum, edges.count, agglomerate.limit)
    return Agglomerated(found, edges.u, edges.v, scores)
