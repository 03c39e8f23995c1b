"""How far an adaptation is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroadda.active.proposals import LABELS, Proposals
from neuroadda.config import dump_config

BACKBONE = "backbone"


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
    left_out
        Ranks of those that a person skipped, or for which the oracle has no labels.
    backbone
        The result; None while the round waits.
    metrics
        Of the result on the validation part.
    """

    folder: Path
    proposals: Proposals
    missing: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    backbone: Path | None = None
    metrics: dict[str, float] | None = None

    @property
    def labels(self) -> Path:
        """Folder of the labels of its boxes."""
        return self.folder / LABELS


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
    """

    output: Path
    start: Path
    before: dict[str, float] | None
    rounds: tuple[Round, ...]
    ranking: dict[str, Any] | None = None

    @property
    def waiting(self) -> bool:
        """Whether a person is to label boxes before it can go on."""
        return bool(self.rounds[-1].missing)

    @property
    def backbone(self) -> Path | None:
        """The adapted backbone, ``<output>/backbone``: that of the last round that is finished, None before the first."""
        return self.output / BACKBONE if any(r.backbone for r in self.rounds) else None

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "start": str(self.start),
            "backbone": None if self.backbone is None else str(self.backbone),
            "before": self.before,
            "ranking": self.ranking,
            "rounds": [
                {
                    "folder": str(r.folder),
                    "strategy": r.proposals.strategy,
                    "boxes": [dump_config(proposal) for proposal in r.proposals.proposals],
                    "waiting_for": list(r.missing),
                    "left_out": list(r.left_out),
                    "backbone": None if r.backbone is None else str(r.backbone),
                    "after": r.metrics,
                }
                for r in self.rounds
            ],
        }
