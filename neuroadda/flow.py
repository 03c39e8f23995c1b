"""The whole road in one config: select a backbone, train, segment, evaluate, report. Each part may be left out."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroadda.backbones.card import CARD
from neuroadda.blockwise.engine import Observer, stop_on_signals
from neuroadda.config import Config, dump_config, write_json
from neuroadda.domains.selection import SelectConfig, select_source
from neuroadda.errors import UserError
from neuroadda.evaluation.measure import EvaluateConfig, Measured, measure_plan
from neuroadda.evaluation.sweep import check_labels
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.segmentation.pipeline import Plan, SegmentConfig, segment
from neuroadda.training.config import StartConfig, TrainConfig
from neuroadda.volumes.arrays import Volume

if TYPE_CHECKING:
    from neuroadda.backbones.card import Card


RANKING = "ranking.json"


class RunConfig(Config):
    """A whole run.

    Attributes
    ----------
    select
        Rank a zoo for the raw of the first sample, and start the training from the nearest backbone; from scratch if none
        is near.
    validation
        A held-out part that is scored while training and chooses the threshold.
    """

    title: str = "neuroadda"
    select: SelectConfig | None = None
    train: TrainConfig | None = None
    validation: ValidateConfig | None = None
    segment: SegmentConfig | None = None
    evaluate: EvaluateConfig | None = None


def run(config: RunConfig, *, overwrite: bool = False, observe: Observer, progress: bool = True) -> dict[str, Any]:
    """Do all that the config has; finished work is skipped.

    Returns
    -------
    dict
        The summary; see `report`.

    Raises
    ------
    UserError, RunFailed, RunStopped
        As the parts do.
    """
    if config.segment is not None:
        raw = Volume.open(config.segment.raw)
        if config.evaluate is not None:
            check_labels(Volume.open(config.evaluate.labels), raw)
    if config.train is not None:
        train_backbone(config, overwrite=overwrite, progress=progress)
    if config.segment is None:
        return {}
    plan = segment(config.segment, overwrite=overwrite, observe=observe)
    return report(config, plan, measure_plan(plan, config.evaluate))


def train_backbone(config: RunConfig, *, overwrite: bool = False, progress: bool = True) -> "Card":
    """Train as the config says; a finished training returns at once."""
    from neuroadda.training.trainer import train  # torch and gunpowder take seconds to import

    if config.train is None:
        raise UserError("there is no [train] section in the config", None, "see configs/ for examples")
    start = config.train.start
    if config.select is not None and start is None:
        start = select_start(config.select, config.train)
    validate = None if config.validation is None else Validator(config.validation)
    if validate is not None:
        validate.check()
    with stop_on_signals():
        return train(config.train.model_copy(update={"start": start}), validate, progress=progress, overwrite=overwrite)


def select_start(select: SelectConfig, train: TrainConfig) -> StartConfig | None:
    """Rank the zoo for a training's first sample, note that in its output folder, and return the backbone to start from."""
    _, folder = select_source(Volume.open(train.samples[0].raw), select, train.output / RANKING)
    return None if folder is None else StartConfig(backbone=folder)


def validate_backbone(config: RunConfig) -> "Card":
    """Score a finished backbone on the held-out part again, say after its fragments were changed, and note it in its card.

    Raises
    ------
    UserError
        If the config has no validation, or the backbone is not there.
    """
    from neuroadda.backbones.checkpoint import load_backbone

    if config.train is None or config.validation is None:
        raise UserError(
            "there is no [train] or no [validation] section in the config", None, "see configs/ for examples"
        )
    folder = config.train.output / "backbone"
    backbone = load_backbone(folder)
    card = backbone.card.model_copy(update={"metrics": Validator(config.validation)(backbone)})
    write_json(folder / CARD, dump_config(card))
    return card


def report(config: RunConfig, plan: Plan, measured: Measured) -> dict[str, Any]:
    """Write ``summary.json`` and ``report.html`` into the segmentation's folder and return the summary."""
    from neuroadda.viewing.run_report import report_plan  # matplotlib takes a second to import

    folder = Path(plan.config.output)
    page = report_plan(
        folder / "report.html",
        config.title,
        plan,
        measured,
        labels=Volume.open(config.evaluate.labels) if config.evaluate else None,
        training=config.train.output if config.train else None,
        ranking=_read_ranking(config),
        # A ledger's URL may hold a password.
        config=dump_config(config.model_copy(update={"segment": plan.config.model_copy(update={"ledger": None})})),
    )
    summary = {
        "title": config.title,
        "segmentation": str(plan.output("relabel")),
        "report": str(page),
        **measured.to_data(),
    }
    write_json(folder / "summary.json", summary)
    return summary


def _read_ranking(config: RunConfig) -> Sequence[Mapping[str, Any]]:
    if config.select is None or config.train is None or not (config.train.output / RANKING).is_file():
        return []
    sources: Sequence[Mapping[str, Any]] = json.loads((config.train.output / RANKING).read_text())["sources"]
    return sources
