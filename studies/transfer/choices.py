"""How well does each distance choose a source? One row for each threshold and distance.

    python -m studies.transfer.choices [--pretraining 1]

Measures the distances by the study's backbones, which have to be in runs/transfer. Replaces docs/results/transfer_choices.csv and
docs/results/transfer_nearest.csv, and draws docs/results/pictures/transfer_distances.png.
"""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studies.pages import PICTURES
from studies.pictures import Point, draw_distances
from studies.rows import append_rows, read_table
from studies.transfer.distances import Distances, measure_all, sources_of
from studies.transfer.judgement import Picks, Study, correlate, judge, judge_nested, pick_nearest
from studies.transfer.study import ROOT, SCRATCH

ROWS, NEAREST = Path("docs/results/transfer_choices.csv"), Path("docs/results/transfer_nearest.csv")
THRESHOLDS = {"best": "best_voi", "chosen": "voi"}
DEFAULT, NESTED = "MMD², own, max, multi, unbiased", "MMD², chosen on the other targets"
RESAMPLES = 100


@dataclass(frozen=True)
class ChoiceRow:
    """How good a way to choose a source is; `_low` and `_high` are the ends of a 95 % interval, nan where there is none.

    Attributes
    ----------
    threshold
        "best" on the test part, or "chosen" on the samples.
    hit
        Share of cases in which it chooses the best source.
    near
        Share in which it chooses one whose VOI is at most 2 % above the best's.
    regret : percent
        By how much VOI is above that of the best source.
    correlation
        Spearman's, of distance with VOI.
    """

    threshold: str
    choice: str
    hit: float
    hit_low: float
    hit_high: float
    near: float
    near_low: float
    near_high: float
    regret: float
    regret_low: float
    regret_high: float
    correlation: float = math.nan
    correlation_low: float = math.nan
    correlation_high: float = math.nan


@dataclass(frozen=True)
class NearestRow:
    """The nearest source of a target, by the default distance."""

    target: str
    source: str


def draw_again(study: Study) -> list[Study]:
    """Return the study resampled, always in the same way."""
    return [study.resample(np.random.default_rng(seed)) for seed in range(RESAMPLES)]


def judge_choice(
    threshold: str, name: str, study: Study, draws: Sequence[Study], picks: Picks, distances: Distances | None = None
) -> ChoiceRow:
    """Return the row of one way to choose."""
    measured = [judge(one, picks) for one in (study, *draws)]
    columns = [
        _with_interval(values, digits) for values, digits in zip(zip(*measured, strict=True), (2, 2, 1), strict=True)
    ]
    if distances is not None:
        columns.append(_with_interval([correlate(one, distances) for one in (study, *draws)], 2))
    return ChoiceRow(threshold, name, *(value for column in columns for value in column))


def _with_interval(values: Sequence[float], digits: int) -> tuple[float, float, float]:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return round(float(values[0]), digits), round(float(low), digits), round(float(high), digits)


def measure_rows(threshold: str, measured: Mapping[str, Distances]) -> list[ChoiceRow]:
    """Return the rows of all distances at one threshold."""
    study = Study(THRESHOLDS[threshold])
    draws = draw_again(study)
    rows = [judge_choice(threshold, name, study, draws, pick_nearest(d), d) for name, d in measured.items()]
    hit, near, regret = judge_nested(study, measured)
    none = (math.nan, math.nan)
    return [*rows, ChoiceRow(threshold, NESTED, round(hit, 2), *none, round(near, 2), *none, round(regret, 1), *none)]


def read_nearest() -> dict[str, str]:
    """Return the nearest source of each target."""
    return {row.target: row.source for row in read_table(NEAREST, NearestRow)}


def main() -> None:
    """Measure, and replace the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretraining", type=int, default=1, help="which training of the networks measures distances")
    measured = measure_all(parser.parse_args().pretraining)
    choices = [row for threshold in THRESHOLDS for row in measure_rows(threshold, measured)]
    default, best = measured[DEFAULT], Study(THRESHOLDS["best"])
    nearest = [NearestRow(t, source) for t, picks in pick_nearest(default).items() for source in picks]
    for path, rows in ((ROWS, choices), (NEAREST, nearest)):
        path.unlink(missing_ok=True)
        append_rows(path, rows)
    points = [
        Point(target, source, n, default[target, source], best.mean(target, source, n) / best.mean(target, SCRATCH, n))
        for target, n in best.cases
        for source in sources_of(target)
    ]
    draw_distances(PICTURES, points, DEFAULT)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
