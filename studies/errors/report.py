"""The page of the study of errors, docs/results/errors.md, and its figure, from the tables beside it."""

import datetime
import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neuroadda.proofreading.likelihood import LIKELIHOOD
from neuroadda.viewing.curves import LIGHT
from studies.errors.rows import ALL_KNOWING, CURVES, FITS, ORDERS, RANDOM, RESULTS, ROWS, CurveRow, FitRow, PrecisionRow
from studies.rows import read_table
from studies.segmentation.report import describe_machine

GAIN, SIZE = ORDERS[:2]
AT = (20, 50, 100, 300)
FIGURE = "pictures/errors.png"
HEAD = """# The queue of likely errors

`neuroadda errors` ranks places by likelihood of an error times the fall of VOI if it is corrected ([errors.md](../errors.md)).
Here it is judged by truth. Hypothesis, rule and analysis were written first: `studies/errors/__init__.py`, which also says what was
added after the first run. Affinities are those of each volume's own backbone of the zoo on its test part, segmented with the
defaults but fragments by seeds. VOI in nats.

- Command: `python -m studies.errors.study`, {date}; machine: {machine}
- Every row is in [errors.csv](errors.csv), [errors_curves.csv](errors_curves.csv), [errors_validation.csv](errors_validation.csv)

Weights (of 1; score above the threshold times log contact; log of contact over smaller side to the 2/3; log of smaller side;
orphan), from validation parts alone: merges {merge}, splits {split}.

## Precision

Share of errors among the first 20 and 100. *List*: of the segmentation as it is. *Asked*: of the decisions that an oracle makes,
each applied before the next; what earlier decisions have answered is not asked.

| volume | order | list, 20 | list, 100 | asked, 20 | asked, 100 | candidates |
|---|---|---|---|---|---|---|
"""
CURVE_HEAD = """
## VOI against decisions

An oracle answers the queue in its order. A share is the fall of VOI over that which any decisions could reach (*before* less
*best*). The all-knowing order looks at the truth and takes the decision after which VOI is lowest. A random order is one draw here
and in *asked*.

![VOI against decisions]({figure})

| volume | before | best | order | {columns} |
|---|---|---|---|{lines}|
"""
LIMITS = """
## Limits

- Four small volumes of 1 to 6 million voxels, one network each. Validation parts, from which the weights are, are smaller still.
- The all-knowing order takes the best next decision; a better order over many decisions is not excluded.
- What a person sees is taken to be the main label of both sides. Where both sides are mixtures, a right answer may raise VOI.
- A split is between two regions of the merge tree. Errors within a fragment cannot be corrected, and are not in the reachable VOI.
- The queue is made once, and not anew after decisions.
- Fragments by steepest ascent, since then the default, are not judged here.
"""


def write_report() -> None:
    """Write page and figure."""
    rows, curves = read_table(ROWS, PrecisionRow), read_table(CURVES, CurveRow)
    volumes = list(dict.fromkeys(row.volume for row in rows))
    by_curve: dict[tuple[str, str], list[CurveRow]] = {}
    for curve in curves:
        by_curve.setdefault((curve.volume, curve.order), []).append(curve)
    text = HEAD.format(
        date=datetime.date.today(), machine=describe_machine(), merge=LIKELIHOOD.merge, split=LIKELIHOOD.split
    )
    for row in rows:
        shares = (row.at_20, row.at_100, row.asked_20, row.asked_100)
        text += f"| {row.volume} | {row.order} | {' | '.join(f'{s:.2f}' for s in shares)} | {row.candidates} |\n"
    text += CURVE_HEAD.format(figure=FIGURE, columns=" | ".join(map(str, AT)), lines="|".join("---" for _ in AT))
    for (volume, order), curve in by_curve.items():
        shares = " | ".join(f"{_share(curve, n):.0%}" for n in AT)
        text += f"| {volume} | {curve[0].voi:.3f} | {curve[0].best_voi:.3f} | {order} | {shares} |\n"
    text += _conclude(rows, by_curve, volumes) + LIMITS
    (RESULTS / "errors.md").write_text(text)
    (RESULTS / FIGURE).write_bytes(_draw(by_curve, volumes))


def _share(curve: list[CurveRow], decisions: int) -> float:
    first, at = curve[0], curve[min(decisions, len(curve) - 1)]
    return (first.voi - at.voi) / (first.voi - first.best_voi)


def _conclude(rows: list[PrecisionRow], curves: dict[tuple[str, str], list[CurveRow]], volumes: list[str]) -> str:
    of = {(row.volume, row.order): row for row in rows}
    lines = ["\n## The hypothesis\n"]
    for name, what in (("at", "of the list"), ("asked", "of the decisions that are asked")):
        for k in (20, 100):
            held = [
                v
                for v in volumes
                if (ours := getattr(of[v, GAIN], f"{name}_{k}")) > 0 and ours >= 2 * getattr(of[v, SIZE], f"{name}_{k}")
            ]
            told = ", ".join(held) or "none"
            lines.append(
                f"- Precision at {k} {what} is at least twice that of size alone on {len(held)} of {len(volumes)}: {told}."
            )
    mouse = "mouse_cortex_sssem"
    if (mouse, GAIN) in curves:
        share, most = (_share(curves[mouse, order], 50) for order in (GAIN, ALL_KNOWING))
        half = "reach" if share >= 0.5 else "do not reach"
        lines.append(
            f"- On mouse cortex 50 decisions {half} half of the reachable fall of VOI: {share:.0%}, against "
            f"{_share(curves[mouse, SIZE], 50):.0%} by size alone and {most:.0%} in the all-knowing order: the fall is spread "
            f"over many small errors, and 50 such decisions do not hold half of it. The queue has {share / most:.0%} of it."
        )
    for volume in volumes:
        after = [_share(curves[volume, order], 50) for order in (GAIN, SIZE, RANDOM, ALL_KNOWING)]
        told = "{:.0%} by expected gain, {:.0%} by size alone, {:.0%} at random, {:.0%} all-knowing".format(*after)
        lines.append(f"- {volume}, share of the reachable fall after 50 decisions: {told}.")
    validation = read_table(FITS, FitRow)
    for fit in ("A", "B"):
        some = [row for row in validation if row.fit == fit]
        if some:
            means = (sum(getattr(row, name) for row in some) / len(some) for name in ("at_20", "at_100"))
            told = ", ".join(f"{mean:.3f}" for mean in means)
            lines.append(
                f"- Choice on validation parts, fit {fit}, weights from the other volumes: mean precision {told}."
            )
    return "\n".join(lines) + "\n"


def _draw(curves: dict[tuple[str, str], list[CurveRow]], volumes: list[str]) -> bytes:
    figure = Figure(figsize=(8.8, 6.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    orders = (ALL_KNOWING, GAIN, SIZE, RANDOM)
    for axes, volume in zip(figure.subplots(2, 2).ravel(), volumes, strict=False):
        for order, colour in zip(orders, LIGHT.lines, strict=False):
            curve = curves[volume, order]
            axes.plot([c.decision for c in curve], [c.voi for c in curve], color=colour, label=order, linewidth=1.4)
        axes.axhline(curve[0].best_voi, color=LIGHT.text, linewidth=0.8, linestyle=":")
        axes.set_title(volume, fontsize=10)
        axes.set_xlabel("decisions")
        axes.set_ylabel("VOI (nats)")
        axes.grid(color=LIGHT.grid, linewidth=0.6)
        axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
