"""Judge the ways to choose a source: regret, hit rate, correlation, with intervals over targets. See `studies.ranking`."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import rankdata, spearmanr

from neuroadda.domains.ranking import FEWEST, MOST, find_mmd
from studies.ranking.distances import DistanceRow
from studies.ranking.matched import MatchedRow
from studies.ranking.overlap import OverlapRow
from studies.ranking.study import CropRow, ScoreRow
from studies.ranking.targets import TARGETS

GENERALIST = "generalist"
CROPS = 3  # of the product; the study has more
DEFAULT = "overlap less MMD where patches have room"
FOURTH = "mirror image less 2 MMD"
OVERLAP = "overlap alone"
MORE = "mirror image less 2 MMD, 96 patches"
MEDIAN = "mirror image less 2 MMD, 96 patches; the median where patches do not fit"
BENT_MORE = "mirror image and contrast less 2 MMD, 96 patches"
THIRD = "mirror image and contrast less 2 MMD"
SECOND = "mirror image and contrast less 0.3 MMD, raw as it is"
RESAMPLES = 10_000
ALL = 10**6

Evidence = Callable[[str, Sequence[str]], np.ndarray]
"""Of a target and sources: how far each is from being chosen (float64), the lowest is chosen."""


@dataclass(frozen=True)
class Case:
    """A target, in 2-D or 3-D: the VOI of every candidate, without any training."""

    target: str
    dimensions: str
    voi: Mapping[str, float]
    generalist: float

    def regret(self, chosen: float) -> float:
        """Return a VOI over the lowest, less 1."""
        return chosen / min(self.voi.values()) - 1


@dataclass(frozen=True)
class Judged:
    """How well a way chooses: of each case the regret, whether it hits, and Spearman's correlation (NaN where there is none)."""

    regret: np.ndarray
    hit: np.ndarray
    correlation: np.ndarray


def read_cases(rows: Iterable[ScoreRow], best: bool) -> list[Case]:
    """Return the cases: sources of the target's own domain are left out, and the generalist is no candidate."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.source != TARGETS[row.target].own:
            found[row.target, row.dimensions][row.source] = row.best_voi if best else row.voi
    return [
        Case(target, dimensions, {s: v for s, v in voi.items() if s != GENERALIST}, voi[GENERALIST])
        for (target, dimensions), voi in found.items()
    ]


class Consistencies:
    """What the crops say, as a table (target, source, dimensions) of float64 (seeds x crops, 4)."""

    def __init__(self, rows: Iterable[CropRow], small: bool = False) -> None:
        found: dict[tuple[str, str, str], list[tuple[int, int, float, float, float, float]]] = defaultdict(list)
        for row in rows:
            if row.small == small:
                values = (row.mirrored, row.bent, row.boundary, row.entropy)
                found[row.target, row.source, row.dimensions].append((row.seed, row.crop, *values))
        self.small = small
        self.table = {key: np.array(values) for key, values in found.items()}

    def values(self, target: str, source: str, dimensions: str, crops: int, columns: Sequence[int]) -> np.ndarray:
        """Return float64 (seeds,): the mean over the first crops of each seed, and over columns; NaN is 0."""
        key = (target, source, dimensions)
        table = self.table[key if key in self.table else (target, source, "2d")]
        table = table[table[:, 1] < crops]
        means = np.nan_to_num(table[:, 2 + np.array(columns)]).mean(axis=1)
        return np.array([means[table[:, 0] == seed].mean() for seed in np.unique(table[:, 0])])

    def evidence(self, dimensions: str, crops: int = ALL, columns: Sequence[int] = (0, 1), sign: int = -1) -> Evidence:
        """Return the way to choose by some columns; `sign` 1 takes the lowest."""

        def measure(target: str, sources: Sequence[str]) -> np.ndarray:
            return np.array([sign * self.values(target, s, dimensions, crops, columns).mean() for s in sources])

        return measure


def distance(rows: Sequence[DistanceRow] | Sequence[MatchedRow], small: bool, column: str) -> Evidence:
    """Return the way to choose by a distance, of whole targets or of their small parts; NaN where there is none."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.small == small:
            found[row.target, row.source].append(getattr(row, column))

    def measure(target: str, sources: Sequence[str]) -> np.ndarray:
        values = [found.get((target, source)) for source in sources]
        return np.array([np.mean(some) if some else np.nan for some in values])

    return measure


def add_ranks(first: Evidence, second: Evidence) -> Evidence:
    """Return the way to choose by the sum of two ranks; of a tie, by the first."""

    def measure(target: str, sources: Sequence[str]) -> np.ndarray:
        one, other = (rankdata(way(target, sources)) for way in (first, second))
        return np.asarray(one * 1.001 + other)

    return measure


def weigh(
    crops: Consistencies,
    mmd2: Evidence,
    columns: Sequence[int] = (0,),
    count: int = CROPS,
    weight: float = 2.0,
    partly: bool = False,
) -> Evidence:
    """Return a way that weighs: consistency less so much of MMD, sources that the guard stops last.

    Where one of the sources has no MMD^2, consistency alone; or, if `partly`, it counts the others' median.
    """

    def measure(target: str, sources: Sequence[str]) -> np.ndarray:
        seen = np.array([crops.values(target, source, "3d", count, (2,)).mean() for source in sources])
        known = {s: value for s, value in zip(sources, mmd2(target, sources), strict=True) if np.isfinite(value)}
        far = find_mmd(sources, known if partly or len(known) == len(sources) else {})
        stopped = (seen < FEWEST) | (seen > MOST)
        lost = weight * np.array(list(far.values())) + 10 * stopped
        return np.asarray(crops.evidence("3d", count, columns)(target, sources) + lost)

    return measure


class Overlaps:
    """The overlap of boundaries as the product measures it, of whole targets or of their small parts."""

    def __init__(self, rows: Iterable[OverlapRow], small: bool = False) -> None:
        found: dict[tuple[str, str, str], list[OverlapRow]] = defaultdict(list)
        for row in rows:
            if row.small == small:
                found[row.target, row.source, row.dimensions].append(row)
        self.table = dict(found)

    def weigh(self, mmd2: Evidence, weight: float = 1.0) -> Evidence:
        """Return the way of the product: overlap less MMD where patches have room, sources that the guard stops last."""

        def measure(target: str, sources: Sequence[str]) -> np.ndarray:
            rows = [self.table.get((target, s, "3d")) or self.table[target, s, "2d"] for s in sources]
            found = np.array([np.mean([np.nan_to_num(row.overlap) for row in some]) for some in rows])
            seen = np.array([np.mean([row.boundary for row in some]) for some in rows])
            known = dict(zip(sources, mmd2(target, sources), strict=True)) if all(row.room for row in rows[0]) else {}
            far = weight * np.array(list(find_mmd(sources, known).values()))
            return np.asarray(far - found + 10 * ((seen < FEWEST) | (seen > MOST)))

        return measure


@dataclass(frozen=True)
class Rows:
    """What was measured of one zoo's sources: `distances` are of 32 patches, `matched` of 96."""

    crops: Sequence[CropRow]
    overlaps: Sequence[OverlapRow]
    distances: Sequence[DistanceRow]
    matched: Sequence[MatchedRow] = ()

    @property
    def seeds(self) -> list[int]:
        """Those of the crops and patches."""
        return sorted({row.seed for row in self.crops})

    def of_seed(self, seed: int) -> "Rows":
        """Return what one draw of crops and patches gives, as a user has it."""
        tables = (
            [row for row in table if row.seed == seed]
            for table in (self.crops, self.overlaps, self.distances, self.matched)
        )
        return Rows(*tables)

    def list_ways(self, small: bool = False) -> dict[str, Evidence]:
        """Return all ways to choose by evidence, by name, of whole targets or of their small parts."""
        crops, overlaps = Consistencies(self.crops, small), Overlaps(self.overlaps, small)
        measured, more = partial(distance, self.distances, small), distance(self.matched, small, "mmd2")
        flat, deep = crops.evidence("2d"), crops.evidence("3d")
        return {
            DEFAULT: overlaps.weigh(measured("standardised")),
            OVERLAP: overlaps.weigh(measured("standardised"), 0),
            FOURTH: weigh(crops, measured("standardised")),
            MORE: weigh(crops, more),
            MEDIAN: weigh(crops, more, partly=True),
            BENT_MORE: weigh(crops, more, (0, 1)),
            THIRD: weigh(crops, measured("standardised"), (0, 1)),
            SECOND: weigh(crops, measured("own"), (0, 1), weight=0.3),
            "consistency, 3-D": deep,
            "consistency, 2-D": flat,
            "mirror image alone, 3-D": crops.evidence("3d", columns=(0,)),
            "contrast alone, 3-D": crops.evidence("3d", columns=(1,)),
            "mirror image alone, 3-D, 3 crops": crops.evidence("3d", CROPS, (0,)),
            "boundary entropy, 2-D": crops.evidence("2d", columns=(3,), sign=1),
            "MMD^2 of 96 patches, raw matched": more,
            "MMD^2, as before": measured("own"),
            "MMD^2, as in the paper": measured("paper"),
            "MMD^2 over its null": measured("over_null"),
            "MMD^2 by one network": measured("common"),
            "MMD^2, raw matched": measured("standardised"),
            "ranks of consistency (3-D) and MMD^2 over its null": add_ranks(deep, measured("over_null")),
            "Frechet distance": measured("frechet"),
        }


def pick(values: np.ndarray, sources: Sequence[str]) -> str:
    """Return the source that evidence chooses; none where there is no evidence."""
    return sources[int(np.nanargmin(values))] if np.isfinite(values).any() else ""


def judge(cases: Sequence[Case], way: Evidence) -> Judged:
    """Judge a way to choose by evidence."""
    regret, hit, correlation = [], [], []
    for case in cases:
        sources, voi = list(case.voi), np.array(list(case.voi.values()))
        values = way(case.target, sources)
        chosen = voi[values.argmin()]
        regret.append(case.regret(chosen))
        hit.append(float(chosen == voi.min()))
        correlation.append(float(spearmanr(values, voi).statistic) if np.ptp(values) and len(voi) > 2 else np.nan)
    return Judged(np.array(regret), np.array(hit), np.array(correlation))


def judge_others(cases: Sequence[Case]) -> dict[str, Judged]:
    """Judge the ways that need no evidence: the generalist, the same species, chance."""

    def spread(chosen: Callable[[Case], Sequence[float]]) -> Judged:
        regret = [np.mean([case.regret(voi) for voi in chosen(case)]) for case in cases]
        hit = [np.mean([voi <= min(case.voi.values()) for voi in chosen(case)]) for case in cases]
        return Judged(np.array(regret), np.array(hit), np.full(len(cases), np.nan))

    def same_species(case: Case) -> Sequence[float]:
        organism = TARGETS[case.target].organism
        alike = [v for s, v in case.voi.items() if TARGETS[f"{s}_test"].organism == organism]
        return alike or list(case.voi.values())

    return {
        "same species": spread(same_species),
        "the generalist": spread(lambda case: [case.generalist]),
        "chance": spread(lambda case: list(case.voi.values())),
    }


def mean_interval(values: np.ndarray, targets: Sequence[str], seed: int = 0) -> tuple[float, float, float]:
    """Return the mean over cases and its 95 % percentile bootstrap interval over targets; NaN is left out."""
    names = sorted(set(targets))
    of = {name: values[np.array([t == name for t in targets])] for name in names}
    of = {name: v[np.isfinite(v)] for name, v in of.items()}
    kept = [v for v in of.values() if len(v)]
    if not kept:
        return (float("nan"),) * 3
    sums, counts = np.array([v.sum() for v in kept]), np.array([len(v) for v in kept])
    draws = np.random.default_rng(seed).integers(len(kept), size=(RESAMPLES, len(kept)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(sums.sum() / counts.sum()), float(low), float(high)
