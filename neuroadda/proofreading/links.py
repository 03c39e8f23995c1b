"""Contacts of regions: the edges of a run's fragments, added up by pairs of regions."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from neuroadda.segmentation.contacts import FULL
from neuroadda.segmentation.edges import Edges

FEWEST_ROWS = 1_000_000  # that are added up at once


@dataclass(frozen=True)
class Links:
    """Contacts of pairs of regions as columns, sorted by (u, v), each pair once.

    Attributes
    ----------
    u, v
        int64 numbers of regions, u < v.
    sum, count
        int64, added up of the edges between them; see `segmentation.edges.Edges`.
    a, b
        uint64, the two fragments, a of u and b of v, that have the largest contact of all.
    largest
        int64, the count of that contact.
    """

    u: np.ndarray
    v: np.ndarray
    sum: np.ndarray
    count: np.ndarray
    a: np.ndarray
    b: np.ndarray
    largest: np.ndarray

    @property
    def score(self) -> np.ndarray:
        """float64, 1 - the weighted mean affinity, as merges have it."""
        return np.asarray(1 - self.sum / (FULL * np.maximum(self.count, 1)))

    def take(self, chosen: np.ndarray) -> "Links":
        """Return the chosen ones (a mask, or indices)."""
        return Links(**{name: column[chosen] for name, column in vars(self).items()})

    @classmethod
    def of(cls, edges: Edges, number: Callable[[np.ndarray], np.ndarray]) -> "Links":
        """Return the links of edges whose fragments (uint64) have the numbers that `number` returns; 0 is no region."""
        one = cls(number(edges.u), number(edges.v), edges.sum, edges.count, edges.u, edges.v, edges.count)
        return one._add_up()

    @classmethod
    def concatenate(cls, parts: Iterable["Links"]) -> "Links":
        """Add up links of several parts; only what is added up, and the last part, is held in memory."""
        done, held, rows = _empty(), list[Links](), 0
        for part in parts:
            held.append(part)
            rows += len(part.u)
            if rows > max(FEWEST_ROWS, len(done.u)):
                done, held, rows = _join([done, *held])._add_up(), [], 0
        return _join([done, *held])._add_up()

    def rename(self, numbers: np.ndarray) -> "Links":
        """Return the links of other regions: ``numbers[n]`` is that of region n, 0 is none."""
        renamed = vars(self) | {"u": numbers[self.u], "v": numbers[self.v]}
        return Links(**renamed)._add_up()

    def _add_up(self) -> "Links":
        links = self.take((self.u != self.v) & (self.u > 0) & (self.v > 0))
        turned = links.u > links.v
        (u, v), (a, b) = (
            (np.where(turned, second, first), np.where(turned, first, second))
            for first, second in ((links.u, links.v), (links.a, links.b))
        )
        order = np.lexsort((b, a, -links.largest, v, u))
        links = Links(u, v, links.sum, links.count, a, b, links.largest).take(order)
        if not len(links.u):
            return links
        starts = np.flatnonzero(np.r_[True, (links.u[1:] != links.u[:-1]) | (links.v[1:] != links.v[:-1])])
        added = {name: np.add.reduceat(getattr(links, name), starts) for name in ("sum", "count")}
        return Links(**(vars(links.take(starts)) | added))


def _empty() -> Links:
    whole, ids = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    return Links(whole, whole, whole, whole, ids, ids, whole)


def _join(parts: Sequence[Links]) -> Links:
    return Links(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in Links.__dataclass_fields__})


def link(edges: Iterator[Edges], number: Callable[[np.ndarray], np.ndarray]) -> Links:
    """Return the links of edges that come in parts; see `Links.of`."""
    return Links.concatenate(Links.of(part, number) for part in edges)
