"""How good the strategies are, judged by the runs of the study."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from studies.active.study import RANDOM, STRATEGIES, Row, read_results
from studies.single_sections import DOMAINS
from studies.transfer.study import SAMPLES

RESAMPLES = 1000
Case = tuple[str, int]
Interval = tuple[float, float, float]
"""A figure, and the ends of its interval."""


class Study:
    """VOI by target, strategy, n and seed; those seeds that all strategies of a case have.

    Parameters
    ----------
    value
        "voi", at the threshold that the boxes chose, or "best_voi", at the best one on the test part.
    """

    def __init__(self, value: str) -> None:
        found: dict[Case, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        self.rows: list[Row] = read_results()
        for row in self.rows:
            found[row.target, row.n][row.strategy][row.seed] = getattr(row, value)
        self.cells: dict[Case, dict[str, np.ndarray]] = {}
        for case, by_strategy in sorted(found.items(), key=lambda item: (list(DOMAINS).index(item[0][0]), item[0][1])):
            names = (RANDOM, *STRATEGIES)
            seeds = sorted(set.intersection(*(set(by_strategy[name]) for name in names)))
            if seeds:
                self.cells[case] = {name: np.array([by_strategy[name][s] for s in seeds]) for name in names}

    def change(self, strategy: str, cases: Sequence[Case]) -> float:
        """Return by how many percent VOI is above that of random boxes, in the mean over cases; below 0 is better."""
        return float(np.mean([self.mean(case, strategy) / self.mean(case, RANDOM) - 1 for case in cases]) * 100)

    def mean(self, case: Case, strategy: str) -> float:
        """Return the mean over seeds."""
        return float(self.cells[case][strategy].mean())

    def resample(self, random: np.random.Generator) -> "Study":
        """Return the study with targets, and seeds, drawn again."""
        drawn = object.__new__(Study)
        drawn.rows, drawn.cells = self.rows, {}
        targets = sorted({target for target, _ in self.cells})
        for k, target in enumerate(random.choice(targets, len(targets))):
            for (t, n), by_strategy in self.cells.items():
                if t == target:
                    pick = random.integers(len(by_strategy[RANDOM]), size=len(by_strategy[RANDOM]))
                    drawn.cells[f"{k} {t}", n] = {name: values[pick] for name, values in by_strategy.items()}
        return drawn


def share_that_helps(study: Study, strategy: str, cases: Sequence[Case]) -> float:
    """Return the share of cases in which a strategy has a lower mean VOI than random boxes."""
    return float(np.mean([study.mean(case, strategy) < study.mean(case, RANDOM) for case in cases]))


class Judged:
    """A study with the intervals of its figures, 95 % bootstrap over targets and seeds.

    Attributes
    ----------
    change
        By strategy and number of boxes (None: all cases): by how many percent VOI is above that of random boxes.
    helps
        By strategy: the share of cases in which its mean VOI is below that of random boxes.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        draws = [study, *(study.resample(np.random.default_rng(seed)) for seed in range(RESAMPLES))]
        counts = (*sorted({n for _, n in study.cells}), None)
        self.change = {(s, n): _bound([_change(one, s, n) for one in draws]) for s in STRATEGIES for n in counts}
        self.helps = {s: _bound([share_that_helps(one, s, list(one.cells)) for one in draws]) for s in STRATEGIES}


def _change(study: Study, strategy: str, n: int | None) -> float:
    cases = [case for case in study.cells if n in (None, case[1])]
    return study.change(strategy, cases) if cases else np.nan


def _bound(values: Sequence[float]) -> Interval:
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return values[0], float(low), float(high)


def gain_of_boxes(study: Study, few: int, many: int) -> float:
    """Return by how many percent VOI is lower with many random boxes than with few, in the mean over targets."""
    both = [t for t in DOMAINS if {(t, few), (t, many)} <= study.cells.keys()]
    return 100 * float(np.mean([1 - study.mean((t, many), RANDOM) / study.mean((t, few), RANDOM) for t in both]))


def boxes_needed(study: Study, target: str, strategy: str) -> float:
    """Return how many boxes reach the VOI of 16 random ones: linear in log n between measured means; inf if 16 do not."""
    counts = [n for n in sorted(SAMPLES) if (target, n) in study.cells]
    goal = study.mean((target, counts[-1]), RANDOM)
    values = [study.mean((target, n), strategy) for n in counts]
    if values[0] <= goal:
        return counts[0]
    for (a, va), (b, vb) in zip(
        zip(counts, values, strict=True), zip(counts[1:], values[1:], strict=True), strict=False
    ):
        if vb <= goal:
            return float(np.exp(np.interp(goal, [vb, va], [np.log(b), np.log(a)])))
    return np.inf
