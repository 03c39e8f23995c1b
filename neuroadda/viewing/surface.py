"""The scores that a tuning chose from, as a picture: VOI by threshold, a line for each setting."""

import numpy as np
from matplotlib.axes import Axes

from neuroadda.evaluation.tuning import Tuned
from neuroadda.viewing.curves import LIGHT, Curve, Finish, Theme, Themed, draw, draw_both

SHOWN = 5  # lines in colour: the default, the chosen setting, and the best of the others
AXES = ("threshold", "mean VOI (nats)")


def plot_surface(tuned: Tuned) -> Themed:
    """Return the picture for the report."""
    curves, mark = _prepare(tuned)
    return draw_both(curves, *AXES, mark)


def draw_surface(tuned: Tuned) -> bytes:
    """Return the picture as a file of its own, PNG on white."""
    curves, mark = _prepare(tuned)
    return draw(curves, *AXES, LIGHT, mark, clear=False)


def _prepare(tuned: Tuned) -> tuple[list[Curve], Finish]:
    means, choice = tuned.voi.mean(axis=1), tuned.choice
    best = [int(place) for place in np.argsort(means.min(axis=1), kind="stable")]
    shown = list(dict.fromkeys([0, choice.setting, *best]))[:SHOWN]
    curves = [Curve(tuned.names[place], tuned.thresholds, means[place].tolist()) for place in shown]

    def mark(axes: Axes, theme: Theme) -> None:
        for place in set(best) - set(shown):
            axes.plot(tuned.thresholds, means[place], color=theme.grid, linewidth=0.8, zorder=1)
        for setting, threshold, face in (
            (0, choice.default_threshold, "none"),
            (choice.setting, choice.threshold, theme.text),
        ):
            x, y = [tuned.thresholds[threshold]], [means[setting, threshold]]
            axes.plot(x, y, "o", color=theme.text, markerfacecolor=face, markersize=7, zorder=4)
        taken = f"taken: {tuned.names[choice.setting]}, {tuned.threshold:g}"
        axes.text(1, 1.02, taken, transform=axes.transAxes, ha="right", color=theme.text)
        axes.set_ylim(bottom=0)

    return curves, mark
