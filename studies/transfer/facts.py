"""The figures of the page docs/results/transfer.md that more than one of its sentences needs."""

from collections.abc import Mapping

import numpy as np

from studies.transfer.choices import DEFAULT, NESTED, ChoiceRow, read_nearest
from studies.transfer.distances import sources_of
from studies.transfer.judgement import Study
from studies.transfer.reliability import gain_of_boxes, reduction
from studies.transfer.study import GENERALIST, LONG_SCRATCH, LONG_SCRATCH_SAMPLES, SAMPLES, SCRATCH
from studies.transfer.tables import RANDOM

N, FEWEST, MOST = LONG_SCRATCH_SAMPLES, min(SAMPLES), max(SAMPLES)
NEAREST, ANY, GENERAL = range(3)  # columns of `Facts.losses`


class Facts:
    """What the page says, at the threshold that a user gets: the one chosen on the labelled samples.

    Attributes
    ----------
    lower, lower_long
        By target: percent by which VOI from the nearest source is below that of scratch, of long scratch; half the interval.
    lower_random
        By target: percent by which VOI is below that of scratch, in the mean over sources.
    losses
        By target, over all n: percent by which VOI is above the best source's, from the nearest, from any, from the generalist.
    gains
        By target: percent by which VOI from the nearest source is lower with `N` boxes than with `FEWEST`.
    odd
        The target where a random source loses most.
    """

    def __init__(self, studies: Mapping[str, Study], choices: Mapping[str, ChoiceRow]) -> None:
        self.studies, self.near = studies, read_nearest()
        self.study = study = studies["chosen"]
        self.targets = [target for target, n in study.cases if n == N]
        self.lower = {t: reduction(study, t, self.near[t], SCRATCH, N) for t in self.targets}
        self.lower_long = {t: reduction(study, t, self.near[t], LONG_SCRATCH, N) for t in self.targets}
        self.lower_random = {
            t: float(np.mean([reduction(study, t, s, SCRATCH, N)[0] for s in sources_of(t)])) for t in self.targets
        }
        self.losses = {t: self._lose(t) for t in self.targets}
        self.gains = {t: gain_of_boxes(study, {t: self.near[t]}, FEWEST, N) for t in self.targets}
        self.nearest, self.nested, self.random = choices[DEFAULT], choices[NESTED], choices[RANDOM]
        self.odd = max(self.targets, key=lambda t: self.losses[t][ANY])
        self.others = [t for t in self.targets if t != self.odd]

    def _lose(self, target: str) -> tuple[float, ...]:
        found = []
        for n in sorted(SAMPLES):
            voi = {s: self.study.mean(target, s, n) for s in sources_of(target)}
            starts = (voi[self.near[target]], np.mean(list(voi.values())), self.study.mean(target, GENERALIST, n))
            found.append([100 * (v / min(voi.values()) - 1) for v in starts])
        return tuple(np.mean(found, axis=0))

    def loss_of_others(self, column: int) -> float:
        """Return the mean loss without the odd target."""
        return float(np.mean([self.losses[t][column] for t in self.others]))
