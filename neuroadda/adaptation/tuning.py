"""Tune how a backbone's affinities are segmented on labelled boxes, and write the choice where `segment` takes it."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from funlib.geometry import Roi

from neuroadda.adaptation.boxes import make_validator
from neuroadda.adaptation.config import AdaptConfig
from neuroadda.adaptation.state import BACKBONE, Adaptation
from neuroadda.adaptation.status import LEFT_ONE_OUT, TUNED
from neuroadda.adaptation.tune_config import TuneConfig, default_threshold, list_boxes
from neuroadda.backbones.card import CARD, load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.config import dump_config, fingerprint, load_config_file, write_json, write_toml
from neuroadda.errors import UserError, in_section
from neuroadda.evaluation.choosing import LEVEL
from neuroadda.evaluation.settings import Setting, list_settings
from neuroadda.evaluation.trained import find_trained, meets
from neuroadda.evaluation.tuning import Tuned, tune_boxes
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.locks import lock_folder
from neuroadda.prediction.predict import check_raw
from neuroadda.runs.folder import check_run_folder
from neuroadda.segmentation.settings import DEFAULT_THRESHOLD
from neuroadda.training.config import TrainConfig
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.look import read_content
from neuroadda.volumes.storage.placing import placing
from neuroadda.zoo.finding import find_backbone

TUNING = "tuning"  # folder of an adaptation's round
RECORD, TAKEN, PICTURE = TUNED, "tune.toml", "tune.png"
VERSION = 1  # of what is in the record


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
    boxes = {name: Validator(box) for name, box in list_boxes(config, raw).items()}
    for box in boxes.values():
        box.check()
    _check_apart({name: box.open()[2] for name, box in boxes.items()})
    threshold = default_threshold(config, card)
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
    card, (raw, *_) = load_card(backbone), next(iter(boxes.values())).open()
    settings = list_settings(default, raw.voxel_size_nm, card.offsets)
    names = [(box.fingerprint, read_content(box.open()[1])) for box in boxes.values()]  # labels may be edited in place
    mine = fingerprint("tune", VERSION, card.digest, names, [dump_config(one) for one in settings], threshold, level)
    record = output / RECORD
    known = load_config_file(record) if record.exists() else {}
    if known.get("fingerprint") == mine:
        return Tuned.from_data(known, str(record))
    if known and not overwrite:
        what = "another tuning lies here: of other raw, labels or boxes (or they were edited), another backbone or settings"
        raise UserError(what, str(record), "give another output, or --overwrite")
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


def tune_adapted(
    config: AdaptConfig,
    labels: Sequence[Path],
    done: Adaptation,
    validator: Validator | None,
) -> Tuned | None:
    """Choose how the affinities of an adapted backbone are segmented, on what it has not learned from if possible.

    That is the validation part; without one, the box that was left out of a second fine-tuning, whose backbone stands in for the
    adapted one. What is left are the boxes that it was trained on.

    Parameters
    ----------
    labels
        Of all labelled boxes.
    """
    if not config.tune:
        return None
    last = done.rounds[-1]
    assert last.backbone is not None
    backbone = last.backbone
    if validator is not None:
        boxes = {"the validation part": validator}
    elif done.held_back is not None:
        boxes = {done.held_back.box: make_validator(config, done.held_back.labels)}
        backbone = last.folder / LEFT_ONE_OUT / BACKBONE
    else:
        names = [path.parent.stem for path in labels]
        boxes = {
            name if names.count(name) == 1 else f"{name} of {path.parents[2].name}": make_validator(config, path)
            for name, path in zip(names, labels, strict=True)
        }
    first = next(iter(boxes.values())).config
    default = Setting(fragments=first.fragments, agglomerate=first.agglomerate)
    folder = last.folder / TUNING
    tuned = tune_on(boxes, backbone, folder, default, DEFAULT_THRESHOLD, taker=done.backbone, overwrite=True)
    keep_segmentation(last.backbone, tuned.segmentation)
    return tuned


def tune_trained(train: TrainConfig, validation: ValidateConfig) -> Tuned:
    """Choose how the affinities of a trained backbone are segmented, on its validation part; its card keeps that."""
    backbone = train.output / BACKBONE
    default = Setting(fragments=validation.fragments, agglomerate=validation.agglomerate)
    boxes = {"the validation part": Validator(validation)}
    tuned = tune_on(boxes, backbone, train.output / TUNING, default, DEFAULT_THRESHOLD, overwrite=True)
    keep_segmentation(backbone, tuned.segmentation)
    return tuned


def is_trained_on(box: Validator, backbone: Path) -> bool:
    """Tell whether a backbone was trained on a part of a box."""
    raw, _, roi = box.open()
    return meets(roi, find_trained(load_card(backbone), raw))


def keep_segmentation(backbone: Path, segmentation: Mapping[str, Any]) -> None:
    """Note in a backbone's card how its affinities are segmented."""
    card = load_card(backbone)
    if card.segmentation != segmentation:
        write_json(backbone / CARD, dump_config(card.model_copy(update={"segmentation": dict(segmentation)})))


def _split(boxes: Mapping[str, Validator], trained: Sequence[Roi]) -> tuple[dict[str, Validator], dict[str, Validator]]:
    """Return the boxes that none of some ROIs meets, and the others."""
    seen = {name for name, box in boxes.items() if meets(box.open()[2], trained)}
    return (
        {name: box for name, box in boxes.items() if name not in seen},
        {name: box for name, box in boxes.items() if name in seen},
    )


def _check_apart(rois: Mapping[str, Roi]) -> None:
    """Raise UserError if two boxes overlap: one that is left out would be among those that the choice is made on."""
    for (name, roi), (other, second) in combinations(rois.items(), 2):
        if not roi.intersect(second).empty:
            raise UserError(f"{name} and {other} overlap", "tune", "give boxes that have no voxel in common")


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
