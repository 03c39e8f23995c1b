"""What a tuning is made of: a backbone, a volume, and labelled boxes of it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from neuroadda.active.box_states import is_labelled, labels_path
from neuroadda.active.proposals import LABELS, PROPOSALS, read_proposals
from neuroadda.adaptation.status import SUMMARY
from neuroadda.backbones.card import Card
from neuroadda.config import FolderPath, PathText, PublicConfig, load_config_file
from neuroadda.errors import SettingError, UserError
from neuroadda.evaluation.choosing import LEVEL
from neuroadda.evaluation.validation import ValidateConfig
from neuroadda.prediction.predict import Predict
from neuroadda.runs.config import find_relocation
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.settings import DEFAULT_THRESHOLD
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.no_data_setting import WithNoData
from neuroadda.volumes.geometry.regions import RoiConfig


class TuneConfig(PublicConfig, WithNoData):
    """What to tune, and on which labelled boxes.

    Attributes
    ----------
    raw
        Array of uint8, zyx.
    backbone
        An entry of the zoo, or a folder.
    output
        Folder of what is written: ``tune.json``, ``tune.toml``, which holds the choice for `segment` and `run`, and ``tune.png``.
    labels
        Arrays of labels on raw's voxels: each is a box; or one array, of which `rois` are the boxes.
    rois
        Boxes of the one array of `labels`.
    proposals
        Folder of `propose`, or of an adaptation, whose labelled boxes are taken, instead of `labels`.
    linked
        Whether a label has the same id in every section; if not, each section is scored by itself.
    any_voxel_size
        Let a backbone see a volume whose voxel size is far from that of its training.
    no_data
        Where raw has none, as in a segmentation.
    predict
        How affinities are predicted.
    fragments, agglomerate
        Fragments and agglomeration of the default, with which the other settings are compared.
    threshold
        Threshold of the default; if it is not given, the one at which the backbone was validated best, or 0.5.
    level
        Confidence level of the intervals.
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


def default_threshold(config: TuneConfig, card: Card) -> float:
    """Return the threshold of the default; raise SettingError if it is above the limit of the agglomeration."""
    threshold = config.threshold or card.metrics.get("threshold", DEFAULT_THRESHOLD)
    if threshold > config.agglomerate.limit:
        what = f"{threshold} is above agglomerate.limit {config.agglomerate.limit}"
        raise SettingError(what, "threshold", "raise the limit or lower the threshold")
    return threshold


def list_boxes(config: TuneConfig, raw: Volume) -> dict[str, ValidateConfig]:
    """Return what is labelled, by name.

    Raises
    ------
    UserError
        If that is not said, or said twice, or as `list_labelled` does.
    """
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
        find = find_relocation(folder).find
        asked = [Path(find(one["proposals"])) for one in load_config_file(folder / SUMMARY)["rounds"]]
    found = {}
    for number, place in enumerate(asked, start=1):
        for box in read_proposals(place, raw).proposals:
            if is_labelled(box, place / LABELS):
                name = box.name if len(asked) == 1 else f"round {number}, {box.name}"
                found[name] = labels_path(box, place / LABELS)
    if not found:
        raise UserError("none of these boxes is labelled", str(folder), f"`neuroadda proposals import {folder} LABELS`")
    return found
