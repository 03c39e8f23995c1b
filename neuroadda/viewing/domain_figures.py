"""Pictures of how far domains are apart: heat map, dendrogram, map. As vectors and at print resolution, on white."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from neuroadda.domains.distances import DistanceMatrix, scale_classically
from neuroadda.domains.phylogeny import DomainTree
from neuroadda.errors import UserError
from neuroadda.viewing.curves import LIGHT

FORMATS = ("png", "pdf", "svg")
DPI = 300
VALUES_UP_TO = 12
CELL_INCHES, SMALL_CELL_INCHES = 0.42, 0.2
GROUP_COLOURS = (*LIGHT.lines[1:], "#4ba3d9", "#8a6d00", "#d6459c", "#6e6e6e")
UNKNOWN = "unknown"
MARKERS = "osD^vP*X"
# Text stays text, so that it can be searched and set in another type; no dates, so that the same data give the same file.
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "neuroadda",
    "pdf.fonttype": 42,
    "font.size": 8,
    "axes.edgecolor": LIGHT.text,
    "text.color": LIGHT.text,
    "axes.labelcolor": LIGHT.text,
    "xtick.color": LIGHT.text,
    "ytick.color": LIGHT.text,
}
NO_DATE: dict[str, dict[str, Any]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def plot_heatmap(matrix: DistanceMatrix, tree: DomainTree, groups: Mapping[str, str] | None = None) -> Figure:
    """Draw the matrix in the order of the tree's leaves, the tree beside it; few domains have their distances written in.

    Parameters
    ----------
    groups
        By domain, such as its organism: domains of a group are of one colour.
    """
    names = tree.order
    values = matrix.select(names).values
    n = len(names)
    with matplotlib.rc_context(STYLE):
        side = max((CELL_INCHES if n <= VALUES_UP_TO else SMALL_CELL_INCHES) * n, 1.6)
        label = _label_inches(names)
        figure = _figure(1.2 * side + label + 0.8, side + label + 0.4)
        cells = figure.subplots()
        image = cells.imshow(values, cmap="viridis", vmin=0, extent=(0, 10 * n, 10 * n, 0))
        branches = cells.inset_axes((-0.22, 0, 0.2, 1))
        _draw_tree(branches, tree)
        branches.set_yticks([])
        places = 10 * np.arange(n) + 5
        cells.set_xticks(places, names, rotation=90)
        cells.set_yticks(places, names)
        cells.yaxis.tick_right()
        cells.tick_params(length=0)
        for spine in cells.spines.values():
            spine.set_visible(False)
        colours = _group_colours(names, groups)
        for ticks in (cells.get_xticklabels(), cells.get_yticklabels()):
            for name, text in zip(names, ticks, strict=True):
                text.set_color(colours[_group(name, groups)])
        if n <= VALUES_UP_TO:
            _write_values(cells, values, places)
        bar = figure.colorbar(image, ax=cells, label="MMD", shrink=0.6, pad=0.02)
        bar.outline.set_visible(False)
        _add_legend(figure, cells, colours)
        return figure


def plot_dendrogram(tree: DomainTree, groups: Mapping[str, str] | None = None) -> Figure:
    """Draw the tree alone, its leaves coloured by group; branches join at the distance between what they join.

    Where it is known, the support of a clade is written beside its node.
    """
    with matplotlib.rc_context(STYLE):
        n = len(tree.names)
        figure = _figure(3.0 + _label_inches(tree.names), 0.22 * n + 0.6)
        axes = figure.subplots()
        _draw_tree(axes, tree, with_support=True)
        axes.set_yticks(10 * np.arange(n) + 5, tree.order)
        axes.yaxis.tick_right()
        axes.tick_params(axis="y", length=0)
        colours = _group_colours(tree.order, groups)
        for name, text in zip(tree.order, axes.get_yticklabels(), strict=True):
            text.set_color(colours[_group(name, groups)])
        axes.set_xlabel("MMD")
        axes.spines["bottom"].set_visible(True)
        axes.tick_params(axis="x", bottom=True, labelbottom=True)
        _add_legend(figure, axes, colours)
        return figure


def plot_map(matrix: DistanceMatrix, groups: Mapping[str, str] | None = None) -> Figure:
    """Draw domains as points of a plane, as far apart as two axes can show it (classical scaling)."""
    with matplotlib.rc_context(STYLE):
        points, shares = scale_classically(matrix)
        wide, high = np.ptp(points, axis=0)
        figure = _figure(4.4, 4.0 * float(np.clip(high / (wide or 1), 0.5, 1.2)) + 0.5)
        axes = figure.subplots()
        colours = _group_colours(matrix.names, groups)
        for marker, (group, colour) in zip(MARKERS * len(colours), colours.items(), strict=False):
            inside = [i for i, name in enumerate(matrix.names) if _group(name, groups) == group]
            axes.plot(*points[inside].T, marker, color=colour, markersize=6, label=group)
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.25)
        for axis, share, name in zip((axes.xaxis, axes.yaxis), shares, ("first", "second"), strict=True):
            axis.set_label_text(f"{name} axis ({share:.0%} of the spread)")
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
        axes.grid(color=LIGHT.grid, linewidth=0.5)
        axes.set_axisbelow(True)
        _add_legend(figure, axes, colours)
        _place_labels(figure, axes, points, matrix.names, [colours[_group(name, groups)] for name in matrix.names])
        return figure


def save_figure(figure: Figure, folder: Path, name: str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a figure as ``<name>.png`` (300 dpi), ``.pdf`` and ``.svg``.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    paths = [folder / f"{name}.{kind}" for kind in formats]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(STYLE):
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # the layout is found: not again for every format
            for path, kind in zip(paths, formats, strict=True):
                figure.savefig(path, format=kind, dpi=DPI, facecolor="white", metadata=NO_DATE[kind])
    except OSError as error:
        raise UserError(f"the picture cannot be written: {error.strerror or error}", str(folder)) from error
    return paths


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _label_inches(names: Sequence[str]) -> float:
    return 0.075 * max(map(len, names)) + 0.1


def _draw_tree(axes: Axes, tree: DomainTree, with_support: bool = False) -> None:
    places = {name: 10.0 * i + 5 for i, name in enumerate(tree.order)}
    # every leaf and node: where it is across and along the tree, and the leaves below it
    nodes = [(places[name], 0.0, frozenset([name])) for name in tree.names]
    for left, right, height, _ in tree.linkage:
        (y, low, below), (other_y, other_low, other_below) = nodes[int(left)], nodes[int(right)]
        line = [low, height, height, other_low], [y, y, other_y, other_y]
        axes.plot(*line, color=LIGHT.text, linewidth=1.0, solid_capstyle="round", clip_on=False)
        nodes.append(((y + other_y) / 2, height, below | other_below))
        share = tree.support.get(nodes[-1][2])
        if with_support and share is not None:
            ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
            axes.annotate(
                f"{share:.0%}",
                (height, nodes[-1][0]),
                (2.5, 0),
                textcoords="offset points",
                va="center_baseline",
                fontsize=6,
                bbox=ground,
            )
    axes.set_xlim(tree.linkage[:, 2].max() * 1.03 or 1, 0)
    axes.set_ylim(10 * len(tree.names), 0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False)


def _write_values(axes: Axes, values: np.ndarray, places: np.ndarray) -> None:
    top = values.max() or 1.0
    digits = 2 if top < 10 else 0
    for row, y in zip(values, places, strict=True):
        for value, x in zip(row, places, strict=True):
            colour = "white" if value < 0.6 * top else "black"
            axes.text(x, y, f"{value:.{digits}f}" if x != y else "", ha="center", va="center", color=colour, fontsize=7)


def _group(name: str, groups: Mapping[str, str] | None) -> str:
    return (groups or {}).get(name) or UNKNOWN


def _group_colours(names: Sequence[str], groups: Mapping[str, str] | None) -> dict[str, str]:
    """Return a colour for every group, by their sorted names; what has no group is in the colour of text."""
    found = sorted({_group(name, groups) for name in names} - {UNKNOWN})
    colours = {group: GROUP_COLOURS[i % len(GROUP_COLOURS)] for i, group in enumerate(found)}
    return colours | ({UNKNOWN: LIGHT.text} if any(_group(name, groups) == UNKNOWN for name in names) else {})


def _add_legend(figure: Figure, axes: Axes, colours: Mapping[str, str]) -> None:
    """Tell which colour is which group, above the picture, which grows by the legend's height."""
    if set(colours) == {UNKNOWN}:
        return
    points = axes.get_legend_handles_labels()[0]
    squares = [Line2D([], [], color=c, marker="s", linestyle="", markersize=5) for c in colours.values()]
    width, height = figure.get_size_inches()
    columns = max(1, min(len(colours), int(width / (_label_inches(list(colours)) + 0.25))))
    figure.set_size_inches(width, height + 0.17 * -(-len(colours) // columns) + 0.1)
    figure.legend(
        points or squares,
        list(colours),
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        handletextpad=0.3,
        columnspacing=1.2,
        borderaxespad=0.2,
    )


def _place_labels(figure: Figure, axes: Axes, points: np.ndarray, names: Sequence[str], colours: Sequence[str]) -> None:
    """Write each name at that side of its point, and that distance, where it hides least of what is there already."""
    figure.draw_without_rendering()
    pixels = axes.transData.transform(points)
    unit = figure.dpi / 72
    taken = [Bbox.from_bounds(x - 4 * unit, y - 4 * unit, 8 * unit, 8 * unit) for x, y in pixels]
    frame = axes.get_window_extent()
    directions = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    for point, name, colour in zip(points, names, colours, strict=True):
        best: tuple[float, Bbox, dict[str, Any]] | None = None
        for reach in (6, 14, 24):
            for dx, dy in directions:
                place: dict[str, Any] = {
                    "xytext": (dx * reach, dy * reach),
                    "ha": ("right", "center", "left")[dx + 1],
                    "va": ("top", "center", "bottom")[dy + 1],
                }
                text = axes.annotate(name, point, textcoords="offset points", fontsize=7, **place)
                box = text.get_window_extent()
                text.remove()
                hidden = sum(_overlap(box, other) for other in taken)
                outside = box.width * box.height - _overlap(box, frame)
                cost = hidden + outside + reach * 0.01
                if best is None or cost < best[0]:
                    best = (cost, box, place)
        assert best is not None
        taken.append(best[1])
        line = {"arrowstyle": "-", "color": LIGHT.grid, "linewidth": 0.6, "shrinkB": 4, "shrinkA": 0}
        far = max(map(abs, best[2]["xytext"])) > 6
        axes.annotate(
            name,
            point,
            textcoords="offset points",
            fontsize=7,
            color=colour,
            arrowprops=line if far else None,
            **best[2],
        )


def _overlap(a: Bbox, b: Bbox) -> float:
    shared = Bbox.intersection(a, b)
    return 0.0 if shared is None else float(shared.width * shared.height)
