"""Fit, judge and answer the queue of likely errors on labelled volumes, and write docs/results/errors.md.

    python -m studies.errors.study            predictions are kept in runs/segmentation_study
    python -m studies.errors.study --fit      fit the weights of neuroadda/proofreading/likelihood.py, print them and stop
    python -m studies.errors.study --report   write the page from the tables that are there

The plan is in `studies/errors/__init__.py`. Volumes whose rows are in the table are not done again.
"""

import argparse
import heapq
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroadda.proofreading.candidates import Candidates, gain_of
from neuroadda.proofreading.likelihood import LIKELIHOOD, Likelihood
from studies.errors.fitting import Judged, fit_likelihood
from studies.errors.oracle import Proofread
from studies.errors.report import write_report
from studies.errors.rows import (
    ALL_KNOWING,
    CURVES,
    ORDERS,
    RANDOM,
    ROWS,
    UNLIKELY,
    VALIDATION,
    CurveRow,
    HeldOutRow,
    PrecisionRow,
    UnlikelyRow,
    share,
)
from studies.errors.subjects import VOLUMES, Subject, load_test, load_validation
from studies.rows import append_row, append_rows, read_table
from studies.segmentation.parts import DOMAINS, ROOT

DRAWS, DECISIONS, UNLIKELY_BELOW = 200, 300, 0.05
KEPT = (*range(0, 100, 5), *range(100, DECISIONS + 1, 25))  # decisions of a curve that are written down


@dataclass(frozen=True)
class Answered:
    """VOI after each decision (the first is before any), and which decisions were corrections."""

    voi: list[float]
    corrected: list[bool]


def fit_held_out(subjects: Sequence[Subject]) -> Likelihood:
    """Return the weights that validation parts give; write how each of them is ranked by weights from the others."""
    judged: list[Judged] = []
    for subject in subjects:
        found = subject.find()
        judged.append((found, subject.judge(found), subject.regions.threshold))
    VALIDATION.unlink(missing_ok=True)
    for place, subject in enumerate(subjects):
        found = subject.find(fit_likelihood(judged[:place] + judged[place + 1 :]))
        errors = subject.judge(found)
        for name in ORDERS:
            order = order_candidates(found, name)
            curve = _to_rows(subject, name, answer(subject, found, order))
            shares = (round(share(curve, decisions), 4) for decisions in (50, 100))
            append_row(VALIDATION, HeldOutRow(subject.volume, name, *_precisions(errors[order]), *shares))
    return fit_likelihood(judged)


def order_candidates(found: Candidates, order: str) -> np.ndarray:
    """Return the indices of candidates, which are ranked by expected gain, in another order."""
    if order == "expected gain":
        return np.arange(len(found.a))
    values = gain_of(found.size_a, found.size_b, 1) if order == "size alone" else found.likelihood
    return np.lexsort((found.b, found.a, -values))


def answer(subject: Subject, found: Candidates, order: np.ndarray) -> Answered:
    """Answer a queue one by one, and return the VOI after each decision."""
    state, corrected = subject.start(), list[bool]()
    voi = [state.voi()]
    for index in order.tolist():
        if len(voi) > DECISIONS:
            break
        sides = state.look(found, index)
        if sides is None:
            continue
        corrected.append(state.is_error(found, index, sides))
        if corrected[-1]:
            state.correct(found, index)
        voi.append(state.voi() if corrected[-1] else voi[-1])
    return Answered(voi, corrected)


def answer_greedily(subject: Subject, found: Candidates) -> tuple[Answered, np.ndarray]:
    """Return what the most that is known of the truth would gain: each decision is the one after which VOI is lowest.

    The second is the indices of the candidates.
    """
    state = subject.start()
    voi, chosen = [state.voi()], list[int]()
    queue = [(-_fall(state, found, index), index) for index in range(len(found.a))]
    heapq.heapify(queue)
    while queue and len(voi) <= DECISIONS:
        _, index = heapq.heappop(queue)
        fall = _fall(state, found, index)
        if queue and -fall > queue[0][0]:
            if fall > 0:
                heapq.heappush(queue, (-fall, index))
            continue
        if fall <= 0:
            break
        state.correct(found, index)
        chosen.append(index)
        voi.append(state.voi())
    return Answered(voi, [True] * len(chosen)), np.array(chosen, int)


def _fall(state: Proofread, found: Candidates, index: int) -> float:
    sides = state.look(found, index)
    return -np.inf if sides is None else state.truth.fall(*sides, bool(found.is_merge[index]))


def study_volume(subject: Subject) -> tuple[list[PrecisionRow], list[CurveRow], UnlikelyRow]:
    """Return the rows of a test part."""
    found = subject.find()
    errors, random = subject.judge(found), np.random.default_rng(0)
    draws = np.mean([_precisions(random.permutation(errors)) for _ in range(DRAWS)], axis=0)
    all_knowing, chosen = answer_greedily(subject, found)
    most = _to_rows(subject, ALL_KNOWING, all_knowing)
    rows, curves = list[PrecisionRow](), list[CurveRow]()
    for name in (*ORDERS, RANDOM):
        order = random.permutation(len(errors)) if name == RANDOM else order_candidates(found, name)
        answered = answer(subject, found, order)
        curve = _to_rows(subject, name, answered)
        listed = tuple(round(float(d), 4) for d in draws) if name == RANDOM else _precisions(errors[order])
        asked = _precisions(np.array(answered.corrected))
        shares = (round(share(some, 50), 4) for some in (curve, most))
        rows.append(PrecisionRow(subject.volume, name, *listed, *asked, len(errors), int(errors.sum()), *shares))
        curves += curve
    return rows, [*curves, *most], _count_unlikely(subject, found, all_knowing, chosen[:50])


def _count_unlikely(subject: Subject, found: Candidates, answered: Answered, chosen: np.ndarray) -> UnlikelyRow:
    falls = -np.diff(answered.voi)[: len(chosen)] / (answered.voi[0] - subject.reachable_voi())
    unlikely = found.likelihood[chosen] < UNLIKELY_BELOW
    shares = (round(float(some.sum()), 4) for some in (falls, falls[unlikely]))
    return UnlikelyRow(subject.volume, len(chosen), UNLIKELY_BELOW, int(unlikely.sum()), *shares)


def _to_rows(subject: Subject, order: str, answered: Answered) -> list[CurveRow]:
    best, lowest = (round(voi, 4) for voi in (subject.reachable_voi(), subject.truth.best_voi()))
    voi = [round(answered.voi[min(n, len(answered.voi) - 1)], 4) for n in KEPT]
    return [CurveRow(subject.volume, order, n, v, best, lowest) for n, v in zip(KEPT, voi, strict=True)]


def _precisions(errors: np.ndarray) -> tuple[float, float]:
    return (float(errors[:20].mean()), float(errors[:100].mean())) if len(errors) else (0.0, 0.0)


def main() -> None:
    """Do what is left of the study, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", action="store_true", help="write the page from the tables that are there")
    parser.add_argument("--fit", action="store_true", help="fit the weights, print them and stop")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "segmentation_study", help="of the predictions")
    options = parser.parse_args()
    done = {row.volume for row in read_table(ROWS, PrecisionRow)}
    if not options.report and (options.fit or set(VOLUMES) - done):
        chosen = fit_held_out([load_validation(volume, options.folder) for volume in DOMAINS])
        print(chosen)
        if options.fit:
            return
        if chosen != LIKELIHOOD:
            raise SystemExit(
                "neuroadda/proofreading/likelihood.py has other weights than these: write them there first"
            )
        for volume in VOLUMES:
            if volume not in done:
                precisions, curves, unlikely = study_volume(load_test(volume, options.folder))
                append_row(UNLIKELY, unlikely)
                append_rows(CURVES, curves)
                append_rows(ROWS, precisions)
    write_report()


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
