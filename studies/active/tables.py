"""All tables of the study of boxes: the page docs/results/boxes_tables.md."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from benchmarks.tables import to_markdown
from studies.active.judgement import Judged, Study, boxes_needed
from studies.active.study import RANDOM, STRATEGIES
from studies.pages import RESULTS, items, paragraph, show_interval, write_page
from studies.single_sections import DOMAINS, PIXEL_NM
from studies.transfer.distances import sources_of
from studies.transfer.study import FINE_TUNE, SAMPLE_PX, SAMPLES, SCRATCH, read_rows

THRESHOLDS = {"voi": "the threshold chosen on the boxes", "best_voi": "the best threshold"}
NAMES = (RANDOM, *STRATEGIES)


def write_tables(judged: Mapping[str, Judged]) -> None:
    """Write the page; studies by their column of VOI."""
    parts = [
        "# Does it matter which boxes are labelled? All tables",
        paragraph("The conclusion is in [boxes.md](boxes.md)."),
    ]
    parts.append(_tell_setting(next(iter(judged.values())).study))
    for value, title in reversed(THRESHOLDS.items()):
        study = judged[value].study
        parts += [
            f"## At {title}",
            "### Against random boxes from the same backbone",
            table_of_strategies(judged[value]),
        ]
        parts += [f"### Labelled pixels (thousands) needed to reach the VOI of {max(SAMPLES)} random boxes"]
        parts += ["Between means of few seeds, by the first crossing: a rough figure.", table_of_voxels(study)]
        parts += ["### All (mean ± standard deviation over seeds)", table_of_voi(study, value)]
    write_page(RESULTS / "boxes_tables.md", parts)


def _tell_setting(study: Study) -> str:
    sources = {row.target: row.source for row in study.rows}
    fewer = [t for t in sources if (t, max(SAMPLES)) not in study.cells]
    sentences = [
        "Each target of [the transfer study](transfer.md) is fine-tuned from its nearest source on n boxes of its train part, "
        f"each one section of {SAMPLE_PX} x {SAMPLE_PX} pixels of {PIXEL_NM:g} nm. A strategy chooses them from a lattice of "
        "half-overlapping boxes, scored by the entropy of that source's predictions. No label is looked at before.",
        f"All else is as there: {FINE_TUNE['iterations']} iterations, VOI in nats on the target's test part.",
        "*random*: random boxes from the same backbone, those of the transfer study where it has them.",
        "*median* in both readings: the box whose mean score is nearest the pool's median, and the same of its median voxel's "
        "score.",
        "Seeds draw batches, what is random in a strategy, and the random boxes. Median, max and min choose the same boxes for "
        "every seed, so that their intervals hold what training adds, and little of what other boxes of the same kind would "
        "give.",
        f"A case is a target and an n. There is no room for {max(SAMPLES)} boxes in {', '.join(fewer) or 'none'}.",
        "Scratch and *any source* (the mean over sources) are means of all seeds of the transfer study.",
        "The best of so many strategies on so few targets is chosen on the cases that it is judged on.",
        "Intervals are 95 % bootstrap over targets and seeds.",
        "Nearest sources: " + ", ".join(f"{t} from {s}" for t, s in sources.items()) + ".",
        "A guess why extremes do not help: the surest boxes are empty of what there is to learn, the least sure ones full of "
        "what cannot be labelled well, and of artefacts. Boxes unlike each other, whatever their score, are often outliers.",
    ]
    return items("How it was made", sentences)


def table_of_strategies(judged: Judged) -> str:
    """Return one row a strategy: VOI against random boxes, by n and in all, and the share of cases in which it helps."""
    study, rows = judged.study, []
    counts = [n for n in sorted(SAMPLES) if any(m == n for _, m in study.cells)]
    for name in rank(study):
        changes = [show_interval(*judged.change[name, n], 1) for n in (*counts, None)]
        runs = sum(len(cell[name]) for cell in study.cells.values())
        rows.append([name, *changes, show_interval(*judged.helps[name]), runs])
    heads = [f"n = {n}, VOI above random's, %" for n in counts]
    return to_markdown(["strategy", *heads, "all n", "helps in", "seeds' runs"], rows)


def rank(study: Study) -> list[str]:
    """Return the strategies, that of the lowest VOI first."""
    return sorted(STRATEGIES, key=lambda name: study.change(name, list(study.cells)))


def table_of_voxels(study: Study) -> str:
    """Return the labelled voxels that each strategy needs to be as good as the most random boxes."""
    most, rows = max(SAMPLES), []
    for target in [t for t in DOMAINS if (t, most) in study.cells]:
        needed = [boxes_needed(study, target, name) for name in NAMES]
        shown = [
            f"{n * SAMPLE_PX**2 / 1000:.0f}" if np.isfinite(n) else f"> {most * SAMPLE_PX**2 / 1000:.0f}"
            for n in needed
        ]
        rows.append([target, *shown])
    return to_markdown(["target", *NAMES], rows)


def table_of_voi(study: Study, value: str) -> str:
    """Return the paper's table: scratch, any source, the nearest source with random boxes and with every strategy.

    The first two are means of all seeds of the transfer study.
    """
    others: Mapping[tuple[str, str, int], list[float]] = defaultdict(list)
    for row in read_rows():
        others[row.target, row.source, row.n].append(getattr(row, value))
    rows = []
    for target, n in study.cells:
        scratch = others[target, SCRATCH, n]
        sources = [np.mean(others[target, s, n]) for s in sources_of(target) if others[target, s, n]]
        shown = [f"{np.mean(v):.3f}" if len(v) else "" for v in (scratch, sources)]
        cell = study.cells[target, n]
        ours = [
            f"{cell[name].mean():.3f} ± {cell[name].std(ddof=1) if len(cell[name]) > 1 else np.nan:.3f}"
            for name in NAMES
        ]
        rows.append([target, n, *shown, *ours])
    return to_markdown(["target", "n", "scratch", "any source, random", *(f"nearest, {name}" for name in NAMES)], rows)
