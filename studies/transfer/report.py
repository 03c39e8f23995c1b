"""How well do distances between domains predict transfer? The page, its figure and its tables, from the rows.

    python -m studies.transfer.report

Writes docs/results/transfer.md, docs/results/transfer_tables.md and docs/results/pictures/transfer.png. Needs no backbone.
"""

import os

import numpy as np

from benchmarks.tables import to_markdown
from studies.pages import PICTURES, RESULTS, claim, day_of, items, paragraph, today, write_page
from studies.pictures import Reduction, draw_reductions
from studies.rows import read_table
from studies.single_sections import DOMAINS, PIXEL_NM
from studies.transfer.choices import THRESHOLDS
from studies.transfer.distances import sources_of
from studies.transfer.facts import ANY, FEWEST, GENERAL, MOST, NEAREST, Facts, N
from studies.transfer.judgement import Study
from studies.transfer.reliability import compare_trainings, gain_of_boxes, reduction, simulate_ceiling, spread
from studies.transfer.study import (
    FINE_TUNE,
    GENERALIST,
    LONG_SCRATCH,
    ROOT,
    ROWS,
    SAMPLE_PX,
    SAMPLES,
    SCRATCH,
    read_rows,
)
from studies.transfer.tables import judge_choices, show_reduction, write_tables
from studies.transfer.zoo_backbones import ROWS as ZOO_ROWS
from studies.transfer.zoo_backbones import TARGETS
from studies.transfer.zoo_backbones import Row as ZooRow
from studies.transfer.zoo_page import ENOUGH, find_reached

# Sawmya et al. 2025, arXiv 2503.06196: VOI below scratch, and share of cases in which the nearest source is the best.
PAPER_PERCENT, PAPER_HIT = (25, 67), 0.992


def tell_known(facts: Facts) -> str:
    """Return what the rows show."""
    values, long = ([value for value, _ in found.values()] for found in (facts.lower, facts.lower_long))
    clear, clear_long = (
        sum(value > half for value, half in found.values()) for found in (facts.lower, facts.lower_long)
    )
    anyone = facts.lower_random.values()
    count, gains, odd = len(facts.targets), facts.gains.values(), facts.losses[facts.odd]
    few, many = (gain_of_boxes(facts.study, facts.near, a, b) for a, b in ((FEWEST, N), (N, MOST)))
    others = [facts.losses[target][ANY] for target in facts.others]
    return items(
        "What is known",
        [
            claim(
                min(*values, *anyone) > 0 and clear > count / 2,
                f"A pretrained start helps. With {N} boxes, VOI from the nearest source is {min(values):.0f} to "
                f"{max(values):.0f} % "
                f"lower than from scratch, by volume; from a random source, {min(anyone):.0f} to {max(anyone):.0f} %. For the "
                f"nearest, the 95 % interval excludes 0 on {clear} of {count} volumes.",
            ),
            claim(
                clear_long < clear and np.mean(long) < np.mean(values),
                "Longer training from scratch makes up for a part of it. Against scratch trained three times as long, VOI from the "
                f"nearest is {min(long):.0f} to {max(long):.0f} % lower; the interval excludes 0 on {clear_long} of {count}.",
            ),
            claim(
                min(gains) > 0 and few > max(many, facts.random.regret),
                f"The first few boxes matter most. With {N} boxes, VOI from the nearest source is {few:.0f} % lower than with "
                f"{FEWEST} ({min(gains):.0f} to {max(gains):.0f} %, by volume). With {MOST} it is {many:.0f} % lower than with "
                f"{N}. Each was trained for {FINE_TUNE['iterations']} iterations.",
            ),
            claim(
                max(others) < facts.random.regret + 2 and min(odd[ANY], odd[GENERAL]) > 1.5 * max(others),
                f"The choice costs much on one volume. On {facts.odd}, the loss of a random source is {odd[ANY]:.0f} %, of the "
                f"generalist {odd[GENERAL]:.0f} %. On the other {len(others)}, a random source loses {min(others):.0f} to "
                f"{max(others):.0f} %.",
            ),
        ],
    )


def tell_unknown(facts: Facts) -> str:
    """Return what the rows cannot show."""
    between, within = spread(facts.study)
    nearest, nested, random = facts.nearest, facts.nested, facts.random
    again, again_best = (compare_trainings(facts.studies[threshold]) for threshold in ("chosen", "best"))
    near, anyone = (facts.loss_of_others(column) for column in (NEAREST, ANY))
    wins = sum(loss[NEAREST] < loss[ANY] for loss in facts.losses.values())
    reached = sum(value >= PAPER_PERCENT[0] for value, _ in facts.lower.values())
    larger = find_reached(read_table(ZOO_ROWS, ZooRow))
    return items(
        "What is not known",
        [
            claim(
                within > between and again < PAPER_HIT / 2,
                f"Which source is the best for a volume. Sources differ by {100 * between:.0f} % (standard deviation of log "
                f"VOI); between draws, one source varies by {100 * within:.0f} %, less what a draw changes for all. "
                f"The orders of two trainings correlate by {again:.2f} (Spearman; {again_best:.2f} at the best threshold).",
            ),
            claim(
                nearest.regret_high > random.regret_low
                and nearest.regret < random.regret < nested.regret
                and anyone - near < (random.regret - nearest.regret) / 2,
                f"Whether a distance between images finds a good source. The nearest source loses {nearest.regret:.0f} % (95 % "
                f"interval {nearest.regret_low:.0f} to {nearest.regret_high:.0f} %), a random one {random.regret:.0f} % "
                f"({random.regret_low:.0f} to {random.regret_high:.0f} %). But the nearest loses less on only {wins} of "
                f"{len(facts.targets)} volumes; if the distance is selected on the other volumes, its nearest loses "
                f"{nested.regret:.0f} %.",
            ),
            claim(
                nearest.hit_low < random.hit < nearest.hit < PAPER_HIT,
                f"How often the nearest is the best: in {100 * nearest.hit:.0f} % of the cases "
                f"({100 * nearest.hit_low:.0f} to {100 * nearest.hit_high:.0f} %), a random one in {100 * random.hit:.0f} %, in "
                f"Sawmya et al. in {100 * PAPER_HIT:.1f} %. With the spreads above, the truly best source would come out best in "
                f"only {100 * simulate_ceiling(facts.study):.0f} % (simulated).",
            ),
            claim(
                reached < len(facts.targets) and len(larger) < ENOUGH,
                f"Why VOI is not lowered more. Sawmya et al. 2025 report {PAPER_PERCENT[0]} to {PAPER_PERCENT[1]} %; "
                f"here, {reached} of {len(facts.targets)} volumes reach {PAPER_PERCENT[0]} %. With the zoo's larger "
                f"backbones {len(larger)} of {len(TARGETS)} do, so small networks are not the reason. Training and volumes differ.",
            ),
        ],
    )


def tell_advice(facts: Facts) -> str:
    """Return what follows for a new volume."""
    general = [loss[GENERAL] for loss in facts.losses.values()]
    return items(
        "What to do with a new volume",
        [
            claim(
                np.mean(general) < facts.random.regret,
                f"Start from a pretrained backbone: the generalist (loss {np.mean(general):.0f} %), or the first of `neuroadda "
                "domains rank`, tested in [ranking.md](ranking.md), and fine-tuned in [transfer_zoo.md](transfer_zoo.md).",
            ),
            f"Label {N} boxes rather than {FEWEST}. Then leave the choice to `neuroadda adapt`: it starts from the first of the "
            "ranking, or from one of the next if that is clearly better on your boxes.",
        ],
    )


def tell_certainty(facts: Facts, seeds: int) -> str:
    """Return how far the page can be trusted."""
    species = {domain.organism for domain in DOMAINS.values()}
    return "## How sure\n\n" + paragraph(
        "Well supported: at the same number of iterations, a pretrained start and the first few boxes help. Unsure: everything "
        "about the order of sources. There are "
        f"{len(facts.targets)} volumes of {len(species)} species, {seeds} draws of boxes, "
        "two trainings of each source. The backbones are small and for single sections, fine-tuned for "
        f"{FINE_TUNE['iterations']} iterations. Nothing here is about long fine-tuning.",
    )


def tell_table(seeds: int) -> str:
    """Return how the table and the figure are read."""
    return paragraph(
        f"With {N} boxes: VOI from scratch and from the nearest source, and by how many percent it is lower from the nearest than "
        f"from scratch, and than from *long* scratch, trained three times as long: mean over {seeds} draws of boxes and 95 % "
        "interval; not percentages of the mean VOIs. Losses: mean over "
        f"{', '.join(map(str, sorted(SAMPLES)[:-1]))} and {MOST} boxes; *random*: mean over sources. A "
        "generalist's can be below 0.",
    )


def table(facts: Facts) -> str:
    """Return the main table."""
    study, rows = facts.study, []
    for target in facts.targets:
        near = facts.near[target]
        vois = [f"{study.mean(target, s, N):.2f}" for s in (SCRATCH, near)]
        lower = [show_reduction(study, target, near, against, N, 1) for against in (SCRATCH, LONG_SCRATCH)]
        rows.append([target, near, *vois, *lower, *(f"{value:z.0f}" for value in facts.losses[target])])
    falls = [f"{np.mean([value for value, _ in found.values()]):.1f}" for found in (facts.lower, facts.lower_long)]
    rows.append(
        ["mean", "", "", "", *falls, *(f"{value:.0f}" for value in np.mean(list(facts.losses.values()), axis=0))]
    )
    head = ["target", "nearest source", "VOI scratch", "VOI nearest", "lower, %", "than long, %"]
    return to_markdown([*head, *(f"loss {start}" for start in ("nearest", "random", "generalist"))], rows)


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
            claim(
                facts.random.regret < min(np.mean(list(facts.gains.values())), facts.losses[facts.odd][ANY]),
                f"**Start from a pretrained backbone, and label {N} boxes rather than {FEWEST}. Up to {N} boxes, their number "
                "matters more than which backbone it is, on all volumes but one. That a distance between "
                "images finds the best one is not shown.** Larger, 3-D backbones: [transfer_zoo.md](transfer_zoo.md).",
            ),
            "VOI measures errors of segmentation; 0 is perfect. *Scratch*: training starts from random weights. *Source*: a "
            "backbone to start from, trained on one other domain (a kind of tissue and imaging). *Nearest*: the source with the "
            "most similar images, by MMD of a backbone's features. *Generalist*: trained on the domains of all "
            "sources, but not the volume's own. *Box*: one labelled section, "
            f"{width:.2f} µm wide. *Case*: a volume and a number of boxes. *Loss*: by how many percent VOI is above the best "
            "source's. VOI is of a part not trained on, at the threshold best on the boxes; *best threshold*: on that part.",
        ),
        tell_known(facts),
        tell_unknown(facts),
        tell_advice(facts),
        tell_certainty(facts, seeds),
        "## By volume",
        tell_table(seeds),
        table(facts),
        f"![VOI lower than from scratch, by start, with {N} labelled boxes](pictures/transfer.png)",
        items(
            "How to rerun",
            [
                "This page, from the rows: `python -m studies.transfer.report`. The rows: `python -m studies.transfer.study`, "
                "then `studies.transfer.zero_shot` and `studies.transfer.choices`.",
                f"Rows, committed on {day_of(ROWS)} ([transfer.csv](transfer.csv)): {len(rows)} runs, "
                f"{sum(row.cpu_minutes for row in rows):.0f} CPU minutes of training on AMD EPYC and Intel Xeon processors, no "
                f"GPU. Page of {today()}. All tables, and how the study was made: [transfer_tables.md](transfer_tables.md).",
            ],
        ),
    ]
    write_page(RESULTS / "transfer.md", parts, short=True)
    write_tables(studies, choices)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
