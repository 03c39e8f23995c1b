"""The card of a backbone: what it is, what it was trained on and how good it is. Needs no torch."""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from neuroadda.backbones.architecture import Architecture
from neuroadda.backbones.network import NEAREST as NEAREST
from neuroadda.backbones.normalisation import Normalisation
from neuroadda.config import Config, Zyx, ZyxFloat, load_config_file, parse_config
from neuroadda.errors import UserError

CARD, WEIGHTS = "card.json", "weights.safetensors"


def check_offsets(offsets: tuple[Zyx, ...]) -> tuple[Zyx, ...]:
    """Return `offsets` if they begin with the nearest neighbours (in the section, or all three) and none is 0 or repeated.

    Raises
    ------
    ValueError
        Otherwise.
    """
    if offsets[:3] != NEAREST and (offsets[:2] != NEAREST[1:] or any(z for z, _, _ in offsets)):
        raise ValueError(
            "offsets must begin with [-1, 0, 0], [0, -1, 0], [0, 0, -1], or with the last two where none leaves its section"
        )
    if (0, 0, 0) in offsets:
        raise ValueError("offset [0, 0, 0] is of a voxel and itself, which is no affinity")
    if len(set(offsets)) != len(offsets):
        raise ValueError("offsets are repeated")
    return offsets


class Card(Config):
    """Provenance of a backbone, kept as ``card.json`` beside its weights.

    Attributes
    ----------
    name
        Of the backbone.
    domain, organism, region, modality
        What it was trained on; `domain` is the name in the zoo.
    voxel_size_nm
        zyx.
    normalisation
        How raw becomes the network's input.
    architecture
        The description of the network; see `Network`.
    offsets
        zyx offset of each affinity channel: the affinity of voxel p for offset o is 1 iff labels[p] == labels[p + o] !=
        0. The first three are the nearest neighbours, or, of a backbone that knows single sections only, the first two those
        in the section.
    training_data
        For every sample its name, licence, citation and ROI; those of a backbone it was fine-tuned from follow.
    metrics
        Quality on the validation part, by name.
    learning_curve
        VOI (nats) of the validation part after so many iterations.
    test
        Quality on volumes kept apart, by volume and name; nothing was chosen on them.
    segmentation
        How its affinities are segmented where nothing else is said, as chosen on labelled boxes: `fragments`, `agglomerate` and
        `components` of a run's ``[segment]``; empty where that was not tuned.
    digest
        sha256 of the weights file.
    iterations, cpu_minutes
        Spent in training.
    """

    name: str
    domain: str
    organism: str = ""
    region: str = ""
    modality: str = ""
    voxel_size_nm: ZyxFloat
    normalisation: Normalisation = Field(default_factory=Normalisation)
    architecture: Architecture
    offsets: tuple[Zyx, ...]
    training_data: tuple[dict[str, Any], ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)
    learning_curve: tuple[tuple[int, float], ...] = ()
    test: dict[str, dict[str, float]] = Field(default_factory=dict)
    segmentation: dict[str, Any] = Field(default_factory=dict)
    digest: str = ""
    iterations: int = 0
    cpu_minutes: float = 0.0

    @property
    def predicted_offsets(self) -> tuple[Zyx, ...]:
        """What a prediction has as channels: the three nearest neighbours come first, of constant 0 if the network lacks one."""
        return self.offsets if self.offsets[0] == NEAREST[0] else (NEAREST[0], *self.offsets)

    @model_validator(mode="after")
    def _check(self) -> "Card":
        check_offsets(self.offsets)
        self.architecture.check_offsets(self.offsets)
        return self


def load_card(folder: Path | str) -> Card:
    """Read the card of the backbone in `folder`.

    Raises
    ------
    UserError
        If there is no such folder, no card in it, or the card is malformed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("there is no such folder", str(folder), f"a backbone is a folder with {CARD} and {WEIGHTS}")
    path = folder / CARD
    if not path.is_file():
        raise UserError(f"there is no {CARD} here", str(folder), f"a backbone is a folder with {CARD} and {WEIGHTS}")
    return parse_config(Card, load_config_file(path), str(path))


def read_weights(folder: Path | str) -> tuple[Card, bytes]:
    """Return the card of the backbone in `folder` and the bytes of its weights, which are those that the card describes.

    Raises
    ------
    UserError
        As `load_card`, or if the weights are missing or are not those of the card.
    """
    card, path = load_card(folder), Path(folder) / WEIGHTS
    if not path.is_file():
        raise UserError(f"there is no {WEIGHTS} here", str(folder), f"a backbone is a folder with {CARD} and {WEIGHTS}")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.digest:
        what = f"the weights are damaged or another card's (sha256 {digest[:12]}, the card says {card.digest[:12] or 'none'})"
        raise UserError(what, str(path), "fetch or train the backbone again")
    return card, data
