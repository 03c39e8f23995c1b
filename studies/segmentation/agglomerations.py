"""Ways from affinities to segments to choose from: fragments, and agglomerations of fragments.

An agglomeration is a function of a `Problem` and settings (thresholds or biases, 0 to 1, ascending) that yields one lookup table
from fragment ids to segments for each setting.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import waterz
from bioimage_cpp.graph import UndirectedGraph
from bioimage_cpp.graph.agglomeration import GaspClusterPolicy
from bioimage_cpp.graph.multicut import GreedyAdditiveMulticut, KernighanLinMulticut, MulticutObjective

from neuroadda.segmentation.by_waterz import silence_stdout
from neuroadda.segmentation.components import Numbering, connect_components
from neuroadda.segmentation.contacts import FULL, Contacts, collect_contacts
from neuroadda.segmentation.edges import Edges
from neuroadda.segmentation.rag import Merges, contract
from neuroadda.segmentation.scoring import MEAN, MEAN_AFFINITY
from studies.segmentation.histogram_agglomeration import SCORES, count_histograms, merge_histograms

LIMIT = 0.95


@dataclass(frozen=True)
class Problem:
    """Fragments (uint64, zyx, ids 1 to n, 0 unsegmented) and the uint8 affinities between them."""

    affs: np.ndarray
    fragments: np.ndarray

    @cached_property
    def count(self) -> int:
        """Number of fragments."""
        return int(self.fragments.max(initial=0))

    @property
    def number_of_edges(self) -> int:
        """Number of pairs of touching fragments."""
        return len(self.edges.u)

    @cached_property
    def contacts(self) -> Contacts:
        """Contacts of touching fragments."""
        return collect_contacts(self.affs, self.fragments)

    @property
    def edges(self) -> Edges:
        """Mean affinities between touching fragments."""
        return Edges.of(self.contacts, MEAN)

    @cached_property
    def histograms(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns u, v and int64[edges, 256]: how often each affinity occurs between two fragments."""
        return count_histograms(self.affs, self.fragments)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Voxels of each fragment id."""
        return np.bincount(self.fragments.ravel(), minlength=self.count + 1)


Agglomeration = Callable[[Problem, Sequence[float]], Iterator[np.ndarray]]


def _cut(problem: Problem, merges: Merges, thresholds: Sequence[float]) -> Iterator[np.ndarray]:
    numbering = Numbering(np.array([0, problem.count]), max(problem.count, 1))
    for threshold in thresholds:
        yield np.r_[np.uint64(0), connect_components(numbering, [vars(merges)], threshold)]


def _merge(edges: Edges) -> Merges:
    return contract(edges.to_rag(), LIMIT).merges


def mean_affinity(problem: Problem, thresholds: Sequence[float]) -> Iterator[np.ndarray]:
    """Agglomerate by mean affinity: what neuroadda does."""
    yield from _cut(problem, _merge(problem.edges), thresholds)


def by_contact(statistic: str, power: float) -> Agglomeration:
    """Return the agglomeration by the mean, over the contacts of fragments, of a statistic of each contact.

    Parameters
    ----------
    statistic
        ``mean``; ``contraharmonic``, the mean of affinities weighted by themselves; ``maximum``; or ``quantile <percent>``.
    power
        A contact counts as its number of affinities to this power: 0 for all alike, 1 for the voxels.
    """

    def agglomerate(problem: Problem, thresholds: Sequence[float]) -> Iterator[np.ndarray]:
        edges = problem.edges
        # Whole numbers, in which agglomeration counts, and enough of them.
        weight = np.rint(1000 * edges.count**power).astype(np.int64)
        total = np.rint(_summarise(problem, statistic) * FULL * weight).astype(np.int64)
        yield from _cut(problem, _merge(Edges(edges.u, edges.v, total, weight)), thresholds)

    return agglomerate


def _summarise(problem: Problem, statistic: str) -> np.ndarray:
    edges = problem.edges
    if statistic == "mean":
        return edges.mean
    if statistic == "contraharmonic":
        return problem.contacts.squares / np.maximum(edges.sum, 1) / FULL
    quantile = 1.0 if statistic == "maximum" else int(statistic.removeprefix("quantile ")) / 100
    seen = problem.histograms[2].cumsum(axis=1)
    return (seen >= quantile * seen[:, -1:]).argmax(axis=1) / FULL


def by_histogram(kind: str, **options: float) -> Agglomeration:
    """Return the agglomeration by a score of the histogram of affinities; see `histogram_agglomeration`."""

    def agglomerate(problem: Problem, thresholds: Sequence[float]) -> Iterator[np.ndarray]:
        u, v, counts = problem.histograms
        merges = merge_histograms(u, v, counts, problem.sizes, SCORES[kind], LIMIT, **options)
        yield from _cut(problem, merges, thresholds)

    return agglomerate


def by_waterz(scoring: str = MEAN_AFFINITY) -> Agglomeration:
    """Return waterz' agglomeration by one of its scoring functions."""

    def agglomerate(problem: Problem, thresholds: Sequence[float]) -> Iterator[np.ndarray]:
        ids, first = np.unique(problem.fragments, return_index=True)
        nearest = problem.affs.astype(np.float32) / np.float32(255)
        with silence_stdout():
            for segments in waterz.agglomerate(
                nearest, thresholds, fragments=problem.fragments.copy(), scoring_function=scoring, discretize_queue=256
            ):
                lut = np.zeros(problem.count + 1, np.uint64)
                lut[ids.astype(np.int64)] = np.asarray(segments).ravel()[first]
                yield lut

    return agglomerate


def by_quantile(quantile: int, from_maximum: bool) -> Agglomeration:
    """Return waterz' agglomeration by a quantile of affinities, of all or of the greatest of each contact."""
    start = "true" if from_maximum else "false"
    return by_waterz(f"OneMinus<HistogramQuantileAffinity<RegionGraphType, {quantile}, ScoreValue, 256, {start}>>")


def _graph(problem: Problem) -> UndirectedGraph:
    edges = problem.edges
    return UndirectedGraph.from_unique_edges(problem.count, np.stack([edges.u, edges.v], axis=1) - np.uint64(1))


def _lut(labels: np.ndarray) -> np.ndarray:
    return np.r_[np.uint64(0), labels.astype(np.uint64) + np.uint64(1)]


def by_gasp(linkage: str, statistic: str = "mean") -> Agglomeration:
    """Return the signed agglomeration of Bailoni et al. 2022 (GASP); settings are 1 - bias, like thresholds."""

    def agglomerate(problem: Problem, settings: Sequence[float]) -> Iterator[np.ndarray]:
        edges, graph = problem.edges, _graph(problem)
        policy = GaspClusterPolicy(linkage=linkage)
        for setting in settings:
            weights = _summarise(problem, statistic) - (1 - setting)
            # A sum speaks of all voxels of a contact; the others are weighted by contact as they merge.
            weights = weights * edges.count if linkage == "sum" else weights
            yield _lut(policy.optimize(graph, weights, edge_sizes=edges.count.astype(np.float64)))

    return agglomerate


def by_multicut(solver: str, weighted: bool, statistic: str = "mean") -> Agglomeration:
    """Return the multicut of log-odds of a statistic of each contact, weighted by contact or not; a setting of 0.5 is unbiased."""

    def agglomerate(problem: Problem, settings: Sequence[float]) -> Iterator[np.ndarray]:
        edges, graph = problem.edges, _graph(problem)
        join = np.clip(_summarise(problem, statistic), 0.001, 0.999)
        weight = edges.count / edges.count.mean() if weighted else 1.0
        for setting in settings:
            costs = (np.log(join / (1 - join)) + np.log(setting / (1 - setting))) * weight
            solve = KernighanLinMulticut(number_of_outer_iterations=5) if solver == "kl" else GreedyAdditiveMulticut()
            yield _lut(solve.optimize(MulticutObjective(graph, costs)))

    return agglomerate


WEIGHTS = {"by voxel": 1.0, "by root of voxels": 0.5, "by contact": 0.0}
AGGLOMERATIONS: dict[str, Agglomeration] = {
    "mean": mean_affinity,
    "mean (waterz)": by_waterz(),
    **{
        f"quantile {q} of {'maxima' if init else 'all'} (waterz)": by_quantile(q, init)
        for q in (25, 50, 75)
        for init in (False, True)
    },
    **{f"GASP {linkage}": by_gasp(linkage) for linkage in ("mean", "sum", "max", "min", "abs_max", "mutex_watershed")},
    "multicut greedy": by_multicut("greedy", weighted=False),
    "multicut greedy, by voxel": by_multicut("greedy", weighted=True),
    "multicut Kernighan-Lin": by_multicut("kl", weighted=False),
    "multicut Kernighan-Lin, by voxel": by_multicut("kl", weighted=True),
    "GASP abs_max, contraharmonic": by_gasp("abs_max", "contraharmonic"),
    "multicut greedy, contraharmonic": by_multicut("greedy", False, "contraharmonic"),
    "multicut greedy, contraharmonic, by voxel": by_multicut("greedy", True, "contraharmonic"),
    **{
        f"{statistic} of a contact, {name}": by_contact(statistic, power)
        for statistic in ("mean", "contraharmonic", "quantile 50", "quantile 75", "quantile 90", "maximum")
        for name, power in WEIGHTS.items()
        if (statistic, power) != ("mean", 1.0)
    },
    **{
        f"quantile {q}, {bins} bins": by_histogram("quantile", quantile=q / 100, bins=bins)
        for q in (50, 75)
        for bins in (16, 64, 256)
    },
    "mean of mean and quantile 75": by_histogram("both", quantile=0.75),
    "contraharmonic of all": by_histogram("contraharmonic"),
    "mean, small first": by_histogram("mean", size_power=0.25),
}
