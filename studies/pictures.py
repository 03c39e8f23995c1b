"""The studies as pictures: does VOI grow with distance, and does it fall with a strategy?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neuroadda.viewing.domain_figures import GROUP_COLOURS, STYLE, save_figure


class Point(NamedTuple):
    """One source of a target: its distance, and VOI after fine-tuning from it relative to scratch."""

    target: str
    source: str
    n: int
    distance: float
    relative_voi: float


def draw_transfer(folder: Path, points: Sequence[Point], distance: str) -> None:
    """Write ``transfer.png``: a panel for every number of samples, a line for every target."""
    counts = sorted({p.n for p in points})
    targets = sorted({p.target for p in points})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * len(counts), 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
        for axes, n in zip(panels, counts, strict=True):
            for target, colour, marker in zip(targets, GROUP_COLOURS, "osD^vP", strict=False):
                line = sorted((p.distance, p.relative_voi) for p in points if (p.target, p.n) == (target, n))
                axes.plot(
                    *zip(*line, strict=True), color=colour, marker=marker, markersize=4, linewidth=0.8, label=target
                )
            axes.axhline(1, color="grey", linewidth=0.8, linestyle=":")
            axes.set_title(f"n = {n}", fontsize=8)
            axes.set_xlabel(distance)
        panels[0].set_ylabel("VOI relative to scratch")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
        save_figure(figure, folder, "transfer", ("png",))


def draw_strategies(folder: Path, counts: Sequence[int], changes: Mapping[str, Sequence[float]]) -> None:
    """Write ``active.png``: VOI against that of random boxes (%), by number of boxes, a line for every strategy."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for (name, values), colour, marker in zip(changes.items(), GROUP_COLOURS, "osD^vP", strict=False):
            axes.plot(range(len(counts)), values, color=colour, marker=marker, markersize=4, linewidth=0.8, label=name)
        axes.axhline(0, color="grey", linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(counts)), [str(n) for n in counts])
        axes.set_xlabel("labelled boxes")
        axes.set_ylabel("VOI above that of random boxes, %")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
        save_figure(figure, folder, "active", ("png",))
