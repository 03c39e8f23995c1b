"""The fragments and the edges of each agglomerate of a mapping, in the order in which WEBKNOSSOS wants them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from neuroadda.segmentation.components import Numbering
from neuroadda.segmentation.contacts import is_pair_of
from neuroadda.segmentation.edges import read_edges

EDGES_AT_ONCE = 2**22
EDGE = np.dtype([("agglomerate", "<u8"), ("a", "<u8"), ("b", "<u8"), ("affinity", "<f4")])


@dataclass(frozen=True)
class Members:
    """The fragments of each agglomerate.

    Attributes
    ----------
    lut
        uint64, the agglomerate of each dense number, from 1; 0 for none.
    """

    lut: np.ndarray

    @cached_property
    def count(self) -> int:
        """Number of agglomerates."""
        return int(self.lut.max(initial=0))

    @cached_property
    def offsets(self) -> np.ndarray:
        """int64, from 0 to one more than there are agglomerates: where those of each begin in `order`; 0 has none."""
        counts = np.bincount(self.lut.astype(np.int64), minlength=self.count + 1)
        counts[0] = 0
        return np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def order(self) -> np.ndarray:
        """Dense numbers (int64) by agglomerate, ascending in each."""
        order = np.argsort(self.lut, kind="stable")
        return np.asarray(order[len(order) - self.offsets[-1] :])

    @cached_property
    def local(self) -> np.ndarray:
        """int64, by dense number: its number within its agglomerate, from 0."""
        local = np.zeros(len(self.lut), np.int64)
        local[self.order] = np.arange(len(self.order)) - self.offsets[self.lut[self.order]]
        return local


class EdgeSorter:
    """Brings the edges within agglomerates into their order, through files, each of the edges of some agglomerates.

    Memory is that of `EDGES_AT_ONCE` edges, or of those of one agglomerate that has more, and a few bytes an agglomerate.

    First all edges are counted, then they are sorted in, then read. Pairs that people have decided to merge have the affinity 1,
    and have an edge also where they do not touch: else an agglomerate would not be connected.

    Parameters
    ----------
    folder
        Of these files.
    decided
        uint64 ``(n, 2)``, ids of fragments.
    """

    def __init__(self, folder: Path, members: Members, numbering: Numbering, decided: np.ndarray) -> None:
        self._folder, self._members, self._numbering = folder, members, numbering
        self._decided = np.unique(np.sort(decided[decided[:, 0] != decided[:, 1]], axis=1), axis=0)
        self._touch = np.zeros(len(self._decided), bool)
        self._counts = np.zeros(members.count + 1, np.int64)

    @cached_property
    def offsets(self) -> np.ndarray:
        """int64, from 0 to one more than there are agglomerates: where the edges of each begin."""
        return np.concatenate([[0], np.cumsum(self._counts)])

    def count(self, folder: Path, block: int) -> None:
        """Count the edges that a block owns."""
        edges = read_edges(folder, block)
        self._touch |= is_pair_of(self._decided[:, 0], self._decided[:, 1], edges.u, edges.v)
        self._add(edges.u, edges.v)

    def count_decided(self) -> None:
        """Count the decided edges between fragments that do not touch."""
        self._add(*self._apart)

    def sort_in(self, folder: Path, block: int) -> None:
        """Sort in the edges that a block owns."""
        edges = read_edges(folder, block)
        decided = is_pair_of(edges.u, edges.v, self._decided[:, 0], self._decided[:, 1])
        self._keep(edges.u, edges.v, np.where(decided, 1, edges.mean))

    def sort_in_decided(self) -> None:
        """Sort in the decided edges between fragments that do not touch."""
        self._keep(*self._apart, np.ones(len(self._apart[0])))

    def read(self) -> Iterator[np.ndarray]:
        """Yield all edges (`EDGE`) in their order."""
        for path in sorted(self._folder.glob("*")):
            edges = np.fromfile(path, EDGE)
            yield edges[np.lexsort((edges["b"], edges["a"], edges["agglomerate"]))]

    @property
    def _apart(self) -> tuple[np.ndarray, np.ndarray]:
        u, v = self._decided[~self._touch].T
        return u, v

    def _find_within(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return which edges are within an agglomerate, and of these both ends (dense numbers) and the agglomerate."""
        a, b = self._numbering.to_dense(u), self._numbering.to_dense(v)
        agglomerate = self._members.lut[a].astype(np.int64)
        within = (agglomerate > 0) & (agglomerate == self._members.lut[b].astype(np.int64))
        return within, a[within], b[within], agglomerate[within]

    def _add(self, u: np.ndarray, v: np.ndarray) -> None:
        np.add.at(self._counts, self._find_within(u, v)[3], 1)

    def _keep(self, u: np.ndarray, v: np.ndarray, affinity: np.ndarray) -> None:
        self._folder.mkdir(exist_ok=True)
        within, a, b, agglomerate = self._find_within(u, v)
        edges = np.empty(len(a), EDGE)
        ends = np.sort(np.stack([self._members.local[a], self._members.local[b]]), axis=0)
        edges["agglomerate"], edges["a"], edges["b"], edges["affinity"] = agglomerate, *ends, affinity[within]
        files = self.offsets[agglomerate] // EDGES_AT_ONCE
        for number in np.unique(files).tolist():
            with (self._folder / f"{number:012d}").open("ab") as file:
                edges[files == number].tofile(file)
