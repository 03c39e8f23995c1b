"""Write docs/results/ranking.md from the study's tables.

python -m studies.ranking.report
"""

from collections.abc import Mapping, Sequence

import numpy as np

from studies.ranking.distances import DistanceRow
from studies.ranking.judgement import (
    ALL,
    BENT_MORE,
    DEFAULT,
    FOURTH,
    GENERALIST,
    MEDIAN,
    MORE,
    OVERLAP,
    SECOND,
    THIRD,
    Case,
    Consistencies,
    Evidence,
    Judged,
    Rows,
    judge,
    judge_others,
    mean_interval,
    pick,
    read_cases,
)
from studies.ranking.matched import MatchedRow
from studies.ranking.overlap import OVERLAPS, OVERLAPS_BEFORE, OverlapRow
from studies.ranking.sanity import WORSE, Choice, choose_all, count_right, table_choices, tell_wrong
from studies.ranking.study import CROPS, DISTANCES, MATCHED, RESULTS, SCORES, CropRow, ScoreRow
from studies.ranking.targets import CHOSEN_ON, TARGETS
from studies.rows import read_table

PAGE = RESULTS / "ranking.md"
CONSISTENCY, BEFORE = "consistency, 3-D", "MMD^2, as before"
DRAWN = (DEFAULT, OVERLAP, FOURTH, THIRD, MORE, BENT_MORE, SECOND, CONSISTENCY, BEFORE)


def main() -> None:
    """Write the page."""
    scores, rows = read_table(SCORES, ScoreRow), _read_today()
    crops, ways, choices = Consistencies(rows.crops), rows.list_ways(), choose_all(rows)
    drawn = _judge_draws(scores, rows, DRAWN)
    parts = [_introduce(rows), _read(scores, ways, choices), _tell_fifth_run(scores, rows, choices)]
    parts.append(_tell_fourth_run(drawn, choices))
    for best in (False, True):
        cases = read_cases(scores, best)
        parts.append(f"## VOI at {'the best threshold' if best else 'threshold 0.5'}\n")
        for title, chosen_on in (("Judging targets", False), ("Targets that settings were chosen on", True)):
            some = [case for case in cases if (case.target in CHOSEN_ON) == chosen_on]
            parts.append(f"### {title}\n\n{_table(some, _judge_all(some, ways))}\n")
        parts.append(f"### All targets\n\n{_table(cases, _judge_all(cases, ways))}\n")
    parts.append(f"## One draw of crops and patches, as a user gets it\n\n{_table_draws(drawn)}\n")
    parts.append(_tell_second_run())
    parts.append(f"## Case by case, threshold 0.5\n\n{_cases(read_cases(scores, False), ways)}\n")
    parts.append(f"## Sanity: which source is first, its own domain's included\n\n{table_choices(choices)}\n")
    parts.append(f"## The guard\n\n{_guard(read_cases(scores, False), crops)}\n")
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(PAGE)


def _judge_all(cases: Sequence[Case], ways: Mapping[str, Evidence]) -> dict[str, Judged]:
    return {name: judge(cases, way) for name, way in ways.items()} | judge_others(cases)


def _tell_second_run() -> str:
    """Return what the hypothesis after the third run and the default before it do on the networks of the zoo before."""
    return f"""## The networks of the zoo before

The same targets, other networks: they judge what the third run suggested (see `studies/ranking/__init__.py`). Rows:
`ranking_second_*.csv`. Regret of one draw with three crops, threshold 0.5:

{_table_draws(_judge_draws(*_read_before(), (DEFAULT, FOURTH, THIRD, SECOND)))}
"""


def _read_today() -> Rows:
    crops, overlaps = read_table(CROPS, CropRow), read_table(OVERLAPS, OverlapRow)
    return Rows(crops, overlaps, read_table(DISTANCES, DistanceRow), read_table(MATCHED, MatchedRow))


def _read_before() -> tuple[list[ScoreRow], Rows]:
    """Return the scores and rows of the networks of the zoo before."""
    crops = read_table(RESULTS / "ranking_second_crops.csv", CropRow)
    distances = read_table(RESULTS / "ranking_second_distances.csv", DistanceRow)
    overlaps = read_table(OVERLAPS_BEFORE, OverlapRow)
    return read_table(RESULTS / "ranking_second_scores.csv", ScoreRow), Rows(crops, overlaps, distances)


def _introduce(rows: Rows) -> str:
    seeds = len(rows.seeds)
    return f"""# Which source, without labels and without training?

The hypothesis, the rule and the analysis are in `studies/ranking/__init__.py`, committed before the first run. A regret of 10 %
means that the chosen source's VOI is 10 % above that of the best candidate. Sources of the target's own domain are left out; the
generalist saw most of the domains and is a row of its own. {len(TARGETS)} targets, {seeds} seeds of crops and patches; in brackets
95 % intervals by bootstrap over targets.

Commands: `python -m studies.ranking.study`, `python -m studies.ranking.overlap`, `python -m studies.ranking.report`; 2026-11-29
and 30, AMD EPYC and Intel Xeon, 2 cores; the third run, the fourth's MMD^2 of 96 patches, the fifth's overlap; 32 patches where
nothing else is said. Ways that weigh MMD against consistency take three crops, as the product does, others four where nothing else
is said.
"""


def _read(scores: Sequence[ScoreRow], ways: Mapping[str, Evidence], choices: Sequence[Choice]) -> str:
    """Return what the tables say, in words."""
    cases = read_cases(scores, best=False)
    judging = [case for case in cases if case.target not in CHOSEN_ON]

    def tell(way: str, some: Sequence[Case]) -> str:
        judged = judge(some, ways[way])
        correlation = np.nanmean(judged.correlation)
        hits = f"{judged.hit.sum():.0f} of {len(some)} cases"
        return f"the best source in {hits}, regret {100 * judged.regret.mean():.1f} %, correlation with VOI {correlation:.2f}"

    near = sum(case.regret(case.generalist) <= 0.1 for case in cases)
    return "\n".join(
        [
            "## Reading\n",
            f"- The default is: {DEFAULT}, three crops, 32 patches. All seeds together, on the judging targets:",
            *(f"  - {way}: {tell(way, judging)}" for way in (DEFAULT, FOURTH, CONSISTENCY, BEFORE)),
            "- On all targets:",
            *(f"  - {way}: {tell(way, cases)}" for way in (DEFAULT, FOURTH, CONSISTENCY, BEFORE)),
            "- The default was made from these targets: new volumes and networks have to judge it.",
            f"- The generalist is the best or within 10 % of it in {near} of {len(cases)} cases.",
            "- Sanity, all seeds: by the default rule, another than the own domain's source is first on",
            *tell_wrong(choices, scores),
            "",
        ]
    )


def _tell_fourth_run(drawn: Mapping[str, Mapping[str, Sequence[float]]], choices: Sequence[Choice]) -> str:
    """Return what the rules of the fourth run are decided by."""
    whole = [choice for choice in choices if not choice.small]
    small = [choice for choice in choices if choice.small]
    tight = [choice for choice in small if not choice.fits and choice.target != WORSE]
    rows = [
        "| way | regret of one draw, judging | chosen on | own source first, whole | small |",
        "|---|---|---|---|---|",
    ]
    for way in (THIRD, FOURTH, BENT_MORE, MORE):
        regret = [f"{100 * np.mean(drawn[way][group]):.1f} %" for group in ("judging", "chosen on")]
        rows.append(f"| {way} | {' | '.join([*regret, count_right(whole, way), count_right(small, way)])} |")
    return "\n".join(
        [
            "## The fourth run's rules\n",
            *rows,
            "",
            f"On small parts where the patches of a source do not fit ({WORSE} left out), the own source is first in",
            f"{count_right(tight, MORE)} where MMD^2 takes no part for any source, and in {count_right(tight, MEDIAN)} where a",
            "source whose patches do not fit counts the others' median.",
            "",
            "- 96 patches are refuted: regret on the judging targets is higher than with 32. One case decides, the cerebellum:",
            "  two of three draws of 96 put fly_larva_l1_sstem first, one of 32 does, and so does all evidence of 96 together. On",
            "  whole targets the own source is first more often, always but on fly_larva_l3_sstem_test. 32 are kept.",
            "- Contrast is dropped: the regret is the same with and without it.",
            "- In a volume that is smaller than a patch of one of the sources, MMD takes no part, as this is right more often.",
            "  Since the fifth run: in one that has no room for four.",
            "",
        ]
    )


def _tell_fifth_run(scores: Sequence[ScoreRow], rows: Rows, choices: Sequence[Choice]) -> str:
    """Return what the rule of the fifth run is decided by."""
    scores_before, before = _read_before()
    table = [
        "| networks | way | own source first, whole | small | regret of one draw, judging | all | at the best threshold |",
        "|---|---|---|---|---|---|---|",
    ]
    right: dict[str, int] = dict.fromkeys((FOURTH, OVERLAP, DEFAULT), 0)
    lower = []
    for title, found, some, chosen in (
        ("today's", scores, rows, choices),
        ("of the zoo before", scores_before, before, choose_all(before)),
    ):
        at_half, at_best = (_judge_draws(found, some, tuple(right), best) for best in (False, True))
        lower.append(np.mean(at_best[DEFAULT]["all"]) <= np.mean(at_best[FOURTH]["all"]))
        for way in right:
            firsts = [count_right([one for one in chosen if one.small == small], way) for small in (False, True)]
            regrets = (at_half[way]["judging"], at_half[way]["all"], at_best[way]["all"])
            table.append(
                f"| {title} | {way} | {' | '.join([*firsts, *(f'{100 * np.mean(r):.1f} %' for r in regrets)])} |"
            )
            right[way] += sum(one.first[way] == one.own for one in chosen)
    held = right[DEFAULT] > right[FOURTH] and all(lower)
    return "\n".join(
        [
            "## The fifth run's rule\n",
            *table,
            "",
            f"The rule {'holds' if held else 'does not hold'}: the own source is first {right[DEFAULT]} times of",
            f"{2 * len(choices)}, by the default before {right[FOURTH]} times; regret at the best threshold is no higher on",
            f"{sum(lower)} of 2 zoos' networks. On today's, regret at threshold 0.5 is higher by these cases:",
            "",
            *_tell_worse(scores, rows),
            "",
        ]
    )


def _tell_worse(scores: Sequence[ScoreRow], rows: Rows) -> list[str]:
    """Return a line for each case in which regret at threshold 0.5, the mean of one draw, is higher than by the way before."""
    draws = [rows.of_seed(seed).list_ways() for seed in rows.seeds]

    def tell(case: Case) -> list[float]:
        return [100 * float(np.mean([judge([case], ways[way]).regret for ways in draws])) for way in (DEFAULT, FOURTH)]

    found = []
    for case, at_best in zip(read_cases(scores, best=False), read_cases(scores, best=True), strict=True):
        now, before = tell(case)
        if now > before:
            best = "{:.0f} % instead of {:.0f} %".format(*tell(at_best))
            found.append(
                f"- {case.target}, {case.dimensions}: {now:.0f} % instead of {before:.0f} %; at the best threshold {best}"
            )
    return found


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


def _judge_draws(
    scores: Sequence[ScoreRow], rows: Rows, names: Sequence[str], best: bool = False
) -> dict[str, dict[str, list[float]]]:
    """Return, of each way and group of targets, the mean regret (at threshold 0.5, or the best) by each seed's evidence alone."""
    cases = read_cases(scores, best)
    groups = {
        "judging": [case for case in cases if case.target not in CHOSEN_ON],
        "chosen on": [case for case in cases if case.target in CHOSEN_ON],
        "all": cases,
    }
    found: dict[str, dict[str, list[float]]] = {name: {title: [] for title in groups} for name in names}
    for seed in rows.seeds:
        ways = rows.of_seed(seed).list_ways()
        for name, regrets in found.items():
            for title, some in groups.items():
                regrets[title].append(float(judge(some, ways[name]).regret.mean()))
    return found


def _table_draws(drawn: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return the regret of each seed alone as a table."""
    seeds = len(next(iter(next(iter(drawn.values())).values())))
    rows = [f"| way | targets | {' | '.join(f'seed {s}' for s in range(seeds))} | mean |", "|" + "---|" * (seeds + 3)]
    for name, groups in drawn.items():
        for title, regrets in groups.items():
            told = " | ".join(f"{100 * value:.1f} %" for value in (*regrets, float(np.mean(regrets))))
            rows.append(f"| {name} | {title} | {told} |")
    return "\n".join(rows)


def _cases(cases: Sequence[Case], ways: Mapping[str, Evidence]) -> str:
    head = "| target | | VOI of each source | the generalist | by consistency (3-D) | by MMD^2 as before |"
    rows = [head, "|---|---|---|---|---|---|"]
    for case in cases:
        sources = list(case.voi)
        told = ", ".join(f"{source} {voi:.2f}" for source, voi in sorted(case.voi.items(), key=lambda item: item[1]))
        picks = [pick(ways[way](case.target, sources), sources) for way in (CONSISTENCY, BEFORE)]
        rows.append(f"| {case.target} | {case.dimensions} | {told} | {case.generalist:.2f} | {' | '.join(picks)} |")
    return "\n".join(rows)


def _guard(cases: Sequence[Case], crops: Consistencies) -> str:
    lines = ["Share of boundary voxels (2-D) of sources within 10 % of the best, and of those beyond twice the best:\n"]
    for title, chosen_on in (("chosen on", True), ("judging", False)):
        some = [case for case in cases if (case.target in CHOSEN_ON) == chosen_on and case.dimensions == "2d"]
        good, bad = [], []
        for case in some:
            for source, voi in case.voi.items():
                share = float(crops.values(case.target, source, "2d", ALL, (2,)).mean())
                if case.regret(voi) <= 0.1:
                    good.append(share)
                elif case.regret(voi) > 1:
                    bad.append(share)
        told = [", ".join(f"{share:.3f}" for share in sorted(shares)) or "none" for shares in (good, bad)]
        lines.append(f"- {title}: {told[0]}; beyond twice the best: {told[1]}")
    return "\n".join(lines) + f"\n\n(The generalist, `{GENERALIST}`, is not among them.)"


if __name__ == "__main__":
    main()
