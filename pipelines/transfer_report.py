"""How well do distances between domains predict transfer? Tables and a picture of what `transfer_study.py` has found.

    python pipelines/transfer_report.py

Writes docs/results/transfer.md from docs/results/transfer.csv and the study's backbones in runs/transfer.
"""

import copy
import datetime
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr, t
from single_sections import DOMAINS, SOURCES
from transfer_distances import Distances, measure_all, sources_of
from transfer_picture import Point, draw_transfer
from transfer_study import GENERALIST, LONG_SCRATCH, ROOT, SAMPLES, SCRATCH, read_rows

RESAMPLES = 200
TARGET = ROOT / "docs" / "results" / "transfer.md"

PREFACE = """\
A network for single sections (2-D, 275,000 weights) is trained on each source's whole train part (600 iterations),
then fine-tuned on n labelled samples of a target, each one section of 120 x 120 pixels of 8 nm (0.96 µm wide), for 80
iterations of 2 x 112 x 112 pixels, and scored on the target's test part: VOI in nats of watershed and agglomeration
in each section, at the threshold that was best on the n training samples. Scratch is the same network and the same
iterations from random weights, at a rate of its own (0.01; fine-tuning 0.003; both chosen in one pilot, mouse cortex
to larva L1, on train parts). The generalist is trained on all sources but the target's domain. A seed draws samples
and batches; sources of a target are compared on the same samples.

A distance is between features of 256 patches of each train part, raw alone; *own* is by the source's network,
*reference* by the generalist that never saw the target. *Hit rate*: share of cases (target, n) in which the nearest
source has the lowest mean VOI of all sources (the generalist is not among them); *regret*: by how much its VOI is
above the best's. Intervals are 95 % bootstrap over targets and seeds. Six targets are few: the way that looks best
among so many was found on the very cases that it is judged on, so its figure is too good."""

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
    """VOI of every target, source and number of samples, by seed; whole only where all sources are done."""

    def __init__(self, value: str = "voi") -> None:
        self.cells: dict[Cell, dict[int, float]] = defaultdict(dict)
        for row in read_rows():
            self.cells[row.target, row.source, row.n][row.seed] = getattr(row, value)
        self.cases = [
            (target, n)
            for n in sorted(SAMPLES)
            for target in DOMAINS
            if all((target, s, n) in self.cells for s in [*sources_of(target), SCRATCH, GENERALIST])
        ]

    def mean(self, target: str, source: str, n: int) -> float:
        """Return the mean over seeds."""
        return float(np.mean(list(self.cells[target, source, n].values())))

    def resample(self, random: np.random.Generator) -> "Study":
        """Return the study with seeds drawn again, the same for all sources of a target, and targets drawn again."""
        drawn = copy.copy(self)
        drawn.cells = {}
        picks: dict[tuple[str, int], np.ndarray] = {}
        for (target, source, n), by_seed in self.cells.items():
            values = list(by_seed.values())
            pick = picks.setdefault((target, n), random.integers(len(values), size=len(values)))
            drawn.cells[target, source, n] = {i: values[j % len(values)] for i, j in enumerate(pick)}
        targets = sorted({t for t, _ in self.cases})
        chosen = random.integers(len(targets), size=len(targets))
        drawn.cases = [case for i in chosen for case in self.cases if case[0] == targets[i]]
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


def correlate(study: Study, distances: Distances) -> float:
    """Return the mean over targets and numbers of samples of Spearman's correlation of distance with transferred VOI."""
    values = []
    for target, n in study.cases:
        sources = sources_of(target)
        voi, far = [study.mean(target, s, n) for s in sources], [distances[target, s] for s in sources]
        values.append(spearmanr(voi, far).statistic)
    return float(np.mean(values))


def interval(values: Sequence[float], digits: int = 2) -> str:
    """Return the central 95 % of resampled values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{low:.{digits}f} to {high:.{digits}f}"


def table_of_choices(study: Study, best: Study, measured: Mapping[str, Distances]) -> list[str]:
    """Return the rows of every way to choose a source, the best first."""
    ways: dict[str, Picks] = {name: pick_nearest(d) for name, d in measured.items()}
    ways |= {"same species, else any": pick_evenly(same_species), "any source, at random": pick_evenly(sources_of)}
    draws = [study.resample(np.random.default_rng(seed)) for seed in range(RESAMPLES)]
    rows = []
    for name, picks in ways.items():
        hit, near, regret = judge(study, picks)
        again = np.array([judge(draw, picks) for draw in draws])
        rho, rho_interval = "", ""
        if name in measured:
            rho = f"{correlate(study, measured[name]):.2f}"
            rho_interval = f" ({interval([correlate(draw, measured[name]) for draw in draws])})"
        line = (
            f"| {name} | {hit:.2f} ({interval(again[:, 0])}) | {near:.2f} | {regret:.1f} ({interval(again[:, 2], 1)}) "
            f"| {rho}{rho_interval} | {judge(best, picks)[0]:.2f} |"
        )
        rows.append((regret, line))
    head = "| choice of the source | hit rate | within 2 % | regret, % VOI | Spearman | hit rate, best threshold |"
    return [head, "|---|---|---|---|---|---|", *(line for _, line in sorted(rows))]


def table_of_misses(study: Study, name: str, distances: Distances) -> list[str]:
    """Return one row for every case in which the nearest source was not the best."""
    rows = ["| target | n | nearest | its VOI | best | its VOI | regret, % |", "|---|---|---|---|---|---|---|"]
    for target, n in study.cases:
        voi = {s: study.mean(target, s, n) for s in sources_of(target)}
        nearest, best = min(voi, key=lambda s: distances[target, s]), min(voi, key=lambda s: voi[s])
        if nearest != best:
            a, b = voi[nearest], voi[best]
            rows.append(f"| {target} | {n} | {nearest} | {a:.3f} | {best} | {b:.3f} | {100 * (a / b - 1):.1f} |")
    return [f"Nearest by {name}:", "", *rows]


def reduction(study: Study, target: str, source: str, against: str, n: int) -> tuple[float, float]:
    """Return by how many percent VOI is lower than another source's, seeds paired, and half of its 95 % t-interval."""
    ours, theirs = study.cells[target, source, n], study.cells[target, against, n]
    both = sorted(set(ours) & set(theirs))
    values = [100 * (1 - ours[s] / theirs[s]) for s in both]
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(half)


def table_against_scratch(study: Study, distances: Distances, n: int = 4) -> list[str]:
    """Return VOI and its reduction against scratch for every target."""
    rows = [
        "| target | scratch | nearest source | VOI | lower by, % | best source | lower by, % | generalist, lower by % "
        "| scratch 3x longer | nearest against that, lower by % |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for target in [case[0] for case in study.cases if case[1] == n]:
        nearest = min(sources_of(target), key=lambda s: distances[target, s])
        best = min(sources_of(target), key=lambda s: study.mean(target, s, n))

        def lower(source: str, against: str = SCRATCH, target: str = target) -> str:
            value, half = reduction(study, target, source, against, n)
            return f"{value:.0f} ± {half:.0f}"

        long = (target, LONG_SCRATCH, n) in study.cells
        rows.append(
            f"| {target} | {study.mean(target, SCRATCH, n):.3f} | {nearest} | {study.mean(target, nearest, n):.3f} "
            f"| {lower(nearest)} | {best} | {lower(best)} | {lower(GENERALIST)} "
            + (f"| {study.mean(target, LONG_SCRATCH, n):.3f} | {lower(nearest, LONG_SCRATCH)} |" if long else "| | |")
        )
    return rows


def table_of_voi(study: Study) -> list[str]:
    """Return the mean VOI of every target and source, by number of samples."""
    names = [*SOURCES, GENERALIST, SCRATCH]
    rows = ["| target | n | seeds | " + " | ".join(names) + " |", "|---" * (len(names) + 3) + "|"]
    for target, n in study.cases:
        seeds = len(study.cells[target, SCRATCH, n])
        shown = [f"{study.mean(target, s, n):.3f}" if (target, s, n) in study.cells else "" for s in names]
        rows.append(f"| {target} | {n} | {seeds} | " + " | ".join(shown) + " |")
    return rows


def main() -> None:
    """Measure and write."""
    study, best, measured = Study(), Study("best_voi"), measure_all()
    name = min((k for k in measured if k.startswith("MMD")), key=lambda k: judge(study, pick_nearest(measured[k]))[2])
    nearest = measured[name]
    points = [
        Point(
            target, source, n, nearest[target, source], study.mean(target, source, n) / study.mean(target, SCRATCH, n)
        )
        for target, n in study.cases
        for source in sources_of(target)
    ]
    draw_transfer(ROOT / "docs/results/pictures", points, name)
    minutes = sum(row.cpu_minutes for row in read_rows())
    text = [
        "# Which backbone transfers best?",
        "",
        PREFACE,
        "",
        f"Command: `python pipelines/transfer_study.py`, then `python pipelines/transfer_report.py`; "
        f"{datetime.date.today().isoformat()}; {len(read_rows())} runs of together {minutes:.0f} CPU minutes of "
        f"training; {len(study.cases)} of {len(DOMAINS) * len(SAMPLES)} cases (target, n) are whole.",
        "",
        "## Which distance predicts it",
        "",
        *table_of_choices(study, best, measured),
        "",
        "If the MMD to use is chosen for each target on the other targets alone: hit rate {:.2f}, within 2 % {:.2f}, regret "
        "{:.1f} %.".format(*judge_nested(study, measured)),
        "",
        "![distance and transferred VOI](pictures/transfer.png)",
        "",
        "### Misses",
        "",
        *table_of_misses(study, name, nearest),
        "",
        "## Against scratch, n = 4",
        "",
        *table_against_scratch(study, nearest),
        "",
        "## All",
        "",
        *table_of_voi(study),
    ]
    TARGET.write_text("\n".join(text) + "\n")
    print(TARGET)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
