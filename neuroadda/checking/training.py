"""Look at what a training depends on."""

from typing import TYPE_CHECKING

from funlib.geometry import Roi

from neuroadda.backbones.devices import check_device
from neuroadda.checking.backbones import check_backbone, check_zoo
from neuroadda.checking.findings import Findings
from neuroadda.checking.looking import check_arrays, look_at_labels, look_at_raw
from neuroadda.checking.machine import check_free, check_place
from neuroadda.domains.selection import SelectConfig
from neuroadda.errors import in_section
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.processes import count_cores
from neuroadda.training.config import TrainConfig
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.inputs import Inputs

if TYPE_CHECKING:
    from neuroadda.training.sample import Sample

SAMPLE = "raw is uint8, labels and mask are integers, all zarr arrays on one voxel grid"


def check_train(
    findings: Findings,
    config: TrainConfig,
    *,
    validation: ValidateConfig | None = None,
    select: SelectConfig | None = None,
    overwrite: bool = False,
    validated: bool | None = None,
) -> None:
    """Look at all that a training, and its validation, depend on.

    Parameters
    ----------
    validated
        Whether there will be a validation; by default, whether it is given.
    """
    from neuroadda.training.checks import (
        check_keep_best,
        check_sample,
        check_sizes,
        check_training_device,
        find_begun,
        identify_training,
    )
    from neuroadda.training.start import adopt_network  # torch's and gunpowder's import takes seconds

    before, has_validation = len(findings["wrong"]), validation is not None if validated is None else validated
    findings.attempt("train", "mend the config", check_keep_best, config, has_validation)
    findings.attempt("train", "mend the config", check_training_device, config)
    adopted, digest = config, None
    if config.start is not None:
        start = check_backbone(findings, "train.start.backbone", config.start.backbone)
        if start is not None:
            adopted = findings.attempt("train.start", "mend the config", adopt_network, config) or config
            digest = start[1].digest
    elif select is not None:
        check_zoo(findings, "select", select)
    samples = []
    for number, one in enumerate(config.samples):
        where = f"train.samples[{number}]"
        if not check_arrays(findings, where, SAMPLE, one.raw, one.labels, one.mask):
            continue
        look = in_section(f"samples[{number}]")(check_sample)
        sample = findings.attempt(where, SAMPLE, look, one, config.output_shape_vx)
        if sample is not None:
            samples.append(sample)
            look_at_raw(findings, f"{where}.raw", sample.raw, sample.roi)
            look_at_labels(findings, f"{where}.labels", sample.labels, sample.raw, sample.roi)
    findings.attempt("train", "mend the config", check_sizes, config, samples)
    if validation is not None:
        held_out = check_validation(findings, "validation", validation)
        if held_out is not None and any(_share_voxels(sample, *held_out) for sample in samples):
            what = "the part that is scored is trained on, too: the score tells nothing of other tissue"
            findings.doubt("validation", what, "give it, or the samples, a roi of its own")
    findings.attempt("train.output", "give another output", config.check_folder)
    inputs = {f"train.samples[{i}].raw": sample.raw for i, sample in enumerate(config.samples)}
    inputs |= {f"train.samples[{i}].labels": sample.labels for i, sample in enumerate(config.samples)}
    check_place(findings, "train.output", config.output, inputs)
    _check_cores(findings, config)
    if findings.for_run:
        return
    check_free(findings, "train.output", config.output)
    if len(findings["wrong"]) == before and (select is None or config.start is not None):
        known = Inputs(config.output, trust=config.trust_inputs)
        validate = None if validation is None else Validator(validation)
        identity = identify_training(adopted, samples, digest, known, validate)
        trust = "or give --trust-inputs, where its voxels are the same"
        findings.attempt("train.output", trust, known.warn, "the training starts again (unless inputs are trusted)")
        mend = "give another output, or --overwrite"
        find = known.explain()(find_begun)
        begun = findings.attempt("train.output", mend, find, adopted, identity, overwrite or known.changed)
        if begun is not None:
            findings.note("train.output", f"the same training lies here, and goes on from {begun.name}")


def _share_voxels(sample: "Sample", raw: Volume, roi: Roi) -> bool:
    same = sample.raw.path.resolve() == raw.path.resolve()
    return same and not sample.roi.intersect(roi).empty


def check_validation(findings: Findings, where: str, config: ValidateConfig) -> tuple[Volume, Roi] | None:
    """Look at a part that is scored while training; return its raw and where it is, if all is right."""
    mend = "give uint8 raw and labels on its voxels, and a roi in both"
    whole = check_arrays(findings, where, mend, config.raw, config.labels)
    parts = findings.attempt(where, mend, Validator(config).check) if whole else None
    if parts is not None:
        raw, labels, roi = parts
        look_at_raw(findings, f"{where}.raw", raw, roi)
        look_at_labels(findings, f"{where}.labels", labels, raw, roi)
    findings.attempt(f"{where}.predict", "use auto or cpu", check_device, config.predict.device)
    return None if parts is None else (parts[0], parts[2])


def _check_cores(findings: Findings, config: TrainConfig) -> None:
    cores, busy = count_cores(), config.workers + config.threads
    what = f"{config.threads} threads and {config.workers} workers that make batches, on {cores} cores"
    if busy > cores + 1:
        findings.doubt("train.workers", what, f"set threads and workers to {cores} together")
    else:
        findings.note("train.workers", what)
