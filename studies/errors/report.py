"""The page of the study of errors, docs/results/errors.md, and its figure, from the tables beside it."""

import datetime
import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neuroadda.proofreading.likelihood import LIKELIHOOD
from neuroadda.viewing.curves import LIGHT
from studies.errors.rows import (
    ALL_KNOWING,
    CURVES,
    ORDERS,
    RANDOM,
    RESULTS,
    ROWS,
    VALIDATION,
    CurveRow,
    HeldOutRow,
    PrecisionRow,
    share,
)
from studies.errors.subjects import MOUSE, OTHER_MOUSE
from studies.rows import read_table
from studies.segmentation.report import describe_machine

GAIN, SIZE = ORDERS[:2]
AT = (20, 50, 100, 300)
FIGURE = "pictures/errors.png"
HEAD = """# The queue of likely errors

`neuroadda errors` ranks places by likelihood of an error times the fall of VOI if it is corrected ([errors.md](../errors.md)).
Here it is judged by truth. Hypothesis, rule and analysis were written first: `studies/errors/__init__.py`. Affinities are those of
each volume's own backbone of the zoo on its test part (of mouse_cortex_ac3_test: the one of mouse cortex; nothing was chosen on
this volume), segmented with the defaults. VOI in nats.

- Command: `python -m studies.errors.study`, {date}; machine: {machine}
- Every row is in [errors.csv](errors.csv), [errors_curves.csv](errors_curves.csv), [errors_validation.csv](errors_validation.csv)

{summary}
Weights (of 1; score above the threshold; log of contact over smaller side to the 2/3; log of smaller side), from validation parts
alone: merges {merge}, splits {split}. `--fit` prints them.

## Precision

Share of errors among the first 20 and 100. *List*: of the segmentation as it is. *Asked*: of the decisions that an oracle makes,
each applied before the next; what earlier decisions have answered is not asked.

| volume | order | list, 20 | list, 100 | asked, 20 | asked, 100 | candidates | errors |
|---|---|---|---|---|---|---|---|
"""
CURVE_HEAD = """
## VOI against decisions

An oracle answers the queue in its order. A share is the fall of VOI over that which decisions could reach (*before* less *best*).
Best: regions of one label that touch are one segment. *Lowest* also joins those that do not touch in the volume, which no decision
can. The all-knowing order looks at the truth and takes the decision after which VOI is lowest. A random order is one draw here and
in *asked*.

![VOI against decisions]({figure})

| volume | before | best | lowest | order | {columns} |
|---|---|---|---|---|{lines}|
"""
VALIDATION_HEAD = """
## Validation parts

Each is ranked by weights from the other three. Precision is of the list; shares are after 50 and 100 decisions.

| volume | order | list, 20 | list, 100 | 50 | 100 |
|---|---|---|---|---|---|
"""
LIMITS = """
## Limits

- Five small volumes of 1 to 26 million voxels, one network each. Validation parts, from which the weights are, hold few errors.
- The all-knowing order takes the best next decision; a better order over many decisions is not excluded.
- What a person sees is taken to be the main label of both sides. Where both sides are mixtures, a right answer may raise VOI.
- A split is between two regions of the merge tree. Errors within a fragment cannot be corrected, and are not in the reachable VOI.
- The queue is made once, and not anew after decisions.
"""


def write_report() -> None:
    """Write page and figure."""
    rows, curves = read_table(ROWS, PrecisionRow), read_table(CURVES, CurveRow)
    volumes = list(dict.fromkeys(row.volume for row in rows))
    by_curve: dict[tuple[str, str], list[CurveRow]] = {}
    for curve in curves:
        by_curve.setdefault((curve.volume, curve.order), []).append(curve)
    text = HEAD.format(
        date=datetime.date.today(),
        machine=describe_machine(),
        summary=_conclude(rows, by_curve, volumes),
        merge=LIKELIHOOD.merge,
        split=LIKELIHOOD.split,
    )
    for row in rows:
        shares = (row.at_20, row.at_100, row.asked_20, row.asked_100)
        numbers = " | ".join(f"{s:.2f}" for s in shares)
        text += f"| {row.volume} | {row.order} | {numbers} | {row.candidates} | {row.errors} |\n"
    text += CURVE_HEAD.format(figure=FIGURE, columns=" | ".join(map(str, AT)), lines="|".join("---" for _ in AT))
    for (volume, order), curve in by_curve.items():
        shares_told = " | ".join(f"{share(curve, n):.0%}" for n in AT)
        voi = " | ".join(f"{v:.3f}" for v in (curve[0].voi, curve[0].best_voi, curve[0].lowest_voi))
        text += f"| {volume} | {voi} | {order} | {shares_told} |\n"
    text += VALIDATION_HEAD
    for held in read_table(VALIDATION, HeldOutRow):
        precisions = f"{held.at_20:.2f} | {held.at_100:.2f}"
        text += f"| {held.volume} | {held.order} | {precisions} | {held.share_50:.0%} | {held.share_100:.0%} |\n"
    (RESULTS / "errors.md").write_text(text + LIMITS)
    (RESULTS / FIGURE).write_bytes(_draw(by_curve, volumes))


def _conclude(rows: list[PrecisionRow], curves: dict[tuple[str, str], list[CurveRow]], volumes: list[str]) -> str:
    of = {(row.volume, row.order): row for row in rows}
    lines = []
    for k in (20, 100):
        told = [_compare(of[volume, GAIN], of[volume, SIZE], k) for volume in volumes]
        held = sum(text.endswith("yes") for text in told)
        lines.append(
            f"- Precision at {k} of the list is at least twice that of size alone on {held} of {len(volumes)}: "
            f"{'; '.join(told)}."
        )
    for volume in (MOUSE, OTHER_MOUSE):
        if (volume, GAIN) in curves:
            after = [share(curves[volume, order], 50) for order in (GAIN, SIZE, RANDOM, ALL_KNOWING)]
            half = "reach" if after[0] >= 0.5 else "do not reach"
            told_shares = "{:.0%}, against {:.0%} by size alone, {:.0%} at random, {:.0%} all-knowing".format(*after)
            lines.append(f"- {volume}: 50 decisions {half} half of the reachable fall of VOI: {told_shares}.")
    return "\n".join(lines) + "\n"


def _compare(ours: PrecisionRow, by_size: PrecisionRow, k: int) -> str:
    """Tell both precisions and whether ours is at least twice the other, ending in yes where it is."""
    first, second = (float(getattr(row, f"at_{k}")) for row in (ours, by_size))
    told = f"{ours.volume} {first:.2f} against {second:.2f}, "
    if first > 0 and first >= 2 * second:
        return told + "yes"
    most = min(1.0, ours.errors / k)
    return told + (f"no (twice is impossible: at most {most:.2f})" if 2 * second > most else "no")


def _draw(curves: dict[tuple[str, str], list[CurveRow]], volumes: list[str]) -> bytes:
    figure = Figure(figsize=(8.8, 8.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    orders = (ALL_KNOWING, GAIN, SIZE, RANDOM)
    for axes, volume in zip(figure.subplots(3, 2).ravel(), volumes, strict=False):
        for order, colour in zip(orders, LIGHT.lines, strict=False):
            curve = curves[volume, order]
            axes.plot([c.decision for c in curve], [c.voi for c in curve], color=colour, label=order, linewidth=1.4)
        axes.axhline(curve[0].best_voi, color=LIGHT.text, linewidth=0.8, linestyle=":")
        axes.set_title(volume, fontsize=10)
        axes.set_xlabel("decisions")
        axes.set_ylabel("VOI (nats)")
        axes.grid(color=LIGHT.grid, linewidth=0.6)
        axes.legend(frameon=False, fontsize=8)
    for axes in figure.axes[len(volumes) :]:
        axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
