"""A whole run in one config: select a backbone, train or adapt it, segment, evaluate, report. Each part may be left out."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from neuroadda.adaptation.config import AdaptConfig, without_secrets
from neuroadda.adaptation.rounds import adapt_backbone
from neuroadda.adaptation.state import Adaptation
from neuroadda.adaptation.tune_config import TuneConfig
from neuroadda.adaptation.tuning import tune_backbone, tune_trained
from neuroadda.checking.runs import check_run
from neuroadda.config import (
    PublicConfig,
    apply_overrides,
    dump_config,
    lay_over,
    list_faults,
    load_config_file,
    parse_config,
    write_json,
)
from neuroadda.domains.ranking_file import RANKING, read_selection
from neuroadda.domains.selection import SelectConfig, select_source
from neuroadda.errors import PersonNeeded, UserError
from neuroadda.evaluation.measure import EvaluateConfig, Measured, measure_plan
from neuroadda.evaluation.tuning import Tuned
from neuroadda.evaluation.validation import ValidateConfig, Validator, keep_metrics
from neuroadda.observing import RunObserver
from neuroadda.processes import stop_on_signals
from neuroadda.quality.change import BEFORE, KeyNumbers, find_before
from neuroadda.quality.measure import inspect_plan
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import Plan, segment_volume
from neuroadda.segmentation.settings import is_tunable, lay_settings
from neuroadda.training.config import TrainConfig
from neuroadda.training.ranks import Rank
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.derived import deriving
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.identity.relocation import to_absolute
from neuroadda.zoo.finding import zoo_name

if TYPE_CHECKING:
    from neuroadda.backbones.card import Card

COMMAND_LINE = "the command line"


class RunConfig(PublicConfig):
    """A whole run. Every part may be left out.

    Attributes
    ----------
    title
        Title of the report.
    select
        Rank a zoo for the raw of the first sample, and start the training from its first entry.
    train
        Train a backbone.
    adapt
        Adapt a backbone to a volume by labels of a few proposed boxes, instead of training on what is labelled already.
    validation
        A held-out part that is scored while training and chooses the threshold.
    tune
        Choose on labelled boxes how affinities are segmented; `segment` takes that unless it has settings of its own.
    segment
        Segment a volume.
    evaluate
        Score the segmentation.
    """

    title: str = "neuroadda"
    select: SelectConfig | None = None
    train: TrainConfig | None = None
    adapt: AdaptConfig | None = None
    validation: ValidateConfig | None = None
    tune: TuneConfig | None = None
    segment: SegmentConfig | None = None
    evaluate: EvaluateConfig | None = None


def load_config(
    files: str | Path | Sequence[str | Path],
    overrides: Sequence[str] = (),
    given: Mapping[str, Any] = MappingProxyType({}),
) -> RunConfig:
    """Return the config in a TOML or JSON file; in several, each laid over those before it.

    Parameters
    ----------
    overrides
        Keys to set in it, such as ``segment.components.threshold=0.4``, values in TOML syntax.
    given
        Sections that are laid over those in the files, before `overrides` are set.

    Raises
    ------
    UserError
        If a file is missing or malformed, or a key is unknown, missing, or has a wrong value.
    """
    paths = [files] if isinstance(files, str | Path) else files
    data = lay_over({}, *map(load_config_file, paths), given)
    data, where = apply_overrides(data, overrides), ", ".join(map(str, paths)) or COMMAND_LINE
    if overrides and any(fault.is_set_by(overrides) for fault in list_faults(RunConfig, data, where)[:1]):
        where = COMMAND_LINE
    return parse_config(RunConfig, data, where)


def run(config: RunConfig, *, overwrite: bool = False, observer: RunObserver = RunObserver()) -> dict[str, Any]:
    """Do all that the config has; finished work is skipped.

    Returns
    -------
    dict
        The summary; see `report`.

    Raises
    ------
    PersonNeeded
        If boxes wait for labels, or as `adapt` does.
    UserError, RunFailed, RunStopped
        As the parts do.
    """
    check_run(config, for_run=True).enforce()
    if config.train is not None:
        train_backbone(config, overwrite=overwrite, observer=observer, checked=True)
    adaptation = None
    if config.adapt is not None:
        adaptation = adapt_backbone(config.adapt, overwrite=overwrite, observer=observer)
        if adaptation.waiting:
            waiting = adaptation.rounds[-1].asked
            raise PersonNeeded(
                f"boxes wait for labels: `neuroadda proposals import {waiting} LABELS`, then run it again"
            )
    tuned = _tune(config, adaptation, overwrite)
    if config.segment is None:
        return {}
    segment = config.segment
    if config.tune is not None and tuned is not None and is_tunable(segment):
        segment = lay_settings(segment, tuned.segmentation, "tune")
    plan = segment_volume(segment, overwrite=overwrite, observe=observer.on_blocks)
    return report(config, plan, measure_plan(plan, config.evaluate), adaptation, tuned)


def _tune(config: RunConfig, adaptation: Adaptation | None, overwrite: bool) -> Tuned | None:
    """Return how the affinities of what was trained, or of what `tune` names, are segmented; None where nothing was tuned."""
    if config.tune is not None:
        return tune_backbone(config.tune, overwrite=overwrite)
    if adaptation is not None:
        return adaptation.tuned
    if config.train is None or config.validation is None or config.segment is None or not is_tunable(config.segment):
        return None
    used, made = [Path(one).resolve() for one in config.segment.backbones], config.train.output / "backbone"
    return tune_trained(config.train, config.validation) if used == [made.resolve()] else None


def train_backbone(
    config: RunConfig,
    *,
    overwrite: bool = False,
    observer: RunObserver = RunObserver(),
    rank: Rank = Rank(),
    checked: bool = False,
) -> "Card":
    """Train as the config says, in one process or in the one that is `rank`; a finished training returns at once.

    Parameters
    ----------
    checked
        `check_run` has looked at it already.
    """
    from neuroadda.training.distributed import join_processes  # torch and gunpowder take seconds to import
    from neuroadda.training.trainer import train_network

    if config.train is None:
        raise UserError("there is no [train] section in the config", None, "see configs/ for examples")
    validate = None if config.validation is None else Validator(config.validation)
    wanted, select = config.train, config.select
    with stop_on_signals(), join_processes(rank, wanted.device) as processes:
        if processes.first and not checked:
            alone = config.model_copy(update={"adapt": None, "tune": None, "segment": None, "evaluate": None})
            check_run(alone, for_run=True).enforce()
        if select is not None and wanted.start is None:
            start = partial(select_start, select, wanted, overwrite=overwrite, observer=observer)
            chosen = processes.from_first(lambda: start().model_dump_json().encode())
            wanted = parse_config(TrainConfig, json.loads(chosen), "train")
        card = train_network(wanted, validate, observer=observer, overwrite=overwrite, processes=processes)
        if validate is not None and processes.first:
            card = _score_again(config, wanted, validate, card)
        return card


def _score_again(config: RunConfig, train: TrainConfig, validate: Validator, card: "Card") -> "Card":
    """Return the card of a backbone; its metrics are measured again where the validation part is another, or was edited since."""
    inputs = Inputs(train.output, trust=train.trust_inputs)
    inputs.note("validation", train.output, validate.fingerprint)
    validate.identify(inputs)
    inputs.warn("the backbone is scored again (unless inputs are trusted)")
    if inputs.changed and card.metrics:
        card = validate_backbone(config)
    inputs.keep()
    return card


def select_start(select: SelectConfig, train: TrainConfig, *, overwrite: bool, observer: RunObserver) -> TrainConfig:
    """Rank the zoo for a training's first sample and return the training that starts from its first entry.

    The ranking is kept in the training's folder; a training that has begun goes on from what it began with.
    """
    train.check_folder()
    raw, inputs = Volume.open(train.samples[0].raw), Inputs(train.output, trust=train.trust_inputs)
    content = inputs.identify("raw_0", raw)
    begun = any((train.output / name).exists() for name in ("checkpoints", "backbone"))
    begun = begun and not overwrite and not inputs.changed
    selection = select_source(raw, select, train.output / RANKING, begun=begun, content=content)
    observer.on_note(f"{train.name} starts from {selection.ranking['winner']}")
    from neuroadda.training.start import start_from

    return start_from(train, selection.folder)


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
    folder, validator = config.train.output / "backbone", Validator(config.validation)
    validator.check()
    card = keep_metrics(folder, validator(load_backbone(folder)))
    inputs = Inputs(config.train.output, trust=config.train.trust_inputs)
    inputs.note("validation", config.train.output, validator.fingerprint)
    validator.identify(inputs)
    inputs.keep()
    return card


def report(
    config: RunConfig,
    plan: Plan,
    measured: Measured,
    adaptation: Adaptation | None = None,
    tuned: Tuned | None = None,
) -> dict[str, Any]:
    """Write ``summary.json`` and ``report.html`` into the segmentation's folder and return the summary."""
    from neuroadda.viewing.run_report import report_plan  # matplotlib takes a second to import

    folder = Path(plan.config.output)
    training, ranking = _trained(config, adaptation)
    segmentation, inspected = Volume.open(plan.output("relabel")), inspect_plan(plan)
    page, numbers = folder / "report.html", folder / "summary.json"
    before = find_before(numbers, segmentation.fingerprint)
    summary = {
        "title": config.title,
        "segmentation": to_absolute(str(segmentation.path)),
        "fingerprint": segmentation.fingerprint,
        "report": to_absolute(str(page)),
        "tuned": tuned.describe() if tuned else None,
        **measured.to_data(),
        "quality": dump_config(inspected.quality),
        BEFORE: dump_config(before) if before else None,
    }
    scored = [] if config.evaluate is None else [config.evaluate.labels, *config.evaluate.compare.values()]
    also = [Volume.open(path) for path in scored]
    with deriving(segmentation, page, "page", also), deriving(segmentation, numbers, "page", also):
        report_plan(
            page,
            config.title,
            plan,
            measured,
            inspected=inspected,
            before=before,
            now=KeyNumbers.of(summary),
            labels=also[0] if also else None,
            training=training,
            ranking=ranking,
            adaptation=adaptation.to_data() if adaptation else None,
            tuned=tuned,
            config=dump_config(_without_secrets(config, plan)),
        )
        write_json(numbers, summary)
    return summary


def _trained(config: RunConfig, adaptation: Adaptation | None) -> tuple[Path | None, Mapping[str, Any] | None]:
    """Return the folder of the training, and the ranking of what it could start from."""
    if adaptation is not None:
        return adaptation.rounds[-1].folder / "train", adaptation.ranking
    if config.train is None:
        return None, None
    selected = config.select is not None and config.train.start is None
    selection = read_selection(config.train.output / RANKING) if selected else None
    return config.train.output, selection.ranking if selection else None


def _without_secrets(config: RunConfig, plan: Plan) -> RunConfig:
    """Return the config without the URLs that may hold a password."""
    update: dict[str, Any] = {"segment": plan.config.model_copy(update={"ledger": None})}
    if config.select is not None:
        update["select"] = config.select.model_copy(update={"zoo": zoo_name(config.select.zoo)})
    if config.adapt is not None:
        update["adapt"] = without_secrets(config.adapt)
    return config.model_copy(update=update)
