"""Fit, judge and answer the queue of likely errors on four labelled volumes, and write docs/results/errors.md.

    python -m studies.errors.study            predictions are kept in runs/segmentation_study
    python -m studies.errors.study --report   write the page from the tables that are there

The plan is in `studies/errors/__init__.py`. Volumes whose rows are in the table are not done again.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroadda.proofreading.candidates import Candidates, gain_of
from neuroadda.proofreading.likelihood import LIKELIHOOD, Likelihood
from studies.errors.fitting import Judged, fit_likelihood
from studies.errors.report import write_report
from studies.errors.rows import CURVES, FITS, ROWS, CurveRow, FitRow, PrecisionRow
from studies.errors.subjects import Subject, load_subjects
from studies.rows import append_row, append_rows, read_table
from studies.segmentation.parts import DOMAINS, ROOT

ORDERS = ("expected gain", "size alone", "likelihood alone")
DRAWS, DECISIONS = 200, 300


@dataclass(frozen=True)
class Answered:
    """VOI after each decision, and how many of the decisions were corrections."""

    voi: list[float]
    corrections: int


def choose_likelihood(subjects: Sequence[Subject]) -> Likelihood:
    """Choose how the weights are fitted, by validation parts that take no part in it, and fit them to all; write the table."""
    judged: list[Judged] = []
    for subject in subjects:
        found = subject.find()
        judged.append((found, subject.judge(found), subject.regions.threshold))
    means = {}
    FITS.unlink(missing_ok=True)
    for by_gain in (False, True):
        precisions = []
        for place, subject in enumerate(subjects):
            likelihood = fit_likelihood(judged[:place] + judged[place + 1 :], by_gain)
            found = subject.find(likelihood)
            errors = subject.judge(found.take(np.arange(min(100, len(found.a)))))
            precisions.append((errors[:20].mean(), errors.mean()))
            append_row(FITS, FitRow(subject.volume, "BA"[not by_gain], *map(float, precisions[-1])))
        means[by_gain] = tuple(np.mean(precisions, axis=0))
    return fit_likelihood(judged, by_gain=max(means, key=lambda by_gain: means[by_gain]))


def order_candidates(found: Candidates, order: str) -> np.ndarray:
    """Return the indices of candidates, which are ranked by expected gain, in another order."""
    if order == "expected gain":
        return np.arange(len(found.a))
    values = gain_of(found.size_a, found.size_b, 1) if order == "size alone" else found.likelihood
    return np.lexsort((found.b, found.a, -values))


def judge_orders(subject: Subject, found: Candidates) -> list[PrecisionRow]:
    """Return the precision at 20 and 100 of each order."""
    errors = subject.judge(found)
    rows = [
        PrecisionRow(subject.volume, order, *_precisions(errors[order_candidates(found, order)]), len(errors))
        for order in ORDERS
    ]
    random = np.random.default_rng(0)
    draws = [_precisions(random.permutation(errors)) for _ in range(DRAWS)]
    mean = np.mean(draws, axis=0)
    return [*rows, PrecisionRow(subject.volume, "random", float(mean[0]), float(mean[1]), len(errors))]


def answer(subject: Subject, found: Candidates, order: np.ndarray) -> Answered:
    """Answer a queue one by one, and return the VOI after each decision."""
    state, corrections = subject.start(), 0
    voi = [state.voi()]
    for index in order.tolist():
        if len(voi) > DECISIONS:
            break
        sides = state.look(found, index)
        if sides is None:
            continue
        if state.is_error(found, index, sides):
            state.correct(found, index)
            corrections += 1
            voi.append(state.voi())
        else:
            voi.append(voi[-1])
    return Answered(voi, corrections)


def study_volume(subject: Subject) -> tuple[list[PrecisionRow], list[CurveRow]]:
    """Return the rows of a test part."""
    found = subject.find()
    curves = []
    for order in (*ORDERS[:2], "random"):
        places = np.random.default_rng(0).permutation(len(found.a))
        answered = answer(subject, found, places if order == "random" else order_candidates(found, order))
        curves += [
            CurveRow(subject.volume, order, decision, round(voi, 6), round(subject.truth.best_voi(), 6))
            for decision, voi in enumerate(answered.voi)
        ]
    return judge_orders(subject, found), curves


def _precisions(errors: np.ndarray) -> tuple[float, float]:
    return float(errors[:20].mean()), float(errors[:100].mean())


def main() -> None:
    """Do what is left of the study, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", action="store_true", help="write the page from the tables that are there")
    parser.add_argument("--fit", action="store_true", help="fit the weights, print them and stop")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "segmentation_study", help="of the predictions")
    options = parser.parse_args()
    done = {row.volume for row in read_table(ROWS, PrecisionRow)}
    if not options.report and (options.fit or set(DOMAINS) - done):
        subjects = [load_subjects(volume, options.folder) for volume in DOMAINS]
        chosen = choose_likelihood([validation for validation, _ in subjects])
        print(chosen)
        if options.fit:
            return
        if chosen != LIKELIHOOD:
            raise SystemExit("neuroadda/proofreading/likelihood.py has other weights than these: write them there first")
        for _, test in subjects:
            if test.volume not in done:
                precisions, curves = study_volume(test)
                append_rows(CURVES, curves)
                append_rows(ROWS, precisions)
    write_report()


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
