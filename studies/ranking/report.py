"""Write docs/results/ranking.md from the study's tables.

python -m studies.ranking.report
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from studies.ranking.crops import CropRow
from studies.ranking.distances import DistanceRow
from studies.ranking.judgement import (
    DEFAULT,
    FIFTH,
    FOURTH,
    GENERALIST,
    POOLED,
    Case,
    Crops,
    Evidence,
    Judged,
    Rows,
    average,
    judge,
    judge_others,
    mean_interval,
    pick,
    read_cases,
)
from studies.ranking.sanity import Choice, choose_all, count_right, table_choices, tell_wrong
from studies.ranking.study import CROPS, DISTANCES, RESULTS, SCORES, ScoreRow
from studies.ranking.targets import CHOSEN_ON, SCORED_VX, TARGETS
from studies.rows import read_table

PAGE = RESULTS / "ranking.md"
TABLES = SCORES, CROPS, DISTANCES
CONSISTENCY, BEFORE = "consistency after CRank, 3-D", "MMD^2, as before"


@dataclass(frozen=True)
class Measured:
    """What was measured of one zoo's sources on all targets: with labels, without labels, and the choices that follow."""

    title: str
    scores: Sequence[ScoreRow]
    rows: Rows

    @classmethod
    def read(cls, title: str, before: str = "") -> "Measured":
        """Read the tables of today, or those whose names begin `ranking_{before}_`."""
        paths = [path.with_name(path.name.replace("_", f"_{before}_", 1)) if before else path for path in TABLES]
        scores, crops, distances = paths
        rows = Rows(read_table(crops, CropRow), read_table(distances, DistanceRow))
        return cls(title, read_table(scores, ScoreRow), rows)

    @cached_property
    def choices(self) -> list[Choice]:
        """See `sanity.choose_all`."""
        return choose_all(self.rows)


def main() -> None:
    """Write the page."""
    today = Measured.read("today's")
    before = [Measured.read("of the third to fifth run", "third"), Measured.read("of the second run", "second")]
    ways, choices = today.rows.list_ways(), today.choices
    parts = [_introduce(today.rows), _read(today.scores, ways, choices), _tell_sixth_run(today, before)]
    for best in (False, True):
        cases = read_cases(today.scores, best)
        parts.append(f"## VOI at {'the best threshold' if best else 'threshold 0.5'}\n")
        for title, chosen_on in (("Judging targets", False), ("Targets that settings were chosen on", True)):
            some = [case for case in cases if (case.target in CHOSEN_ON) == chosen_on]
            parts.append(f"### {title}\n\n{_table(some, _judge_all(some, ways))}\n")
        parts.append(f"### All targets\n\n{_table(cases, _judge_all(cases, ways))}\n")
    cases = read_cases(today.scores, False)
    parts.append(f"## Case by case, threshold 0.5\n\n{_cases(cases, ways)}\n")
    parts.append(f"## Sanity: which source is first, its own domain's included\n\n{table_choices(choices)}\n")
    parts.append(f"## The guard\n\n{_guard(cases, Crops(today.rows.crops))}\n")
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(PAGE)


def _judge_all(cases: Sequence[Case], ways: Mapping[str, Evidence]) -> dict[str, Judged]:
    return {name: judge(cases, way) for name, way in ways.items()} | judge_others(cases)


def _introduce(rows: Rows) -> str:
    seeds, scored = len(rows.seeds), " x ".join(map(str, SCORED_VX))
    return f"""# Which source, without labels and without training?

Hypotheses, rules and analysis are in `studies/ranking/__init__.py`, each committed before the run that it is about; those after
the first run were made from rows of the runs before. A regret of 10 % means that the chosen source's VOI is 10 % above that of the
best candidate. Sources of the target's own domain are left out; the generalist saw most of the domains and is a row of its own.
{len(TARGETS)} targets, of which the middle {scored} voxels are segmented and scored; {seeds} seeds of crops and
patches. In brackets 95 % intervals by bootstrap over targets.

Commands: `python -m studies.ranking.study`, `python -m studies.ranking.report`; 2026-11-30, Intel Xeon, 2 cores: the sixth run.
Scores and distances of sources that did not change are of 2026-11-29, AMD EPYC. Three crops and 32 patches, as in the product.
"""


def _read(scores: Sequence[ScoreRow], ways: Mapping[str, Evidence], choices: Sequence[Choice]) -> str:
    """Return what the tables say, in words."""
    cases = read_cases(scores, best=False)
    judging = [case for case in cases if case.target not in CHOSEN_ON]
    at_best = read_cases(scores, best=True)
    alone = (way for way in ways if way.startswith("MMD^2"))
    nearest = min(alone, key=lambda way: judge(at_best, ways[way]).regret.mean())

    def tell(way: str, some: Sequence[Case]) -> str:
        judged = judge(some, ways[way])
        correlation = np.nanmean(judged.correlation)
        hits = f"{judged.hit.sum():.0f} of {len(some)} cases"
        return f"the best source in {hits}, regret {100 * judged.regret.mean():.1f} %, correlation with VOI {correlation:.2f}"

    near = sum(case.regret(case.generalist) <= 0.1 for case in cases)
    return "\n".join(
        [
            "## Reading\n",
            f"- The default is: {DEFAULT}. All seeds together, on the judging targets:",
            *(f"  - {way}: {tell(way, judging)}" for way in (DEFAULT, FIFTH, FOURTH, CONSISTENCY, BEFORE)),
            "- On all targets:",
            *(f"  - {way}: {tell(way, cases)}" for way in (DEFAULT, FIFTH, FOURTH, CONSISTENCY, BEFORE)),
            _tell_worst(cases, at_best, ways[DEFAULT]),
            "- Each source at its best threshold, all targets, beside the best of the ways by MMD^2 alone:",
            *(f"  - {way}: {tell(way, at_best)}" for way in (DEFAULT, nearest)),
            "- The targets are those that the ways were made from: new volumes have to judge them.",
            f"- The generalist is the best or within 10 % of it in {near} of {len(cases)} cases.",
            "- Sanity, all seeds: by the default rule, another than the own domain's source is first on",
            *tell_wrong(choices, scores),
            "",
        ]
    )


def _tell_worst(cases: Sequence[Case], at_best: Sequence[Case], way: Evidence) -> str:
    """Return on which case the default costs most at threshold 0.5, and what its regret is without that case."""
    regret = judge(cases, way).regret
    worst = int(regret.argmax())
    case, again = cases[worst], judge([at_best[worst]], way).regret[0]
    return (
        f"- The default's highest regret is on {case.target}, {case.dimensions}: {100 * regret[worst]:.0f} % at threshold 0.5, "
        f"{100 * again:.0f} % at the best threshold. Without it, regret at 0.5 is {100 * np.delete(regret, worst).mean():.1f} %."
    )


def _tell_sixth_run(today: Measured, before: Sequence[Measured]) -> str:
    """Return what the rule of the sixth run is decided by, and how the ways do on the networks of the zoos before."""
    table = [
        "| networks | way | own source first, whole | small | regret of one draw, judging | all | at the best threshold |",
        "|---|---|---|---|---|---|---|",
    ]
    for measured, ways in ((today, (FOURTH, FIFTH, POOLED)), *((one, (FOURTH, FIFTH)) for one in before)):
        at_half, at_best = (_judge_draws(measured, ways, best) for best in (False, True))
        for way in ways:
            firsts = [
                count_right([one for one in measured.choices if one.small == small], way) for small in (False, True)
            ]
            regrets = (at_half[way]["judging"], at_half[way]["all"], at_best[way]["all"])
            table.append(
                f"| {measured.title} | {way} | {' | '.join([*firsts, *(f'{100 * r:.1f} %' for r in regrets)])} |"
            )
    return "\n".join(
        [
            "## The sixth run's rule\n",
            *table,
            "",
            *_decide(today),
            "",
            *_tell_different(today, FIFTH, POOLED),
            "",
            "The fifth run's rule beside the fourth's, on today's networks, one of which it was not made from: the first two lines",
            "of the table. Regret by the fifth's instead of by the fourth's, where they differ (the mean of one draw):",
            "",
            *_tell_different(today, FOURTH, FIFTH),
            "",
        ]
    )


def _decide(today: Measured) -> list[str]:
    """Return whether the rule holds."""
    choices = today.choices
    right = [sum(one.first[way] == one.own for one in choices) for way in (FIFTH, POOLED)]
    drawn = [_judge_draws(today, (FIFTH, POOLED), best) for best in (False, True)]
    lower = sum(one[POOLED]["all"] <= one[FIFTH]["all"] for one in drawn)
    holds = right[1] >= right[0] and lower == len(drawn)
    return [
        f"The rule {'holds' if holds else 'does not hold'}: by the overlap of all crops the own source is first {right[1]} times",
        f"of {len(choices)}, by the mean {right[0]} times; regret of one draw, all cases, is no higher at {lower} of 2 thresholds.",
        f"The {len(choices)} are {len({one.target for one in choices})} targets, whole and small, by each seed: not independent. A",
        f"difference of {right[1] - right[0]} is weak evidence. Better reason: a crop with little boundary should count little.",
    ]


def _tell_different(today: Measured, before: str, after: str) -> list[str]:
    """Return a line for each case in which two ways differ, by the mean regret of one draw."""
    draws = [today.rows.of_seed(seed).list_ways() for seed in today.rows.seeds]

    def tell(case: Case) -> list[float]:
        return [100 * float(np.mean([judge([case], some[way]).regret for some in draws])) for way in (before, after)]

    found = []
    for case, at_best in zip(read_cases(today.scores, False), read_cases(today.scores, True), strict=True):
        (first, second), best = tell(case), tell(at_best)
        if first != second:
            told = f"{second:.0f} % instead of {first:.0f} %; at the best threshold {best[1]:.0f} % instead of {best[0]:.0f} %"
            found.append(f"- {case.target}, {case.dimensions}: {told}")
    if not found:
        return ["Without the own source, both choose the same in every case and draw."]
    return found


def _judge_draws(measured: Measured, names: Sequence[str], best: bool) -> dict[str, dict[str, float]]:
    """Return, of each way and group of targets, the regret (at threshold 0.5, or the best) by one seed's evidence: the mean."""
    cases = read_cases(measured.scores, best)
    groups = {"judging": [case for case in cases if case.target not in CHOSEN_ON], "all": cases}
    draws = [measured.rows.of_seed(seed).list_ways() for seed in measured.rows.seeds]
    return {
        name: {
            title: float(np.mean([judge(some, ways[name]).regret.mean() for ways in draws]))
            for title, some in groups.items()
        }
        for name in names
    }


def _table(cases: Sequence[Case], judged: dict[str, Judged]) -> str:
    head = ["| way | regret, 2-D | regret, 3-D | regret, both | hits | correlation |", "|---|---|---|---|---|---|"]
    flat, deep = (np.array([case.dimensions == d for case in cases]) for d in ("2d", "3d"))
    targets = np.array([case.target for case in cases])
    rows = []
    for name, found in judged.items():
        cells = [_percent(found.regret[part], targets[part]) for part in (flat, deep)]
        cells.append(_percent(found.regret, targets))
        cells.append(f"{found.hit.sum():.3g} of {len(cases)}")
        mean, low, high = mean_interval(found.correlation, list(targets))
        cells.append("" if np.isnan(mean) else f"{mean:.2f} ({low:.2f} to {high:.2f})")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(head + rows)


def _percent(values: np.ndarray, targets: np.ndarray) -> str:
    if not len(values):
        return ""
    mean, low, high = mean_interval(values, list(targets))
    return f"{100 * mean:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def _cases(cases: Sequence[Case], ways: Mapping[str, Evidence]) -> str:
    head = "| target | | VOI of each source | the generalist | by the default | by MMD^2 as before |"
    rows = [head, "|---|---|---|---|---|---|"]
    for case in cases:
        sources = list(case.voi)
        told = ", ".join(f"{source} {voi:.2f}" for source, voi in sorted(case.voi.items(), key=lambda item: item[1]))
        picks = [pick(ways[way](case.target, sources), sources) for way in (DEFAULT, BEFORE)]
        rows.append(f"| {case.target} | {case.dimensions} | {told} | {case.generalist:.2f} | {' | '.join(picks)} |")
    return "\n".join(rows)


def _guard(cases: Sequence[Case], crops: Crops) -> str:
    lines = ["Share of boundary voxels (2-D) of sources within 10 % of the best, and of those beyond twice the best:\n"]
    for title, chosen_on in (("chosen on", True), ("judging", False)):
        some = [case for case in cases if (case.target in CHOSEN_ON) == chosen_on and case.dimensions == "2d"]
        good, bad = [], []
        for case in some:
            for source, voi in case.voi.items():
                share = average("boundary")(crops.find(case.target, source, "2d"))
                if case.regret(voi) <= 0.1:
                    good.append(share)
                elif case.regret(voi) > 1:
                    bad.append(share)
        told = [", ".join(f"{share:.3f}" for share in sorted(shares)) or "none" for shares in (good, bad)]
        lines.append(f"- {title}: {told[0]}; beyond twice the best: {told[1]}")
    return "\n".join(lines) + f"\n\n(The generalist, `{GENERALIST}`, is not among them.)"


if __name__ == "__main__":
    main()
