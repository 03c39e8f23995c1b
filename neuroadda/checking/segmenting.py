"""Look at what a segmentation depends on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from funlib.geometry import Roi

from neuroadda.active.propose_config import ProposeConfig
from neuroadda.backbones.card import Card
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.outputs import bind_output, check_output
from neuroadda.blockwise.task import check_chunks
from neuroadda.checking.backbones import check_backbone
from neuroadda.checking.findings import Findings
from neuroadda.checking.looking import look_at_labels, look_at_masked, look_at_raw
from neuroadda.checking.machine import check_disk, check_free, check_memory, check_place, check_records, check_workers
from neuroadda.evaluation.measure import EvaluateConfig, check_evaluation, check_segmentation
from neuroadda.evaluation.sweep import check_thresholds
from neuroadda.ledger.url import SQLITE
from neuroadda.prediction.members import order_members
from neuroadda.prediction.predict import check_raw
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.fragments import context_vx
from neuroadda.segmentation.pipeline import Plan, make_plan
from neuroadda.segmentation.resolving import default_block_vx, resolve_predict
from neuroadda.segmentation.settings import decide_threshold
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.grey_values import open_raw
from neuroadda.volumes.contents.label_checks import check_mask
from neuroadda.volumes.coverage.masks import open_mask
from neuroadda.volumes.coverage.no_data_setting import RIGHT as NO_DATA_MEND
from neuroadda.volumes.coverage.no_data_setting import open_no_data
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.storage.locations import is_inside, to_folder, to_location
from neuroadda.volumes.storage.nodes import check_shards

IMPORT = "give a zarr array that `neuroadda import` has made"
TRUST = "or give --trust-inputs, where its voxels are the same"
MASK_MEND = "give an array on raw's voxels, or on ones coarser by whole factors, that covers the roi"
ROI = "give a roi inside the volume, on its voxels: `neuroadda info` tells where it is"


def check_segment(
    findings: Findings,
    config: SegmentConfig,
    *,
    evaluate: EvaluateConfig | None = None,
    overwrite: bool = False,
    made: Sequence[Path] = (),
) -> None:
    """Look at all that a segmentation, and its evaluation, depend on.

    Parameters
    ----------
    made
        Folders of backbones that the same run trains first.
    """
    raw = findings.attempt("segment.raw", IMPORT, open_raw, config.raw)
    roi = None if raw is None else open_roi(findings, "segment.roi", raw, config)
    if raw is not None:
        look_at_raw(findings, "segment.raw", raw, roi)
    cards = _check_backbones(findings, config, made)
    tissue = check_masks(findings, "segment", config, raw, roi)
    whole = _check_settings(findings, config, raw, roi, cards) and tissue and None not in (raw, roi, *cards)
    _check_outputs(findings, config)
    check_workers(findings, "segment.execution", config.execution)
    check_records(findings, "segment", config.ledger_url, config.execution)
    if not findings.for_run and isinstance(to_location(config.output), Path):
        check_free(findings, "segment.output", Path(config.output))
    if whole:
        inputs = Inputs(Path(config.output), trust=config.trust_inputs or findings.for_run)  # a run looks itself
        plan = findings.attempt("segment", "mend what is told", make_plan, config, inputs)
        if plan is not None:
            _check_plan(findings, plan)
            if not findings.for_run:
                redone = f"{plan.tasks[0].name} and what follows are done again (unless inputs are trusted)"
                findings.attempt("segment.output", TRUST, inputs.warn, redone)
                _check_results(findings, plan, inputs, overwrite)
    if raw is not None and roi is not None:
        check_disk(findings, "segment.output", config.arrays, int(np.prod(roi.shape / raw.voxel_size)))
    if evaluate is not None:
        check_evaluate(findings, evaluate, config, raw, roi)


def _check_backbones(findings: Findings, config: SegmentConfig, made: Sequence[Path]) -> list[Card | None]:
    """Return the card of each backbone; None of one that is wrong, or is still to be trained."""
    cards: list[Card | None] = []
    for key, backbone in zip(_name_keys(len(config.backbones)), config.backbones, strict=True):
        if any(is_inside(Path(backbone), folder) for folder in made) and not Path(backbone).exists():
            findings.note(key, f"{backbone} is trained first")
            cards.append(None)
        else:
            found = check_backbone(findings, key, backbone)
            cards.append(None if found is None else found[1])
    return cards


def _name_keys(count: int) -> list[str]:
    return ["segment.backbone"] if count == 1 else [f"segment.backbone[{i}]" for i in range(count)]


def open_roi(findings: Findings, where: str, raw: Volume, config: object) -> Roi | None:
    """Return the part of raw that a config asks for, all of it by default; None if it is not in raw."""
    part = getattr(config, "roi", None)
    return raw.roi if part is None else findings.attempt(where, ROI, part.to_roi, raw)


def check_masks(
    findings: Findings, section: str, config: SegmentConfig | ProposeConfig, raw: Volume | None, roi: Roi | None
) -> bool:
    """Look whether `mask` and `no_data` of a section fit raw and are masks; return whether all is right."""
    before = len(findings["wrong"])
    if raw is None or roi is None:
        return (
            config.mask is None or findings.attempt(f"{section}.mask", MASK_MEND, Volume.open, config.mask) is not None
        )
    if config.mask is not None:
        findings.attempt(f"{section}.mask", MASK_MEND, _look_at_mask, config.mask, raw, roi)
    findings.attempt(f"{section}.no_data", NO_DATA_MEND, _look_at_no_data, config.no_data, raw)
    return len(findings["wrong"]) == before


def _look_at_mask(path: str, raw: Volume, roi: Roi) -> None:
    mask = open_mask(path, raw, roi)
    check_mask(mask.volume, mask.to_own(roi), may_be_empty=True)  # which the plan tells
    look_at_masked(raw, mask, roi)


def _look_at_no_data(setting: str, raw: Volume) -> None:
    mask = open_no_data(setting, raw)
    if mask is not None:
        check_mask(mask.volume, mask.volume.roi)
        look_at_masked(raw, mask, raw.roi)


def _check_settings(
    findings: Findings, config: SegmentConfig, raw: Volume | None, roi: Roi | None, cards: Sequence[Card | None]
) -> bool:
    """Look at settings one by one, since `make_plan` tells the first that is wrong; return whether all are right.

    Each is looked at as far as what it needs is known.
    """
    before = len(findings["wrong"])
    block_vx = config.block_vx
    if block_vx is None and raw is not None and roi is not None:
        block_vx = default_block_vx(raw, roi)
    if config.shard:
        findings.attempt("segment.shard", "leave it out", check_shards)
    if block_vx is not None and config.chunk_vx is not None:
        findings.attempt("segment.chunk_vx", "leave it out", check_chunks, block_vx, config.chunk_vx)
    named = [(Path(place), card) for place, card in zip(config.backbones, cards, strict=True) if card is not None]
    known = [card for _, card in named]
    if raw is not None:
        for card in known:
            findings.attempt("segment.any_voxel_size", IMPORT, check_raw, raw, card, config.any_voxel_size)
        if roi is not None and block_vx is not None:
            findings.attempt("segment.block_vx", "leave it out", BlockGrid.make, roi, raw.voxel_size, block_vx)
    findings.attempt("segment.backbone", "name each once", order_members, named)
    findings.attempt("segment.components", "set it", decide_threshold, config, cards[0])
    if len(known) == len(cards) and block_vx is not None:
        findings.attempt("segment.predict", "leave it out", resolve_predict, config, config.predict, block_vx, known)
    return len(findings["wrong"]) == before


def _check_outputs(findings: Findings, config: SegmentConfig) -> None:
    """Look whether what is written has a place of its own."""
    backbones = zip(_name_keys(len(config.backbones)), config.backbones, strict=True)
    inputs = {"segment.raw": config.raw, "segment.mask": config.mask, **dict(backbones)}
    folder = findings.attempt("segment.output", "see docs/storage.md", to_folder, config.output, "the run's folder")
    if folder is None:
        return
    check_place(findings, "segment.output", folder, inputs)
    if config.volumes is not None:
        check_place(findings, "segment.volumes", config.arrays, inputs)
    ledger = config.ledger_url.removeprefix(SQLITE)
    elsewhere = "://" not in ledger and not is_inside(Path(ledger), folder)
    for key, given in inputs.items():
        if given is not None and elsewhere and is_inside(Path(ledger), to_location(given)):
            findings.fault("segment.ledger", f"it would be written into {key}, {given}", "give another place for it")
        for name in ("affs", "fragments", "segmentation"):
            if given is not None and is_inside(to_location(given), config.arrays / name):
                what = f"{given} would be replaced: the run writes its {name} there"
                findings.fault(key, what, "choose another output")


def _check_plan(findings: Findings, plan: Plan) -> None:
    """Look at a plan as a whole."""
    first, config = plan.tasks[0], plan.config
    assert config.block_vx is not None
    blocks, total = len(first.blocks), len(first.grid)
    if not blocks:
        findings.fault("segment.mask", f"{config.mask} is 0 in all of the roi", "give a mask that holds tissue")
    else:
        findings.note("segment", f"{blocks} blocks of {config.block_vx} voxels" + _share(blocks, total, config.mask))
    raw = Volume.open(config.raw)
    context = context_vx(config.fragments, raw.voxel_size_nm)
    check_memory(findings, "segment.execution", config.execution, config.predict, plan.cards, config.block_vx, context)
    passes = f"; networks see each block {plan.passes} times" if plan.passes > 1 else ""
    findings.note("segment.predict", f"on {config.predict.device} in {config.predict.precision}{passes}")


def _check_results(findings: Findings, plan: Plan, inputs: Inputs, overwrite: bool) -> None:
    """Look whose results lie in a plan's outputs."""

    @inputs.explain()
    def check_tasks() -> bool:
        for task in plan.tasks:
            check_output(task, overwrite or inputs.changed)
        return True

    if findings.attempt("segment.output", "give another output", check_tasks) is None:
        return
    begun = [task.name for task in plan.tasks if bind_output(task) is not None]
    if begun:
        findings.note("segment.output", f"the same run lies here, and goes on; begun: {', '.join(begun)}")


def _share(blocks: int, total: int, mask: str | None) -> str:
    return "" if mask is None else f", of {total}, hold tissue"


def check_evaluate(
    findings: Findings,
    evaluate: EvaluateConfig,
    config: SegmentConfig | None,
    raw: Volume | None = None,
    roi: Roi | None = None,
) -> None:
    """Look at what an evaluation depends on; `config` is the segmentation's, None where that is not known."""
    mend, made = (
        "give a zarr array of labels on raw's voxels",
        () if config is None else (Path(config.output), config.arrays),
    )
    labels, before = findings.attempt("evaluate.labels", mend, Volume.open, evaluate.labels), len(findings["wrong"])
    if labels is not None and raw is not None:
        alone = evaluate.model_copy(update={"compare": {}})
        findings.attempt("evaluate.labels", mend, check_evaluation, alone, raw, made, roi)
    if labels is not None and len(findings["wrong"]) == before:
        look_at_labels(findings, "evaluate.labels", labels, raw, roi, judged=raw is not None)
    for name, path in evaluate.compare.items():
        if config is not None and not any(is_inside(to_location(path), folder) for folder in made):
            mend = "leave it out, or make that segmentation first"
            other = findings.attempt(f"evaluate.compare.{name}", mend, Volume.open, path)
            if other is not None and labels is not None:
                findings.attempt(f"evaluate.compare.{name}", mend, check_segmentation, other, labels)
    if config is not None:
        limit = config.agglomerate.limit
        findings.attempt("evaluate.thresholds", "leave them out", check_thresholds, evaluate.thresholds, limit)
