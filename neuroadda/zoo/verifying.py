"""What an entry of a zoo must be: whose data made it is told, its network can be used, its embedding compared."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neuroadda.backbones.card import CARD, WEIGHTS, Card
from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.errors import UserError
from neuroadda.zoo.embeddings import load_embeddings
from neuroadda.zoo.finding import Zoo
from neuroadda.zoo.index import EMBEDDING, INDEX

PROVENANCE = ("name", "licence", "citation")


@dataclass(frozen=True)
class CheckedEntry:
    """What `verify_zoo` found of an entry."""

    name: str
    files: int
    size: int
    problems: tuple[str, ...]


def verify_zoo(zoo: Zoo) -> list[CheckedEntry]:
    """Hold every file of every entry against its record; load every card, network and embedding.

    Returns
    -------
    list
        One for each entry, with every problem in a line; and one for each folder of a local zoo that its index lacks.
    """
    checked = [_verify(zoo, name) for name in zoo.names()]
    if isinstance(zoo.root, Path):
        for path in sorted(zoo.root.glob(f"[!.]*/{CARD}")):
            if path.parent.name not in zoo.index.entries:
                problem = f"{path.parent}: the folder is not in {INDEX}"
                checked.append(CheckedEntry(path.parent.name, 0, 0, (problem,)))
    return checked


def _verify(zoo: Zoo, name: str) -> CheckedEntry:
    records = zoo.files(name)
    problems: list[str] = []

    def attempt(check: Callable[[], object]) -> bool:
        try:
            check()
        except UserError as error:
            problems.append(str(error))
            return False
        return True

    whole = [file for file in records if attempt(lambda file=file: zoo.file(name, file))]  # type: ignore[misc]
    if not problems:
        attempt(lambda: zoo.folder(name))
    if CARD in whole and attempt(lambda: zoo.card(name)):
        card, folder = zoo.card(name), zoo.file(name, CARD).parent
        attempt(lambda: check_provenance(card, f"{zoo.where}/{name}/{CARD}"))
        if WEIGHTS in whole:
            attempt(lambda: check_finite(load_backbone(folder)))
        if EMBEDDING in whole:
            attempt(lambda: check_embedding(folder, card))
    return CheckedEntry(name, len(records), sum(record.size for record in records.values()), tuple(problems))


def check_provenance(card: Card, where: str) -> None:
    """Check that a card says of what it is and whose data made it.

    Raises
    ------
    UserError
        If `domain`, `organism` or `modality` is empty, if there is no `training_data`, or one of it lacks its name,
        licence or citation; all that is missing is named.
    """
    missing = [key for key in ("domain", "organism", "modality") if not getattr(card, key).strip()]
    missing += [] if card.training_data else ["training_data"]
    for i, sample in enumerate(card.training_data):
        missing += [f"training_data[{i}].{key}" for key in PROVENANCE if not str(sample.get(key) or "").strip()]
    if missing:
        right = "a zoo says whose data made its backbones: give it (--organism, --modality, --licence, --citation)"
        raise UserError(f"the card lacks {', '.join(missing)}", where, right)


def check_finite(backbone: Backbone) -> None:
    """Raise UserError if a weight is not a finite number: float16 ends at 65504."""
    for key, weight in backbone.model.state_dict().items():
        if not weight.isfinite().all():
            raise UserError(f"the weights {key} are not all finite", str(backbone.folder / WEIGHTS))


def check_embedding(folder: Path, card: Card) -> None:
    """Check that the embedding in `folder` can be read and that its own network is the one of the card.

    Raises
    ------
    UserError
        If not.
    """
    for embedding in load_embeddings(folder).get("own", {}).values():
        where = f"{folder / EMBEDDING}: own.{embedding.pooling}"
        if embedding.network != card.digest:
            what = f"the features are of other weights ({embedding.network[:12]}) than the card's ({card.digest[:12]})"
            raise UserError(what, where, "embed again with the weights as they are stored")
        found, width = embedding.features.shape[1], card.architecture.feature_width
        if found != width:
            raise UserError(f"there are {found} features, of a network with {width}", where)
