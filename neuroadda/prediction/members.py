"""The networks of a prediction, one or those of an ensemble: their names among a task's inputs, their order, what they share."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from neuroadda.backbones.card import NEAREST, Card
from neuroadda.config import Zyx, dump_config, fingerprint
from neuroadda.errors import SettingError, warn
from neuroadda.volumes.identity.inputs import Inputs

COUNTING = ("architecture", "normalisation", "offsets")  # keys of a card that change affinities


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
        If a network is named twice, or is a copy of another.
    """
    ordered = sorted(members, key=lambda member: _by_digest(member[1]))
    for (place, one), (other_place, other) in pairwise(ordered):
        if one.digest == other.digest:
            what = (
                f"{place} is named twice"
                if place == other_place
                else f"{place} and {other_place} have the same weights"
            )
            raise SettingError(what, "backbone", "name each backbone of an ensemble once")
    return ordered


def sort_cards(cards: Sequence[Card]) -> list[Card]:
    """Return cards in the order of `order_members`."""
    return sorted(cards, key=_by_digest)


def identify_members(known: Inputs, members: Sequence[tuple[Path, Card]]) -> list[str]:
    """Return what determines the affinities of networks: the digests of their weights and, once their cards were edited, these.

    Parameters
    ----------
    known
        Inputs of the folder of the results, where what counts of a card is noted.
    """
    return [
        known.note(f"card_of_{name}", place, fingerprint([dump_config(card)[key] for key in COUNTING]), card.digest)
        for name, (place, card) in zip(name_members(len(members)), members, strict=True)
    ]


def find_shared(cards: Sequence[Card]) -> tuple[Zyx, ...]:
    """Return the offsets that all networks predict, in the order of the first."""
    return tuple(offset for offset in cards[0].offsets if all(offset in card.offsets for card in cards))


def share_offsets(cards: Sequence[Card]) -> tuple[Zyx, ...]:
    """Return the channels of a mean prediction: the offsets of `find_shared`.

    The three nearest neighbours come first, of constant 0 where a network lacks one, as in `Card.predicted_offsets`.
    """
    shared = find_shared(cards)
    return shared if shared[0] == NEAREST[0] else (NEAREST[0], *shared)


def warn_of_unshared(cards: Sequence[Card]) -> None:
    """Log which offsets of networks are left out of their mean, since others lack them."""
    shared = find_shared(cards)
    for card in cards:
        unshared = [offset for offset in card.offsets if offset not in shared]
        if unshared:
            told = ", ".join(map(str, unshared))
            alone = "; so no segment leaves its section" if NEAREST[0] in unshared else ""
            warn(f"offsets that not all backbones predict are left out of the mean: {told}{alone}", card.name)


def _by_digest(card: Card) -> str:
    return card.digest
