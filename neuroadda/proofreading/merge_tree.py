"""The merges of segments as trees, of which each edge is a place where a segment can be cut in two."""

from dataclasses import dataclass

import numpy as np

from neuroadda.kernels.merge_forest import find_joins, hang, sum_below
from neuroadda.proofreading.links import Links


@dataclass(frozen=True)
class MergeTree:
    """Cuts of segments as columns: one for each merge of two regions.

    A merge joins two sets of regions by the sum of all contacts between them. Its cut goes through the largest of these contacts,
    so that the cuts of a segment are the edges of a tree of its regions, and what hangs on either side of one is the two parts.

    Attributes
    ----------
    links
        What is cut: u and v are regions, a and b the fragments of the largest contact, sum and count are of all contacts between
        the two sides when they were merged.
    below
        int64, the region at the lower end of each cut.
    sizes, borders
        int64, of each region: the voxels (the fragments at the volume's border) of all that hang below it, and its own.
    first, last
        int64, of each region: a region hangs below another if its `first` is between that one's `first` and `last`.
    root
        int64, of each region: the root of its tree.
    """

    links: Links
    below: np.ndarray
    sizes: np.ndarray
    borders: np.ndarray
    first: np.ndarray
    last: np.ndarray
    root: np.ndarray

    @classmethod
    def make(
        cls, links: Links, merges: tuple[np.ndarray, np.ndarray, np.ndarray], sizes: np.ndarray, borders: np.ndarray
    ) -> "MergeTree":
        """Make the trees of all segments.

        Parameters
        ----------
        links
            Of regions; those whose regions no merge joins are left out.
        merges
            Region numbers u and v (int64) and the score of each merge, in any order.
        sizes, borders
            int64, of each region: its voxels, its fragments at the volume's border.
        """
        order = np.lexsort((merges[1], merges[0], merges[2]))
        parent, merged = hang(len(sizes), merges[0][order], merges[1][order])
        joins = find_joins(parent, merged, links.u, links.v)
        links, joins = links.take(joins >= 0), joins[joins >= 0]
        best = np.lexsort((-links.sum, -links.count, joins))
        links, joins = links.take(best), joins[best]
        starts = np.flatnonzero(np.r_[True, joins[1:] != joins[:-1]][: len(joins)])
        cuts = links.take(starts)
        if len(starts):
            added = {name: np.add.reduceat(getattr(links, name), starts) for name in ("sum", "count")}
            cuts = Links(**(vars(cuts) | added))
        below, total, first, last = sum_below(cuts.u, cuts.v, sizes)
        _, at_border, _, _ = sum_below(cuts.u, cuts.v, borders)
        return cls(cuts, below, total, at_border, first, last, _find_roots(below, first, last))

    @property
    def root_of_cut(self) -> np.ndarray:
        """int64, of each cut: the root of its tree."""
        return np.asarray(self.root[self.below])

    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Return int64, of each cut: voxels of the part with its region u, and of the part with v."""
        return self._sides(self.sizes)

    def border_sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Return int64, of each cut: fragments at the volume's border of the part with its region u, and of that with v."""
        return self._sides(self.borders)

    def is_below(self, region: int, other: int) -> bool:
        """Tell whether a region hangs below another, or is it."""
        return bool(self.first[other] <= self.first[region] < self.last[other])

    def _sides(self, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lower = totals[self.below]
        upper = totals[self.root_of_cut] - lower
        on_u = self.below == self.links.u
        return np.where(on_u, lower, upper), np.where(on_u, upper, lower)


def _find_roots(below: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the root of each region's tree: trees are visited one after another, each from its root."""
    is_root = np.ones(len(first), bool)
    is_root[below] = False
    roots = np.flatnonzero(is_root)
    roots = roots[np.argsort(first[roots])]
    return np.asarray(roots[np.searchsorted(first[roots], first, side="right") - 1])
