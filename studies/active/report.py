"""Does it matter which boxes are labelled? The page, its figure and its tables, from the rows.

    python -m studies.active.report

Writes docs/results/boxes.md, docs/results/boxes_tables.md and docs/results/pictures/boxes.png from docs/results/active.csv and
docs/results/transfer.csv.
"""

import os
from collections.abc import Mapping

from benchmarks.tables import to_markdown
from neuroadda.active.strategies import ChooseConfig
from studies.active.judgement import Interval, Judged, Study, gain_of_boxes
from studies.active.study import ROWS, STRATEGIES
from studies.active.tables import THRESHOLDS, rank, write_tables
from studies.pages import PICTURES, RESULTS, claim, day_of, items, paragraph, show_interval, today, write_page
from studies.pictures import draw_strategies
from studies.single_sections import DOMAINS, PIXEL_NM
from studies.transfer import judgement, reliability
from studies.transfer.choices import read_nearest
from studies.transfer.study import FINE_TUNE, ROOT, SAMPLE_PX, SAMPLES

FEWEST, SOME, MOST = sorted(SAMPLES)
DEFAULT = ChooseConfig().strategy
MEDIAN, VOXELS = "median", "median of median voxels"
SUREST, DOUBTFUL = "min", ("max", "diverse")
PAPER_SHARE = 0.83  # of cases in which the median helps: Sawmya et al. 2025, arXiv 2503.06196


def compare(found: Interval) -> str:
    """Return by how many percent VOI is lower or higher than that of random boxes, and the interval, below 0 if lower."""
    value, low, high = found
    start = f"{low:.{1 if abs(low) < 0.5 else 0}f}"
    return f"{abs(value):.0f} % {'lower' if value < 0 else 'higher'} ({start} to {high:.0f} %)"


def count_volumes(judged: Judged, n: int) -> int:
    """Return how many volumes have room for n boxes."""
    return sum(m == n for _, m in judged.study.cells)


def count_seeds(judged: Judged) -> int:
    """Return how often everything was done again."""
    return max(len(values) for cell in judged.study.cells.values() for values in cell.values())


def tell_known(chosen: Judged, best: Judged) -> str:
    """Return what the rows show."""
    few, many = (gain_of_boxes(chosen.study, a, b) for a, b in ((FEWEST, SOME), (SOME, MOST)))
    there, near = judgement.Study("voi"), read_nearest()
    few_there, many_there = (reliability.gain_of_boxes(there, near, a, b) for a, b in ((FEWEST, SOME), (SOME, MOST)))
    span = [chosen.change[name, SOME][0] for name in STRATEGIES]
    first, surest = chosen.change[DEFAULT, FEWEST], [judged.change[SUREST, None] for judged in (chosen, best)]
    return items(
        "What is known",
        [
            claim(
                few > 3 * many > 0 and few_there > 3 * many_there > 0,
                f"{SOME} boxes are better than {FEWEST}. With {SOME} random boxes, VOI is {few:.0f} % lower than with {FEWEST}; "
                f"with {MOST} it is {many:.0f} % lower than with {SOME}. Each was trained for {FINE_TUNE['iterations']} "
                f"iterations. [transfer.md](transfer.md) has {few_there:.0f} and {many_there:.0f} %, from more draws and volumes.",
            ),
            claim(
                many < few / 3 and -min(span) > many and few > -first[0] > few / 2 and first[2] < 0,
                f"With {FEWEST} box, the choice is worth nearly as much as {SOME - FEWEST} more: VOI of the default strategy, "
                f"which was selected on these volumes, is {compare(first)}. With {SOME}, VOI of the strategies is from "
                f"{-min(span):.0f} % lower to {max(span):.0f} % higher than random boxes'.",
            ),
            claim(
                min(low for _, low, _ in surest) > 0 and all(chosen.change[SUREST, n][1] < 0 for n in SAMPLES),
                f"The surest boxes (`{SUREST}`) were worse than random ones: over all cases, VOI is {compare(surest[0])}. For "
                f"{FEWEST}, {SOME} or {MOST} boxes alone, each interval includes 0. At the best threshold, it is "
                f"{compare(surest[1])}.",
            ),
        ],
    )


def tell_unknown(chosen: Judged, best: Judged) -> str:
    """Return what the rows cannot show."""
    one, some, most = (chosen.change[DEFAULT, n] for n in (FEWEST, SOME, MOST))
    unsure, odd = (chosen.change[name, None] for name in DOUBTFUL)
    unsure_best, odd_best = (best.change[name, None] for name in DOUBTFUL)
    return items(
        "What is not known",
        [
            claim(
                max(unsure[1], odd[1]) < 0 < min(unsure[0], odd[0], unsure_best[1], odd_best[1]),
                f"Whether the least sure boxes (`max`) and the odd ones (`diverse`) are worse than random ones. It is likely: VOI "
                f"is {compare(unsure)} and {compare(odd)}. Both intervals include 0. At the best threshold, neither "
                f"does: {compare(unsure_best)} and {compare(odd_best)}.",
            ),
            claim(
                rank(chosen.study)[0] == rank(best.study)[0] == DEFAULT
                and chosen.change[DEFAULT, None][2] < 0 < best.change[DEFAULT, None][2],
                f"Whether the default, `{DEFAULT}`, is better than random boxes. VOI is {compare(chosen.change[DEFAULT, None])}; "
                f"at the best threshold, {compare(best.change[DEFAULT, None])}, which includes 0. It was selected, as the "
                f"best of {len(STRATEGIES)} strategies, on these volumes, and tested on no others.",
            ),
            claim(
                one[2] < 0 < min(some[2], most[2]) and one[0] < some[0] < most[0],
                f"Whether the default helps beyond the first box: VOI is {compare(one)} with {FEWEST} box, {compare(some)} with "
                f"{SOME}, {compare(most)} with {MOST}.",
            ),
            claim(
                max(chosen.helps[name][0] for name in (MEDIAN, DEFAULT)) < PAPER_SHARE < chosen.helps[MEDIAN][2],
                f"`{MEDIAN}` helps in {show_interval(*chosen.helps[MEDIAN])} of the cases, in Sawmya et al. 2025 in "
                f"{PAPER_SHARE:.2f}. Whether the two differ is not shown.",
            ),
        ],
    )


def tell_advice(chosen: Judged, best: Judged) -> str:
    """Return what follows for a new volume."""
    lowest = max(found[1] for judged in (chosen, best) for (name, _), found in judged.change.items() if name == DEFAULT)
    return items(
        "What to do with a new volume",
        [
            claim(
                lowest < 0,
                f"Label {SOME} boxes, those that `neuroadda propose` or `neuroadda adapt` shows: in no case "
                "is VOI clearly higher than with random ones.",
            ),
            f"If you would rather choose places yourself, spread them over the tissue at random. Do not take only the surest "
            f"(`{SUREST}`). Avoid only the least sure (`max`) or only the odd ones (`diverse`).",
            claim(
                chosen.change[DEFAULT, FEWEST][2] < 0,
                f"If you can label only {FEWEST}, take the one that is proposed first.",
            ),
        ],
    )


def tell_certainty(chosen: Judged, best: Judged) -> str:
    """Return how far the page can be trusted."""
    species, side = len({domain.organism for domain in DOMAINS.values()}), SAMPLE_PX * PIXEL_NM / 1000
    return "## How sure\n\n" + paragraph(
        claim(
            0 < chosen.change[SUREST, None][1] < 5 < best.change[SUREST, None][1],
            "Well supported: the first few boxes help. Less sure, as the interval nearly reaches 0: the surest boxes are a bad "
            "choice.",
        ),
        f"Unsure: the order of the others. There are {count_volumes(chosen, SOME)} volumes of {species} species, "
        f"{count_seeds(chosen)} repeats of each (other random boxes and other batches in training), boxes of one section, "
        f"{side:.2f} µm wide, and a small backbone for single sections that was fine-tuned for {FINE_TUNE['iterations']} "
        "iterations.",
    )


def table(chosen: Judged, best: Judged) -> str:
    """Return the main table."""
    rows = []
    for name in rank(chosen.study):
        changes = [show_interval(*chosen.change[name, n], 0) for n in (FEWEST, SOME, MOST, None)]
        overall = show_interval(*best.change[name, None], 0)
        rows.append(
            [f"{name} (default)" if name == DEFAULT else name, *changes, f"{chosen.helps[name][0]:.2f}", overall]
        )
    heads = [f"{n} box{'es' * (n > 1)}" for n in (FEWEST, SOME, MOST)]
    return to_markdown(["strategy", *heads, "all", "helps in", "all, best threshold"], rows)


def tell_conclusion(chosen: Judged) -> str:
    """Return the first paragraph."""
    volumes = [count_volumes(chosen, n) for n in (SOME, MOST)]
    return paragraph(
        f"**Label {SOME} boxes rather than {FEWEST}. More than {SOME} help little. Take those that are proposed, or random "
        "ones. Do not label only the surest places.**",
        f"VOI measures the errors of a segmentation; 0 is perfect. A *box*: one section, {SAMPLE_PX * PIXEL_NM / 1000:.2f} µm "
        "wide. Its *score*: how unsure a pretrained backbone is there, before anything is labelled (mean entropy of its "
        f"affinities). A strategy chooses boxes. `{SUREST}`, `max`: the lowest, the highest scores; `{MEDIAN}`: the scores nearest "
        f"to the volume's median. `{VOXELS}`: the same, but a box's score is that of its median voxel. `diverse`: boxes that look "
        f"different, whatever their score. `{DEFAULT}`: the same among those near the median. A *case*: a volume and a number of "
        f"boxes; {len(chosen.study.cells)}, as {volumes[0] - volumes[1]} volume has no room for {MOST} boxes. VOI is of a "
        "labelled part that is not trained on, at the threshold that is best on the labelled boxes; *best threshold*: the one "
        "that is best on that part. In brackets are 95 % intervals; below 0, VOI is lower than random boxes'.",
    )


def main() -> None:
    """Write both pages and the figure."""
    judged: Mapping[str, Judged] = {value: Judged(Study(value)) for value in THRESHOLDS}
    chosen, best = judged["voi"], judged["best_voi"]
    rows = chosen.study.rows
    draw_strategies(
        PICTURES, rank(chosen.study), {(name, n): found for (name, n), found in chosen.change.items() if n is not None}
    )
    parts = [
        "# Does it matter which boxes are labelled?",
        tell_conclusion(chosen),
        tell_known(chosen, best),
        tell_unknown(chosen, best),
        tell_advice(chosen, best),
        tell_certainty(chosen, best),
        "## By strategy",
        paragraph(
            "By how many percent VOI is higher than random boxes' (below 0: lower, which is better), with 95 % intervals over "
            f"volumes and repeats; *all*: mean over the {len(chosen.study.cells)} cases. *Helps in*: the share of cases in which "
            f"VOI is lower. `{MEDIAN}` and `{DEFAULT}` take the same first box. The last column is at the best "
            "threshold. The figure shows the "
            f"columns of {FEWEST} to {MOST} boxes; its bars are the same intervals.",
        ),
        table(chosen, best),
        "![VOI against that of random boxes, by strategy and number of boxes](pictures/boxes.png)",
        items(
            "How to rerun",
            [
                "This page, from the rows: `python -m studies.active.report`. The rows: `python -m studies.active.study`, after "
                "the study of [transfer](transfer.md).",
                f"Rows, committed on {day_of(ROWS)} ([active.csv](active.csv)): {len(rows)} runs, "
                f"{sum(row.cpu_minutes for row in rows):.0f} CPU minutes of training, no GPU; the processor was not noted. Page "
                f"of {today()}.",
                "All tables, both thresholds, and how the study was made: [boxes_tables.md](boxes_tables.md).",
            ],
        ),
    ]
    write_page(RESULTS / "boxes.md", parts, short=True)
    write_tables(judged)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
