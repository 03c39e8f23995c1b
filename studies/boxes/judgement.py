"""What came of the boxes study, by the rule in `studies.boxes`; prints tables.

python -m studies.boxes.judgement
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.stats import t as student

from studies.active.study import read_results
from studies.boxes.plan import ARMS, COUNTS, RANDOM, TARGETS, Row, group_rows, read_rows
from studies.transfer.study import ROOT

LEVEL = 0.95
DEFAULT = "median+diverse"
VALUES = {"voi": "the threshold chosen on the boxes", "best_voi": "the best threshold"}
Effects = Mapping[str, Mapping[str, float]]
"""Mean log ratio of VOI to that of random boxes, by strategy and domain; below 0 is better."""


@dataclass(frozen=True)
class Difference:
    """A strategy and random boxes of one case, from one source: the log ratio of their VOI."""

    target: str
    n: int
    draw: int
    strategy: str
    log_ratio: float


def pair_rows(rows: Sequence[Row], value: str, arms: Sequence[str] = ARMS) -> list[Difference]:
    """Return the differences in the cases that have all arms from one source.

    Rows of other sources are left out; if a case is complete with several sources, those of the first digest count.
    """
    found = []
    for case, by_digest in group_rows(rows).items():
        complete = [digest for digest in sorted(by_digest) if set(arms) <= set(by_digest[digest])]
        for digest in complete[:1]:
            voi = {arm: getattr(by_digest[digest][arm], value) for arm in arms}
            found += [
                Difference(case.target, case.n, case.draw, arm, float(np.log(voi[arm] / voi[RANDOM])))
                for arm in arms
                if arm != RANDOM
            ]
    return found


def mean_effects(found: Sequence[Difference], counts: Collection[int] = COUNTS) -> Effects:
    """Return means over domains' targets, of the means over n, of the means over draws."""
    cells: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        if one.n in counts:
            cells[one.strategy, TARGETS[one.target].domain, one.target][one.n].append(one.log_ratio)
    by_domain: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (strategy, domain, _), by_n in cells.items():
        by_domain[strategy][domain].append(float(np.mean([np.mean(values) for values in by_n.values()])))
    return {s: {domain: float(np.mean(v)) for domain, v in targets.items()} for s, targets in by_domain.items()}


def find_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and Student's interval of the values of domains; NaN where there are fewer than two."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, np.nan, np.nan
    half = student.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return mean, mean - float(half), mean + float(half)


def leave_one_out(effects: Effects) -> dict[str, tuple[str, float]]:
    """Return for each domain the strategy with the lowest mean on the others, and its effect on this one."""
    chosen = {}
    for domain in next(iter(effects.values())):
        best = min(effects, key=lambda s: float(np.mean([v for d, v in effects[s].items() if d != domain])))
        chosen[domain] = best, effects[best][domain]
    return chosen


def decide(main: Effects, second: Effects) -> str:
    """Return which default follows, by the rule in `studies.boxes`.

    Parameters
    ----------
    main, second
        Effects at the threshold chosen on the boxes, and at the best one.
    """
    _, _, high = find_interval([value for _, value in leave_one_out(main).values()])
    winner = min(main, key=lambda s: float(np.mean(list(main[s].values()))))
    if high < 0 and np.mean(list(second[winner].values())) < 0:
        return f"the default is {winner}: it wins on domains that it was not chosen on"
    _, low, _ = find_interval(list(main[DEFAULT].values()))
    if low > 0:
        return f"the default becomes {RANDOM}: nothing wins, and {DEFAULT} is worse than it"
    return f"the default stays {DEFAULT}: nothing is shown to win on domains that it was not chosen on"


def pool_spread(cells: Mapping[tuple[str, int], Sequence[float]]) -> float:
    """Return the standard deviation within the cells (target, n), pooled; NaN if none has two values."""
    freedom = sum(len(cell) - 1 for cell in cells.values())
    squares = sum(float(np.var(cell)) * len(cell) for cell in cells.values())
    return float(np.sqrt(squares / freedom)) if freedom else np.nan


def measure_noise(value: str, counts: Collection[int] = COUNTS) -> dict[str, float]:
    """Return the standard deviations of log VOI between seeds in the first study: of strategies, and of their paired difference."""
    seeds: dict[tuple[str, int], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in read_results():
        if row.n in counts:
            seeds[row.target, row.n][row.strategy][row.seed] = float(np.log(getattr(row, value)))
    both = {case: of for case, of in seeds.items() if len(of[RANDOM]) > 1 and of[DEFAULT]}
    found = {name: pool_spread({c: list(of[name].values()) for c, of in both.items()}) for name in (RANDOM, DEFAULT)}
    pairs = {case: [of[DEFAULT][s] - of[RANDOM][s] for s in of[DEFAULT]] for case, of in both.items()}
    return found | {"difference": pool_spread(pairs)}


def _percent(log_ratio: float) -> str:
    return f"{100 * np.expm1(log_ratio):+.1f}"


def _show(values: Sequence[float]) -> str:
    mean, low, high = map(_percent, find_interval(values))
    return f"{mean} ({low} to {high})"


def tabulate(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the tables, in Markdown, and the decision."""
    lines, by_value = [], {}
    for value, title in VALUES.items():
        found = pair_rows(rows, value)
        if not found:
            return ["no case has all strategies from one source yet"]
        effects = by_value[value] = mean_effects(found)
        draws = len({one.draw for one in found})
        lines += [
            f"At {title}: VOI against that of random boxes, %; {draws} draws, intervals over {len(effects[DEFAULT])} domains.",
            "",
            "| strategy | " + " | ".join(f"n = {n}" for n in sorted(COUNTS)) + " | all n | between draws |",
            "|---" * (len(COUNTS) + 3) + "|",
        ]
        for strategy in effects:
            by_n = [mean_effects(found, (n,)).get(strategy) for n in sorted(COUNTS)]
            cells = [_show(list(one.values())) if one else "" for one in by_n]
            draws_of: dict[tuple[str, int], list[float]] = defaultdict(list)
            for one in found:
                if one.strategy == strategy:
                    draws_of[one.target, one.n].append(one.log_ratio)
            cells += [_show(list(effects[strategy].values())), f"{pool_spread(draws_of):.2f}"]
            lines.append(f"| {strategy} | " + " | ".join(cells) + " |")
        left_out = leave_one_out(effects)
        lines += [
            f"| the best of the other domains | {' | '.join([''] * len(COUNTS))} | {_show([v for _, v in left_out.values()])} | |",
            "",
            "; ".join(f"{domain}: {strategy}, {_percent(v)} %" for domain, (strategy, v) in left_out.items()),
            "",
        ]
    return [*lines, decide(by_value["voi"], by_value["best_voi"])]


def main() -> None:
    """Print the tables and the decision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", action="store_true", help="print the noise of the first study instead")
    if not parser.parse_args().noise:
        print("\n".join(tabulate(read_rows())))
        return
    for value, counts in product(VALUES, (COUNTS, *((n,) for n in sorted(COUNTS)))):
        shown = ", ".join(f"{name} {one:.2f}" for name, one in measure_noise(value, counts).items())
        print(f"{value}, n = {' '.join(map(str, counts))}: {shown}")


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
