"""Adapt to a new volume: rank the zoo, propose boxes, wait for their labels, fine-tune, compare; round after round.

All state lies in the output folder, so that a run that was stopped, or that waits for a person, goes on where it was:
``ranking.json``, and for every round ``uncertainty.zarr``, ``proposals.json``, the contact sheet, ``labels/`` and ``train/``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from neuroadda.active.labels import import_labels
from neuroadda.active.proposals import Proposal, Proposals
from neuroadda.active.propose import ProposeConfig, ProposeSettings, box_shape_vx, propose
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.blockwise.engine import Observer, stop_on_signals
from neuroadda.blockwise.execution import Execution
from neuroadda.config import Config, dump_config, fingerprint, load_config_file, parse_config, write_json
from neuroadda.domains.selection import SelectConfig, select_source
from neuroadda.errors import UserError
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.segmentation.pipeline import lock_folder
from neuroadda.training.config import SampleConfig, TrainConfig, TrainSettings
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.regions import RoiConfig

RANKING, SUMMARY = "ranking.json", "adaptation.json"


class LabelSettings(Config):
    """How the labels of the boxes are to be read; see `neuroadda.training.config.SampleConfig`."""

    background: Literal["boundary", "ignore"] = "boundary"
    linked: bool = True
    erode_vx: Annotated[int, Field(ge=0)] = 0


class AdaptConfig(Config):
    """From a volume without labels to a backbone that fits it.

    Attributes
    ----------
    raw, mask, roi
        The volume, or a part of it; outside the mask (0) is no tissue.
    output
        Folder of the state and the results.
    backbone
        What to start from; without it, the zoo is ranked and its nearest entry taken.
    select
        How the zoo is ranked.
    propose
        Which boxes are proposed in a round.
    rounds
        How often. Every round fine-tunes the first backbone on all labels there are by then, and the next one asks where the
        result is unsure.
    oracle
        Labels of the volume that are taken instead of a person's, for experiments.
    train
        How to fine-tune.
    labels
        How labels are to be read.
    validation
        A labelled part that is not trained on: backbones are scored on it before and after.
    """

    raw: str
    output: Path
    mask: str | None = None
    roi: RoiConfig | None = None
    backbone: str | None = None
    select: SelectConfig = Field(default_factory=SelectConfig)
    propose: ProposeSettings = Field(default_factory=ProposeSettings)
    rounds: int = Field(default=1, ge=1)
    oracle: str | None = None
    train: TrainSettings
    labels: LabelSettings = Field(default_factory=LabelSettings)
    validation: ValidateConfig | None = None
    execution: Execution = Field(default_factory=Execution)


@dataclass(frozen=True)
class Round:
    """One round of an adaptation.

    Attributes
    ----------
    folder
        Of its proposals, their labels and its training.
    proposals
        What a person is asked to label.
    missing
        Ranks of those that have no labels yet: the round waits for them.
    backbone
        The result; None while the round waits.
    metrics
        Of the result on the validation part.
    """

    folder: Path
    proposals: Proposals
    missing: tuple[int, ...] = ()
    backbone: Path | None = None
    metrics: dict[str, float] | None = None


@dataclass(frozen=True)
class Adaptation:
    """How far an adaptation is.

    Attributes
    ----------
    start
        The backbone that it starts from.
    before
        Its metrics on the validation part.
    rounds
        Those that were begun.
    ranking
        Of the zoo; None where the backbone was given.
    """

    start: Path
    before: dict[str, float] | None
    rounds: tuple[Round, ...]
    ranking: dict[str, Any] | None = None

    @property
    def waiting(self) -> bool:
        """Whether a person is to label boxes before it can go on."""
        return bool(self.rounds[-1].missing)

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "start": str(self.start),
            "before": self.before,
            "ranking": self.ranking,
            "rounds": [
                {
                    "folder": str(r.folder),
                    "strategy": r.proposals.strategy,
                    "boxes": [dump_config(proposal) for proposal in r.proposals.proposals],
                    "waiting_for": list(r.missing),
                    "backbone": None if r.backbone is None else str(r.backbone),
                    "after": r.metrics,
                }
                for r in self.rounds
            ],
        }


def adapt(
    config: AdaptConfig,
    *,
    overwrite: bool = False,
    observe: Observer = lambda task, summary: None,
    progress: bool = True,
) -> Adaptation:
    """Go on with an adaptation until it is done or waits for labels; what is finished is not done again.

    Labels are waited for in ``round_<r>/labels/roi_<rank>.zarr/labels``, where `import_labels` brings them. How far it came is
    written to ``adaptation.json``.

    Raises
    ------
    UserError
        If an input is missing or does not fit, no source of the zoo is near, boxes are smaller than what the training puts
        out, or something made with other parameters lies in the folder and `overwrite` is false.
    RunFailed, RunStopped
        As the parts do.
    """
    raw = Volume.open(config.raw)
    _check_shape(config, raw)
    validator = None if config.validation is None else Validator(config.validation)
    if validator is not None:
        validator.check()
    with lock_folder(config.output), stop_on_signals():
        start, ranking = _find_start(config, raw, overwrite)
        if progress:
            print(f"{config.train.name} starts from {load_card(start).name}", flush=True)
        before = _score(start, validator, config.output / "before.json")
        rounds: list[Round] = []
        for number in range(1, config.rounds + 1):
            rounds.append(_go_round(config, number, start, rounds, validator, overwrite, observe, progress))
            done = Adaptation(start, before, tuple(rounds), ranking)
            write_json(config.output / SUMMARY, done.to_data())
            if done.waiting:
                break
    return done


def _go_round(
    config: AdaptConfig,
    number: int,
    start: Path,
    earlier: Sequence[Round],
    validator: Validator | None,
    overwrite: bool,
    observe: Observer,
    progress: bool,
) -> Round:
    folder = config.output / f"round_{number}"
    unsure = (earlier[-1].backbone if earlier else None) or start
    settings = {name: getattr(config.propose, name) for name in ProposeSettings.model_fields}
    found = propose(
        ProposeConfig(
            **settings,
            raw=config.raw,
            mask=config.mask,
            roi=config.roi,
            backbone=str(unsure),
            output=folder,
            excluded=_boxes(earlier),
            any_voxel_size=True,  # a source of another voxel size is what there is
            execution=config.execution,
        ),
        overwrite=overwrite,
        observe=observe,
    )
    raw, proposals = Volume.open(config.raw), found.proposals
    if not (folder / "contact_sheet.html").exists() or overwrite:
        from neuroadda.viewing.contact_sheet import cut_panel, write_contact_sheet  # so does matplotlib's

        panels = [cut_panel(raw, found.grid, proposal) for proposal in proposals.proposals]
        write_contact_sheet(folder, proposals, panels, scores=found.scores)
    round_ = Round(folder, proposals)
    missing = _find_missing(round_, raw)
    if missing and config.oracle is not None:
        import_labels(proposals, config.oracle, folder / "labels", overwrite=True)
        missing = _find_missing(round_, raw)
    if missing:
        return Round(folder, proposals, missing)
    from neuroadda.training.trainer import train  # torch's and gunpowder's import takes seconds

    train(make_training(config, [*earlier, round_], start), validator, progress=progress, overwrite=overwrite)
    backbone = folder / "train" / "backbone"
    return Round(folder, proposals, (), backbone, _score(backbone, validator, folder / "after.json"))


def make_training(config: AdaptConfig, rounds: Sequence[Round], start: Path | None) -> TrainConfig:
    """Return the training on the labels of these rounds, in the folder of the last.

    It starts from a backbone, whose network then takes the place of the config's, or, without one, at random.
    """
    from neuroadda.training.start import start_from

    samples = tuple(
        SampleConfig(raw=config.raw, labels=str(_labels_of(r.folder, p.name)), **dict(config.labels))
        for r in rounds
        for p in r.proposals.proposals
    )
    data = dump_config(config.train) | {
        "samples": [dump_config(sample) for sample in samples],
        "output": str(rounds[-1].folder / "train"),
    }
    training = parse_config(TrainConfig, data, "train")
    return training if start is None else start_from(training, start)


def _check_shape(config: AdaptConfig, raw: Volume) -> None:
    shape_vx = box_shape_vx(config.propose, raw)
    if any(s < o for s, o in zip(shape_vx, config.train.output_shape_vx, strict=True)):
        what = f"boxes of {shape_vx} voxels are smaller than train.output_shape_vx {config.train.output_shape_vx}"
        raise UserError(what, "propose.shape_nm", "propose larger boxes, or train on smaller outputs")


def _find_start(config: AdaptConfig, raw: Volume, overwrite: bool) -> tuple[Path, dict[str, Any] | None]:
    if config.backbone is not None:
        load_card(config.backbone)
        return Path(config.backbone), None
    begun = not overwrite and (config.output / "round_1" / "proposals.json").exists()
    selection = select_source(raw, config.select, config.output / RANKING, begun=begun)
    if selection.folder is None:
        raise UserError(
            "no source of the zoo is near this volume",
            config.raw,
            "give a backbone, or train one from scratch on a few labels",
        )
    return selection.folder, dict(selection.ranking)


def _boxes(rounds: Sequence[Round]) -> tuple[RoiConfig, ...]:
    return tuple(proposal.box for round_ in rounds for proposal in round_.proposals.proposals)


def _labels_of(folder: Path, name: str) -> Path:
    return folder / "labels" / f"{name}.zarr" / "labels"


def _find_missing(round_: Round, raw: Volume) -> tuple[int, ...]:
    """Return the ranks of the boxes without labels; those of a box that was proposed before, elsewhere, do not count."""

    def is_labelled(box: Proposal) -> bool:
        path = _labels_of(round_.folder, box.name)
        if not path.exists():
            return False
        labels = Volume.open(path)
        return labels.offset_nm == box.offset_nm and labels.shape_vx == box.to_roi(raw).shape / raw.voxel_size

    return tuple(box.rank for box in round_.proposals.proposals if not is_labelled(box))


def _score(folder: Path, validator: Validator | None, record: Path) -> dict[str, float] | None:
    """Return a backbone's metrics on the validation part, measured once."""
    if validator is None:
        return None
    mine = fingerprint("score", 1, load_card(folder).digest, dump_config(validator.config))
    if record.exists():
        known = load_config_file(record)
        if known.get("fingerprint") == mine:
            return dict(known["metrics"])
    metrics = validator(load_backbone(folder))
    write_json(record, {"fingerprint": mine, "metrics": metrics})
    return metrics
