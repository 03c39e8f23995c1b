"""Score backbones on labelled boxes of an adaptation: which source is best as it is, and what the fine-tuning was worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.adaptation.config import AdaptConfig
from neuroadda.adaptation.training import check_training, train_on
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.config import fingerprint, load_config_file, write_json
from neuroadda.domains.ranking_file import Selection
from neuroadda.errors import UserError
from neuroadda.evaluation.sweep import Sweep
from neuroadda.evaluation.validation import ValidateConfig, Validator, to_metrics
from neuroadda.intervals import is_above_zero
from neuroadda.observing import RunObserver, track

SOURCES, HELD_BACK = "sources.json", "held_back.json"


@dataclass(frozen=True)
class Sources:
    """The ranked sources on the labelled boxes, as they are.

    Attributes
    ----------
    boxes
        Names.
    voi
        Of every source and box (nats), each source at the threshold that is best for it on all boxes.
    first
        The first of the ranking.
    start
        What the fine-tuning starts from.
    """

    boxes: tuple[str, ...]
    voi: Mapping[str, tuple[float, ...]]
    first: str
    start: str

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        voi = {name: list(values) for name, values in self.voi.items()}
        return {"boxes": list(self.boxes), "voi": voi, "first": self.first, "start": self.start}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Sources":
        """Return what `to_data` returned."""
        voi = {name: tuple(values) for name, values in data["voi"].items()}
        return cls(tuple(data["boxes"]), voi, data["first"], data["start"])

    def describe(self) -> str:
        """Return it as a sentence."""
        mean = {name: float(np.mean(values)) for name, values in self.voi.items()}
        where = f"on your {len(self.boxes)} boxes" if len(self.boxes) > 1 else "on your box"
        told = f"{where} {self.first} scores VOI {mean[self.first]:.2f}"
        best = min(mean, key=lambda name: (mean[name], name))
        if self.start != self.first:
            return f"{told}, {self.start} {mean[self.start]:.2f}: starting from {self.start}"
        if best == self.first:
            return f"{told}, no other source is better: starting from it"
        return f"{told}, {best} {mean[best]:.2f}: no clear reason to start from another than {self.first}"


@dataclass(frozen=True)
class HeldBack:
    """The fine-tuning done once more without the last labelled box, and scored on that box.

    Attributes
    ----------
    labels
        Of the box.
    before, after
        Metrics of the backbone it started from, and of the result.
    """

    labels: Path
    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def box(self) -> str:
        """Name of the box."""
        return self.labels.parent.stem

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "box": self.box,
            "labels": str(self.labels),
            "before": dict(self.before),
            "after": dict(self.after),
        }


def score_sources(config: AdaptConfig, labels: Sequence[Path], selection: Selection, *, begun: bool) -> Sources:
    """Score every ranked source on the labelled boxes without any training, and choose what to start from.

    The first of the ranking stays unless another is better beyond the spread over boxes: the interval of the mean difference, box
    by box, lies above 0. One box alone changes nothing. What was chosen is kept in ``sources.json``.

    Parameters
    ----------
    begun
        A training has begun from what is recorded, or else from the first: that holds.
    """
    record, first = config.output / SOURCES, str(selection.ranking["winner"])
    there = {name: folder for name, folder in selection.folders.items() if folder.is_dir()}
    digests = {name: load_card(folder).digest for name, folder in there.items()}
    validators = [make_validator(config, path) for path in labels]
    mine = fingerprint("sources", 1, first, digests, [one.fingerprint for one in validators], config.select.rank.level)
    known = load_config_file(record) if record.exists() else {}
    if known and (begun or known.get("fingerprint") == mine):
        return Sources.from_data(known["sources"])
    voi = {}
    for name, folder in track("scores of sources", list(there.items())):
        backbone = load_backbone(folder)
        voi[name] = _score_at_best([validator.sweep(backbone) for validator in validators])
    possible = {name for name, folder in there.items() if name == first or (not begun and _can_train(config, folder))}
    start = _choose(voi, first, possible, config.select.rank.level)
    found = Sources(tuple(path.parent.stem for path in labels), voi, first, start)
    write_json(record, {"fingerprint": mine, "sources": found.to_data()})
    return found


def _score_at_best(sweeps: Sequence[Sweep]) -> tuple[float, ...]:
    """Return the VOI of each box at the threshold with the lowest mean over boxes."""
    table = np.array([[scores.voi for scores in sweep.scores] for sweep in sweeps])
    return tuple(float(voi) for voi in table[:, table.mean(axis=0).argmin()])


def _choose(voi: Mapping[str, Sequence[float]], first: str, possible: set[str], level: float) -> str:
    """Return the best of the sources that can be started from, or the first where that is not clearly better."""
    best = min(possible, key=lambda name: (np.mean(voi[name]), name))
    gaps = np.array(voi[first]) - np.array(voi[best])
    return best if is_above_zero(gaps, level) else first


def _can_train(config: AdaptConfig, folder: Path) -> bool:
    try:
        check_training(config, folder)
    except UserError:
        return False
    return True


def score_held_back(
    config: AdaptConfig, labels: Sequence[Path], start: Path, folder: Path, *, overwrite: bool, observer: RunObserver
) -> HeldBack | None:
    """Fine-tune once more in a folder, without the last labelled box, and score that box before and after.

    Returns
    -------
    HeldBack or None
        None if there is a validation part, the config does not want it, or no other box is labelled.
    """
    if config.validation is not None or not config.leave_one_out or len(labels) < 2:
        return None
    from neuroadda.training.trainer import train_network  # torch's and gunpowder's import takes seconds

    *kept, last = labels
    box = last.parent.stem
    training = train_on(config, kept, folder, start)
    training = training.model_copy(update={"name": f"{config.train.name}_without_{box}"})
    observer.on_note(f"fine-tuning once more, without {box}, to score on {box} what it is worth")
    train_network(training, None, observer=observer, overwrite=overwrite)
    validator, result = make_validator(config, last), folder / "backbone"
    digests = [load_card(one).digest for one in (start, result)]
    mine, record = fingerprint("held back", 1, digests, validator.fingerprint), folder / HELD_BACK
    known = load_config_file(record) if record.exists() else {}
    if known.get("fingerprint") != mine:
        before, after = (to_metrics(validator.sweep(load_backbone(one))) for one in (start, result))
        known = {"fingerprint": mine, "before": before, "after": after}
        write_json(record, known)
    return HeldBack(last, known["before"], known["after"])


def make_validator(config: AdaptConfig, labels: Path) -> Validator:
    """Return what scores a backbone on a box as it is segmented by default, checked."""
    settings = config.propose
    validator = Validator(
        ValidateConfig(
            raw=config.raw,
            labels=str(labels),
            linked=config.labels.linked,
            predict=settings.predict,
            fragments=settings.fragments,
        )
    )
    validator.check()
    return validator
