"""An oracle that answers a queue by truth labels, in memory: a merge joins regions, a split takes a contact away."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from neuroadda.proofreading.candidates import Candidates, make_tree
from neuroadda.proofreading.regions import Regions

Sides = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Truth:
    """Voxels of each truth label in each region.

    Attributes
    ----------
    overlaps
        int64[region, label]; label 0 and background are not in it. Row 0 is of voxels without a region.
    """

    overlaps: np.ndarray

    @classmethod
    def of(cls, fragments: np.ndarray, region: np.ndarray, labels: np.ndarray) -> "Truth":
        """Count them; `region` is by fragment id."""
        _, dense = np.unique(labels, return_inverse=True)
        dense = dense.reshape(labels.shape)
        count = int(dense.max()) + 1
        pairs = region[fragments.astype(np.int64)].astype(np.int64) * count + dense
        table = np.bincount(pairs.ravel(), minlength=(int(region.max()) + 1) * count).reshape(-1, count)
        return cls(table[:, 1:] if labels.min() == 0 else table)

    def main(self, regions: list[int]) -> int:
        """Return the label that regions share most voxels with, -1 if they share none with any."""
        counts = self.overlaps[regions].sum(axis=0)
        return int(counts.argmax()) if counts.any() else -1

    def voi(self, segment: np.ndarray) -> float:
        """Return the VOI (nats) of a segmentation, given the segment of each region."""
        _, dense = np.unique(segment, return_inverse=True)
        joint = np.zeros((int(dense.max()) + 1, self.overlaps.shape[1]))
        np.add.at(joint, dense, self.overlaps)
        total = joint.sum()
        return float((_n_log_n(joint.sum(0)).sum() + _n_log_n(joint.sum(1)).sum() - 2 * _n_log_n(joint).sum()) / total)

    def fall(self, one: list[int], other: list[int], is_merge: bool) -> float:
        """Return by how much VOI falls when two sides are merged, or parted."""
        first, second = (self.overlaps[side].sum(axis=0).astype(np.float64) for side in (one, other))
        both = first + second
        change = _n_log_n(both.sum()) - _n_log_n(first.sum()) - _n_log_n(second.sum())
        change = change - 2 * (_n_log_n(both) - _n_log_n(first) - _n_log_n(second)).sum()
        return float((-change if is_merge else change) / self.overlaps.sum())

    def main_labels(self) -> np.ndarray:
        """Return int64, by region: the label that it shares most voxels with; a number below 0 where there is none."""
        alone = -1 - np.arange(len(self.overlaps))
        return np.where(self.overlaps.any(axis=1), self.overlaps.argmax(axis=1), alone)

    def best_voi(self) -> float:
        """Return the VOI that is reached when each region has the segment of its main label, whether or not regions touch."""
        return self.voi(self.main_labels())


class Proofread:
    """A segmentation that decisions change.

    Parameters
    ----------
    regions, truth
        Of one volume.
    region
        By fragment id.
    """

    def __init__(self, regions: Regions, truth: Truth, region: np.ndarray) -> None:
        self.truth, self.region, self.count = truth, region, len(regions.segment)
        self.segment = regions.segment
        self.near: dict[int, set[int]] = defaultdict(set)
        cuts = make_tree(regions).links
        for u, v in zip(cuts.u.tolist(), cuts.v.tolist(), strict=True):
            self._join(u, v)

    def look(self, candidates: Candidates, index: int) -> Sides | None:
        """Return the regions on both sides of a candidate; None if earlier decisions have answered it."""
        u, v = (int(self.region[int(side[index])]) for side in (candidates.a, candidates.b))
        if candidates.is_merge[index]:
            one = self._reach(u)
            return None if v in one else (one, self._reach(v))
        if v not in self.near[u]:
            return None
        self._part(u, v)
        one, other = self._reach(u), self._reach(v)
        self._join(u, v)
        return None if v in one else (one, other)

    def is_error(self, candidates: Candidates, index: int, sides: Sides) -> bool:
        """Tell whether a person with the truth would correct it: one neuron in two segments, or two in one."""
        one, other = (self.truth.main(side) for side in sides)
        return min(one, other) >= 0 and (one == other) == bool(candidates.is_merge[index])

    def correct(self, candidates: Candidates, index: int) -> None:
        """Apply the correction."""
        u, v = (int(self.region[int(side[index])]) for side in (candidates.a, candidates.b))
        (self._join if candidates.is_merge[index] else self._part)(u, v)

    def voi(self) -> float:
        """Return the VOI (nats) as it is now."""
        segment = np.full(self.count, -1, np.int64)
        for region in range(1, self.count):
            if segment[region] < 0 and self.segment[region] > 0:
                segment[self._reach(region)] = region
        return self.truth.voi(np.where(segment < 0, 0, segment))

    def _join(self, u: int, v: int) -> None:
        self.near[u].add(v)
        self.near[v].add(u)

    def _part(self, u: int, v: int) -> None:
        self.near[u].discard(v)
        self.near[v].discard(u)

    def _reach(self, region: int) -> list[int]:
        seen, left = {region}, [region]
        while left:
            new = self.near[left.pop()] - seen
            seen |= new
            left.extend(new)
        return sorted(seen)


def _n_log_n(n: np.ndarray) -> np.ndarray:
    return np.asarray(n * np.log(np.maximum(n, 1)))
