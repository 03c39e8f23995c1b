"""The networks of a prediction, one or those of an ensemble: their names among a task's inputs, their order, what they share."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from neuroadda.backbones.card import NEAREST, Card
from neuroadda.config import Zyx
from neuroadda.errors import SettingError, warn


def name_members(count: int) -> list[str]:
    """Return what networks are called among the inputs of a task."""
    return ["backbone", *(f"backbone_{i}" for i in range(1, count))]


def list_members(inputs: Mapping[str, str]) -> list[str]:
    """Return the folders of the networks among the inputs of a task, in their order."""
    names = name_members(len(inputs))
    return [inputs[name] for name in names if name in inputs]


def order_members(members: Sequence[tuple[Path, Card]]) -> list[tuple[Path, Card]]:
    """Return folders and cards by the digests of their weights: a mean does not depend on who is named first.

    Raises
    ------
    UserError
        If a network is named twice.
    """
    ordered = sorted(members, key=lambda member: member[1].digest)
    for (_, one), (folder, other) in pairwise(ordered):
        if one.digest == other.digest:
            raise SettingError(f"{folder} is named twice", "backbone", "name each backbone of an ensemble once")
    return ordered


def share_offsets(cards: Sequence[Card]) -> tuple[Zyx, ...]:
    """Return the channels of a mean prediction: the offsets of all networks, in the order of the first.

    The three nearest neighbours come first, of constant 0 where a network lacks one, as in `Card.predicted_offsets`.
    """
    shared = tuple(offset for offset in cards[0].offsets if all(offset in card.offsets for card in cards))
    return shared if shared[0] == NEAREST[0] else (NEAREST[0], *shared)


def warn_of_unshared(cards: Sequence[Card]) -> None:
    """Log which offsets of networks are left out of their mean, since others lack them."""
    shared = [offset for offset in cards[0].offsets if all(offset in card.offsets for card in cards)]
    for card in cards:
        unshared = [offset for offset in card.offsets if offset not in shared]
        if unshared:
            told = ", ".join(map(str, unshared))
            alone = "; so no segment leaves its section" if NEAREST[0] in unshared else ""
            warn(f"offsets that not all backbones predict are left out of the mean: {told}{alone}", card.name)
