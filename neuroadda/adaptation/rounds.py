"""Go through the rounds of an adaptation, as far as there are labels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from neuroadda.active.box_states import is_labelled, is_skipped
from neuroadda.active.proposals import PROPOSALS
from neuroadda.active.propose import ProposeConfig, ProposeSettings, propose_boxes
from neuroadda.adaptation.boxes import score_held_back, score_sources
from neuroadda.adaptation.config import AdaptConfig, without_secrets
from neuroadda.adaptation.given import take_given
from neuroadda.adaptation.oracle import ask_oracle, open_oracle
from neuroadda.adaptation.state import BACKBONE, Adaptation, Round
from neuroadda.adaptation.status import LEFT_ONE_OUT, SUMMARY
from neuroadda.adaptation.training import check_shape, check_training, list_labels, make_training
from neuroadda.adaptation.tuning import is_trained_on, tune_adapted
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.config import fingerprint, load_config_file, write_json
from neuroadda.domains.selection import find_start
from neuroadda.errors import in_section
from neuroadda.evaluation.validation import Validator, keep_metrics
from neuroadda.locks import lock_folder
from neuroadda.observing import RunObserver
from neuroadda.prediction.predict import is_far_in_size
from neuroadda.processes import stop_on_signals
from neuroadda.runs.config import with_places
from neuroadda.runs.folder import CONFIG, check_run_folder
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.no_data_setting import recall_no_data
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.identity.relocation import to_absolute
from neuroadda.volumes.storage.completeness import check_stored


@in_section("adapt")
def adapt_backbone(
    config: AdaptConfig,
    *,
    overwrite: bool = False,
    observer: RunObserver = RunObserver(),
) -> Adaptation:
    """Go on with an adaptation until it is done or waits for labels; what is finished is not done again.

    Labels are waited for in ``round_<r>/labels/roi_<rank>.zarr/labels``, where `import_labels` brings them; those of given
    proposals beside these. Before the first fine-tuning, the ranked sources are scored on the labels, see `score_sources`. How far
    it came is written to ``adaptation.json``, what was asked for and the start that was found to ``config.json``. ``backbone`` is a
    link to the backbone of the last round that is finished.

    Raises
    ------
    UserError
        If an input is missing or does not fit, the training cannot be done, no box is labelled, or something made with
        other parameters lies in the folder and `overwrite` is false.
    RunFailed, RunStopped
        As the parts do.
    """
    check_run_folder(config.output, {"raw", "rounds", "train"})
    raw = check_stored(Volume.open(config.raw))
    given = None
    if config.proposals is not None:
        config, given = take_given(config, config.proposals, raw)
    check_shape(config, raw, given)
    validator = None if config.validation is None else Validator(config.validation)
    if validator is not None:
        validator.check()
    oracle = None if config.oracle is None else open_oracle(config.oracle, raw)
    with lock_folder(config.output), stop_on_signals():
        inputs, of_oracle = (Inputs(config.output, trust=config.trust_inputs) for _ in range(2))
        content = inputs.identify("raw", raw)
        first_round = config.output / "round_1"
        trained = not overwrite and any((first_round / "train" / name).exists() for name in ("checkpoints", BACKBONE))
        begun = not overwrite and not inputs.changed and (trained or (first_round / PROPOSALS).exists())
        start, selection = find_start(raw, config.backbone, config.select, config.output, begun=begun, content=content)
        check_training(config, start)
        asked_of = None if oracle is None else of_oracle.identify("oracle", oracle)
        of_oracle.warn("boxes are labelled by it again (unless inputs are trusted)")
        overwrite = overwrite or of_oracle.changed
        before = _score(start, validator, config.output / "before.json", inputs)
        _note_start(config, raw, start, observer)
        rounds: list[Round] = []
        sources = None
        for number in range(1, config.rounds + 1):
            if number == 1 and given is not None:
                asked = Round(first_round, given, given=config.proposals)
            else:
                asked = _ask(config, number, rounds, start, overwrite, observer)
            inputs.keep_unless_changed()
            of_oracle.keep_unless_changed()
            write_json(config.output / CONFIG, _resolve(config, start))
            if oracle is not None:
                ask_oracle(asked.proposals, oracle, asked.labels, overwrite=overwrite, content=asked_of)
            asked = _look(asked, oracle is not None)
            _note_round(config, asked, observer)
            labels = list_labels([*rounds, asked])
            if number == 1 and selection is not None and labels and not asked.missing:
                sources = score_sources(config, labels, selection, begun=trained)
                observer.on_note(sources.describe())
                if sources.start != sources.first:
                    start = selection.folders[sources.start]
                    before = _score(start, validator, config.output / "before_other.json", inputs)
                    write_json(config.output / CONFIG, _resolve(config, start))
                    _note_start(config, raw, start, observer)
            if not asked.missing:
                asked = _learn(config, [*rounds, asked], start, validator, overwrite, observer, inputs)
                _link_backbone(config.output, asked)
            rounds.append(asked)
            ranking = None if selection is None else dict(selection.ranking)
            done = Adaptation(config.output, start, before, tuple(rounds), ranking, sources)
            write_json(config.output / SUMMARY, done.to_data())
            if done.waiting:
                break
        if not done.waiting:
            folder = rounds[-1].folder / LEFT_ONE_OUT
            held_back = score_held_back(config, labels, start, folder, overwrite=overwrite, observer=observer)
            seen = validator is not None and is_trained_on(validator, rounds[-1].backbone or start)
            done = replace(done, held_back=held_back, validation_seen=seen)
            done = replace(done, tuned=tune_adapted(config, labels, done, validator))
            write_json(config.output / SUMMARY, done.to_data())
        inputs.keep()
        of_oracle.keep()
    return done


def _resolve(config: AdaptConfig, start: Path) -> dict[str, Any]:
    """Return what was asked for with the start that was found: no worker counts, and no URL that may hold a password."""
    train = config.train.model_copy(update={"network": load_card(start).architecture})
    resolved = without_secrets(config)
    select = resolved.select.model_copy(update={"ranking": None})  # it led to the backbone
    resolved = resolved.model_copy(update={"backbone": str(start), "select": select, "train": train})
    known = resolved.model_dump(mode="json", exclude={"execution", "ledger"})
    return with_places(known, to_absolute, ("raw", "mask", "no_data", "backbone", "oracle", "proposals", "output"))


def _ask(
    config: AdaptConfig, number: int, earlier: Sequence[Round], start: Path, overwrite: bool, observer: RunObserver
) -> Round:
    """Propose a round's boxes, unlike those of the rounds before, and write their contact sheet."""
    folder, raw = config.output / f"round_{number}", Volume.open(config.raw)
    first = earlier[0].asked if earlier else folder
    unsure = (earlier[-1].backbone if earlier else None) or start
    content = Inputs(first, trust=config.trust_inputs).identify("raw", raw)
    no_data = recall_no_data(config.no_data, raw, first, content)  # which the first round looks for
    wanted = make_propose(config, folder, str(unsure), _boxes(earlier)).model_copy(update={"no_data": no_data})
    with in_section("propose", keep=("block_vx",)):
        found = propose_boxes(wanted, overwrite=overwrite, observe=observer.on_blocks)
    from neuroadda.viewing.contact_sheet import keep_contact_sheet  # matplotlib's import takes a second

    keep_contact_sheet(folder, raw, found)
    return Round(folder, found.proposals)


def make_propose(
    config: AdaptConfig, folder: Path, backbone: str | None, excluded: tuple[RoiConfig, ...]
) -> ProposeConfig:
    """Return what boxes of a round are proposed in its folder, where a backbone is unsure and none is labelled."""
    settings = {name: getattr(config.propose, name) for name in ProposeSettings.model_fields}
    return ProposeConfig(
        **settings,
        raw=config.raw,
        mask=config.mask,
        no_data=config.no_data,
        roi=config.roi,
        backbone=backbone,
        select=config.select if backbone is None else config.select.model_copy(update={"ranking": None}),
        committee=config.committee,
        output=folder,
        excluded=excluded,
        block_vx=config.block_vx,
        any_voxel_size=True,  # a source of another voxel size is what there is
        ledger=config.ledger,
        trust_inputs=config.trust_inputs,
        execution=config.execution,
    )


def _boxes(rounds: Sequence[Round]) -> tuple[RoiConfig, ...]:
    """Return what is not to be proposed again: the boxes of these rounds, and what the first was told to leave out."""
    excluded = rounds[0].proposals.excluded if rounds else ()
    return (*excluded, *(proposal.box for round_ in rounds for proposal in round_.proposals.proposals))


def _look(asked: Round, by_oracle: bool) -> Round:
    """Return a round with what became of its boxes; there is no waiting for an oracle."""
    without = [box for box in asked.proposals.proposals if not is_labelled(box, asked.labels)]
    left_out = tuple(box.rank for box in without if by_oracle or is_skipped(box, asked.labels))
    return replace(asked, missing=tuple(b.rank for b in without if b.rank not in left_out), left_out=left_out)


def _learn(
    config: AdaptConfig,
    rounds: Sequence[Round],
    start: Path,
    validator: Validator | None,
    overwrite: bool,
    observer: RunObserver,
    inputs: Inputs,
) -> Round:
    """Train on the labels of all rounds and return the last with its result."""
    from neuroadda.training.trainer import train_network  # torch's and gunpowder's import takes seconds

    train_network(make_training(config, rounds, start), validator, observer=observer, overwrite=overwrite)
    folder = rounds[-1].folder
    backbone = folder / "train" / "backbone"
    metrics = _score(backbone, validator, folder / "after.json", inputs)
    if metrics is not None and load_card(backbone).metrics not in ({}, metrics):  # of another validation part
        keep_metrics(backbone, metrics)
    return replace(rounds[-1], backbone=backbone, metrics=metrics)


def _score(folder: Path, validator: Validator | None, record: Path, inputs: Inputs) -> dict[str, float] | None:
    """Return a backbone's metrics on the validation part, measured once; again where that was edited."""
    if validator is None:
        return None
    mine = fingerprint("score", 4, load_card(folder).digest, validator.identify(inputs))
    if record.exists():
        known = load_config_file(record)
        if known.get("fingerprint") == mine:
            return dict(known["metrics"])
    metrics = validator(load_backbone(folder))
    write_json(record, {"fingerprint": mine, "metrics": metrics})
    return metrics


def _link_backbone(output: Path, done: Round) -> None:
    """Make ``<output>/backbone`` a relative link to a round's result, in one step: whoever reads it sees the old one or the new."""
    assert done.backbone is not None
    partial = output / f".{BACKBONE}.partial"
    partial.unlink(missing_ok=True)
    partial.symlink_to(done.backbone.relative_to(output), target_is_directory=True)
    partial.replace(output / BACKBONE)


def _note_start(config: AdaptConfig, raw: Volume, start: Path, observer: RunObserver) -> None:
    card = load_card(start)
    observer.on_note(f"{config.train.name} starts from {card.name}")
    if is_far_in_size(raw, card):
        observer.on_note(f"it learned at {card.voxel_size_nm} nm and runs at this volume's {raw.voxel_size_nm} nm")


def _note_round(config: AdaptConfig, asked: Round, observer: RunObserver) -> None:
    count, wanted = len(asked.proposals.proposals), config.propose.choose.count
    if asked.given is None and count < wanted:
        observer.on_note(f"no more than {count} boxes of this shape and distance fit; {wanted} were asked for")
    if asked.left_out:
        names = ", ".join(f"roi_{rank}" for rank in asked.left_out)
        observer.on_note(f"{names} left out: {'the oracle has no labels there' if config.oracle else 'skipped'}")
