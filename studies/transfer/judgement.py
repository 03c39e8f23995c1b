"""How good a way to choose a source is, judged by the runs of the transfer study."""

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy.stats import spearmanr

from studies.single_sections import DOMAINS
from studies.transfer.distances import Distances, sources_of
from studies.transfer.study import GENERALIST, LONG_SCRATCH, LONG_SCRATCH_SAMPLES, SAMPLES, SCRATCH, read_rows

Cell = tuple[str, str, int]
Picks = Mapping[str, Mapping[str, float]]


def pick_nearest(distances: Distances) -> Picks:
    """Return for each target the weights with which its sources are picked: all on the nearest."""
    nearest = {t: min(sources_of(t), key=lambda s: distances[t, s]) for t in DOMAINS}
    return {t: {source: 1.0} for t, source in nearest.items()}


def pick_evenly(of: Callable[[str], Iterable[str]]) -> Picks:
    """Return equal weights for some sources of each target."""
    chosen = {t: list(of(t)) or sources_of(t) for t in DOMAINS}
    return {t: dict.fromkeys(names, 1 / len(names)) for t, names in chosen.items()}


def same_species(target: str) -> list[str]:
    """Return the sources of the target's species."""
    return [s for s in sources_of(target) if DOMAINS[s].organism == DOMAINS[target].organism]


class Study:
    """VOI of every target, source and number of samples, by seed: those seeds that all sources of a case have.

    Parameters
    ----------
    value
        "voi", at the threshold that the training samples chose, or "best_voi", at the best one on the test part.

    Attributes
    ----------
    pretrainings
        Which trainings of the sources the runs of a target, n and seed began with.
    """

    def __init__(self, value: str) -> None:
        cells: dict[Cell, dict[int, float]] = defaultdict(dict)
        self.pretrainings: dict[tuple[str, int, int], set[int]] = defaultdict(set)
        for row in read_rows():
            cells[row.target, row.source, row.n][row.seed] = getattr(row, value)
            self.pretrainings[row.target, row.n, row.seed].add(row.pretraining)
        self.cells: dict[Cell, dict[int, float]] = {}
        self.cases: list[tuple[str, int]] = []
        for n, target in itertools.product(sorted(SAMPLES), DOMAINS):
            names = [*sources_of(target), SCRATCH, GENERALIST, *([LONG_SCRATCH] if n == LONG_SCRATCH_SAMPLES else [])]
            seeds = sorted(set.intersection(*(set(cells[target, name, n]) for name in names)))
            if seeds:
                self.cases.append((target, n))
                self.cells |= {(target, name, n): {s: cells[target, name, n][s] for s in seeds} for name in names}

    def mean(self, target: str, source: str, n: int) -> float:
        """Return the mean over seeds."""
        return float(np.mean(list(self.cells[target, source, n].values())))

    def resample(self, random: np.random.Generator) -> "Study":
        """Return the study with targets drawn again, and seeds, the same ones for all sources of a case."""
        drawn = copy.copy(self)
        drawn.cells = {}
        for target, n in self.cases:
            names = [name for t, name, m in self.cells if (t, m) == (target, n)]
            seeds = list(self.cells[target, names[0], n])
            pick = random.choice(seeds, len(seeds))
            drawn.cells |= {(target, s, n): {i: self.cells[target, s, n][k] for i, k in enumerate(pick)} for s in names}
        targets = sorted({t for t, _ in self.cases})
        chosen = random.choice(targets, len(targets))
        drawn.cases = [case for target in chosen for case in self.cases if case[0] == target]
        return drawn


def judge(study: Study, picks: Picks) -> tuple[float, float, float]:
    """Return hit rate, share within 2 % of the best source's VOI, and mean regret in percent of it."""
    hits, near, regret = [], [], []
    for target, n in study.cases:
        voi = {s: study.mean(target, s, n) for s in sources_of(target)}
        best = min(voi.values())
        over = {s: voi[s] / best - 1 for s in picks[target]}
        hits.append(sum(w for s, w in picks[target].items() if voi[s] == best))
        near.append(sum(w for s, w in picks[target].items() if over[s] <= 0.02))
        regret.append(100 * sum(w * over[s] for s, w in picks[target].items()))
    return float(np.mean(hits)), float(np.mean(near)), float(np.mean(regret))


def only(study: Study, targets: Iterable[str]) -> Study:
    """Return the study with the cases of these targets alone."""
    kept, part = set(targets), copy.copy(study)
    part.cases = [case for case in study.cases if case[0] in kept]
    return part


def judge_nested(study: Study, measured: Mapping[str, Distances]) -> tuple[float, float, float]:
    """Return what `judge` does if for each target the MMD of least regret on the other targets is taken."""
    picks, targets = {}, {target for target, _ in study.cases}
    for target in targets:
        others = only(study, targets - {target})
        ways = [pick_nearest(d) for name, d in measured.items() if name.startswith("MMD")]
        picks[target] = min(ways, key=lambda way: judge(others, way)[2])[target]
    return judge(study, picks)


def judge_by_seed(
    study: Study, pick: Callable[[str, int, int], str], allowed: Callable[[str, int, int], bool] = lambda *_: True
) -> tuple[float, float, int]:
    """Return hit rate, mean regret (%) and how many there are, if every seed is a case of its own.

    `pick` and `allowed`, which cases count, are given target, n and seed.
    """
    hits, regret = [], []
    for target, n in study.cases:
        for seed in filter(lambda seed, case=(target, n): allowed(*case, seed), study.cells[target, SCRATCH, n]):
            voi = {s: study.cells[target, s, n][seed] for s in sources_of(target)}
            chosen, best = voi[pick(target, n, seed)], min(voi.values())
            hits.append(chosen == best)
            regret.append(100 * (chosen / best - 1))
    return float(np.mean(hits)), float(np.mean(regret)), len(hits)


def best_on_other_seeds(study: Study, target: str, n: int, seed: int) -> str:
    """Return the source with the lowest mean VOI on all seeds but one."""
    means = {}
    for source in sources_of(target):
        others = [voi for k, voi in study.cells[target, source, n].items() if k != seed]
        means[source] = np.mean(others) if others else np.inf
    return min(means, key=lambda s: means[s])


def correlate(study: Study, distances: Distances) -> float:
    """Return the mean over targets and numbers of samples of Spearman's correlation of distance with transferred VOI."""
    values = []
    for target, n in study.cases:
        sources = sources_of(target)
        voi, far = [study.mean(target, s, n) for s in sources], [distances[target, s] for s in sources]
        values.append(spearmanr(voi, far).statistic)
    return float(np.mean(values))
