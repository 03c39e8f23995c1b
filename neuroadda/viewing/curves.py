"""Curves as PNG files, each for a light and for a dark page."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neuroadda.errors import UserError
from neuroadda.evaluation.metrics import Scores


@dataclass(frozen=True)
class Curve:
    """A named line, such as a loss by training step: `x` and `y` of one length."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


class PlottedSweep(Protocol):
    """What is plotted of a threshold sweep, such as `neuroadda.evaluation.sweep.Sweep`: scores by threshold."""

    @property
    def thresholds(self) -> Sequence[float]:
        """Ascending."""
        ...

    @property
    def scores(self) -> Sequence[Scores]:
        """One a threshold."""
        ...

    @property
    def best(self) -> int:
        """Index of the best threshold."""
        ...


class Themed(NamedTuple):
    """One picture in two versions, PNG with a clear background."""

    light: bytes
    dark: bytes


@dataclass(frozen=True)
class Theme:
    """Colours of a page."""

    text: str
    grid: str
    lines: tuple[str, ...]


Finish = Callable[[Axes, Theme], None]

LIGHT = Theme("#1c2126", "#d5d9de", ("#1c2126", "#0072b2", "#c75400", "#008060", "#a8458a"))
DARK = Theme("#e4e7ea", "#3b424a", ("#e4e7ea", "#56b4e9", "#f0943c", "#3fc79a", "#dd8cc0"))


def plot_sweep(sweep: PlottedSweep) -> Themed:
    """Plot VOI (total, split, merge) by threshold, the best threshold marked.

    Raises
    ------
    UserError
        If it is empty, or thresholds and scores differ in number.
    """
    if not sweep.scores or len(sweep.scores) != len(sweep.thresholds):
        raise UserError(f"{len(sweep.thresholds)} thresholds, {len(sweep.scores)} scores", "sweep")
    x, scores, best = sweep.thresholds, sweep.scores, sweep.best
    curves = [
        Curve("VOI", x, [s.voi for s in scores]),
        Curve("split", x, [s.voi_split for s in scores]),
        Curve("merge", x, [s.voi_merge for s in scores]),
    ]

    def mark_best(axes: Axes, theme: Theme) -> None:
        axes.axvline(x[best], color=theme.text, linewidth=0.8, linestyle=":")
        axes.plot([x[best]], [scores[best].voi], "o", color=theme.text, markersize=6)
        middle = (min(x) + max(x)) / 2
        axes.text(
            x[best],
            1.02,
            f"best {scores[best].voi:.3f} at {x[best]:.3g}",
            transform=axes.get_xaxis_transform(),
            ha="right" if x[best] > middle else "left",
            color=theme.text,
        )
        axes.set_ylim(bottom=0)

    return draw_both(curves, "threshold", f"VOI ({scores[0].units})", mark_best)


def plot_curves(curves: Sequence[Curve], x_name: str, y_name: str) -> Themed:
    """Plot lines in one frame; the value axis is logarithmic where values span more than a factor of 50.

    Raises
    ------
    UserError
        If there is nothing to plot, or a curve's x and y differ in number.
    """
    for curve in curves:
        if len(curve.x) != len(curve.y) or not len(curve.x):
            raise UserError(f"{len(curve.x)} x, {len(curve.y)} y", f"curve {curve.name!r}")
    if not curves:
        raise UserError("there are no curves", "plot")
    values = [float(v) for curve in curves for v in curve.y]

    def scale(axes: Axes, theme: Theme) -> None:
        if min(values) > 0 and max(values) > 50 * min(values):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=min(0.0, min(values)))

    return draw_both(curves, x_name, y_name, scale)


def draw_both(curves: Sequence[Curve], x_name: str, y_name: str, finish: Finish) -> Themed:
    """Draw lines for both pages; `finish` adds to the axes what else there is."""
    return Themed(*(draw(curves, x_name, y_name, theme, finish) for theme in (LIGHT, DARK)))


def draw(
    curves: Sequence[Curve], x_name: str, y_name: str, theme: Theme, finish: Finish, *, clear: bool = True
) -> bytes:
    """Draw lines as PNG, on a clear background or on a white one."""
    # Narrow and with large type, so that it can be read on a telephone; a Figure of its own needs no pyplot state.
    figure = Figure(figsize=(4.4, 3.0), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, curve in enumerate(curves):
        colour = theme.lines[index % len(theme.lines)]
        marker = "." if len(curve.x) < 30 else ""
        axes.plot(curve.x, curve.y, color=colour, label=curve.name, linewidth=1.6, marker=marker)
    finish(axes, theme)
    axes.set_xlabel(x_name, color=theme.text)
    axes.set_ylabel(y_name, color=theme.text)
    axes.tick_params(colors=theme.text, which="both")
    axes.grid(color=theme.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)
    if len(curves) > 1:
        axes.legend(frameon=False, labelcolor=theme.text, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=clear)
    return buffer.getvalue()
