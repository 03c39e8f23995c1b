"""How well do distances between domains predict transfer? The page, its figure and its tables, from the rows.

    python -m studies.transfer.report

Writes docs/results/transfer.md, docs/results/transfer_tables.md and docs/results/pictures/transfer.png. Needs no backbone.
"""

import os
from collections.abc import Mapping

import numpy as np

from benchmarks.tables import to_markdown
from studies.pages import PICTURES, RESULTS, claim, day_of, items, paragraph, today, write_page
from studies.pictures import Reduction, draw_reductions
from studies.single_sections import DOMAINS, PIXEL_NM
from studies.transfer.choices import DEFAULT, NESTED, THRESHOLDS, ChoiceRow, read_nearest
from studies.transfer.distances import sources_of
from studies.transfer.judgement import Study
from studies.transfer.reliability import (
    compare_trainings,
    gain_of_boxes,
    reduction,
    regret_of_generalist,
    simulate_ceiling,
    spread,
)
from studies.transfer.study import (
    FINE_TUNE,
    GENERALIST,
    LONG_SCRATCH,
    LONG_SCRATCH_SAMPLES,
    ROOT,
    ROWS,
    SAMPLE_PX,
    SAMPLES,
    SCRATCH,
    read_rows,
)
from studies.transfer.tables import RANDOM, judge_choices, show_reduction, write_tables

N, FEWEST, MOST = LONG_SCRATCH_SAMPLES, min(SAMPLES), max(SAMPLES)
# Sawmya et al. 2025, arXiv 2503.06196: VOI below scratch, and share of cases in which the nearest source is the best.
PAPER_PERCENT, PAPER_HIT = (25, 67), 0.992


class Facts:
    """What the page says, at the threshold that a user gets: the one chosen on the labelled samples.

    Attributes
    ----------
    lower, lower_long
        By target: percent by which VOI from the nearest source is below that of scratch, of long scratch; half the interval.
    losses
        By target, over all n: percent by which VOI is above the best source's, from the nearest, from any, from the generalist.
    """

    def __init__(self, studies: Mapping[str, Study], choices: Mapping[str, ChoiceRow]) -> None:
        self.studies, self.near = studies, read_nearest()
        self.study = study = studies["chosen"]
        self.targets = [target for target, n in study.cases if n == N]
        self.lower = {t: reduction(study, t, self.near[t], SCRATCH, N) for t in self.targets}
        self.lower_long = {t: reduction(study, t, self.near[t], LONG_SCRATCH, N) for t in self.targets}
        self.losses = {t: self._lose(t) for t in self.targets}
        self.nearest, self.nested, self.random = choices[DEFAULT], choices[NESTED], choices[RANDOM]

    def _lose(self, target: str) -> tuple[float, ...]:
        found = []
        for n in sorted(SAMPLES):
            voi = {s: self.study.mean(target, s, n) for s in sources_of(target)}
            starts = (voi[self.near[target]], np.mean(list(voi.values())), self.study.mean(target, GENERALIST, n))
            found.append([100 * (v / min(voi.values()) - 1) for v in starts])
        return tuple(np.mean(found, axis=0))


def tell_known(facts: Facts) -> str:
    """Return what the rows show."""
    values = [value for value, _ in facts.lower.values()]
    clear = sum(value > half for value, half in facts.lower.values())
    clear_long = sum(value > half for value, half in facts.lower_long.values())
    reached = sum(value >= PAPER_PERCENT[0] for value in values)
    near, count = facts.near, len(facts.targets)
    few, many = (gain_of_boxes(facts.study, near, a, b) for a, b in ((FEWEST, N), (N, MOST)))
    gains = [gain_of_boxes(facts.study, {t: near[t]}, FEWEST, N) for t in facts.targets]
    return items(
        "What is known",
        [
            claim(
                min(values) > 0 and clear > count / 2,
                f"A pretrained start helps. With {N} labelled boxes, mean VOI is {min(values):.0f} to {max(values):.0f} % lower "
                f"than from scratch. The 95 % interval excludes 0 on {clear} of {count} volumes. Sawmya et al. 2025 report "
                f"{PAPER_PERCENT[0]} to {PAPER_PERCENT[1]} %; {reached} of {count} volumes reach that.",
            ),
            claim(
                clear_long < clear,
                "A large part of the gain is training time. Against scratch trained three times as long, the interval excludes 0 "
                f"on {clear_long} of {count} volumes.",
            ),
            claim(
                min(gains) > 0 and few > max(many, facts.random.regret),
                f"The first few boxes matter most. With {N} boxes, VOI is {few:.0f} % lower than with {FEWEST} ({min(gains):.0f} "
                f"to {max(gains):.0f} %, by volume). With {MOST} it is {many:.0f} % lower than with {N}, after as many "
                "iterations.",
            ),
        ],
    )


def tell_unknown(facts: Facts) -> str:
    """Return what the rows cannot show."""
    between, within = spread(facts.study)
    nearest, nested, random = facts.nearest, facts.nested, facts.random
    again, again_best = (compare_trainings(facts.studies[threshold]) for threshold in ("chosen", "best"))
    return items(
        "What is not known",
        [
            claim(
                within > between and again < PAPER_HIT / 2,
                f"Which source is the best for a volume. Sources differ by {100 * between:.0f} % (standard deviation of log "
                f"VOI), and repeats of one source by {100 * within:.0f} %. The order of the sources after a second training of "
                f"them correlates with the first by {again:.2f} ({again_best:.2f} at the threshold that is best on the test "
                "part).",
            ),
            claim(
                nearest.regret_high > random.regret_low and nearest.regret < random.regret < nested.regret,
                "Whether a distance between images finds a good source. VOI from the nearest source is "
                f"{nearest.regret:.0f} % above the best source's ({nearest.regret_low:.0f} to {nearest.regret_high:.0f} %), from "
                f"a random source {random.regret:.0f} % ({random.regret_low:.0f} to {random.regret_high:.0f} %). But this "
                f"distance was selected on these volumes. If it is selected on the others, VOI is {nested.regret:.0f} % above "
                "the best.",
            ),
            claim(
                nearest.hit_low < random.hit < nearest.hit < PAPER_HIT,
                f"The nearest source is the best one in {100 * nearest.hit:.0f} % of the cases ({100 * nearest.hit_low:.0f} to "
                f"{100 * nearest.hit_high:.0f} %), a random one in {100 * random.hit:.0f} %. The means are so noisy that even a "
                f"perfect choice would look best in {100 * simulate_ceiling(facts.study):.0f} %. Sawmya et al. report "
                f"{100 * PAPER_HIT:.1f} %.",
            ),
        ],
    )


def tell_advice(facts: Facts) -> str:
    """Return what follows for a new volume."""
    general = regret_of_generalist(facts.study)
    return items(
        "What to do with a new volume",
        [
            claim(
                general < facts.random.regret,
                "Start from a pretrained network: the first of `neuroadda domains rank`, or the generalist, whose VOI is "
                f"{general:.0f} % above that of the best source.",
            ),
            f"Label {N} boxes rather than {FEWEST}. Do not spend time on the choice among the first few sources: `neuroadda "
            "adapt` compares them on your boxes, and leaves the first only for one that is clearly better.",
            "If you do not fine-tune, the choice of the network matters more. How well `domains rank` makes it, which looks at "
            "more than a distance, is in [ranking.md](ranking.md).",
        ],
    )


def tell_certainty(facts: Facts, seeds: int) -> str:
    """Return how far the page can be trusted."""
    species = {domain.organism for domain in DOMAINS.values()}
    return "## How sure\n\n" + paragraph(
        "Well supported: at the same number of iterations, a pretrained start and the first few boxes help. Unsure: everything "
        f"about the order of sources. There are {len(facts.targets)} volumes of {len(species)} species, {seeds} draws of boxes, "
        "two trainings of each source. The network is small, sees single sections and was fine-tuned for "
        f"{FINE_TUNE['iterations']} iterations. Nothing here is about larger, 3-D networks or long fine-tuning.",
    )


def table(facts: Facts) -> str:
    """Return the main table."""
    study, rows = facts.study, []
    for target in facts.targets:
        near = facts.near[target]
        vois = [f"{study.mean(target, s, N):.2f}" for s in (SCRATCH, near)]
        lower = [show_reduction(study, target, near, against, N) for against in (SCRATCH, LONG_SCRATCH)]
        rows.append([target, near, *vois, *lower, *(f"{value:z.0f}" for value in facts.losses[target])])
    falls = [f"{np.mean([value for value, _ in found.values()]):.0f}" for found in (facts.lower, facts.lower_long)]
    rows.append(
        ["mean", "", "", "", *falls, *(f"{value:.0f}" for value in np.mean(list(facts.losses.values()), axis=0))]
    )
    head = ["target", "nearest source", "VOI, scratch", "VOI, nearest", "lower, %", "lower than long, %"]
    return to_markdown([*head, "loss, nearest", "any", "generalist"], rows)


def draw(facts: Facts) -> None:
    """Draw, for every target, by how many percent VOI is lower than that of scratch from each start."""
    study, found = facts.study, []
    for target in facts.targets:
        starts = {
            s: reduction(study, target, s, SCRATCH, N)[0] for s in (*sources_of(target), GENERALIST, LONG_SCRATCH)
        }
        others = [value for s, value in starts.items() if s in sources_of(target) and s != facts.near[target]]
        found.append(Reduction(target, *facts.lower[target], others, starts[GENERALIST], starts[LONG_SCRATCH]))
    draw_reductions(PICTURES, found, N)


def main() -> None:
    """Write both pages and the figure."""
    studies = {threshold: Study(value) for threshold, value in THRESHOLDS.items()}
    choices = {threshold: judge_choices(threshold, study) for threshold, study in studies.items()}
    facts, rows = Facts(studies, choices["chosen"]), read_rows()
    draw(facts)
    seeds, width = len({row.seed for row in rows}), SAMPLE_PX * PIXEL_NM / 1000
    parts = [
        "# Which backbone transfers best?",
        paragraph(
            "**Start from a pretrained network. Which one matters less than labelling a few boxes more. No measure that we tried "
            "finds the best one reliably.**",
            "VOI measures the errors of a segmentation; 0 is perfect. *Scratch*: training starts from random weights. A "
            "*source*: a pretrained network to start from. The *nearest* one was trained on images that look most alike, by MMD "
            "of features. The *generalist* was trained on all domains but the volume's own. "
            f"A *box*: one labelled section, {width:.2f} µm wide. The threshold is the one that is best on the labelled boxes.",
        ),
        tell_known(facts),
        tell_unknown(facts),
        tell_advice(facts),
        tell_certainty(facts, seeds),
        "## By volume",
        paragraph(
            f"With {N} boxes: VOI from scratch and from the nearest source, and by how many percent the latter is lower (mean "
            "and 95 % interval over draws). *Long*: scratch trained three times as long. *Loss*: by how many percent VOI is "
            f"above the best source's, mean over {', '.join(map(str, sorted(SAMPLES)[:-1]))} and {MOST} boxes; *any*: mean over "
            "sources. The generalist is not one of the sources, so that it can be better than the best.",
        ),
        table(facts),
        f"![VOI lower than from scratch, by start, with {N} labelled boxes](pictures/transfer.png)",
        items(
            "How to rerun",
            [
                "This page, from the rows: `python -m studies.transfer.report`. The rows: `python -m studies.transfer.study`, "
                "then `studies.transfer.zero_shot` and `studies.transfer.choices`.",
                f"Rows, committed on {day_of(ROWS)} ([transfer.csv](transfer.csv)): {len(rows)} runs, "
                f"{sum(row.cpu_minutes for row in rows):.0f} CPU minutes of training on AMD EPYC and Intel Xeon processors, no "
                f"GPU. Page of {today()}.",
                "All tables, both thresholds, all distances, and how the study was made: "
                "[transfer_tables.md](transfer_tables.md).",
            ],
        ),
    ]
    write_page(RESULTS / "transfer.md", parts, short=True)
    write_tables(studies, choices)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
