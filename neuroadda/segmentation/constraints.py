"""Edits applied to the segments of a threshold: what is merged becomes one segment, and what is split becomes two.

A merge joins the segments of its two fragments, whatever lies between them. A split cuts the segment of its two fragments where
the agglomeration has least reason to join them: the fragments of the segment are agglomerated again by the statistics of their
edges, the best pair first, but two regions that hold the ends of a split never merge. So each fragment stays with the side that
it is most like, and one split makes two of a segment. Segments without an edit stay as they are.

Memory is a few bytes a fragment, and the edges within the segments that are split.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from neuroadda.errors import UserError
from neuroadda.kernels.forest import number_roots, unite
from neuroadda.segmentation.edges import Edges
from neuroadda.segmentation.rag import Rag, contract

if TYPE_CHECKING:
    from neuroadda.segmentation.components import Numbering

INT64_MAX = 2**63 - 1


def constrain(
    lut: np.ndarray, numbering: "Numbering", merges: np.ndarray, splits: np.ndarray, read: Callable[[int], Edges]
) -> np.ndarray:
    """Return a lookup table as edits want it.

    Parameters
    ----------
    lut
        uint64, the segment (1, 2, ... in order of first fragment) of every dense fragment number.
    merges, splits
        int64 dense numbers, shape (n, 2), of fragments. No chain of merges joins a split.
    read
        Returns the edges that a block owns.

    Returns
    -------
    numpy.ndarray
        As `lut`.
    """
    segment = lut.astype(np.int64) - 1
    parent = np.arange(int(lut.max(initial=0)))
    unite(parent, *_columns(segment[merges]))
    group = number_roots(parent).astype(np.int64)[segment]  # segments that are merged, and through them
    # A group is numbered at its first fragment.
    starts = np.flatnonzero(np.diff(np.maximum.accumulate(group), prepend=0))
    parent = starts[group - 1]
    splits = splits[group[splits[:, 0]] == group[splits[:, 1]]]
    if len(splits):
        is_cut = np.zeros(len(starts) + 1, bool)
        is_cut[group[splits[:, 0]]] = True
        cut = is_cut[group]
        inside = np.flatnonzero(cut)
        parent[inside] = inside
        merges = merges[cut[merges[:, 0]]]
        unite(parent, *_columns(merges))
        edges = _gather(numbering, segment, cut, inside, read)
        unite(parent, *_agglomerate(edges, inside, merges, splits))
    return number_roots(parent)


def _columns(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def _gather(
    numbering: "Numbering", segment: np.ndarray, cut: np.ndarray, inside: np.ndarray, read: Callable[[int], Edges]
) -> Rag:
    """Return the edges within each of the segments that are cut, between dense numbers."""
    parts = []
    # The block that owns an edge holds one of its fragments.
    for block in np.unique(np.searchsorted(numbering.first, inside, side="right") - 1).tolist():
        edges = read(block)
        u, v = numbering.to_dense(edges.u), numbering.to_dense(edges.v)
        kept = cut[u] & (segment[u] == segment[v])
        parts.append((u[kept], v[kept], edges.sum[kept], edges.count[kept]))
    u, v, sum_, count = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Rag(u, v, sum_, count, u, v)


def _agglomerate(
    edges: Rag, inside: np.ndarray, merges: np.ndarray, splits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which dense numbers become one, as two columns, if merges come first and splits are kept apart."""
    lowest = np.arange(len(inside))
    unite(lowest, *_columns(np.searchsorted(inside, merges)))
    while ((above := lowest[lowest]) != lowest).any():
        lowest = above

    def rename(pairs: np.ndarray) -> np.ndarray:
        return np.sort(inside[lowest[np.searchsorted(inside, pairs)]], axis=1)

    pairs = rename(np.stack([edges.u, edges.v], axis=1))
    kept = pairs[:, 0] != pairs[:, 1]
    apart = np.unique(rename(splits), axis=0)
    # An edge that scores above 1 whatever is added to it: regions with such an edge never merge.
    repulsion = 1 + int(edges.sum.sum())
    if repulsion * len(apart) > INT64_MAX:
        raise UserError(f"{len(apart)} splits in segments of {len(inside)} fragments are too many", "edits")
    u, v = np.concatenate([pairs[kept], apart]).T
    first_u, first_v = (np.r_[column[kept], end] for column, end in zip((edges.u, edges.v), apart.T, strict=True))
    sum_ = np.r_[edges.sum[kept], np.full(len(apart), -repulsion)]
    count = np.r_[edges.count[kept], np.zeros(len(apart), np.int64)]
    graph = Rag.concatenate([Rag(u, v, sum_, count, first_u, first_v)])
    merged = contract(graph, 1.0).merges
    return np.ascontiguousarray(merged.u), np.ascontiguousarray(merged.v)
