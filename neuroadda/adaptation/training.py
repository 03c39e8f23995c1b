"""The training of a round: on the labels of its boxes and of those before."""

from collections.abc import Sequence
from pathlib import Path

from neuroadda.active.box_states import labels_path
from neuroadda.active.label_boxes import shape_of
from neuroadda.active.proposals import Proposals
from neuroadda.active.propose import box_shape_vx
from neuroadda.adaptation.config import AdaptConfig
from neuroadda.adaptation.state import Round
from neuroadda.config import dump_config, parse_config
from neuroadda.errors import SettingError, UserError, in_section
from neuroadda.training.config import TrainConfig
from neuroadda.training.sample_config import SampleConfig
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import roi_or_all


def make_training(config: AdaptConfig, rounds: Sequence[Round], start: Path | None) -> TrainConfig:
    """Return the training on the labels of these rounds, in the folder of the last.

    It starts from a backbone, whose network then takes the place of the config's, or, without one, at random.

    Raises
    ------
    UserError
        If no box has labels.
    """
    labels = list_labels(rounds)
    if not labels:
        asked = rounds[-1].asked
        right = f"`neuroadda proposals import {asked} LABELS` brings labels of one"
        raise UserError("nothing is labelled: every box was left out", str(asked), right)
    return train_on(config, labels, rounds[-1].folder / "train", start)


def list_labels(rounds: Sequence[Round]) -> list[Path]:
    """Return the labels of all boxes of these rounds that have some."""
    return [
        labels_path(box, r.labels)
        for r in rounds
        for box in r.proposals.proposals
        if box.rank not in (*r.missing, *r.left_out)
    ]


def check_shape(config: AdaptConfig, raw: Volume, given: Proposals | None = None) -> None:
    """Raise UserError if boxes, those given or else those that will be proposed, are smaller than what the training puts out.

    Also if those that will be proposed are larger than where they are looked for.
    """
    if given is None:
        with in_section("propose"):
            shapes_vx = {box_shape_vx(config.propose, raw, roi_or_all(config.roi, raw))}
    else:
        shapes_vx = {shape_of(box, given) for box in given.proposals}
    for shape_vx in shapes_vx:
        if any(s < o for s, o in zip(shape_vx, config.train.output_shape_vx, strict=True)):
            what = f"boxes of {shape_vx} voxels are smaller than train.output_shape_vx {config.train.output_shape_vx}"
            key, right = ("train.output_shape_vx", "train on smaller outputs")
            if given is None:
                key, right = "propose.shape_nm", f"propose larger boxes, or {right}"
            raise SettingError(what, key, right)


def check_training(config: AdaptConfig, start: Path) -> None:
    """Check how a round is to be trained before anyone labels boxes for it.

    Raises
    ------
    UserError
        If the backbone's network does not fit the settings, they want a validation that is not there, or a precision that
        the device cannot train in.
    """
    from neuroadda.backbones.devices import resolve_device, resolve_precision

    settings = config.train
    if settings.keep_best and config.validation is None:
        what = "keep_best is set, but there is no validation"
        raise SettingError(what, "train.keep_best", "leave it out, or give an [adapt.validation] section")
    with in_section("train"):
        resolve_precision(settings.precision, resolve_device(settings.device), training=True)
    train_on(config, [config.output / "labels"], config.output / "train", start)


def train_on(config: AdaptConfig, labels: Sequence[Path], output: Path, start: Path | None) -> TrainConfig:
    """Return the training on some labels of raw; see `make_training`."""
    samples = [
        SampleConfig(raw=config.raw, labels=str(path), no_data=config.no_data, **dict(config.labels)) for path in labels
    ]
    data = dump_config(config.train) | {"samples": [dump_config(s) for s in samples], "output": str(output)}
    data["trust_inputs"] = config.trust_inputs
    if start is None:
        return parse_config(TrainConfig, data, "adapt.train")
    from neuroadda.training.start import adopt_network  # torch's import takes seconds

    del data["network"]
    with in_section("train"):
        return adopt_network(parse_config(TrainConfig, data | {"start": {"backbone": str(start)}}, "adapt.train"))
