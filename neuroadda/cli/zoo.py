"""Verbs on a zoo of pretrained backbones: list, show, card, add, verify."""

import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroadda.cli.options import ZOO_HELP, Json, print_facts
from neuroadda.cli.options import Zoo as ZooOption

if TYPE_CHECKING:
    from neuroadda.backbones.card import Card
    from neuroadda.zoo.finding import Zoo

zoo = typer.Typer(
    no_args_is_help=True, help="Pretrained backbones: list them, show their cards, add your own, verify their files."
)

ZooArgument = Annotated[str | None, typer.Argument(metavar="ZOO", help=ZOO_HELP)]


@zoo.command("list")
def list_(where: ZooArgument = None, as_json: Json = False) -> None:
    """List the backbones of a zoo."""
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.wording import format_bytes, format_count
    from neuroadda.zoo.finding import open_zoo
    from neuroadda.zoo.licences import list_licences, tell_commercial_use

    opened = open_zoo(where)
    if as_json:
        print_json([_facts(opened, name) for name in opened.names()])
        return
    rows = []
    for name in opened.names():
        card = opened.card(name)
        rows.append(
            {
                "name": name,
                "organism": _line(card.organism),
                "modality": _line(card.modality),
                "nm zyx": _numbers(card.voxel_size_nm),
                "parameters": format_count(card.architecture.count_parameters()),
                "size": format_bytes(_size(opened, name)),
                "commercial use": tell_commercial_use("; ".join(list_licences(card))),
                "licence": _line(_licence(card)),
            }
        )
    print_table(opened.where, rows)
    _tell_if_empty(opened)


@zoo.command()
def show(name: str, where: ZooOption = None, as_json: Json = False) -> None:
    """Print the whole card of a backbone."""
    from neuroadda.cli.console import print_json
    from neuroadda.config import dump_config
    from neuroadda.zoo.finding import open_zoo
    from neuroadda.zoo.licences import list_licences, tell_commercial_use

    opened = open_zoo(where)
    card = opened.card(name)
    if as_json:
        print_json(dump_config(card))
        return
    facts: dict[str, Any] = {
        "zoo": opened.where,
        "files": ", ".join(opened.files(name)),
        "commercial use": tell_commercial_use("; ".join(list_licences(card))),
        "licence": _line(_licence(card)),
    }
    print_facts(facts | _flat(dump_config(card) | _tell_scores(card)), as_json=False)


@zoo.command()
def card(
    draft: Annotated[Path, typer.Argument(help="TOML or JSON: the card, with what you know of the network.")],
    weights: Annotated[Path, typer.Argument(help="A safetensors file of the class's state_dict.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the new backbone; it must not exist.")],
) -> None:
    """Make a backbone from any torch module: run it, complete its card, store its weights. See docs/networks.md."""
    from neuroadda.config import dump_config
    from neuroadda.zoo.foreign import make_foreign_backbone

    print_facts(_flat(dump_config(make_foreign_backbone(draft, weights, folder).architecture)), as_json=False)


@zoo.command()
def add(
    folder: Annotated[str, typer.Argument(help="A trained backbone: its folder, or its name in the zoo of neuroadda.")],
    where: Annotated[
        str,
        typer.Option(
            "--zoo", help="Folder of the zoo; it is made if there is none. builtin: the zoo that comes with neuroadda."
        ),
    ],
    raw: Annotated[
        list[str] | None,
        typer.Option(help="Zarr array of raw it was trained on. Its features are stored, for the ranking by MMD."),
    ] = None,
    patches: Annotated[int, typer.Option(min=2, help="With --raw: number of patches of each volume.")] = 512,
    half: Annotated[bool, typer.Option(help="Store the weights as float16.")] = True,
    domain: Annotated[str | None, typer.Option(help="Name of the entry, in place of the domain in the card.")] = None,
    organism: Annotated[str | None, typer.Option(help="If the card has none.")] = None,
    modality: Annotated[str | None, typer.Option(help="Such as ssTEM, if the card has none.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the training data, if the card has none.")] = None,
    citation: Annotated[str | None, typer.Option(help="Of the training data, if the card has none.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an entry of the same name.")] = False,
) -> None:
    """Copy a trained backbone into a zoo. The domain in its card becomes its name. See docs/howto_zoo.md."""
    from neuroadda.domains.embedding import embed_volumes
    from neuroadda.domains.patches import PatchConfig
    from neuroadda.volumes.arrays import Volume
    from neuroadda.zoo.adding import Embed, add_backbone
    from neuroadda.zoo.embeddings import find_generalist
    from neuroadda.zoo.finding import local_folder, open_zoo
    from neuroadda.zoo.index import INDEX

    embed: Embed | None = None
    reference = None
    if raw:
        volumes = [Volume.open(path) for path in raw]
        embed = partial(embed_volumes, volumes, config=PatchConfig(count=patches))
        reference = find_generalist(open_zoo(where)) if (local_folder(where) / INDEX).is_file() else None
    given = {"domain": domain, "organism": organism, "modality": modality, "licence": licence, "citation": citation}
    facts = {key: value for key, value in given.items() if value is not None}
    print(add_backbone(folder, where, half=half, overwrite=overwrite, embed=embed, reference=reference, facts=facts))


@zoo.command()
def verify(where: ZooArgument = None, as_json: Json = False) -> None:
    """Check every file of a zoo against its digest, and every card, network and embedding; exit code 1 if any is wrong."""
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.wording import format_bytes
    from neuroadda.zoo.finding import open_zoo
    from neuroadda.zoo.verifying import verify_zoo

    opened = open_zoo(where)
    checked = verify_zoo(opened)
    if as_json:
        print_json([vars(entry) for entry in checked])
    else:
        rows = [
            {
                "name": entry.name,
                "files": entry.files,
                "size": format_bytes(entry.size),
                "found": f"{len(entry.problems)} wrong" if entry.problems else "ok",
            }
            for entry in checked
        ]
        print_table(opened.where, rows)
        for entry in checked:
            for problem in entry.problems:
                print(f"{entry.name}: {problem}")
        if not checked:
            _tell_if_empty(opened)
    if any(entry.problems for entry in checked):
        raise typer.Exit(1)


def _facts(opened: "Zoo", name: str) -> dict[str, Any]:
    from neuroadda.zoo.licences import list_licences, tell_commercial_use

    card = opened.card(name)
    return {
        "name": name,
        "organism": card.organism,
        "region": card.region,
        "modality": card.modality,
        "voxel_size_nm": list(card.voxel_size_nm),
        "parameters": card.architecture.count_parameters(),
        "licences": list_licences(card),
        "commercial_use": tell_commercial_use("; ".join(list_licences(card))),
        "bytes": _size(opened, name),
        "metrics": dict(card.metrics),
        "learning_curve": card.learning_curve,
        "test": card.test,
    }


def _size(opened: "Zoo", name: str) -> int:
    return sum(record.size for record in opened.files(name).values())


def _licence(card: "Card") -> str:
    from neuroadda.zoo.licences import list_licences

    return "; ".join(textwrap.shorten(licence, 40, placeholder=" ...") for licence in list_licences(card))


def _line(text: str) -> str:
    """Return what a card says, which anybody may have written, without what would move a terminal's cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _tell_scores(card: "Card") -> dict[str, Any]:
    """Return the learning curve and the scores on test volumes as people read them."""

    def tell(scores: dict[str, float]) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in scores.items())

    curve = "; ".join(f"{iteration:,} iterations: VOI {voi:.4g}" for iteration, voi in card.learning_curve)
    return {"learning_curve": curve, "test": {volume: tell(scores) for volume, scores in card.test.items()}}


def _flat(data: Any, key: str = "") -> dict[str, Any]:
    """Return nested data as one table of dotted keys; lists of plain values stay in one row."""
    if isinstance(data, dict):
        items = data.items()
    elif isinstance(data, list) and any(isinstance(value, dict) for value in data):
        items = dict(enumerate(data)).items()
    else:
        return {key: _line(f"{data:.4g}" if isinstance(data, float) else str(data))}
    return {k: v for name, value in items for k, v in _flat(value, f"{key}.{name}" if key else str(name)).items()}


def _tell_if_empty(opened: "Zoo") -> None:
    if not opened.names():
        print(f"{opened.where}: the zoo is empty; `neuroadda zoo add FOLDER --zoo ZOO` adds a trained backbone")
