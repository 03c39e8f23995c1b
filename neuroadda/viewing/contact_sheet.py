"""A contact sheet of proposals: what each box looks like, how unsure the network is of it, and where it lies."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from neuroadda.active.proposals import SHEET, Proposals
from neuroadda.active.propose import Found
from neuroadda.viewing import figures
from neuroadda.viewing.curves import LIGHT
from neuroadda.viewing.pages import open_template
from neuroadda.viewing.panels import (
    GAP,
    Panel,
    colour,
    coordinates,
    cut_panels,
    draw_sections,
    find_scale,
    plain,
    project,
)
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.placing import placing

CHOSEN, BAR = LIGHT.lines[2], "#7d8893"
BINS = 48
WIDTH, HEIGHT, HEADER = 7.6, 3.25, 1.8  # inches of the PNG: a panel's place, and what stands above all panels
DPI, MOST_PIXELS = 150, 30_000


def keep_contact_sheet(folder: Path, raw: Volume, found: Found) -> Path:
    """Write the contact sheet of boxes that have just been proposed, or whose sheet is gone; return the path of its page."""
    if found.scores is not None or not (folder / SHEET).exists():
        write_contact_sheet(folder, found.proposals, cut_panels(raw, found.grid, found.proposals), scores=found.scores)
    return folder / SHEET


def write_contact_sheet(
    folder: Path, proposals: Proposals, panels: Sequence[Panel], scores: np.ndarray | None = None
) -> tuple[Path, Path]:
    """Write ``contact_sheet.png`` and ``contact_sheet.html``, a page that needs nothing else; return their paths.

    Parameters
    ----------
    scores
        Of all candidates, for the histogram.

    Raises
    ------
    UserError
        If there are no panels, or it cannot be written.
    """
    page = folder / SHEET
    picture = page.with_suffix(".png")
    text = render_page(proposals, panels, scores)
    with placing(picture, overwrite=True) as png, placing(page, overwrite=True) as html:
        html.write_text(text, encoding="utf-8")
        draw_sheet(proposals, panels, scores).savefig(png, format="png", facecolor="white")
    return picture, page


def render_page(proposals: Proposals, panels: Sequence[Panel], scores: np.ndarray | None = None) -> str:
    """Return the page as text; see `write_contact_sheet`."""
    scale = find_scale(panels)
    bar = colour(np.linspace(*scale, 128)[None], scale).repeat(2, axis=0)
    return open_template(SHEET, plain=plain).render(
        proposals=proposals,
        title=_title(proposals, panels),
        panels=[
            (
                panel,
                [(name, figures.to_data_uri(figures.to_png(image))) for name, image in draw_sections(panel, scale)],
                project(panel),
                coordinates(panel, proposals),
            )
            for panel in panels
        ],
        extent_um=" \u00d7 ".join(f"{n / 1000:.3g}" for n in panels[0].extent.shape_nm[::-1]),
        scale=scale,
        bar=figures.to_data_uri(figures.to_png(bar)),
        histogram=_count(scores),
        created=datetime.now(UTC),
    )


def draw_sheet(proposals: Proposals, panels: Sequence[Panel], scores: np.ndarray | None = None) -> Figure:
    """Return the sheet as one picture, on white; see `write_contact_sheet`."""
    scale = find_scale(panels)
    across = 1 if len(panels) == 1 else 2
    width, height = across * WIDTH, HEADER + HEIGHT * -(-len(panels) // across)
    style = {"text.parse_math": False, "text.color": LIGHT.text, "xtick.color": LIGHT.text, "font.size": 8}
    with matplotlib.rc_context(style):  # type: ignore[arg-type]
        sheet = _Sheet(width, height)
        _draw_header(sheet, proposals, panels, scores, scale)
        for index, panel in enumerate(panels):
            place = (WIDTH * (index % across), HEADER + HEIGHT * (index // across))
            _draw_panel(sheet, *place, panel, scale, coordinates(panel, proposals))
        return sheet.figure


def _title(proposals: Proposals, panels: Sequence[Panel]) -> str:
    count = len(proposals.proposals)
    title = f"{count} {'box' if count == 1 else 'boxes'} to label"
    return title if len(panels) == count else f"{title}; here are the first {len(panels)}"


class Histogram(NamedTuple):
    """How many candidates have a score: `shares` of the fullest bin, of equal bins from `low` to `high`."""

    low: float
    high: float
    shares: list[float]

    def place(self, score: float) -> float:
        """Return where a score lies from `low` (0) to `high` (1)."""
        return min(1.0, max(0.0, (score - self.low) / (self.high - self.low)))


def _count(scores: np.ndarray | None) -> Histogram | None:
    values = np.asarray(() if scores is None else scores, np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    counts, edges = np.histogram(finite, BINS, (low, high) if high > low else (low - 0.01, low + 0.01))
    return Histogram(float(edges[0]), float(edges[-1]), (counts / counts.max()).tolist())


class _Sheet:
    """A figure that is drawn upon in inches from its top left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=min(DPI, MOST_PIXELS / height))
        FigureCanvasAgg(self.figure)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        place = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        axes.set_axis_off()
        return axes

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        self.figure.text(x / self.width, 1 - y / self.height, words, va="top", linespacing=1.35, **style)


def _draw_header(
    sheet: _Sheet,
    proposals: Proposals,
    panels: Sequence[Panel],
    scores: np.ndarray | None,
    scale: tuple[float, float],
) -> None:
    pool, histogram = proposals.pool, _count(scores)
    size = " \u00d7 ".join(map(plain, proposals.voxel_size_nm))
    volume, backbone = (w if len(w) < 60 else "…" + w[-58:] for w in (proposals.volume, proposals.backbone))
    sheet.text(0.3, 0.25, _title(proposals, panels), fontsize=16, weight="bold")
    sheet.text(
        0.3,
        0.65,
        f"{volume}\nvoxels of {size} nm (zyx)\n"
        f"backbone {backbone}\nstrategy {proposals.strategy}, seed {proposals.seed}\n"
        f"pool: {pool.candidates:,} candidates, uncertainty {pool.lowest:.3f} to {pool.highest:.3f}, median {pool.median:.3f}",
    )
    x = min(sheet.width, 2 * WIDTH) - 3.2
    if histogram is not None:
        axes = sheet.axes(x, 0.42, 2.9, 0.5)
        axes.bar(np.arange(BINS) + 0.5, histogram.shares, 1.0, color=BAR)
        axes.plot([BINS * histogram.place(p.proposal.score) for p in panels], [1.15] * len(panels), "v", color=CHOSEN)
        axes.set(xlim=(0, BINS), ylim=(0, 1.35))
        sheet.text(x, 0.95, f"{histogram.low:.3f}", fontsize=7)
        sheet.text(x + 1.45, 0.95, "uncertainty of the pool, ▼ chosen", fontsize=7, ha="center")
        sheet.text(x + 2.9, 0.95, f"{histogram.high:.3f}", fontsize=7, ha="right")
    axes = sheet.axes(x + 0.4, 1.27, 2.1, 0.12)
    axes.imshow(colour(np.linspace(*scale, 128)[None], scale), aspect="auto")
    sheet.text(x, 1.27, f"{scale[0]:.3f}", fontsize=7)
    sheet.text(x + 2.9, 1.27, f"{scale[1]:.3f}", fontsize=7, ha="right")
    sheet.text(x + 1.45, 1.42, "colour of uncertainty in the sections", fontsize=7, ha="center")


def _draw_panel(
    sheet: _Sheet, x: float, y: float, panel: Panel, scale: tuple[float, float], rows: list[tuple[str, str, str]]
) -> None:
    proposal = panel.proposal
    reason = textwrap.shorten(proposal.reason, 110, placeholder=" …")
    sheet.text(x + 0.3, y + 0.02, f"{proposal.rank}", fontsize=15, weight="bold", color=CHOSEN)
    sheet.text(x + 0.7, y, f"score {proposal.score:.3f}\n{reason}")
    for index, (_, image) in enumerate(draw_sections(panel, scale)):
        axes = sheet.axes(x + 0.3 + 2.4 * index, y + 0.4, 2.3, 2.3)
        axes.imshow(image, aspect=panel.aspect)
        axes.set_anchor("NW")
    sheet.text(x + 0.3, y + 2.74, f"section z = {panel.section}", fontsize=7)
    position = project(panel)
    axes = sheet.axes(x + 5.15, y + 0.4, 2.2, 1.0)
    for frame, box in zip(position.volume, position.box, strict=True):
        axes.add_patch(Rectangle(frame[:2], *frame[2:], facecolor="#eef0f2", edgecolor=BAR, linewidth=0.8))
        axes.add_patch(Rectangle(box[:2], *box[2:], facecolor=CHOSEN, edgecolor=CHOSEN, linewidth=0.8))
    for (left, top, *_), words in zip(position.volume, ("x →", "z →"), strict=False):
        axes.text(left, top - 4, words, fontsize=6)
    for (_, top, *_), words in zip(position.volume[::2], ("y ↓", "z ↓"), strict=True):
        axes.text(-4, top, words, fontsize=6, ha="right", va="top")
    width, height = (size + position.size[2] + GAP for size in position.size[:2])
    axes.set(xlim=(-18, width + 2), ylim=(height + 2, -15))
    axes.set_aspect("equal")
    axes.set_anchor("NW")
    names = [what for what, _, _ in rows]
    for top, convention, column in ((1.48, "xyz", 1), (2.28, "zyx", 2)):
        sheet.text(x + 5.15, y + top, "\n".join([convention, *names]), fontsize=6.5)
        sheet.text(x + 6.05, y + top, "\n".join(["", *(row[column] for row in rows)]), fontsize=6.5)
