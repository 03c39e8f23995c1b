"""How far an adaptation is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroadda.active.proposals import LABELS, Proposals
from neuroadda.config import dump_config

if TYPE_CHECKING:
    from neuroadda.adaptation.boxes import HeldBack, Sources
    from neuroadda.evaluation.tuning import Tuned

BACKBONE = "backbone"


@dataclass(frozen=True)
class Round:
    """One round of an adaptation.

    Attributes
    ----------
    folder
        Of its training and, unless they were given, of its proposals and their labels.
    proposals
        What a person is asked to label.
    missing
        Ranks of those that have no labels yet: the round waits for them.
    left_out
        Ranks of those that a person skipped, or for which the oracle has no labels.
    backbone
        The result; None while the round waits.
    metrics
        Of the result on the validation part.
    given
        Folder of the proposals and their labels, where they were there before.
    """

    folder: Path
    proposals: Proposals
    missing: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    backbone: Path | None = None
    metrics: dict[str, float] | None = None
    given: Path | None = None

    @property
    def asked(self) -> Path:
        """Folder of its proposals and their labels."""
        return self.given or self.folder

    @property
    def labels(self) -> Path:
        """Folder of the labels of its boxes."""
        return self.asked / LABELS


@dataclass(frozen=True)
class Adaptation:
    """How far an adaptation is.

    Attributes
    ----------
    output
        Its folder.
    start
        The backbone that it starts from.
    before
        Its metrics on the validation part.
    rounds
        Those that were begun.
    ranking
        Of the zoo; None where the backbone was given.
    sources
        The ranked sources on the labelled boxes; None before these are labelled, and where the backbone was given.
    held_back
        What the fine-tuning was worth on a box that it did not see, where there is no validation part.
    validation_seen
        Whether a part of the validation part was trained on.
    tuned
        How affinities of the result are segmented; None before it is finished, and where that is not wanted.
    """

    output: Path
    start: Path
    before: dict[str, float] | None
    rounds: tuple[Round, ...]
    ranking: dict[str, Any] | None = None
    sources: "Sources | None" = None
    held_back: "HeldBack | None" = None
    validation_seen: bool = False
    tuned: "Tuned | None" = None

    @property
    def waiting(self) -> bool:
        """Whether a person is to label boxes before it can go on."""
        return bool(self.rounds[-1].missing)

    @property
    def backbone(self) -> Path | None:
        """The adapted backbone, ``<output>/backbone``: that of the last round that is finished, None before the first."""
        return self.output / BACKBONE if any(r.backbone for r in self.rounds) else None

    def describe_scores(self) -> str:
        """Say in a sentence what the fine-tuning was worth, and where that was measured."""
        after = self.rounds[-1].metrics
        if self.before is not None and after is not None:
            told = f"{_compare(self.before, after)} on the validation part"
            return told + (
                ", parts of which were trained on: too good" if self.validation_seen else ", which was not trained on"
            )
        if self.held_back is None:
            return "no score of the fine-tuning, as there is neither a validation part nor a box to spare"
        told = (
            f"{_compare(self.held_back.before, self.held_back.after)} on {self.held_back.box}, which was not trained on"
        )
        return f"{told}: by the same fine-tuning without it; the adapted backbone has learned from it, too"

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "start": str(self.start.absolute()),
            "backbone": None if self.backbone is None else str(self.backbone.absolute()),
            "before": self.before,
            "validation_seen": self.validation_seen,
            "ranking": self.ranking,
            "sources": None if self.sources is None else self.sources.to_data(),
            "held_back": None if self.held_back is None else self.held_back.to_data(),
            "tuned": None if self.tuned is None else self.tuned.to_data(),
            "rounds": [
                {
                    "folder": str(r.folder.absolute()),
                    "proposals": str(r.asked.absolute()),
                    "strategy": r.proposals.strategy,
                    "boxes": [dump_config(proposal) for proposal in r.proposals.proposals],
                    "waiting_for": list(r.missing),
                    "left_out": list(r.left_out),
                    "backbone": None if r.backbone is None else str(r.backbone.absolute()),
                    "after": r.metrics,
                }
                for r in self.rounds
            ],
        }


def _compare(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    return f"VOI {before['voi']:.3f} before, {after['voi']:.3f} after"
