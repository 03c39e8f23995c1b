"""The report of a run: what was measured and what lies on disk, put on one page."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.active.proposals import SHEET
from neuroadda.evaluation.cost import wall_seconds
from neuroadda.evaluation.measure import Measured
from neuroadda.evaluation.settings import Setting
from neuroadda.evaluation.tuning import Tuned
from neuroadda.prediction.members import find_shared
from neuroadda.quality.change import KeyNumbers
from neuroadda.quality.measure import Inspected
from neuroadda.segmentation.pipeline import Plan
from neuroadda.segmentation.taken_edits import count_edits
from neuroadda.training.history import TrainingHistory
from neuroadda.viewing.curves import Curve
from neuroadda.viewing.report import Baseline, DataSource, Report, SliceView, StageRow, write_report
from neuroadda.viewing.shapes import draw_shapes
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_ids import clean_ids

VERSIONS = ("neuroadda", "torch", "daisy", "gunpowder", "zarr", "numpy")
SECTIONS = 3
WINDOW_VX = 1024


def report_plan(
    target: Path,
    title: str,
    plan: Plan,
    measured: Measured,
    *,
    inspected: Inspected,
    before: KeyNumbers | None,
    now: KeyNumbers,
    labels: Volume | None = None,
    training: Path | None = None,
    ranking: Mapping[str, Any] | None = None,
    adaptation: Mapping[str, Any] | None = None,
    tuned: Tuned | None = None,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of a finished plan.

    Parameters
    ----------
    target
        The page, an .html file.
    inspected
        Its quality without truth, and the shapes that are drawn.
    before, now
        Numbers of the segmentation that was there before, if it is known, and of this one.
    labels
        Truth, shown beside the segmentation.
    training
        Folder of the training whose loss is drawn.
    ranking
        Of the sources that the training could start from; see `neuroadda.domains.ranking.Ranking`.
    adaptation
        What a person was asked to label; see `neuroadda.adaptation.Adaptation.to_data`.
    tuned
        How settings and threshold were chosen.
    config
        The resolved configuration.
    """
    raw, edits = Volume.open(plan.config.raw), count_edits(Path(plan.config.output))
    return write_report(
        target,
        Report(
            title=title,
            data=_describe(raw),
            scores=measured.scores,
            scored_where=measured.trained.describe() if measured.trained else "",
            erl=measured.erl,
            baselines=[
                *(Baseline(name, scores) for name, scores in measured.compared.items()),
                *(
                    Baseline(name, scores, "at the setting that is best on this truth")
                    for name, scores in measured.baselines.items()
                ),
            ],
            slices=_cut_slices(plan, raw, labels),
            overlaps=measured.overlaps,
            sweep=measured.sweep,
            stages=[
                StageRow(
                    s.name, s.summary.done, s.summary.voxels, wall_seconds(s.summary), s.summary.seconds, s.peak_bytes
                )
                for s in measured.stages
            ],
            training=[] if training is None else _read_losses(training),
            ranking=ranking,
            adaptation=None if adaptation is None else _link_rounds(adaptation, target.parent),
            tuned=tuned,
            untaken="" if tuned is None else _tell_untaken(plan, tuned),
            edits=edits.describe() if edits else "",
            quality=inspected.quality,
            shapes=draw_shapes(inspected, labels, measured.overlaps),
            before=before,
            now=now,
            config=config or {},
            versions={"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
            machine={"system": platform.platform(), "cores": str(os.cpu_count())},
        ),
    )


def _tell_untaken(plan: Plan, tuned: Tuned) -> str:
    """Return what a run took instead of what was chosen; empty where it took that."""
    config, chosen = plan.config, tuned.settings[tuned.choice.setting]
    taken = Setting(fragments=config.fragments, agglomerate=config.agglomerate)
    voxel_size_nm, offsets = Volume.open(config.raw).voxel_size_nm, find_shared(plan.cards)
    resolved = chosen.model_copy(update={"fragments": chosen.fragments.resolve(voxel_size_nm, offsets)})
    if (taken, config.components.threshold) == (resolved, tuned.threshold):
        return ""
    told = taken.describe(resolved) if taken != resolved else tuned.names[tuned.choice.setting]
    return f"This run was given its own: {told}, threshold {config.components.threshold:g}."


def _link_rounds(adaptation: Mapping[str, Any], here: Path) -> dict[str, Any]:
    """Return an adaptation whose rounds link to their contact sheets as seen from the page."""
    rounds = [
        r | {"sheet": quote(Path(os.path.relpath(Path(r.get("proposals") or r["folder"]) / SHEET, here)).as_posix())}
        for r in adaptation["rounds"]
    ]
    return {**adaptation, "rounds": rounds}


def _describe(raw: Volume) -> DataSource:
    told = raw.attrs.get("provenance", {})
    file = told.get("attributes", {})
    phantom = told.get("source") == "phantom"
    tissue = ", ".join(str(file[key]) for key in ("organism", "region", "modality") if key in file)
    return DataSource(
        name="phantom" if phantom else Path(str(told.get("source", raw.path))).stem,
        kind="phantom" if phantom else "real",
        description=tissue,
        citation=str(file.get("citation", "")),
        licence=str(file.get("licence", file.get("license", ""))),
        shape_vx=tuple(raw.shape_vx),
        voxel_size_nm=raw.voxel_size_nm,
    )


def _cut_slices(plan: Plan, raw: Volume, labels: Volume | None) -> list[SliceView]:
    """Read sections spread over what was segmented; no more than these are read."""
    roi = plan.task("relabel").grid.roi
    depth, step = roi.shape[0] // raw.voxel_size[0], raw.voxel_size[0]
    layers = {
        "raw": raw,
        "affs": Volume.open(plan.output("predict")),
        "fragments": Volume.open(plan.output("fragments")),
        "segmentation": Volume.open(plan.output("relabel")),
    }
    if labels is not None:
        layers["truth"] = labels
    # The middle of a section, at most: a section of a large volume fits no memory and no page.
    shape_vx = [min(WINDOW_VX, s // v) for s, v in zip(roi.shape, raw.voxel_size, strict=True)]
    corner_vx = [(s // v - w) // 2 for s, v, w in zip(roi.shape, raw.voxel_size, shape_vx, strict=True)]
    middle = Roi(roi.begin + Coordinate(corner_vx) * raw.voxel_size, Coordinate(shape_vx) * raw.voxel_size)
    views = []
    for z in sorted({int(f * depth) for f in np.linspace(0, 1, SECTIONS + 2)[1:-1]}):
        section = Roi((roi.begin[0] + z * step, *middle.begin[1:]), (step, *middle.shape[1:]))
        cut = {name: v.read(section)[..., 0, :, :] for name, v in layers.items() if v.roi.contains(section)}
        if "truth" in cut:
            cut["truth"] = clean_ids(cut["truth"], str(layers["truth"].path))[0]
        views.append(SliceView(f"z = {z}", **cut))
    return views


def _read_losses(training: Path) -> Sequence[Curve]:
    losses = TrainingHistory(training).refresh().losses
    if not losses:
        return []
    steps, values = list(losses), list(losses.values())
    width = max(1, len(values) // 200)
    means = np.convolve(values, np.ones(width) / width, "valid")
    return [Curve("loss", steps[width - 1 :], means.tolist())]
