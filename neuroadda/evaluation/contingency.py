"""How often each segment and each truth label share a voxel: the sparse table that every overlap score is made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from neuroadda.errors import UserError
from neuroadda.volumes.contents.label_ids import negative_ids

# Runs are found in pieces of this many voxels: temporary arrays stay in cache, and memory does not follow the volume.
PIECE_VX = 1 << 19

Lookup = Callable[[np.ndarray], np.ndarray]
LookupTable = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Contingency:
    """Co-occurrence counts of segment and truth ids, sorted by (segment, label), each pair once.

    Attributes
    ----------
    segments, labels
        uint64[n]: the ids of a pair; 0 is background in both.
    counts
        int64[n]: voxels that carry the pair, all above zero.
    """

    segments: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    @property
    def voxels(self) -> int:
        """Voxels counted, background included."""
        return int(self.counts.sum())

    def relabel(self, lut: Lookup | LookupTable) -> "Contingency":
        """Return the table of the relabelled segmentation, such as one of segments from one of fragments.

        Parameters
        ----------
        lut
            Either a function from ids to new ids (uint64[n] each), or the pair ``(ids, new_ids)``. Id 0 stays 0 unless
            they say otherwise.

        Raises
        ------
        UserError
            If a pair lacks an id of this table.
        """
        new = np.asarray(lut(self.segments) if callable(lut) else _look_up(self.segments, *lut))
        if new.shape != self.segments.shape:
            raise UserError(f"{self.segments.size} ids became {new.size}", "lut", "one new id an id is expected")
        return _sum_pairs(_as_ids(new, "lut"), self.labels, self.counts)

    def main_labels(self) -> LookupTable:
        """Return ``(segments, labels)``: each segment with the label it shares most voxels with.

        Background counts only for a segment that has nothing else; of equals, the smaller label wins.
        """
        return _main_partners(self.segments, self.labels, self.counts)

    def main_segments(self) -> LookupTable:
        """Return ``(labels, segments)``: each label with the segment it shares most voxels with, chosen likewise."""
        return _main_partners(self.labels, self.segments, self.counts)


def count_overlaps(segmentation: np.ndarray, labels: np.ndarray) -> Contingency:
    """Count the voxels of each (segment id, truth id) pair.

    Parameters
    ----------
    segmentation, labels
        Integer arrays of one shape, ids >= 0.

    Raises
    ------
    UserError
        If shapes differ, or ids are negative or not integers.
    """
    if segmentation.shape != labels.shape:
        raise UserError(f"shape {segmentation.shape} is not the labels' {labels.shape}", "segmentation")
    flat, flat_labels = segmentation.reshape(-1), labels.reshape(-1)
    pieces = [
        _count_piece(flat[begin : begin + PIECE_VX], flat_labels[begin : begin + PIECE_VX])
        for begin in range(0, flat.size, PIECE_VX)
    ]
    return merge(pieces)


def merge(tables: Iterable[Contingency]) -> Contingency:
    """Return the table of all voxels of `tables`, such as those of a volume's blocks; none gives an empty table."""
    tables = list(tables)
    none = np.empty(0, np.uint64)
    return _sum_pairs(
        np.concatenate([none, *(t.segments for t in tables)]),
        np.concatenate([none, *(t.labels for t in tables)]),
        np.concatenate([np.empty(0, np.int64), *(t.counts for t in tables)]),
    )


def _count_piece(segments: np.ndarray, labels: np.ndarray) -> Contingency:
    # Neighbours along x mostly agree, so runs are far fewer than voxels, and only runs are sorted.
    ends = np.flatnonzero((segments[1:] != segments[:-1]) | (labels[1:] != labels[:-1])) + 1
    starts = np.concatenate([[0], ends])
    counts = np.diff(starts, append=segments.size)
    return _sum_pairs(_as_ids(segments[starts], "segmentation"), _as_ids(labels[starts], "labels"), counts)


def _sum_pairs(segments: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> Contingency:
    order = np.lexsort((labels, segments))
    segments, labels, counts = segments[order], labels[order], counts[order]
    if not len(segments):
        return Contingency(segments, labels, counts)
    new = (segments[1:] != segments[:-1]) | (labels[1:] != labels[:-1])
    first = np.concatenate([[0], np.flatnonzero(new) + 1])
    return Contingency(segments[first], labels[first], np.add.reduceat(counts, first))


def _main_partners(ids: np.ndarray, partners: np.ndarray, counts: np.ndarray) -> LookupTable:
    order = np.lexsort((partners, -counts, partners == 0, ids))
    unique, first = np.unique(ids[order], return_index=True)
    return unique, partners[order][first]


def _as_ids(ids: np.ndarray, where: str) -> np.ndarray:
    if ids.dtype.kind not in "iu":
        raise UserError(f"ids of type {ids.dtype}", where, "integers are expected")
    if ids.dtype.kind == "i" and ids.size and ids.min() < 0:
        raise negative_ids(int(ids.min()), where)
    return ids.astype(np.uint64)


def _look_up(segments: np.ndarray, ids: np.ndarray, new_ids: np.ndarray) -> np.ndarray:
    ids, new_ids = _as_ids(np.asarray(ids), "lut ids"), _as_ids(np.asarray(new_ids), "lut new ids")
    if ids.shape != new_ids.shape:
        raise UserError(f"{ids.size} ids but {new_ids.size} new ids", "lut", "one new id an id is expected")
    if not np.any(ids == 0):
        ids, new_ids = np.append(ids, np.uint64(0)), np.append(new_ids, np.uint64(0))
    order = np.argsort(ids, kind="stable")
    place = order[np.minimum(np.searchsorted(ids, segments, sorter=order), ids.size - 1)]
    missing = segments[ids[place] != segments]
    if missing.size:
        raise UserError(f"{np.unique(missing).size} ids are not in the table, such as {missing[0]}", "lut")
    return new_ids[place]
