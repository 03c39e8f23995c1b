"""The report of a run: one self-contained page, whatever of it there is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuroadda.errors import UserError
from neuroadda.evaluation.contingency import Contingency, count_overlaps, merge
from neuroadda.evaluation.metrics import Scores
from neuroadda.evaluation.skeletons import ErlScores
from neuroadda.evaluation.tuning import Tuned
from neuroadda.quality.change import KeyNumbers
from neuroadda.quality.measure import LargeSegment, Quality
from neuroadda.viewing import figures
from neuroadda.viewing.colours import Palette
from neuroadda.viewing.curves import Curve, PlottedSweep, Themed, plot_curves, plot_sweep
from neuroadda.viewing.pages import open_template
from neuroadda.viewing.shapes import Shapes
from neuroadda.viewing.surface import plot_surface
from neuroadda.wholefiles import replacing
from neuroadda.wording import format_bytes, format_count, format_seconds

# Slices are thinned out to this many pixels a side: enough to see errors, and a page of a few megabytes.
PANEL_SIDE = 512
TEMPLATE = "report.html"
CHANGES = (
    ("threshold", "threshold", "{:g}"),
    ("edits", "edits", "{:,}"),
    ("VOI, nats", "voi", "{:.3f}"),
    ("segments", "segments", "{:,}"),
    ("segments that hold half", "half", "{:,}"),
    ("orphans", "orphans", "{:,}"),
    ("share of orphans", "orphan_share", "{:.2%}"),
    ("dangling ends of the largest", "dangling", "{:,}"),
)
"""Rows of the table of what changed: name, attribute of `KeyNumbers`, format."""


@dataclass(frozen=True)
class DataSource:
    """Which volume a report is about.

    Attributes
    ----------
    kind
        "real", or "phantom": a synthetic volume with exact truth, said so at the top of the page.
    link
        Where the citation points to, an http(s) address.
    """

    name: str
    kind: Literal["real", "phantom"]
    description: str = ""
    citation: str = ""
    licence: str = ""
    link: str = ""
    shape_vx: Sequence[int] | None = None
    voxel_size_nm: Sequence[float] | None = None


@dataclass(frozen=True)
class SliceView:
    """One section of what there is of a volume: arrays [y, x], affinities [c, y, x], or None."""

    title: str
    raw: np.ndarray | None = None
    affs: np.ndarray | None = None
    fragments: np.ndarray | None = None
    segmentation: np.ndarray | None = None
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class Baseline:
    """Another method's scores on the same voxels."""

    name: str
    scores: Scores
    note: str = ""


@dataclass(frozen=True)
class StageRow:
    """What a stage did and took. `seconds` are of wall clock, `worker_seconds` summed over workers."""

    name: str
    blocks: int
    voxels: int
    seconds: float
    worker_seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Report:
    """All that a page can tell. What is left empty is left out.

    Attributes
    ----------
    baselines
        To compare `scores` with; of the same units.
    overlaps
        Of segmentation and truth, in the whole volume: tells which segment is a label's own. Of the slices if absent.
    training
        Loss curves by step.
    ranking
        Sources that the training could start from (see `neuroadda.domains.ranking.Rank`), and the winner.
    adaptation
        The rounds of labelling: for each the boxes (rank, score, reason), the VOI after it, and the link to its contact sheet.
    scored_where
        What the scores leave out, or should have, such as boxes that the backbone was trained on.
    tuned
        How settings and threshold were chosen.
    untaken
        What the run took instead.
    edits
        How many edits of proofreaders there are, and whether they are applied.
    quality
        Of the segmentation, without truth.
    shapes
        Pictures of its largest segments.
    before, now
        Numbers of the segmentation that was there before, and of this one.
    config
        The resolved configuration, as plain data.
    versions, machine
        What ran it, name by name.
    """

    title: str
    data: DataSource
    scores: Scores | None = None
    scored_where: str = ""
    erl: ErlScores | None = None
    baselines: Sequence[Baseline] = ()
    slices: Sequence[SliceView] = ()
    overlaps: Contingency | None = None
    sweep: PlottedSweep | None = None
    stages: Sequence[StageRow] = ()
    training: Sequence[Curve] = ()
    ranking: Mapping[str, Any] | None = None
    adaptation: Mapping[str, Any] | None = None
    tuned: Tuned | None = None
    untaken: str = ""
    edits: str = ""
    quality: Quality | None = None
    shapes: Shapes | None = None
    before: KeyNumbers | None = None
    now: KeyNumbers | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Picture:
    """A picture on the page: its caption and its address (``data:``)."""

    caption: str
    address: str


def write_report(target: Path, report: Report) -> Path:
    """Write the page to `target` (an .html file) and return it; a reader sees the old page or the new one.

    Raises
    ------
    UserError
        If it cannot be written, or the report contradicts itself (such as baselines in other units).
    """
    page = render_report(report)
    try:
        with replacing(target) as partial:
            partial.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"the report cannot be written: {error.strerror or error}", str(target)) from error
    return target


def render_report(report: Report) -> str:
    """Return the page as text; see `write_report`."""
    for baseline in report.baselines:
        if report.scores and baseline.scores.units != report.scores.units:
            raise UserError(f"VOI in {baseline.scores.units}, not {report.scores.units}", f"baseline {baseline.name!r}")
    template = open_template(
        TEMPLATE, count=format_count, bytes=format_bytes, seconds=format_seconds, number="{:g}".format
    )
    return template.render(
        report=report,
        sections=_draw_slices(report),
        shapes=_embed_shapes(report.shapes),
        changes=CHANGES,
        tuned_picture=_addresses(plot_surface(report.tuned)) if report.tuned else None,
        sweep_picture=_addresses(plot_sweep(report.sweep)) if report.sweep else None,
        training_picture=_addresses(plot_curves(report.training, "step", "loss")) if report.training else None,
        config=json.dumps(report.config, indent=2, default=str),
        error_colours={
            "split": figures.SPLIT_COLOUR,
            "merged": figures.MERGE_COLOUR,
            "both": figures.BOTH_COLOUR,
            "unsegmented": figures.MISSING_COLOUR,
        },
    )


def cut_slices(sections: Sequence[int], **volumes: Any) -> list[SliceView]:
    """Return the given sections of volumes.

    Parameters
    ----------
    sections
        Indices along z.
    volumes
        ``raw``, ``fragments``, ``segmentation``, ``truth`` [z, y, x] and ``affs`` [c, z, y, x]: numpy or zarr
        arrays, or None.
    """
    present = {name: volume for name, volume in volumes.items() if volume is not None}
    return [
        SliceView(f"z = {z}", **{name: np.asarray(volume[..., z, :, :]) for name, volume in present.items()})
        for z in sections
    ]


def _addresses(pictures: Themed) -> dict[str, str]:
    return {"light": figures.to_data_uri(pictures.light), "dark": figures.to_data_uri(pictures.dark)}


def _draw_slices(report: Report) -> list[tuple[str, list[Picture]]]:
    views = [_thin_out(view) for view in report.slices]
    overlaps = report.overlaps
    pairs = [(v.segmentation, v.truth) for v in views if v.segmentation is not None and v.truth is not None]
    if overlaps is None and pairs:
        overlaps = merge(count_overlaps(segmentation, truth) for segmentation, truth in pairs)
    return [(view.title, _draw_slice(view, overlaps)) for view in views]


def _embed_shapes(shapes: Shapes | None) -> list[tuple[LargeSegment, list[Picture]]]:
    found = []
    for one in shapes.pictures if shapes else ():
        images = {"segmentation": one.image} | ({} if one.truth is None else {"truth": one.truth})
        pictures = [Picture(name, figures.to_data_uri(figures.to_png(image))) for name, image in images.items()]
        found.append((one.segment, pictures))
    return found


def _thin_out(view: SliceView) -> SliceView:
    arrays = {name: value for name, value in vars(view).items() if isinstance(value, np.ndarray)}
    if len({array.shape[-2:] for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise UserError(f"pictures of different shapes: {shapes}", f"slice {view.title!r}", "crop them alike")
    return SliceView(view.title, **{name: figures.thin_out(array, PANEL_SIDE) for name, array in arrays.items()})


def _draw_slice(view: SliceView, overlaps: Contingency | None) -> list[Picture]:
    images = {}
    if view.raw is not None:
        images["raw"] = figures.raw_image(view.raw)
    if view.affs is not None:
        images["affinities"] = figures.affs_image(view.affs)
    if view.fragments is not None:
        images["fragments"] = figures.labels_image(view.fragments, view.raw)
    if view.segmentation is not None:
        images["segmentation"] = figures.labels_image(view.segmentation, view.raw, Palette(overlaps=overlaps))
    if view.truth is not None:
        images["truth"] = figures.labels_image(view.truth, view.raw)
    if view.segmentation is not None and view.truth is not None and overlaps is not None:
        images["errors"] = figures.errors_image(view.segmentation, view.truth, overlaps, view.raw)
    return [Picture(name, figures.to_data_uri(figures.to_png(image))) for name, image in images.items()]
