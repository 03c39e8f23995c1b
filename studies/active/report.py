"""Does it matter which boxes are labelled? Tables and a picture of what `reproduce.py` has found.

    python -m studies.active.report

Writes docs/results/active.md from docs/results/active.csv and docs/results/transfer.csv.
"""

import datetime
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from studies.active.study import RANDOM, STRATEGIES, Row, read_results
from studies.pictures import draw_strategies
from studies.single_sections import DOMAINS
from studies.transfer.distances import sources_of
from studies.transfer.report import interval
from studies.transfer.study import ROOT, SAMPLE_PX, SAMPLES, SCRATCH, read_rows

RESAMPLES = 1000
TARGET = ROOT / "docs" / "results" / "active.md"
MEDIAN, BEST = "median", "median+diverse"
PAPER_SHARE = 0.83

PREFACE = """\
Each target of [the transfer study](transfer.md) is fine-tuned from its nearest source on n boxes of its train part, each one
section of 120 x 120 pixels of 8 nm, chosen by a strategy from a lattice of half-overlapping boxes, scored by the entropy of
that source's predictions; no label is looked at before. All else is as there: 80 iterations, VOI in nats on the target's
test part. *random* are random boxes from the same backbone, those of the transfer study where it has them. *median* is read
in both ways: the box whose mean score is nearest the pool's median, and the same of its median voxel's score. Seeds draw
batches, what is random in a strategy, and the random boxes; median, max and min choose the same boxes for every seed, so
that their intervals hold what training adds, and little of what other boxes of the same kind would give. A case is a target
and an n; fly_brain_sstem has no room for 16 boxes. Scratch and *any source* (the mean over sources) are means of all five
seeds of the transfer study. The best of so many strategies on six targets is chosen on the cases it is judged on."""


READING = """\
- The default is *median+diverse*, the best at both thresholds: 6 % and 14 % lower VOI than random boxes, most of it with one
  box (where it is the median alone) and little with 16. Only at the chosen threshold does its interval leave out 0.
- The median helps in 0.59 and 0.65 of the cases, median+diverse in 0.65 and 0.76; the paper has 0.83.
- The extremes hurt: the surest boxes are empty of what there is to learn, the least sure ones full of what cannot be labelled
  well (and of artefacts); boxes unlike each other, whatever their score, are largely outliers.
- Of the two readings of the paper's median, that of mean scores is the better one at n = 1; they cannot be told apart beyond.
- On medulla and larva L1, random boxes are as good as any at n = 4 and 16. On mouse, the hardest tissue, one box near the median
  is worth 16 random ones at the best threshold; on the others what is saved is within the noise.
- Distances between strategies are those of half a dozen targets and three seeds on boxes of 0.96 µm; a larger study may well
  reorder the first three."""


class Study:
    """VOI by target, strategy, n and seed; those seeds that all strategies of a case have.

    Parameters
    ----------
    value
        "voi", at the threshold that the boxes chose, or "best_voi", at the best one on the test part.
    """

    def __init__(self, value: str) -> None:
        found: dict[tuple[str, int], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        self.rows: list[Row] = read_results()
        for row in self.rows:
            found[row.target, row.n][row.strategy][row.seed] = getattr(row, value)
        self.cells: dict[tuple[str, int], dict[str, np.ndarray]] = {}
        for case, by_strategy in sorted(found.items(), key=lambda item: (list(DOMAINS).index(item[0][0]), item[0][1])):
            names = (RANDOM, *STRATEGIES)
            seeds = sorted(set.intersection(*(set(by_strategy[name]) for name in names)))
            if seeds:
                self.cells[case] = {name: np.array([by_strategy[name][s] for s in seeds]) for name in names}

    def change(self, strategy: str, cases: Sequence[tuple[str, int]]) -> float:
        """Return by how many percent VOI is above that of random boxes, in the mean over cases; below 0 is better."""
        return float(np.mean([self.mean(case, strategy) / self.mean(case, RANDOM) - 1 for case in cases]) * 100)

    def mean(self, case: tuple[str, int], strategy: str) -> float:
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


def share_that_helps(study: Study, strategy: str, cases: Sequence[tuple[str, int]]) -> float:
    """Return the share of cases in which a strategy has a lower mean VOI than random boxes."""
    return float(np.mean([study.mean(case, strategy) < study.mean(case, RANDOM) for case in cases]))


def table_of_strategies(study: Study) -> list[str]:
    """Return one row a strategy: VOI against random boxes, by n and in all, and the share of cases in which it helps."""
    draws = [study.resample(np.random.default_rng(seed)) for seed in range(RESAMPLES)]

    def show(measure: Callable[[Study, Sequence[tuple[str, int]]], float], digits: int, n: int | None = None) -> str:
        values = []
        for one in (study, *draws):
            cases = [case for case in one.cells if n in (None, case[1])]
            values.append(measure(one, cases) if cases else np.nan)
        return f"{values[0]:.{digits}f} ({interval([v for v in values[1:] if np.isfinite(v)], digits)})"

    counts = [n for n in sorted(SAMPLES) if any(m == n for _, m in study.cells)]
    heads = " | ".join(f"n = {n}, VOI above random's, %" for n in counts)
    rows = [f"| strategy | {heads} | all n | helps in | seeds' runs |", "|---" * (len(counts) + 4) + "|"]
    ranked = sorted(STRATEGIES, key=lambda name: study.change(name, list(study.cells)))
    for name in ranked:
        by_n = " | ".join(show(lambda s, cases, name=name: s.change(name, cases), 1, n) for n in counts)
        total = show(lambda s, cases, name=name: s.change(name, cases), 1)
        helps = show(lambda s, cases, name=name: share_that_helps(s, name, cases), 2)
        runs = sum(len(cell[name]) for cell in study.cells.values())
        rows.append(f"| {name} | {by_n} | {total} | {helps} | {runs} |")
    return rows


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


def table_of_voxels(study: Study) -> list[str]:
    """Return the labelled voxels that each strategy needs to be as good as the most random boxes."""
    targets = [t for t in DOMAINS if (t, max(SAMPLES)) in study.cells]
    names = (RANDOM, *STRATEGIES)
    rows = ["| target | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    most = max(SAMPLES)
    for target in targets:
        needed = [boxes_needed(study, target, name) for name in names]
        shown = [
            f"{n * SAMPLE_PX**2 / 1000:.0f}" if np.isfinite(n) else f"> {most * SAMPLE_PX**2 / 1000:.0f}"
            for n in needed
        ]
        rows.append(f"| {target} | " + " | ".join(shown) + " |")
    return rows


def table_of_voi(study: Study, value: str) -> list[str]:
    """Return the paper's table: scratch, any source, the nearest source with random boxes and with every strategy.

    The first two are means of all seeds of the transfer study.
    """
    others: Mapping[tuple[str, str, int], list[float]] = defaultdict(list)
    for row in read_rows():
        others[row.target, row.source, row.n].append(getattr(row, value))
    names = (RANDOM, *STRATEGIES)
    heads = " | ".join(f"nearest, {name}" for name in names)
    rows = [f"| target | n | scratch | any source, random | {heads} |", "|---" * (len(names) + 4) + "|"]
    for target, n in study.cells:
        scratch = others[target, SCRATCH, n]
        sources = [np.mean(others[target, s, n]) for s in sources_of(target) if others[target, s, n]]
        shown = [f"{np.mean(v):.3f}" if len(v) else "" for v in (scratch, sources)]
        cell = study.cells[target, n]
        ours = [
            f"{cell[name].mean():.3f} ± {cell[name].std(ddof=1) if len(cell[name]) > 1 else np.nan:.3f}"
            for name in names
        ]
        rows.append(f"| {target} | {n} | " + " | ".join(shown + ours) + " |")
    return rows


def main() -> None:
    """Write the report."""
    studies = {"the best threshold": Study("best_voi"), "the threshold chosen on the boxes": Study("voi")}
    first = studies["the best threshold"]
    sources = {row.target: row.source for row in first.rows}
    text = [
        "# Does it matter which boxes are labelled?",
        "",
        PREFACE,
        "",
        "Nearest sources: " + ", ".join(f"{t} from {s}" for t, s in sources.items()) + ".",
        "",
        f"Command: `python -m studies.active.study`, then `python -m studies.active.report`; "
        f"{datetime.date.today().isoformat()}; {len(first.rows)} runs; intervals are 95 % bootstrap over targets and seeds.",
    ]
    text += ["", "## Reading", "", READING]
    for (title, study), value in zip(studies.items(), ("best_voi", "voi"), strict=True):
        cases = list(study.cells)
        text += ["", f"## At {title}", "", "### Against random boxes from the same backbone", ""]
        text += [*table_of_strategies(study), ""]
        shares = ", ".join(f"{name} in {share_that_helps(study, name, cases):.2f}" for name in (MEDIAN, BEST))
        text += [f"Of {len(cases)} cases, {shares} help (the paper's median: {PAPER_SHARE})."]
        text += ["", "### Labelled pixels (thousands) needed to reach the VOI of 16 random boxes", ""]
        text += ["Between means of few seeds, by the first crossing: a rough figure.", ""]
        text += table_of_voxels(study)
        text += ["", "### All (mean ± standard deviation over seeds)", "", *table_of_voi(study, value)]
    changes = {
        name: [first.change(name, [c for c in first.cells if c[1] == n]) for n in sorted(SAMPLES)]
        for name in STRATEGIES
    }
    draw_strategies(ROOT / "docs/results/pictures", sorted(SAMPLES), changes)
    text += ["", "## Picture", "", "At the best threshold:", "", "![VOI against random boxes](pictures/active.png)"]
    TARGET.write_text("\n".join(text) + "\n")
    print(TARGET)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
