"""Places where a segmentation is likely to be wrong, ranked by what a correction is expected to gain.

A candidate of kind ``merge`` asks whether two segments that touch are one neuron; one of kind ``split`` whether a segment is two,
and should be cut between two of its regions. Both join or part a smaller and a larger side, and gain the same if the answer is
yes: VOI falls by `gain_of`. The expected gain is that times the likelihood of an error (see `likelihood`), as in the focused
proofreading of Plaza 2014 (arXiv:1409.1199).

Cuts of one segment that lie beside each other gain nothing beyond the first. So cuts are chosen one after another, and what each
gains is counted after those before it were made.
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from neuroadda.proofreading.likelihood import LIKELIHOOD, Likelihood, describe
from neuroadda.proofreading.links import Links
from neuroadda.proofreading.merge_tree import MergeTree
from neuroadda.proofreading.regions import Regions
from neuroadda.segmentation.edits import MERGE, SPLIT, Kind


@dataclass(frozen=True)
class Candidates:
    """Candidates of one kind as columns.

    Attributes
    ----------
    is_merge
        bool: two segments may be one; else a segment may be two.
    score
        float64, 1 - mean affinity (or as the run's scoring has it) between the two sides.
    contact
        int64, number of affinities between them (of scorings other than the mean, the weight).
    a, b
        uint64, the two fragments of the largest contact between the sides.
    size_a, size_b
        int64, voxels of the side of a and of that of b.
    orphan
        bool: the smaller side does not touch the border of the volume.
    segment_a, segment_b
        int64, their segments; one of a split.
    likelihood
        float64, 0 to 1, of an error.
    gain
        float64, expected fall of VOI in nats.
    """

    is_merge: np.ndarray
    score: np.ndarray
    contact: np.ndarray
    a: np.ndarray
    b: np.ndarray
    size_a: np.ndarray
    size_b: np.ndarray
    orphan: np.ndarray
    segment_a: np.ndarray
    segment_b: np.ndarray
    likelihood: np.ndarray
    gain: np.ndarray

    def take(self, chosen: np.ndarray) -> "Candidates":
        """Return the chosen ones (a mask, or indices)."""
        return Candidates(**{name: column[chosen] for name, column in vars(self).items()})

    @property
    def smaller(self) -> np.ndarray:
        """int64, voxels of the smaller side."""
        return np.minimum(self.size_a, self.size_b)

    def describe(self, threshold: float) -> np.ndarray:
        """Return what the likelihood is a function of; see `likelihood.describe`."""
        return describe(self.score - threshold, self.contact, self.smaller)


def gain_of(size_a: np.ndarray, size_b: np.ndarray, voxels: int) -> np.ndarray:
    """Return by how much VOI (nats) falls when an error between two parts is corrected.

    If both belong to one neuron and are merged, H(segmentation | truth) falls by this; if they belong to two and are split,
    H(truth | segmentation) does: with f(n) = n log n, (f(a + b) - f(a) - f(b)) / voxels.
    """
    a, b = (np.asarray(choose(size_a, size_b), np.float64) for choose in (np.minimum, np.maximum))  # to the last bit
    return np.asarray((_n_log_n(a + b) - _n_log_n(a) - _n_log_n(b)) / max(voxels, 1))


def find_candidates(regions: Regions, count: int, likelihood: Likelihood = LIKELIHOOD) -> Candidates:
    """Return the `count` candidates of the highest expected gain, in this order.

    Equal ones come in the order of their size, contact and fragments.
    """
    voxels = int(regions.sizes[regions.segment > 0].sum())
    merges = _find_merges(regions, voxels, likelihood)
    tree = make_tree(regions)
    splits = _find_splits(regions, tree, voxels, likelihood)
    chosen, gains = _choose_cuts(splits, tree, voxels, count)
    splits = splits.take(chosen)
    splits.gain[:] = gains
    found = Candidates(
        **{n: np.concatenate([getattr(merges, n), getattr(splits, n)]) for n in Candidates.__dataclass_fields__}
    )
    return found.take(_order(found)[:count])


def _order(found: Candidates) -> np.ndarray:
    return np.lexsort((found.b, found.a, -found.contact, -found.smaller, -found.gain))


def _find_merges(regions: Regions, voxels: int, likelihood: Likelihood) -> Candidates:
    """Return a candidate for each two segments that touch, but those that a person has decided are two."""
    count = int(regions.segment.max(initial=0)) + 1
    sizes, borders = (
        np.bincount(regions.segment, weights, count).astype(np.int64) for weights in (regions.sizes, regions.borders)
    )
    links = regions.links.rename(regions.segment)
    links = links.take(~np.isin(links.u * count + links.v, np.sort(regions.apart, axis=1) @ [count, 1]))
    u, v = links.u, links.v
    smaller = np.where(sizes[u] <= sizes[v], u, v)
    found = {
        "score": links.score,
        "size_a": sizes[u],
        "size_b": sizes[v],
        "orphan": borders[smaller] == 0,
        "segment_a": u,
        "segment_b": v,
    }
    return _make(links, found, MERGE, regions.threshold, voxels, likelihood)


def make_tree(regions: Regions) -> MergeTree:
    """Return the cuts of all segments."""
    u, v, score = regions.merges
    within = (regions.segment[u] == regions.segment[v]) & (regions.segment[u] > 0)
    links = regions.links.take(regions.segment[regions.links.u] == regions.segment[regions.links.v])
    return MergeTree.make(links, (u[within], v[within], score[within]), regions.sizes, regions.borders)


def _find_splits(regions: Regions, tree: MergeTree, voxels: int, likelihood: Likelihood) -> Candidates:
    """Return a candidate for each cut."""
    size_a, size_b = tree.sides()
    at_border_a, at_border_b = tree.border_sides()
    segments = regions.segment[tree.links.u]
    found = {
        "score": tree.links.score,
        "size_a": size_a,
        "size_b": size_b,
        "orphan": np.where(size_a <= size_b, at_border_a, at_border_b) == 0,
        "segment_a": segments,
        "segment_b": segments,
    }
    return _make(tree.links, found, SPLIT, regions.threshold, voxels, likelihood)


def _make(
    links: Links, found: dict[str, np.ndarray], kind: Kind, threshold: float, voxels: int, likelihood: Likelihood
) -> Candidates:
    none = np.zeros(len(links.u))
    made = Candidates(
        is_merge=np.full(len(links.u), kind == MERGE),
        contact=links.count,
        a=links.a,
        b=links.b,
        likelihood=none,
        gain=none,
        **found,
    )
    likely = likelihood.of(made.is_merge, made.describe(threshold))
    return replace(made, likelihood=likely, gain=likely * gain_of(made.size_a, made.size_b, voxels))


def _choose_cuts(splits: Candidates, tree: MergeTree, voxels: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cuts to be made first, one after another, and the expected gain of each after those before it.

    What a cut gains falls with every other cut of its tree: the best of a queue is asked for what it gains now, and goes back
    into the queue if that is less than what it was said to gain.
    """
    made: dict[int, list[int]] = defaultdict(list)
    roots = tree.root_of_cut
    queue = [(-float(splits.gain[i]), int(place), int(i), 0) for place, i in enumerate(_order(splits))]
    chosen, gains = list[int](), list[float]()
    while queue and len(chosen) < count:
        negative, place, cut, seen = heapq.heappop(queue)
        others = made[int(roots[cut])]
        if seen == len(others):
            chosen.append(cut)
            gains.append(-negative)
            others.append(cut)
            continue
        sides = _part_sides(tree, cut, others)
        gain = float(splits.likelihood[cut] * gain_of(np.array(sides[0]), np.array(sides[1]), voxels))
        heapq.heappush(queue, (-gain, place, cut, len(others)))
    return np.array(chosen, np.int64), np.array(gains, np.float64)


def _part_sides(tree: MergeTree, cut: int, made: list[int]) -> tuple[int, int]:
    """Return the voxels on both sides of a cut within the part of the tree that it lies in after others were made."""
    lower, others = int(tree.below[cut]), [int(tree.below[i]) for i in made]
    above = [top for top in others if tree.is_below(lower, top)]
    top = max(above, key=lambda region: int(tree.first[region]), default=int(tree.root[lower]))
    rest = [region for region in others if region not in above]
    below, whole = (int(tree.sizes[end]) - sum(_outermost(tree, end, rest)) for end in (lower, top))
    return below, whole - below


def _outermost(tree: MergeTree, top: int, regions: list[int]) -> list[int]:
    """Return the voxels of all regions below `top` that are below no other of them, with what hangs below them."""
    inside = [r for r in regions if tree.is_below(r, top)]
    return [int(tree.sizes[r]) for r in inside if not any(s != r and tree.is_below(r, s) for s in inside)]


def _n_log_n(n: np.ndarray) -> np.ndarray:
    return np.asarray(n * np.log(np.maximum(n, 1)))
