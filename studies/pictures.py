"""The figures of the studies. They are read at a width of 700 pixels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neuroadda.viewing.domain_figures import GROUP_COLOURS, STYLE, save_figure

WIDE: Any = STYLE | {"font.size": 9}
WIDTH_INCHES = 7.0


class Point(NamedTuple):
    """One source of a target: its distance, and VOI after fine-tuning from it relative to scratch."""

    target: str
    source: str
    n: int
    distance: float
    relative_voi: float


class Reduction(NamedTuple):
    """By how many percent VOI of one target is below that of scratch: from the nearest source, with half of its 95 % interval,
    from the other sources, from the generalist, and from scratch trained three times as long.
    """

    target: str
    nearest: float
    half: float
    others: Sequence[float]
    generalist: float
    long_scratch: float


def draw_distances(folder: Path, points: Sequence[Point], distance: str) -> None:
    """Write ``transfer_distances.png``: a panel for every number of samples, a line for every target."""
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
        save_figure(figure, folder, "transfer_distances", ("png",))


def draw_reductions(folder: Path, found: Sequence[Reduction], n: int) -> None:
    """Write ``transfer.png``: a line for every target, a point for every start."""
    blue, orange, green = GROUP_COLOURS[:3]
    with matplotlib.rc_context(WIDE):
        figure = Figure(figsize=(WIDTH_INCHES, 0.4 * len(found) + 1.1), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for y, one in enumerate(found):
            axes.errorbar(
                one.nearest, y, xerr=one.half, fmt="o", color=blue, capsize=3, label="nearest source, 95 %", zorder=3
            )
            axes.plot(one.others, [y + 0.2] * len(one.others), "|", color="grey", markersize=9, label="other sources")
            axes.plot(one.generalist, y + 0.2, "D", color=green, markersize=5, label="generalist")
            axes.plot(one.long_scratch, y - 0.2, "x", color=orange, markersize=6, label="scratch, 3 times as long")
        axes.axvline(0, color="grey", linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(found)), [one.target for one in found])
        axes.invert_yaxis()
        axes.set_xlabel(f"VOI lower than from scratch, % ({n} labelled boxes); right is better")
        _add_legend(figure, axes)
        save_figure(figure, folder, "transfer", ("png",))


def draw_strategies(
    folder: Path, strategies: Sequence[str], changes: Mapping[tuple[str, int], tuple[float, float, float]]
) -> None:
    """Write ``boxes.png``: a line for every strategy, a point with its interval for every number of boxes.

    Parameters
    ----------
    changes : percent
        By strategy and number of boxes: VOI above that of random boxes, and the ends of its interval.
    """
    counts = sorted({n for _, n in changes})
    with matplotlib.rc_context(WIDE):
        figure = Figure(figsize=(WIDTH_INCHES, 0.4 * len(strategies) + 1.1), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for place, (n, colour, marker) in enumerate(zip(counts, GROUP_COLOURS, "osD", strict=False)):
            for y, name in enumerate(strategies):
                value, low, high = changes[name, n]
                axes.errorbar(
                    value,
                    y + 0.22 * (place - (len(counts) - 1) / 2),
                    xerr=[[value - low], [high - value]],
                    fmt=marker,
                    color=colour,
                    markersize=4,
                    capsize=2,
                    label="1 box" if n == 1 else f"{n} boxes",
                )
        axes.axvline(0, color="grey", linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(strategies)), strategies)
        axes.invert_yaxis()
        axes.set_xlabel("VOI above that of random boxes, % (mean, 95 % interval); left is better")
        _add_legend(figure, axes)
        save_figure(figure, folder, "boxes", ("png",))


def draw_causes(
    folder: Path, causes: Sequence[str], level: float, panels: Mapping[str, Mapping[str, Sequence[tuple[float, bool]]]]
) -> None:
    """Write ``domains.png``: a line for every cause, a point for every network.

    Parameters
    ----------
    level
        Of significance.
    panels
        By title and network: for each cause the correlation, and whether it is significant, which fills the point.
    """
    with matplotlib.rc_context(WIDE):
        figure = Figure(figsize=(WIDTH_INCHES, 0.36 * len(causes) + 1.2), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (title, networks) in zip(
            figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0], panels.items(), strict=True
        ):
            for place, ((network, found), colour, marker) in enumerate(
                zip(networks.items(), GROUP_COLOURS, "osD^", strict=False)
            ):
                for y, (r, is_significant) in enumerate(found):
                    axes.plot(
                        r,
                        y + 0.16 * (place - (len(networks) - 1) / 2),
                        marker,
                        color=colour,
                        markersize=5,
                        markerfacecolor=colour if is_significant else "white",
                    )
                axes.plot([], [], marker, color=colour, markersize=5, label=network)
            axes.axvline(0, color="grey", linewidth=0.8, linestyle=":")
            axes.set_title(title, fontsize=9)
            axes.set_xlabel(f"Spearman's r (filled: p < {level})")
        axes.set_yticks(range(len(causes)), causes)
        axes.invert_yaxis()
        _add_legend(figure, axes, 2)
        save_figure(figure, folder, "domains", ("png",))


def _add_legend(figure: Figure, axes: Axes, columns: int | None = None) -> None:
    """Write above the panels what each label is, once."""
    by_label = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(by_label.values()),
        list(by_label),
        loc="outside upper center",
        ncols=columns or len(by_label),
        frameon=False,
        columnspacing=1.2,
        handletextpad=0.3,
    )
