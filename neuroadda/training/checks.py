"""What must be right before a training begins, rule by rule; nothing is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from neuroadda.backbones.devices import check_device, resolve_device, resolve_precision
from neuroadda.config import Zyx
from neuroadda.errors import SettingError, UserError
from neuroadda.training.config import TrainConfig, training_fingerprint
from neuroadda.training.sample import RandomSample, Sample, check_labels, open_sample
from neuroadda.training.sample_config import SampleConfig
from neuroadda.training.state import find_state
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.storage.completeness import check_stored


def check_settings(config: TrainConfig, validated: bool, processes: int = 1) -> None:
    """Raise UserError if a training lacks the validation that it wants, cannot be shared, or its device is missing or unfit."""
    check_keep_best(config, validated)
    check_accumulate(config, processes)
    check_training_device(config)


def check_keep_best(config: TrainConfig, validated: bool) -> None:
    """Raise UserError if the best is to be kept, and nothing tells it."""
    if config.keep_best and not validated:
        right = "leave it out, or give a [validation] section"
        raise SettingError("keep_best is set, but there is no validation", "keep_best", right)


def check_accumulate(config: TrainConfig, processes: int) -> None:
    """Raise UserError if processes cannot share the batches of an iteration."""
    if config.accumulate % processes:
        what = f"{config.accumulate} batches an iteration cannot be shared by {processes} processes"
        raise SettingError(what, "accumulate", f"set it to a multiple of {processes}, or start fewer")


def check_training_device(config: TrainConfig) -> None:
    """Raise UserError if the device is missing, or cannot train in the precision."""
    device = resolve_device(config.device)
    check_device(device)
    resolve_precision(config.precision, device, training=True)


def check_sample(config: SampleConfig, output_shape_vx: Zyx) -> Sample:
    """Open a sample; raise UserError, as `open_sample`, or if there is nothing to learn from in it."""
    sample = open_sample(config, output_shape_vx)
    check_stored(sample.raw)
    check_stored(sample.labels, may_be_empty=True)
    check_labels(sample)
    RandomSample(sample, output_shape_vx).place()  # one with few labels fails here, in one line
    return sample


def check_sizes(config: TrainConfig, samples: Sequence[Sample]) -> None:
    """Raise UserError if samples have different voxel sizes and that is not allowed."""
    sizes = {sample.raw.voxel_size_nm for sample in samples}
    if len(sizes) > 1 and not config.any_voxel_size:
        right = "train on one voxel size, or set it to true (option --set train.any_voxel_size=true)"
        raise SettingError(f"samples have different voxel sizes {sorted(sizes)}", "any_voxel_size", right)


@runtime_checkable
class Identified(Protocol):
    """A validation that tells what its metrics depend on."""

    def identify(self, inputs: Inputs) -> str:
        """Return what determines the metrics of a backbone."""
        ...


def identify_training(
    config: TrainConfig, samples: Sequence[Sample], start: str | None, inputs: Inputs, validate: object = None
) -> str:
    """Return the fingerprint of a training on opened samples, from the backbone of this digest.

    What `validate` depends on counts if it chooses the iteration, and is `Identified`.
    """
    volumes = [
        inputs.identify(f"{kind}_{number}", volume)
        for number, sample in enumerate(samples)
        for kind, volume in sample.volumes.items()
    ]
    if any(check_labels(sample).unlabelled for sample in samples):
        volumes.append("reserved ids are not labelled")  # which were neurons once
    if config.keep_best and isinstance(validate, Identified):
        volumes.append(validate.identify(inputs))
    return training_fingerprint(config, volumes, start)


def find_begun(config: TrainConfig, fingerprint: str, overwrite: bool) -> Path | None:
    """Return the newest checkpoint of this training; None if it has not begun.

    Raises
    ------
    UserError
        If another training, or a backbone, lies in its folder and `overwrite` is false.
    """
    found = find_state(config.output / "checkpoints")
    if found and found[1] == fingerprint:
        return found[0]
    if overwrite:
        return None
    right = "give another output, or --overwrite"
    if found:
        raise UserError("another training (other data or parameters) lies here", str(config.output), right)
    if (config.output / "backbone").exists():
        raise UserError("a backbone lies here already", str(config.output), right)
    return None
