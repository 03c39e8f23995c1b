"""Tune how a backbone's affinities are segmented on labelled boxes, and write the choice where `segment` takes it."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field

from neuroadda.active.boxes import is_labelled, labels_path
from neuroadda.active.proposals import LABELS, PROPOSALS, read_proposals
from neuroadda.adaptation.status import SUMMARY
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.blockwise.run_folder import check_run_folder
from neuroadda.config import (
    FolderPath,
    PathText,
    PublicConfig,
    dump_config,
    fingerprint,
    load_config_file,
    write_json,
    write_toml,
)
from neuroadda.errors import SettingError, UserError, in_section
from neuroadda.evaluation.choosing import LEVEL
from neuroadda.evaluation.settings import CANDIDATES, Setting, list_settings
from neuroadda.evaluation.trained import find_trained
from neuroadda.evaluation.tuning import Tuned, tune_boxes
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.locks import lock_folder
from neuroadda.prediction.predict import Predict, check_raw
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.settings import DEFAULT_THRESHOLD
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.no_data_mask import WithNoData
from neuroadda.volumes.placing import placing
from neuroadda.volumes.regions import RoiConfig
from neuroadda.zoo.finding import find_backbone

RECORD, TAKEN, PICTURE = "tune.json", "tune.toml", "tune.png"
VERSION = 1  # of what is in the record


class TuneConfig(PublicConfig, WithNoData):
    """What to tune, and on which labelled boxes.

    Attributes
    ----------
    raw
        uint8, zyx.
    backbone
        An entry of the zoo, or a folder.
    output
        Folder of what is written: ``tune.json``, ``tune.toml``, which holds the choice for `segment` and `run`, and ``tune.png``.
    labels
        Arrays of labels on raw's voxels: each is a box; or one array, of which `rois` are the boxes.
    rois
        Boxes in nm.
    proposals
        Folder of `propose`, or of an adaptation, whose labelled boxes are taken, instead of `labels`.
    linked
        Whether a label has the same id in every section; if not, each section is scored by itself.
    any_voxel_size
        Let a backbone see a volume whose voxel size is far from that of its training.
    no_data
        Where raw has none, as in a segmentation.
    fragments, agglomerate
        The default, with which all else is compared.
    threshold
        That of the default; by default the one at which the backbone was validated best, or 0.5.
    level
        Of the intervals.
    """

    raw: PathText
    backbone: PathText
    output: FolderPath
    labels: tuple[PathText, ...] = ()
    rois: tuple[RoiConfig, ...] = ()
    proposals: FolderPath | None = None
    linked: bool = True
    any_voxel_size: bool = False
    predict: Predict = Field(default_factory=Predict)
    fragments: Fragments = Field(default_factory=Fragments)
    agglomerate: Agglomerate = Field(default_factory=Agglomerate)
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    level: Annotated[float, Field(gt=0, lt=1)] = LEVEL


@in_section("tune")
def tune_backbone(config: TuneConfig, *, overwrite: bool = False) -> Tuned:
    """Choose how a volume is segmented by a backbone, and write that into the output.

    Raises
    ------
    UserError
        If an input is missing or does not fit, no box is labelled, or the output holds another tuning and `overwrite` is false.
    """
    folder = find_backbone(config.backbone)
    raw, card = Volume.open(config.raw), load_card(folder)
    check_raw(raw, card, config.any_voxel_size)
    check_run_folder(config.output)
    boxes = {name: Validator(box) for name, box in _list_boxes(config, raw).items()}
    for box in boxes.values():
        box.check()
    threshold = config.threshold or card.metrics.get("threshold", DEFAULT_THRESHOLD)
    if threshold > config.agglomerate.limit:
        what = f"{threshold} is above agglomerate.limit {config.agglomerate.limit}"
        raise SettingError(what, "threshold", "raise the limit or lower the threshold")
    default = Setting(fragments=config.fragments, agglomerate=config.agglomerate)
    with lock_folder(config.output):
        return tune_on(boxes, folder, config.output, default, threshold, level=config.level, overwrite=overwrite)


def tune_on(
    boxes: Mapping[str, Validator],
    backbone: Path,
    output: Path,
    default: Setting,
    threshold: float,
    *,
    taker: Path | None = None,
    level: float = LEVEL,
    overwrite: bool = False,
) -> Tuned:
    """Tune on checked boxes, and write ``tune.json``, ``tune.toml`` and ``tune.png``; what is there already is returned.

    Boxes that the backbone was trained on are left out, or, where there are no others, said to be in its training.

    Parameters
    ----------
    boxes
        By name.
    threshold
        Of the default.
    taker
        The backbone that ``tune.toml`` names; by default the one that is tuned.
    """
    card, (raw, *_) = load_card(backbone), next(iter(boxes.values())).check()
    settings = list_settings(default, raw.voxel_size_nm, CANDIDATES)
    names = [box.fingerprint for box in boxes.values()]
    mine = fingerprint("tune", VERSION, card.digest, names, [dump_config(one) for one in settings], threshold, level)
    record = output / RECORD
    known = load_config_file(record) if record.exists() else {}
    if known.get("fingerprint") == mine:
        return Tuned.from_data(known, str(record))
    if known and not overwrite:
        raise UserError("another tuning lies here", str(record), "give another output, or --overwrite")
    fresh, trained = _split(boxes, find_trained(card, raw))
    network = load_backbone(backbone)
    scored = fresh or trained
    tuned = tune_boxes(
        {name: partial(box.predict, network) for name, box in scored.items()},
        settings,
        threshold,
        _describe(list(scored), bool(fresh), len(trained)),
        level=level,
    )
    _write(output, tuned, taker or backbone, mine)
    return tuned


def _split(
    boxes: Mapping[str, Validator], trained: Sequence[object]
) -> tuple[dict[str, Validator], dict[str, Validator]]:
    """Return the boxes that none of some ROIs meets, and the others."""
    seen = {name: box for name, box in boxes.items() if any(not box.check()[2].intersect(roi).empty for roi in trained)}
    return {name: box for name, box in boxes.items() if name not in seen}, seen


def _describe(names: Sequence[str], fresh: bool, trained: int) -> str:
    what = names[0] if len(names) == 1 else f"{len(names)} boxes"
    if not fresh:
        return f"{what}, which the backbone was trained on, so that the VOI is too low"
    return f"{what}, which the backbone was not trained on" + (f" ({trained} others left out)" if trained else "")


def _write(output: Path, tuned: Tuned, backbone: Path, mine: str) -> None:
    from neuroadda.viewing.surface import draw_surface  # matplotlib's import takes a second

    write_json(output / RECORD, {"fingerprint": mine, **tuned.to_data()})
    write_toml(output / TAKEN, {"segment": {"backbone": str(backbone), **tuned.segmentation}}, tuned.describe())
    with placing(output / PICTURE, overwrite=True) as partial_path:
        partial_path.write_bytes(draw_surface(tuned))


def _list_boxes(config: TuneConfig, raw: Volume) -> dict[str, ValidateConfig]:
    """Return what is labelled, by name."""
    found: dict[str, tuple[str, RoiConfig | None]]
    if config.proposals is not None:
        if config.labels or config.rois:
            raise SettingError("both proposals and labels say where the boxes are", "proposals", "give one of them")
        found = {name: (str(path), None) for name, path in list_labelled(config.proposals, raw).items()}
    elif not config.labels:
        raise SettingError("there are no labelled boxes", "labels", "give labels, or proposals: a folder of boxes")
    elif config.rois:
        if len(config.labels) > 1:
            raise SettingError(f"{len(config.labels)} arrays of labels have rois", "rois", "give one array, or no rois")
        found = {f"box_{number}": (config.labels[0], roi) for number, roi in enumerate(config.rois, start=1)}
    else:
        found = {f"box_{number}": (labels, None) for number, labels in enumerate(config.labels, start=1)}
    return {
        name: ValidateConfig(
            raw=config.raw,
            labels=labels,
            roi=roi,
            no_data=config.no_data,
            linked=config.linked,
            predict=config.predict,
        )
        for name, (labels, roi) in found.items()
    }


def list_labelled(folder: Path, raw: Volume) -> dict[str, Path]:
    """Return the labels of the boxes of `propose`, or of all rounds of an adaptation, by name.

    Raises
    ------
    UserError
        If there are no proposals, they are of another volume, or no box is labelled.
    """
    asked = [folder]
    if (folder / SUMMARY).is_file() and not (folder / PROPOSALS).exists():
        asked = [Path(one["proposals"]) for one in load_config_file(folder / SUMMARY)["rounds"]]
    found = {}
    for number, place in enumerate(asked, start=1):
        for box in read_proposals(place, raw).proposals:
            if is_labelled(box, place / LABELS):
                name = box.name if len(asked) == 1 else f"round {number}, {box.name}"
                found[name] = labels_path(box, place / LABELS)
    if not found:
        raise UserError("none of these boxes is labelled", str(folder), f"`neuroadda proposals import {folder} LABELS`")
    return found
