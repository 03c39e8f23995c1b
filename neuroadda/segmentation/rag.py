"""Hierarchical agglomeration of a region adjacency graph, exact also where only a part of the graph is known.

The pair of regions with the highest mean affinity, or other weighted mean (see `scoring`), is merged first, and the statistics of
edges that become parallel are added (Funke et al. 2019, doi:10.1109/TPAMI.2018.2835450; for the mean affinity, waterz with
`OneMinus<MeanAffinity>`). The mean of two edges lies between theirs, so a merge never makes an edge better than the better of the
two: two regions that are each other's best neighbour will merge whatever happens elsewhere. A part of the graph can therefore do
its own merges, but for those that regions with edges out of it take part in, or wait for; what is left of several parts together
goes on as if there had been no parts (Lu, Zlateski and Seung 2021, arXiv:2106.10795).

Two things make the result the same to the last bit: sums and weights are integers, and equal scores are decided by the lowest
pair of fragments that an edge has ever stood for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroadda.kernels.merging import merge
from neuroadda.segmentation.contacts import FULL


@dataclass(frozen=True)
class Rag:
    """Edges between regions as columns; a region is known by its lowest fragment.

    Attributes
    ----------
    u, v
        uint64, u < v; a pair appears once.
    sum, count
        int64, of the edges that were added up; see `edges.Edges`.
    first_u, first_v
        uint64, the lowest pair of fragments of those whose edges were added up.
    """

    u: np.ndarray
    v: np.ndarray
    sum: np.ndarray
    count: np.ndarray
    first_u: np.ndarray
    first_v: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence["Rag"]) -> "Rag":
        """Join the edges of several parts; edges of one pair are added up."""
        names = cls.__dataclass_fields__
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        order = np.lexsort([columns[name] for name in ("first_v", "first_u", "v", "u")])
        columns = {name: column[order] for name, column in columns.items()}
        u, v = columns["u"], columns["v"]
        starts = np.flatnonzero(np.r_[True, (u[1:] != u[:-1]) | (v[1:] != v[:-1])][: len(u)])
        if len(starts) == len(u):
            return cls(**columns)
        added = {name: np.add.reduceat(columns[name], starts) for name in ("sum", "count")}
        return cls(**({name: column[starts] for name, column in columns.items()} | added))

    def take(self, chosen: np.ndarray) -> "Rag":
        """Return the chosen edges (a mask, or indices)."""
        return Rag(**{name: column[chosen] for name, column in vars(self).items()})


@dataclass(frozen=True)
class Merges:
    """Merges as columns, in their order.

    Attributes
    ----------
    u, v
        uint64, the two regions, u < v; together they are region u.
    score
        float64, 1 - the weighted mean of their edge; it never falls. Uniting the pairs that score below a threshold gives that
        threshold's segmentation.
    """

    u: np.ndarray
    v: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Contracted:
    """What became of a graph.

    Attributes
    ----------
    merges
        All that are certain.
    rag
        The edges whose fate is open. Edges that can never score below the limit are gone.
    regions, renamed
        uint64, the regions that had edges, ascending, and what they are part of now.
    """

    merges: Merges
    rag: Rag
    regions: np.ndarray
    renamed: np.ndarray

    def rename(self, regions: np.ndarray) -> np.ndarray:
        """Return what other regions (uint64) are now; those without edges stay what they are."""
        if len(self.regions) == 0:
            return regions
        place = np.minimum(np.searchsorted(self.regions, regions), len(self.regions) - 1)
        return np.where(self.regions[place] == regions, self.renamed[place], regions)


def contract(rag: Rag, limit: float, frozen: np.ndarray | None = None) -> Contracted:
    """Do all merges below a limit that are certain.

    Parameters
    ----------
    rag
        The graph, or the part of it that is known.
    limit
        Scores (1 - weighted mean) at or above it do not merge.
    frozen
        uint64, regions with further edges that are not known here; none by default.
    """
    # Sorted by what decides between equal scores, an edge's place decides.
    rag = rag.take(np.lexsort((rag.first_v, rag.first_u)))
    regions, dense = np.unique(np.concatenate([rag.u, rag.v]), return_inverse=True)
    u, v = dense[: len(rag.u)], dense[len(rag.u) :]
    held = np.zeros(len(regions), bool) if frozen is None else np.isin(regions, frozen)
    total, number = rag.sum.copy(), rag.count.copy()
    lowest, kept, merged, scores = merge(len(regions), u, v, total, number, limit, FULL, held.view(np.uint8))
    renamed = regions[lowest]
    # u and v have become the regions' current numbers, by which the edges are named again.
    first, second = renamed[u[kept]], renamed[v[kept]]
    left = Rag(
        np.minimum(first, second),
        np.maximum(first, second),
        total[kept],
        number[kept],
        rag.first_u[kept],
        rag.first_v[kept],
    )
    return Contracted(Merges(regions[merged[:, 0]], regions[merged[:, 1]], scores), left, regions, renamed)
