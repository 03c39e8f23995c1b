"""Train a backbone; killed at any moment, it goes on from its last checkpoint to the same weights."""

import json
import shutil
from functools import partial

from neuroadda.backbones.card import Card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.backbones.devices import resolve_device, resolve_precision
from neuroadda.config import dump_config, parse_config, write_json
from neuroadda.errors import SettingError, UserError, in_section
from neuroadda.observing import RunObserver
from neuroadda.training.config import TrainConfig, training_fingerprint
from neuroadda.training.distributed import Processes
from neuroadda.training.run import CheckedTraining, Run, Validate
from neuroadda.training.sample import RandomSample, check_labels, open_sample
from neuroadda.training.start import adopt_network
from neuroadda.training.state import find_state, load_state
from neuroadda.volumes.inputs import Inputs


@in_section("train", keep=("validation",))
def train_network(
    config: TrainConfig,
    validate: Validate | None = None,
    *,
    observer: RunObserver = RunObserver(),
    overwrite: bool = False,
    processes: Processes = Processes(),
) -> Card:
    """Train a backbone and write it to ``<output>/backbone``.

    The run's folder also holds ``config.json``, ``metrics.jsonl``, ``tensorboard/``, ``pictures/`` and
    ``checkpoints/``. Training resumes from the newest whole checkpoint; when it is finished already, the card is
    returned at once.

    Parameters
    ----------
    config
        What to do.
    validate
        Called every `config.validate_every` iterations with the backbone so far; returns metrics.
    observer
        Told of every iteration and every validation, in the first process.
    overwrite
        Begin anew where another training (other data or parameters) lies in the output folder.
    processes
        Those that share the work, each of which calls this; the result has the same bits for any number of them.

    Raises
    ------
    UserError
        If a sample cannot be trained on, the backbone to start from does not fit, the device cannot train in the precision,
        another training lies in the output folder, or the processes cannot share the work.
    RunFailed
        If the loss is no longer a number, or another process is gone.
    """
    checked = processes.after_first(partial(_check, config, validate, processes))
    if processes.from_first(checked.fingerprint.encode).decode() != checked.fingerprint:
        what = f"process {processes.rank.index} sees other data or parameters than the first"
        raise UserError(what, "train", "give every process the same config and volumes")
    run = Run(checked, validate, processes)
    finished = processes.first and _begin(run, overwrite)
    if not processes.from_first(lambda: b"finished" if finished else b""):
        run.finish(observer)
    card = processes.from_first(lambda: load_backbone(config.output / "backbone").card.model_dump_json().encode())
    return parse_config(Card, json.loads(card), str(config.output))


def _check(config: TrainConfig, validate: Validate | None, processes: Processes) -> CheckedTraining:
    if config.keep_best and validate is None:
        raise SettingError(
            "keep_best is set, but there is no validation", "keep_best", "leave it out, or give a [validation] section"
        )
    if config.accumulate % processes.count:
        what = f"{config.accumulate} batches an iteration cannot be shared by {processes.count} processes"
        raise SettingError(what, "accumulate", f"set it to a multiple of {processes.count}, or start fewer")
    resolve_precision(config.precision, resolve_device(config.device), training=True)
    config = adopt_network(config)
    start = None if config.start is None else load_backbone(config.start.backbone)
    samples = [open_sample(sample, config.output_shape_vx) for sample in config.samples]
    reserved = False
    for sample in samples:
        reserved |= bool(check_labels(sample).unlabelled)
        RandomSample(sample, config.output_shape_vx).place()  # one with few labels fails here, in one line
    sizes = {sample.raw.voxel_size_nm for sample in samples}
    if len(sizes) > 1 and not config.any_voxel_size:
        right = "train on one voxel size, or set it to true (option --set train.any_voxel_size=true)"
        raise SettingError(f"samples have different voxel sizes {sorted(sizes)}", "any_voxel_size", right)
    inputs = Inputs(config.output, trust=config.trust_inputs)
    volumes = [
        inputs.identify(f"{kind}_{number}", volume)
        for number, sample in enumerate(samples)
        for kind, volume in sample.volumes.items()
    ]
    if reserved:  # which were neurons once
        volumes.append("reserved ids are not labelled")
    mine = training_fingerprint(config, volumes, start.card.digest if start else None)
    return CheckedTraining(config, samples, start, mine, inputs)


def _begin(run: Run, overwrite: bool) -> bool:
    """Bring a run to where its folder says that it is; return whether that is its end."""
    config, output, inputs = run.config, run.config.output, run.checked.inputs
    inputs.warn("the training begins anew (unless inputs are trusted)")
    overwrite = overwrite or inputs.changed
    found = find_state(output / "checkpoints")
    if found and found[1] != run.checked.fingerprint:
        if not overwrite:
            right = "give another output, or --overwrite"
            raise UserError("another training (other data or parameters) lies here", str(output), right)
        found = None
    if found is None:
        if (output / "backbone").exists() and not overwrite:
            raise UserError("a backbone lies here already", str(output), "give another output, or --overwrite")
        for name in ("checkpoints", "tensorboard", "pictures", "backbone", "candidate"):
            shutil.rmtree(output / name, ignore_errors=True)
        (output / "metrics.jsonl").unlink(missing_ok=True)
        inputs.keep()
        if run.checked.start is not None:
            run.learner.begin_from(run.checked.start)
        if config.keep_best:  # a best backbone may be there before the first checkpoint is due
            run.save()
    else:
        inputs.keep()
        run.progress, tensors = load_state(found[0])
        run.learner.unpack(tensors)
        if run.progress.iteration == config.iterations or run.out_of_patience:
            try:
                load_backbone(output / "backbone")
                return True
            except UserError as error:
                # killed while it wrote its last backbone, it writes it again; the best one is past
                if config.keep_best:
                    right = "--overwrite trains it again"
                    raise UserError(
                        "the training is finished, but its backbone is missing or damaged", str(output), right
                    ) from error
    write_json(output / "config.json", dump_config(config))
    return False
