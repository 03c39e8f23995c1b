"""Networks and what they make of volumes: train, predict, segment, evaluate."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neuroadda.api.inputs import StrPath, VolumeLike, name_training, to_text, to_texts, to_volume
from neuroadda.config import configure
from neuroadda.observing import RunObserver, watched_by
from neuroadda.volumes.arrays import Volume

if TYPE_CHECKING:
    from neuroadda.backbones.checkpoint import Backbone
    from neuroadda.evaluation.measure import EvaluateConfig, Measured
    from neuroadda.evaluation.validation import ValidateConfig
    from neuroadda.segmentation.config import SegmentConfig
    from neuroadda.training.config import TrainConfig


def train(
    raw: VolumeLike | None = None,
    labels: VolumeLike | None = None,
    *,
    output: StrPath | None = None,
    start: StrPath | None = None,
    iterations: int | None = None,
    validation: "ValidateConfig | None" = None,
    config: "TrainConfig | None" = None,
    overwrite: bool = False,
    observer: RunObserver = RunObserver(),
) -> "Backbone":
    """Train a backbone on labels, from scratch or from another backbone; killed, it goes on from its last checkpoint.

    Parameters
    ----------
    raw, labels
        uint8, and integers (0 is background), zyx, on one voxel grid. More samples: `config.samples`.
    output
        Folder of the training; ``<output>/backbone`` is the result.
    start
        Backbone to fine-tune: an entry of the zoo, or a folder.
    iterations
        How many.
    validation
        A labelled part that is scored while training; it chooses the threshold of segmentations.

    Returns
    -------
    Backbone
        `folder` is what `segment` takes, `card` tells architecture, offsets (voxels, zyx), voxel size (nm) and metrics.

    Raises
    ------
    UserError
        If a sample cannot be trained on, the backbone does not fit, or another training lies in `output` and `overwrite` is false.
    RunFailed
        If the loss is no longer a number.
    """
    from neuroadda.backbones.checkpoint import load_backbone
    from neuroadda.flow import RunConfig, train_backbone
    from neuroadda.training.config import TrainConfig

    sample = None if raw is None and labels is None else [{"raw": to_text(raw), "labels": to_text(labels)}]
    given = {
        "samples": sample,
        "output": to_text(output),
        "iterations": iterations,
        "start": {"backbone": to_text(start)},
    }
    given |= name_training(None if config is None else config.name, output)
    wanted = configure(TrainConfig, config, "train", given)
    with watched_by(observer):
        train_backbone(RunConfig(train=wanted, validation=validation), overwrite=overwrite, observer=observer)
    return load_backbone(wanted.output / "backbone")


def segment(
    raw: VolumeLike | None = None,
    *,
    backbone: StrPath | Sequence[StrPath] | None = None,
    output: StrPath | None = None,
    mask: VolumeLike | None = None,
    no_data: VolumeLike | None = None,
    any_voxel_size: bool | None = None,
    workers: int | None = None,
    config: "SegmentConfig | None" = None,
    overwrite: bool = False,
    observer: RunObserver = RunObserver(),
) -> Volume:
    """Segment a volume of any size, block by block: affinities, fragments, agglomeration, relabelling.

    Parameters
    ----------
    raw
        uint8, zyx.
    backbone
        An entry of the zoo that comes with neuroadda, or a folder; of several, the mean of their affinities is taken.
    output
        Folder of the run: arrays, ledger, logs. The same call goes on where a run was stopped, and ends in the same bytes.
    mask
        Integers, zyx, on raw's voxels or on ones coarser by whole factors; where it is 0 there is no tissue.
    no_data
        Where raw has none: "auto" (the default) finds it first, "none" does not look for it; or a mask that `neuroadda.mask` wrote.
    any_voxel_size
        Accept a volume whose voxel size (nm) is more than 1.5 times that of the backbone's training, or less.
    workers
        Worker processes; by default 2. They do not change the result, but for the last bits in a new run on a GPU, where the tile
        follows from them: set `predict.tile_vx` there.
    config
        Everything else, such as block shape (voxels), threshold, ROI (nm), ledger, launcher.
    overwrite
        Replace outputs in the folder that were made with other parameters or inputs.
    observer
        Receives every stage's progress.

    Returns
    -------
    Volume
        ``<output>/volumes.zarr/segmentation``: uint64, zyx, raw's voxel size and place; 0 is background, ids need not be dense.

    Raises
    ------
    UserError
        If an input is missing or does not fit the others, or `output` holds other results and `overwrite` is false.
    RunFailed
        If blocks failed; what is done is kept, `neuroadda status` tells why.
    RunStopped
        On SIGINT or SIGTERM; no process is left.
    """
    given = _segment_keys(raw, backbone, output, mask, no_data, any_voxel_size, workers)
    return _run(config, given, "relabel", overwrite, observer)


def predict(
    raw: VolumeLike | None = None,
    *,
    backbone: StrPath | Sequence[StrPath] | None = None,
    output: StrPath | None = None,
    mask: VolumeLike | None = None,
    no_data: VolumeLike | None = None,
    any_voxel_size: bool | None = None,
    workers: int | None = None,
    config: "SegmentConfig | None" = None,
    overwrite: bool = False,
    observer: RunObserver = RunObserver(),
) -> Volume:
    """Predict the affinities of a volume: the first stage of `segment`, which takes the same parameters and goes on from there.

    Returns
    -------
    Volume
        ``<output>/volumes.zarr/affs``: uint8, shape ``c, z, y, x``, 255 for certain. Channel i is the affinity of voxel p to p +
        ``attrs["offsets"][i]`` (voxels, zyx); the first three are (-1, 0, 0), (0, -1, 0), (0, 0, -1).

    Raises
    ------
    UserError, RunFailed, RunStopped
        As `segment`.
    """
    given = _segment_keys(raw, backbone, output, mask, no_data, any_voxel_size, workers)
    return _run(config, given, "predict", overwrite, observer)


def evaluate(
    segmentation: VolumeLike,
    labels: VolumeLike | None = None,
    *,
    thresholds: Sequence[float] | None = None,
    skeletons: bool | None = None,
    baselines: bool | None = None,
    compare: Mapping[str, StrPath] | None = None,
    ledger: str | None = None,
    config: "EvaluateConfig | None" = None,
) -> "Measured":
    """Score a segmentation against labels: variation of information (nats), Rand, expected run length (nm).

    Parameters
    ----------
    segmentation
        Integers, zyx; or the folder of a run of `segment`, which also has a sweep of thresholds and the cost of each stage.
    labels
        Integers, zyx, on the segmentation's voxels; voxels of label 0 are not scored. Only where both are is scored.
    thresholds
        Of the sweep, 0 to 1; for a run.
    skeletons
        Also measure the expected run length; reads the labels into memory.
    baselines
        Also score two classic ways to segment the same volume, in memory; for a run.
    compare
        Other segmentations to score, by name.
    ledger
        URL of a run's ledger, where it is not in the folder; by default the environment variable NEUROADDA_LEDGER.

    Returns
    -------
    Measured
        `scores` (`voi`, `voi_split`, `voi_merge`, `adapted_rand_error` ...), `sweep`, `erl`, `stages`, `baselines`, `compared`.

    Raises
    ------
    UserError
        If a volume is missing, they are on different voxel grids or do not overlap, or the run is not finished.
    """
    from neuroadda.evaluation.measure import EvaluateConfig, measure_plan, measure_volume
    from neuroadda.segmentation.pipeline import is_run
    from neuroadda.segmentation.recovery import read_run

    named = None if compare is None else {name: to_text(path) for name, path in compare.items()}
    given = {"labels": to_text(labels), "thresholds": thresholds, "skeletons": skeletons, "baselines": baselines}
    wanted = configure(EvaluateConfig, config, "evaluate", given | {"compare": named})
    if not isinstance(segmentation, Volume) and is_run(segmentation):
        return measure_plan(read_run(segmentation, ledger), wanted)
    return measure_volume(to_volume(segmentation), wanted)


def _segment_keys(
    raw: VolumeLike | None,
    backbone: StrPath | Sequence[StrPath] | None,
    output: StrPath | None,
    mask: VolumeLike | None,
    no_data: VolumeLike | None,
    any_voxel_size: bool | None,
    workers: int | None,
) -> dict[str, Any]:
    keys = {"raw": raw, "output": output, "mask": mask, "no_data": no_data}
    texts: dict[str, Any] = {key: to_text(value) for key, value in keys.items()}
    return texts | {"backbone": to_texts(backbone), "any_voxel_size": any_voxel_size, "execution": {"workers": workers}}


def _run(
    config: "SegmentConfig | None", given: Mapping[str, Any], upto: str, overwrite: bool, observer: RunObserver
) -> Volume:
    from neuroadda.checking.findings import Findings
    from neuroadda.checking.segmenting import check_segment
    from neuroadda.segmentation.config import SegmentConfig
    from neuroadda.segmentation.pipeline import segment_volume

    wanted, findings = configure(SegmentConfig, config, "segment", given), Findings(for_run=True)
    with watched_by(observer):
        check_segment(findings, wanted)
        findings.enforce()
        plan = segment_volume(wanted, upto=upto, overwrite=overwrite, observe=observer.on_blocks)
    return Volume.open(plan.output(upto))
