"""Train a backbone; killed at any moment, it goes on from its last checkpoint to the same weights."""

import json
import shutil
from contextlib import nullcontext
from functools import partial

from neuroadda.backbones.card import Card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.config import dump_config, parse_config, write_json
from neuroadda.errors import UserError, in_section
from neuroadda.locks import lock_folder
from neuroadda.observing import RunObserver
from neuroadda.runs.folder import CONFIG
from neuroadda.training.checks import check_sample, check_settings, check_sizes, find_begun, identify_training
from neuroadda.training.config import TrainConfig
from neuroadda.training.distributed import Processes
from neuroadda.training.history import METRICS, PICTURES
from neuroadda.training.loop import CheckedTraining, Run, Validate
from neuroadda.training.start import adopt_network
from neuroadda.training.state import load_state
from neuroadda.volumes.identity.inputs import Inputs


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
        Called every `config.validate_every` iterations with the backbone so far; returns metrics. With `config.keep_best`, what
        its method ``identify``, if it has one, returns is part of what determines the training; see `checks.Identified`.
    observer
        Receives every iteration and every validation, in the first process.
    overwrite
        Start again where another training (other data or parameters) lies in the output folder.
    processes
        Those that share the work, each of which calls this; the result has the same bits for any number of them.

    Raises
    ------
    UserError
        If a sample cannot be trained on, the backbone to start from does not fit, the device cannot train in the precision,
        another training lies in the output folder or is at work there, or the processes cannot share the work.
    RunFailed
        If the loss is no longer a number, or another process is gone.
    RunStopped
        On SIGINT or SIGTERM, after the iteration; a checkpoint is written.
    """
    checked = processes.after_first(partial(_check, config, validate, processes))
    if processes.from_first(checked.fingerprint.encode).decode() != checked.fingerprint:
        what = f"process {processes.rank.index} sees other data or parameters than the first"
        raise UserError(what, "train", "give every process the same config and volumes")
    run = Run(checked, validate, processes)
    if processes.first:
        # A folder that is refused stays as it is.
        with checked.inputs.explain():
            find_begun(config, checked.fingerprint, overwrite or checked.inputs.changed)
    with lock_folder(config.output) if processes.first else nullcontext():
        finished = processes.first and _begin(run, overwrite)
        if not processes.from_first(lambda: b"finished" if finished else b""):
            run.finish(observer)
    card = processes.from_first(lambda: load_backbone(config.output / "backbone").card.model_dump_json().encode())
    return parse_config(Card, json.loads(card), str(config.output))


def _check(config: TrainConfig, validate: Validate | None, processes: Processes) -> CheckedTraining:
    config.check_folder()
    check_settings(config, validate is not None, processes.count)
    config = adopt_network(config)
    start = None if config.start is None else load_backbone(config.start.backbone)
    samples = [check_sample(sample, config.output_shape_vx) for sample in config.samples]
    check_sizes(config, samples)
    inputs = Inputs(config.output, trust=config.trust_inputs)
    mine = identify_training(config, samples, start.card.digest if start else None, inputs, validate)
    return CheckedTraining(config, samples, start, mine, inputs)


def _begin(run: Run, overwrite: bool) -> bool:
    """Bring a run to where its folder says that it is; return whether that is its end."""
    config, output, inputs = run.config, run.config.output, run.checked.inputs
    inputs.warn("the training starts again (unless inputs are trusted)")
    checkpoint = find_begun(config, run.checked.fingerprint, overwrite or inputs.changed)
    if checkpoint is None:
        for name in ("checkpoints", "tensorboard", PICTURES, "backbone", "candidate"):
            shutil.rmtree(output / name, ignore_errors=True)
        (output / METRICS).unlink(missing_ok=True)
        inputs.keep()
        if run.checked.start is not None:
            run.learner.begin_from(run.checked.start)
        if config.keep_best:  # a best backbone may be there before the first checkpoint is due
            run.save()
    else:
        inputs.keep()
        run.progress, tensors = load_state(checkpoint)
        run.learner.unpack(tensors)
        if run.is_over:
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
    write_json(output / CONFIG, dump_config(config))
    return False
