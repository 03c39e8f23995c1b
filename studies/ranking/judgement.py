"""Judge the ways to choose a source: regret, hit rate, correlation, with intervals over targets. See `studies.ranking`."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import rankdata, spearmanr

from neuroadda.domains.ranking import FEWEST, MOST, find_mmd
from studies.ranking.crops import CropRow
from studies.ranking.distances import DistanceRow
from studies.ranking.study import ScoreRow
from studies.ranking.targets import TARGETS

GENERALIST = "generalist"
FOURTH = "mirror image after CRank less 2 MMD"
FIFTH = "mean overlap less MMD where patches have room"
POOLED = "overlap of all crops less MMD where patches have room"
DEFAULT = POOLED
RESAMPLES = 10_000

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


Measure = Callable[[Sequence[CropRow]], float]
"""Of a source's crops of a target: how consistent it is, or how sure."""


def average(*columns: str, none: float = 0) -> Measure:
    """Return the mean of some columns over crops, `none` where there is no boundary."""
    return lambda rows: float(
        np.nan_to_num([[getattr(row, name) for name in columns] for row in rows], nan=none).mean()
    )


def pool(rows: Sequence[CropRow]) -> float:
    """Return the overlap of all crops together: of the voxels that are boundary in either, the share that is in both."""
    either = sum(row.either for row in rows)
    return sum(row.overlap * row.either for row in rows if row.either) / either if either else 0.0


class Crops:
    """What sources make of the crops of whole targets, or of the `small` parts of them."""

    def __init__(self, rows: Iterable[CropRow], small: bool = False) -> None:
        found: dict[tuple[str, str, str], list[CropRow]] = defaultdict(list)
        for row in rows:
            if row.small == small:
                found[row.target, row.source, row.dimensions].append(row)
        self.table = dict(found)

    def find(self, target: str, source: str, dimensions: str = "3d") -> list[CropRow]:
        """Return the rows of a target and source; in 2-D where the source predicts nothing along z."""
        return self.table.get((target, source, dimensions)) or self.table[target, source, "2d"]

    def evidence(self, measure: Measure, dimensions: str = "3d") -> Evidence:
        """Return the way to choose the source with the highest measure."""
        return lambda target, sources: np.array([-measure(self.find(target, s, dimensions)) for s in sources])

    def weigh(self, measure: Measure, mmd2: Evidence, weight: float, room: bool = True) -> Evidence:
        """Return a way that weighs: a measure less so much of MMD, sources that the guard stops last.

        MMD takes no part where one of the sources has none, or, if `room`, where four patches of one do not fit side by side.
        """

        def choose(target: str, sources: Sequence[str]) -> np.ndarray:
            rows = [self.find(target, source) for source in sources]
            seen = np.array([average("boundary")(some) for some in rows])
            known = {s: value for s, value in zip(sources, mmd2(target, sources), strict=True) if np.isfinite(value)}
            taken = len(known) == len(sources) and (not room or all(row.room for some in rows for row in some))
            far = weight * np.array(list(find_mmd(sources, known if taken else {}).values()))
            return np.asarray(far - [measure(some) for some in rows] + 10 * ((seen < FEWEST) | (seen > MOST)))

        return choose


def distance(rows: Sequence[DistanceRow], small: bool, column: str) -> Evidence:
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


@dataclass(frozen=True)
class Rows:
    """What was measured of one zoo's sources, without labels."""

    crops: Sequence[CropRow]
    distances: Sequence[DistanceRow]

    @property
    def seeds(self) -> list[int]:
        """Those of the crops and patches."""
        return sorted({row.seed for row in self.crops})

    def of_seed(self, seed: int) -> "Rows":
        """Return what one draw of crops and patches gives, as a user has it."""
        return Rows(
            [row for row in self.crops if row.seed == seed], [row for row in self.distances if row.seed == seed]
        )

    def list_ways(self, small: bool = False) -> dict[str, Evidence]:
        """Return all ways to choose by evidence, by name, of whole targets or of their small parts."""
        crops, measured = Crops(self.crops, small), partial(distance, self.distances, small)
        overlap, agreement, matched = average("overlap"), average("mirrored", "bent"), measured("standardised")
        return {
            POOLED: crops.weigh(pool, matched, 1),
            FIFTH: crops.weigh(overlap, matched, 1),
            FOURTH: crops.weigh(average("mirrored"), matched, 2, room=False),
            "overlap of all crops": crops.evidence(pool),
            "mean overlap": crops.evidence(overlap),
            "consistency after CRank, 3-D": crops.evidence(agreement),
            "consistency after CRank, 2-D": crops.evidence(agreement, "2d"),
            "boundary entropy, 2-D": crops.evidence(lambda rows: -average("entropy", none=1)(rows), "2d"),
            "MMD^2, as before": measured("own"),
            "MMD^2, as in the paper": measured("paper"),
            "MMD^2 over its null": measured("over_null"),
            "MMD^2 by one network": measured("common"),
            "MMD^2, raw matched": matched,
            "ranks of consistency after CRank and MMD^2 over its null": add_ranks(
                crops.evidence(agreement), measured("over_null")
            ),
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
