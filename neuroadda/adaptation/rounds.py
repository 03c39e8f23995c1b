"""Go through the rounds of an adaptation, as far as there are labels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from neuroadda.active.boxes import is_labelled, is_skipped
from neuroadda.active.proposals import PROPOSALS, SHEET
from neuroadda.active.propose import ProposeConfig, ProposeSettings, propose
from neuroadda.adaptation.config import AdaptConfig, without_secrets
from neuroadda.adaptation.oracle import ask_oracle, open_oracle
from neuroadda.adaptation.state import Adaptation, Round
from neuroadda.adaptation.training import check_shape, check_training, make_training
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.blockwise.engine import Observer, stop_on_signals
from neuroadda.config import fingerprint, load_config_file, write_json
from neuroadda.domains.selection import select_source
from neuroadda.errors import PersonNeeded, UserError
from neuroadda.evaluation.validation import Validator
from neuroadda.locks import lock_folder
from neuroadda.prediction.predict import is_far_in_size
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.regions import RoiConfig

CONFIG, RANKING, SUMMARY = "config.json", "ranking.json", "adaptation.json"


def adapt(
    config: AdaptConfig,
    *,
    overwrite: bool = False,
    observe: Observer = lambda task, summary: None,
    progress: bool = True,
) -> Adaptation:
    """Go on with an adaptation until it is done or waits for labels; what is finished is not done again.

    Labels are waited for in ``round_<r>/labels/roi_<rank>.zarr/labels``, where `import_labels` brings them. How far it came is
    written to ``adaptation.json``, and what was asked for and the start that was found to ``config.json``.

    Raises
    ------
    UserError
        If an input is missing or does not fit, the training cannot be done, no box is labelled, or something made with
        other parameters lies in the folder and `overwrite` is false.
    PersonNeeded
        If no source of the zoo is near.
    RunFailed, RunStopped
        As the parts do.
    """
    raw = Volume.open(config.raw)
    check_shape(config, raw)
    validator = None if config.validation is None else Validator(config.validation)
    if validator is not None:
        validator.check()
    oracle = None if config.oracle is None else open_oracle(config.oracle, raw)
    with lock_folder(config.output), stop_on_signals():
        start, ranking = _find_start(config, raw, overwrite)
        check_training(config, start)
        before = _score(start, validator, config.output / "before.json")
        _check_metric(config, before)
        if progress:
            _tell_start(config, raw, start)
        rounds: list[Round] = []
        for number in range(1, config.rounds + 1):
            asked = _ask(config, number, rounds, start, overwrite, observe)
            write_json(config.output / CONFIG, _resolve(config, start))
            if oracle is not None:
                ask_oracle(asked.proposals, oracle, asked.labels, overwrite=overwrite)
            asked = _look(asked, oracle is not None)
            if progress:
                _tell_round(config, asked)
            if not asked.missing:
                asked = _learn(config, [*rounds, asked], start, validator, overwrite, progress)
            rounds.append(asked)
            done = Adaptation(start, before, tuple(rounds), ranking)
            write_json(config.output / SUMMARY, done.to_data())
            if done.waiting:
                break
    return done


def _find_start(config: AdaptConfig, raw: Volume, overwrite: bool) -> tuple[Path, dict[str, Any] | None]:
    if config.backbone is not None:
        load_card(config.backbone)
        return Path(config.backbone), None
    begun = not overwrite and (config.output / "round_1" / PROPOSALS).exists()
    selection = select_source(raw, config.select, config.output / RANKING, begun=begun)
    if selection.folder is None:
        right = "give a backbone, or train one from scratch on a few labels"
        raise PersonNeeded(f"no source of the zoo is near {config.raw}; {right}")
    return selection.folder, dict(selection.ranking)


def _resolve(config: AdaptConfig, start: Path) -> dict[str, Any]:
    """Return what was asked for with the start that was found: no worker counts, and no URL that may hold a password."""
    train = config.train.model_copy(update={"network": load_card(start).architecture})
    resolved = without_secrets(config).model_copy(update={"backbone": str(start), "train": train})
    return resolved.model_dump(mode="json", exclude={"execution", "ledger"})


def _ask(
    config: AdaptConfig, number: int, earlier: Sequence[Round], start: Path, overwrite: bool, observe: Observer
) -> Round:
    """Propose a round's boxes, unlike those of the rounds before, and write their contact sheet."""
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
            committee=config.committee,
            output=folder,
            excluded=_boxes(earlier),
            block_vx=config.block_vx,
            any_voxel_size=True,  # a source of another voxel size is what there is
            ledger=config.ledger,
            execution=config.execution,
        ),
        overwrite=overwrite,
        observe=observe,
    )
    if found.scores is not None or not (folder / SHEET).exists():
        from neuroadda.viewing.contact_sheet import write_contact_sheet  # so does matplotlib's
        from neuroadda.viewing.panels import cut_panels

        raw = Volume.open(config.raw)
        panels = cut_panels(raw, found.grid, found.proposals)
        write_contact_sheet(folder, found.proposals, panels, scores=found.scores)
    return Round(folder, found.proposals)


def _boxes(rounds: Sequence[Round]) -> tuple[RoiConfig, ...]:
    return tuple(proposal.box for round_ in rounds for proposal in round_.proposals.proposals)


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
    progress: bool,
) -> Round:
    """Train on the labels of all rounds and return the last with its result."""
    from neuroadda.training.trainer import train  # torch's and gunpowder's import takes seconds

    train(make_training(config, rounds, start), validator, progress=progress, overwrite=overwrite)
    folder = rounds[-1].folder
    backbone = folder / "train" / "backbone"
    return replace(rounds[-1], backbone=backbone, metrics=_score(backbone, validator, folder / "after.json"))


def _score(folder: Path, validator: Validator | None, record: Path) -> dict[str, float] | None:
    """Return a backbone's metrics on the validation part, measured once."""
    if validator is None:
        return None
    raw, labels, _ = validator.check()
    settings = validator.config.model_dump(mode="json", exclude={"raw", "labels"})
    mine = fingerprint("score", 2, load_card(folder).digest, settings, raw.fingerprint, labels.fingerprint)
    if record.exists():
        known = load_config_file(record)
        if known.get("fingerprint") == mine:
            return dict(known["metrics"])
    metrics = validator(load_backbone(folder))
    write_json(record, {"fingerprint": mine, "metrics": metrics})
    return metrics


def _check_metric(config: AdaptConfig, metrics: dict[str, float] | None) -> None:
    key = config.train.keep_best
    if key and metrics and key not in metrics:
        raise UserError(f"the validation gives no {key!r}", "train.keep_best", f"it gives {', '.join(metrics)}")


def _tell_start(config: AdaptConfig, raw: Volume, start: Path) -> None:
    card = load_card(start)
    print(f"{config.train.name} starts from {card.name}", flush=True)
    if is_far_in_size(raw, card):
        print(f"it learned at {card.voxel_size_nm} nm and runs at this volume's {raw.voxel_size_nm} nm", flush=True)


def _tell_round(config: AdaptConfig, asked: Round) -> None:
    count, wanted = len(asked.proposals.proposals), config.propose.choose.count
    if count < wanted:
        print(f"no more than {count} boxes of this shape and distance fit; {wanted} were asked for", flush=True)
    if asked.left_out:
        names = ", ".join(f"roi_{rank}" for rank in asked.left_out)
        print(f"{names} left out: {'the oracle has no labels there' if config.oracle else 'skipped'}", flush=True)
