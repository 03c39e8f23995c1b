"""Verbs that ask a person: propose boxes, hand them to proofreaders' tools, take their labels back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroadda.cli.options import (
    BOX,
    Json,
    NoData,
    Overrides,
    Overwrite,
    RankingFile,
    Triple,
    TrustInputs,
    Zoo,
    read_box,
    take_one,
)
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.active.proposals import Proposals
    from neuroadda.volumes.geometry.regions import RoiConfig

app = typer.Typer()
proposals = typer.Typer(
    no_args_is_help=True, help="Proposed boxes: show them, export them to a tool, import their labels."
)
EXCLUDE_HELP = f'Where no box may lie: a folder of proposals, or "{BOX}" in nm. May be given several times.'
Folder = Annotated[Path, typer.Argument(help="Folder of `propose`, or its proposals.json.")]


@app.command()
def propose(
    volume: Annotated[str, typer.Argument(help="Zarr array of raw.")],
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="An entry of the zoo, or a folder; by default the first of the zoo's ranking."),
    ] = None,
    zoo: Zoo = None,
    ranking: RankingFile = None,
    count: Annotated[int, typer.Option("--count", "-n", help="How many boxes.")] = 4,
    shape: Annotated[Triple, typer.Option(metavar="Z Y X", help="Shape of a box in nm.")] = (1000.0, 1000.0, 1000.0),
    strategy: Annotated[str | None, typer.Option(help="median, max, min, random, diverse or median+diverse.")] = None,
    score: Annotated[str, typer.Option(help="entropy, augmented, committee or ambiguity.")] = "entropy",
    min_distance: Annotated[float, typer.Option(help="Least gap between two boxes in nm.")] = 0.0,
    mask: Annotated[str | None, typer.Option(help="Mask: an array that is 0 outside the tissue.")] = None,
    no_data: NoData = None,
    any_voxel_size: Annotated[
        bool,
        typer.Option(
            "--any-voxel-size/--same-voxel-size",
            help="Accept a voxel size unlike the backbone's training (by a factor above 1.5), and say so; or refuse it.",
        ),
    ] = True,
    exclude: Annotated[list[str] | None, typer.Option(metavar="BOXES", help=EXCLUDE_HELP)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random choices.")] = 0,
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for all that is written.")] = "proposals",
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    trust_inputs: TrustInputs = False,
    as_json: Json = False,
) -> None:
    """Propose the boxes of a volume that are worth labelling; nothing but its raw is needed.

    Writes proposals.json, and a contact sheet (png, html) to look at. --set sets the rest: reading=median,
    execution.workers=8, committee=[...], see neuroadda.active.propose.ProposeConfig.
    """
    from neuroadda.active.proposals import LABELS, SHEET
    from neuroadda.active.propose import ProposeConfig
    from neuroadda.api.boxes import propose as find
    from neuroadda.cli.console import print_json
    from neuroadda.cli.progress import show_progress
    from neuroadda.config import apply_overrides, dump_config, parse_config
    from neuroadda.volumes.arrays import Volume
    from neuroadda.zoo.finding import open_zoo

    one = take_one(backbone, "propose")
    raw = Volume.open(volume)
    if zoo is not None:
        open_zoo(zoo)  # whether or not the backbone is one of its entries
    boxes = [box for given in exclude or [] for box in _read_boxes(given, raw)]
    data = {
        "raw": volume,
        "backbone": one,
        "select": {"zoo": zoo, "ranking": ranking},
        "output": output,
        "shape_nm": list(shape),
        "score": score,
        "mask": mask,
        **({} if no_data is None else {"no_data": no_data}),
        "excluded": [dump_config(box) for box in boxes],
        "choose": {
            "count": count,
            "seed": seed,
            "min_distance_nm": min_distance,
            **({} if strategy is None else {"strategy": strategy}),
        },
        "any_voxel_size": any_voxel_size,
        "trust_inputs": trust_inputs,
    }
    config = parse_config(ProposeConfig, apply_overrides(data, overrides or ()), "propose")
    with show_progress(quiet=as_json) as observer:
        found = find(config=config, overwrite=overwrite, observer=observer)
    if as_json:
        print_json(dump_config(found.proposals))
        return
    print_boxes(found.proposals, config.output / LABELS)
    fitting = len(found.proposals.proposals)
    if fitting < config.choose.count:
        print(f"no more than {fitting} boxes of this shape and distance fit; {config.choose.count} were asked for")
    print(
        f"look at them: {config.output / SHEET}\nhand them on: neuroadda proposals export {config.output} --to webknossos\n"
        f"labels back: neuroadda proposals import {config.output} LABELS\n"
        f"fine-tune: neuroadda adapt {volume} --proposals {config.output} -o OUT"
    )


def _read_boxes(given: str, raw: Any) -> "list[RoiConfig]":
    """Return the boxes of a folder of proposals, or the one that six numbers say."""
    from neuroadda.active.proposals import read_proposals
    from neuroadda.volumes.arrays import describe_roi

    right = f'write "{BOX}" in nm, or name a folder of proposals'
    if (box := read_box(given, "--exclude", right)) is None:
        return [proposal.box for proposal in read_proposals(Path(given), raw).proposals]
    begin, end = (
        raw.offset_nm,
        [o + n * v for o, n, v in zip(raw.offset_nm, raw.shape_vx, raw.voxel_size_nm, strict=True)],
    )
    if any(o >= e or o + s <= b for o, s, b, e in zip(box.offset_nm, box.shape_nm, begin, end, strict=True)):
        raise UserError(f"{given!r} lies outside of the volume, {describe_roi(raw.roi)}", "--exclude", right)
    return [box]


def _tell_of_edits(folder: Path) -> None:
    """Warn if the volume, or its mask, was edited since its boxes were proposed."""
    from neuroadda.volumes.identity.inputs import look_again

    beside = folder if folder.is_dir() else folder.parent
    said = "these boxes were proposed before; the same `neuroadda propose` proposes again"
    look_again(beside).warn(said, f"{said} with --overwrite")


@proposals.command()
def show(folder: Folder, as_json: Json = False) -> None:
    """Print the boxes, in their order, and which are labelled, skipped, or waiting for labels."""
    from neuroadda.active.box_states import state_of
    from neuroadda.active.proposals import LABELS, read_proposals
    from neuroadda.cli.console import print_json
    from neuroadda.config import dump_config

    found, labels = read_proposals(folder), (folder if folder.is_dir() else folder.parent) / LABELS
    _tell_of_edits(folder)
    if as_json:
        print_json(dump_config(found) | {"states": {box.name: state_of(box, labels) for box in found.proposals}})
    else:
        print_boxes(found, labels)


@proposals.command()
def export(
    folder: Folder,
    to: Annotated[str, typer.Option(help="csv, catmaid, webknossos, neuroglancer or crops (OME-Zarr).")],
    output: Annotated[str | None, typer.Option("--output", "-o", help="Beside the proposals by default.")] = None,
    url: Annotated[str | None, typer.Option(help="Where raw is served, for neuroglancer.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the dataset in WEBKNOSSOS.")] = None,
    context: Annotated[
        Triple,
        typer.Option(metavar="Z Y X", help="nm of raw on either side of a box, for crops; labels cover the box alone."),
    ] = (
        0.0,
        0.0,
        0.0,
    ),
    overwrite: Overwrite = False,
) -> None:
    """Write the boxes for a proofreader's tool, and print where (for neuroglancer, the link too)."""
    import json
    from typing import get_args

    from neuroadda.active.exports import NAMES, Export, export_proposals
    from neuroadda.active.proposals import read_proposals
    from neuroadda.volumes.neuroglancer import state_url
    from neuroadda.volumes.storage.locations import to_folder

    if to not in get_args(Export):
        raise UserError(f"{to!r} is no kind of export", "--to", f"one of: {', '.join(get_args(Export))}")
    beside = folder if folder.is_dir() else folder.parent
    _tell_of_edits(folder)
    written = export_proposals(
        to,  # type: ignore[arg-type]
        read_proposals(folder),
        beside / NAMES[to] if output is None else to_folder(output, "what is exported to"),  # type: ignore[index]
        overwrite=overwrite,
        url=url,
        dataset=dataset,
        context_nm=context,
    )
    print(written)
    if to == "neuroglancer":
        print(state_url(json.loads(written.read_text())))


@proposals.command("import")
def import_(
    folder: Folder,
    labels: Annotated[
        str, typer.Argument(help="Zarr, HDF5, TIFF or .npy; crops; a WEBKNOSSOS download; URL of a segmentation.")
    ],
    rank: Annotated[int | None, typer.Option(help="The box that the labels belong to, if that is not clear.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name inside the file.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Bring labels of the boxes back, checked, into labels/roi_<rank>.zarr/labels beside the proposals."""
    from neuroadda.active.labels import import_labels
    from neuroadda.active.proposals import read_proposals
    from neuroadda.cli.console import print_json, print_table

    beside = folder if folder.is_dir() else folder.parent
    _tell_of_edits(folder)
    imported = import_labels(
        read_proposals(folder), labels, beside / "labels", rank=rank, dataset=dataset, overwrite=overwrite
    )
    rows = [
        {
            "rank": one.rank,
            "labels": str(one.path),
            "ids": one.ids,
            "labelled": round(one.labelled_fraction, 4),
            "notes": "; ".join(one.notes),
        }
        for one in imported
    ]
    print_json(rows) if as_json else print_table("imported", rows)


@proposals.command()
def skip(folder: Folder, rank: Annotated[int, typer.Argument(help="The box.")]) -> None:
    """Leave a box out: `adapt` does not wait for its labels. Importing labels of it undoes that."""
    from neuroadda.active.box_states import skip_box
    from neuroadda.active.proposals import read_proposals

    beside = folder if folder.is_dir() else folder.parent
    print(skip_box(read_proposals(folder), rank, beside / "labels"))


def print_boxes(found: "Proposals", labels: Path) -> None:
    """Print a table of the boxes, whose labels lie in a folder."""
    from neuroadda.active.box_states import state_of
    from neuroadda.cli.console import print_table

    rows = [
        {
            "rank": p.rank,
            "state": state_of(p, labels),
            "offset, nm zyx": " ".join(f"{v:g}" for v in p.offset_nm),
            "shape, nm zyx": " ".join(f"{v:g}" for v in p.shape_nm),
            "score": round(p.score, 4),
            "reason": p.reason,
        }
        for p in found.proposals
    ]
    print_table(f"{found.strategy} of {found.pool.candidates} boxes, by {found.backbone}", rows)
