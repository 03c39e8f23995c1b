"""Measure a finished segmentation: what it is worth, and what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from funlib.geometry import Roi
from pydantic import Field

from neuroadda.config import PathText, PublicConfig, dump_config
from neuroadda.errors import UserError, warn
from neuroadda.evaluation.baselines import score_classic_recipe, score_raw_watershed
from neuroadda.evaluation.contingency import Contingency, merge
from neuroadda.evaluation.cost import FinishedStage, finished_stages, wall_seconds
from neuroadda.evaluation.metrics import Scores, score
from neuroadda.evaluation.skeletons import ErlScores, array_lookup, expected_run_length, skeletonize_labels
from neuroadda.evaluation.sweep import THRESHOLDS, Sweep, check_labels, count_boxes, overlap_volumes, sweep_plan
from neuroadda.evaluation.trained import LEAST_LEFT, LabelsWithout, Trained, find_trained
from neuroadda.segmentation.pipeline import Plan
from neuroadda.volumes.arrays import Volume, describe_roi
from neuroadda.volumes.contents.label_checks import check_truth, look_at
from neuroadda.volumes.contents.label_ids import read_ids
from neuroadda.volumes.storage.locations import Location, is_inside, to_location

MIN_SKELETON_NM, MERGE_NODES = 300.0, 2


class EvaluateConfig(PublicConfig):
    """What a segmentation is measured against.

    Attributes
    ----------
    labels
        Array of the truth, on the voxel grid of raw.
    thresholds
        Thresholds that are tried; each is scored.
    skeletons
        Also measure the expected run length on skeletons of the labels, which are then read into memory. Skeletons shorter than
        300 nm are left out, and a segment holds part of a skeleton if it holds two of its nodes.
    baselines
        Also score what others would have done with the same voxels; see `baselines`. Small volumes only: it is done in memory.
    compare
        Other segmentations of the volume to score beside it: name to array.
    """

    labels: PathText
    thresholds: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=THRESHOLDS, min_length=1)
    skeletons: bool = False
    baselines: bool = False
    compare: dict[str, PathText] = Field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What a segmentation is worth and what it cost; quality is None where there are no labels.

    Attributes
    ----------
    threshold
        The segmentation's, of a run; the sweep says how others would have done.
    edits
        How many edits the run has taken: the scores are with them, the sweep is without.
    stages
        Every one of a run, with what it did and took.
    trained
        What of the labelled voxels the backbone was trained on: all scores are without it, if they can be. None if it was on none.
    baselines
        Other methods' scores by name, each at the setting that is best on this truth.
    compared
        Other segmentations' scores by name.
    """

    threshold: float | None = None
    edits: int = 0
    stages: Sequence[FinishedStage] = ()
    scores: Scores | None = None
    overlaps: Contingency | None = None
    sweep: Sweep | None = None
    erl: ErlScores | None = None
    trained: Trained | None = None
    baselines: dict[str, Scores] = field(default_factory=dict)
    compared: dict[str, Scores] = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data (without the overlaps)."""
        stages = [
            {
                "stage": stage.name,
                "blocks": stage.summary.done,
                "voxels": stage.summary.voxels,
                "seconds": round(wall_seconds(stage.summary), 3),
                "worker_seconds": round(stage.summary.seconds, 3),
                "peak_bytes": stage.peak_bytes,
            }
            for stage in self.stages
        ]
        quality = {"scores": self.scores, "erl": self.erl, "sweep": self.sweep}
        return {
            "threshold": self.threshold,
            "edits": self.edits,
            **({"best_threshold": self.sweep.thresholds[self.sweep.best]} if self.sweep else {}),
            **{name: dump_config(value) for name, value in quality.items() if value is not None},
            "trained": None if self.trained is None else vars(self.trained) | {"told": self.trained.describe()},
            "baselines": {name: dump_config(scores) for name, scores in self.baselines.items()},
            "compared": {name: dump_config(scores) for name, scores in self.compared.items()},
            "stages": stages,
        }


def measure_plan(plan: Plan, config: EvaluateConfig | None) -> Measured:
    """Measure a finished plan, against labels if there are any.

    Raises
    ------
    UserError
        If a stage is not finished, or the labels do not fit the segmentation.
    """
    threshold, edits = plan.config.components.threshold, len(plan.edits.edits) if plan.edits else 0
    assert threshold is not None
    stages = finished_stages(plan)
    if config is None:
        return Measured(threshold, edits, stages)
    labels, segmentation = Volume.open(config.labels), Volume.open(plan.output("relabel"))
    _check_content(labels, segmentation.roi)
    overlaps = overlap_volumes(segmentation, labels)
    if boxes := _find_trained(plan, segmentation.roi.intersect(labels.roi)):
        labels, overlaps, trained = _leave_out(segmentation, labels, overlaps, boxes)
    else:
        trained = None
    return Measured(
        threshold,
        edits,
        stages,
        score(overlaps),
        overlaps,
        sweep_plan(plan, labels, config.thresholds),
        _measure_run_length(segmentation, labels) if config.skeletons else None,
        trained,
        _score_baselines(plan, labels, config.thresholds) if config.baselines else {},
        _compare(config, labels),
    )


def _find_trained(plan: Plan, scored: Roi) -> list[Roi]:
    """Return what of a ROI the backbones of a plan were trained on."""
    raw = Volume.open(plan.config.raw)
    boxes = [box for card in plan.cards for box in find_trained(card, raw)]
    once = [box for n, box in enumerate(boxes) if box not in boxes[:n]]
    return [both for box in once if not (both := box.intersect(scored)).empty]


def _leave_out(
    segmentation: Volume, labels: Volume, overlaps: Contingency, boxes: Sequence[Roi]
) -> tuple[Volume, Contingency, Trained | None]:
    """Return labels and overlaps without boxes, unless too little would be left, and how much they hold."""
    others = LabelsWithout(labels, boxes)
    left = merge(count_boxes(segmentation, others))
    labelled, kept = (int(one.counts[one.labels > 0].sum()) for one in (overlaps, left))
    trained = Trained(len(boxes), 1 - kept / labelled, kept >= LEAST_LEFT * labelled)
    if kept == labelled:
        return labels, overlaps, None
    return (others, left, trained) if trained.left_out else (labels, overlaps, trained)


def measure_volume(segmentation: Volume, config: EvaluateConfig) -> Measured:
    """Measure any segmentation against labels.

    Raises
    ------
    UserError
        If the labels do not fit the segmentation, or `config` asks for what only a run tells.
    """
    if config.baselines:
        raise UserError("baselines are scored of a run", str(segmentation.path), "give the folder of the run")
    labels = Volume.open(config.labels)
    check_labels(labels, segmentation)
    _check_content(labels, segmentation.roi)
    check_segmentation(segmentation, labels)
    overlaps = overlap_volumes(segmentation, labels)
    return Measured(
        scores=score(overlaps),
        overlaps=overlaps,
        erl=_measure_run_length(segmentation, labels) if config.skeletons else None,
        compared=_compare(config, labels),
    )


def _compare(config: EvaluateConfig, labels: Volume) -> dict[str, Scores]:
    volumes = {name: Volume.open(path) for name, path in config.compare.items()}
    for volume in volumes.values():
        check_labels(labels, volume)
        check_segmentation(volume, labels)
    return {name: score(overlap_volumes(volume, labels)) for name, volume in volumes.items()}


def check_evaluation(config: EvaluateConfig, raw: Volume, made: Sequence[Location], roi: Roi | None = None) -> None:
    """Raise UserError if labels, or what is compared, are missing or do not fit; what lies in `made` is still to come.

    Parameters
    ----------
    roi
        What of `raw` is to be segmented; all by default.
    """
    labels = Volume.open(config.labels)
    check_labels(labels, raw)
    _check_content(labels, roi or raw.roi, raw)
    for path in config.compare.values():
        if not any(is_inside(to_location(path), folder) for folder in made):
            check_labels(labels, Volume.open(path))


def _check_content(labels: Volume, roi: Roi, raw: Volume | None = None) -> None:
    """Raise UserError if nothing is labelled in a ROI, or what is there are no labels; warn if it is one id."""
    both = labels.roi.intersect(roi)
    if both.empty:
        what = f"labels {describe_roi(labels.roi)} do not overlap what is segmented, {describe_roi(roi)}"
        raise UserError(what, str(labels.path))
    tally = check_truth(labels, both, raw=raw, sparse=True)
    tally.warn_of_unlabelled("they are not labelled and not scored", str(labels.path))
    if tally.one_id:
        warn("there is only one id, so no boundary between two neurons: is it a mask?", str(labels.path))


def check_segmentation(segmentation: Volume, labels: Volume) -> None:
    """Raise UserError if a segmentation that is to be scored is raw; warn if it is empty."""
    check_labels(segmentation, labels)
    tally, where = look_at(segmentation, segmentation.roi.intersect(labels.roi)), str(segmentation.path)
    tally.refuse_raw(where)
    tally.warn_of_unlabelled("they are taken for unsegmented", where)
    if not tally.labelled:
        warn("nothing is segmented: there is nothing but 0", where)


def _score_baselines(plan: Plan, labels: Volume, thresholds: Sequence[float]) -> dict[str, Scores]:
    raw, affs = Volume.open(plan.config.raw), Volume.open(plan.output("predict"))
    both = affs.roi.intersect(labels.roi)
    truth = read_ids(labels, both)
    return {
        "watershed of smoothed raw": score_raw_watershed(raw.read(both), truth, raw.voxel_size_nm),
        "classic recipe": score_classic_recipe(affs.read(both), truth, raw.voxel_size_nm, thresholds),
    }


def _measure_run_length(segmentation: Volume, labels: Volume) -> ErlScores:
    both = segmentation.roi.intersect(labels.roi)
    offset_nm = tuple(o / labels.units_per_nm for o in both.offset)
    skeletons = skeletonize_labels(read_ids(labels, both), labels.voxel_size_nm, offset_nm, MIN_SKELETON_NM)
    look_up = array_lookup(read_ids(segmentation, both), labels.voxel_size_nm, offset_nm)
    return expected_run_length(skeletons, look_up, MERGE_NODES)
