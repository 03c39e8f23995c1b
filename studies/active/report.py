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
from studies.transfer.study import FINE_TUNE, ROOT, SAMPLE_PX, SAMPLES

FEWEST, SOME, MOST = sorted(SAMPLES)
DEFAULT = ChooseConfig().strategy
MEDIAN, EXTREMES = "median", ("max", "diverse", "min")
PAPER_SHARE = 0.83  # of cases in which the median helps: Sawmya et al. 2025, arXiv 2503.06196


def percent(found: Interval) -> str:
    """Return a change, and its interval."""
    return f"{found[0]:.0f} % ({found[1]:.0f} to {found[2]:.0f} %)"


def tell_known(chosen: Judged, best: Judged) -> str:
    """Return what the rows show."""
    few, many = (gain_of_boxes(chosen.study, a, b) for a, b in ((FEWEST, SOME), (SOME, MOST)))
    worst = {name: chosen.change[name, None] for name in EXTREMES}
    return items(
        "What is known",
        [
            claim(
                few > -chosen.change[DEFAULT, None][0] and few > many > 0,
                f"How many boxes matters more than which. With {SOME} random boxes, VOI is {few:.0f} % lower than with {FEWEST}; "
                f"with {MOST} it is {many:.0f} % lower than with {SOME}, after as many iterations.",
            ),
            claim(
                all(judged.change[name, None][0] > 0 for name in EXTREMES for judged in (chosen, best))
                and min(judged.change["min", None][1] for judged in (chosen, best)) > 0
                and max(worst[name][1] for name in ("max", "diverse")) < 0,
                "Extremes do not help. VOI is higher than with random boxes from the same network: by "
                f"{percent(worst['min'])} for the surest boxes (`min`), by {percent(worst['max'])} for the least sure (`max`). "
                "For boxes that look most different, whatever their score (`diverse`), it is higher by "
                f"{percent(worst['diverse'])}. Only for `min` the interval excludes 0.",
            ),
        ],
    )


def tell_unknown(chosen: Judged, best: Judged) -> str:
    """Return what the rows cannot show."""
    one, some, most = (chosen.change[DEFAULT, n] for n in (FEWEST, SOME, MOST))
    return items(
        "What is not known",
        [
            claim(
                rank(chosen.study)[0] == rank(best.study)[0] == DEFAULT
                and chosen.change[DEFAULT, None][2] < 0 < best.change[DEFAULT, None][2],
                f"Whether the default, `{DEFAULT}`, is better than random boxes. Its VOI changes by "
                f"{percent(chosen.change[DEFAULT, None])}; at the threshold that is best on the test part, by "
                f"{percent(best.change[DEFAULT, None])}, which includes 0. It is the best of {len(STRATEGIES)} strategies on the "
                "volumes that it was selected on. No others have judged it.",
            ),
            claim(
                one[2] < 0 < min(some[2], most[2]) and one[0] < some[0] < most[0],
                f"Whether it helps beyond the first box: {percent(one)} with {FEWEST} box, {percent(some)} with {SOME}, "
                f"{percent(most)} with {MOST}.",
            ),
            claim(
                max(chosen.helps[name][0] for name in (MEDIAN, DEFAULT)) < PAPER_SHARE,
                f"Whether the median is as good as Sawmya et al. 2025 report. There it helps in {PAPER_SHARE:.2f} of the cases, "
                f"here in {show_interval(*chosen.helps[MEDIAN])}; the default in {show_interval(*chosen.helps[DEFAULT])}.",
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
                f"Label {SOME} boxes, those that `neuroadda propose` or `neuroadda adapt` shows. The default strategy was never "
                "clearly worse than random boxes.",
            ),
            "If you would rather choose places yourself, spread them over the tissue at random. Do not take only the places "
            "where the network is least sure or surest (`max`, `min`), nor only the odd ones (`diverse`).",
            claim(
                chosen.change[DEFAULT, FEWEST][2] < 0,
                f"If you can label only {FEWEST}, take the one that is proposed first.",
            ),
        ],
    )


def tell_certainty(chosen: Judged) -> str:
    """Return how far the page can be trusted."""
    seeds = max(len(values) for cell in chosen.study.cells.values() for values in cell.values())
    species, side = len({domain.organism for domain in DOMAINS.values()}), SAMPLE_PX * PIXEL_NM / 1000
    return "## How sure\n\n" + paragraph(
        "Well supported: the first few boxes help, and the surest boxes are a bad choice. Unsure: the order of the others. There "
        f"are {len({t for t, _ in chosen.study.cells})} volumes of {species} species, {seeds} repeats of each, boxes of one "
        f"section, {side:.2f} µm wide, and a small network for single sections that was fine-tuned for {FINE_TUNE['iterations']} "
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
        paragraph(
            "**Which boxes you label matters less than how many. Take those that are proposed, or random ones; do not label only "
            "the least sure or the surest places.**",
            f"VOI measures the errors of a segmentation; 0 is perfect. A *box*: one section, {SAMPLE_PX * PIXEL_NM / 1000:.2f} "
            "µm wide. A strategy chooses boxes by how unsure a pretrained network is there, before anything is labelled. "
            f"`{MEDIAN}`: boxes as unsure as the volume's median box; `{DEFAULT}`: boxes near the median that look different "
            "from each other.",
        ),
        tell_known(chosen, best),
        tell_unknown(chosen, best),
        tell_advice(chosen, best),
        tell_certainty(chosen),
        "## By strategy",
        paragraph(
            "By how many percent VOI is above that of random boxes (below 0 is better; 95 % interval over volumes and repeats), "
            "and the share of cases (a volume, a number of boxes) in which it is lower. The threshold is the one that is best on "
            "the labelled boxes; in the last column, on the test part.",
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
