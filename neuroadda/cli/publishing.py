"""The verb that writes a run in formats of others."""

import shlex
import sys
from typing import Annotated

import typer

from neuroadda.cli.options import Json, Ledger, Overrides, Overwrite, TrustInputs
from neuroadda.errors import UserError

app = typer.Typer()

TO_HELP = "precomputed, webknossos, parquet, ply, obj or swc; give it again for several."


@app.command()
def publish(
    run: Annotated[str, typer.Argument(help="Folder of a finished run; or a segmentation, a zarr array.")],
    output: Annotated[
        str,
        typer.Argument(metavar="OUT", help="Folder, or s3://BUCKET/NAME; each format has a folder of its name in it."),
    ],
    to: Annotated[list[str] | None, typer.Option("--to", metavar="FORMAT", help=TO_HELP)] = None,
    ids: Annotated[
        str | None, typer.Option(metavar="1,2,3", help="Segments whose meshes and skeletons are written; default: all.")
    ] = None,
    min_size: Annotated[
        int,
        typer.Option(
            min=1, help="Voxels: smaller segments have no properties, and no mesh or skeleton unless --ids names them."
        ),
    ] = 1000,
    meshes: Annotated[bool, typer.Option(help="Write meshes to precomputed.")] = True,
    skeletons: Annotated[bool, typer.Option(help="Write skeletons to precomputed.")] = False,
    affs: Annotated[bool, typer.Option(help="Write the affinities to precomputed.")] = False,
    thresholds: Annotated[
        str | None,
        typer.Option(metavar="0.2,0.3", help="Of webknossos: thresholds that get a mapping besides the run's own."),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="NM",
            help="How far a simplified mesh may deviate, in nm; default: the longest side of a voxel.",
        ),
    ] = None,
    work: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="With s3://: where ledger and logs are, in .run.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    ledger: Ledger = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    trust_inputs: TrustInputs = False,
    as_json: Json = False,
) -> None:
    """Write a run for Neuroglancer (volumes, meshes, skeletons), WEBKNOSSOS and analysts (Parquet, PLY, OBJ, SWC).

    --set sets the rest: execution.launcher=slurm, see neuroadda.publishing.publication.PublishConfig.
    """
    from neuroadda.cli.console import print_json
    from neuroadda.cli.progress import show_progress
    from neuroadda.config import apply_overrides, parse_config
    from neuroadda.publishing.publication import PublishConfig
    from neuroadda.publishing.publishing import publish_run

    data = {
        "run": run,
        "output": output,
        "work": work,
        "to": tuple(dict.fromkeys(to or ["precomputed"])),
        "ids": None if ids is None else _read_ids(ids),
        "min_size": min_size,
        "meshes": meshes,
        "skeletons": skeletons,
        "affs": affs,
        "thresholds": () if thresholds is None else _read_thresholds(thresholds),
        "max_error_nm": max_error,
        "ledger": ledger,
        "trust_inputs": trust_inputs,
        "execution": {"workers": workers},
    }
    config = parse_config(PublishConfig, apply_overrides(data, overrides or ()), "publish")
    with show_progress(quiet=as_json) as observer:
        folder = publish_run(config, overwrite=overwrite, observe=observer.on_blocks)
    print_json({"output": str(folder), "formats": list(config.to)}) if as_json else print(folder)
    if "precomputed" in config.to:
        print(f"look at it: neuroadda view {shlex.quote(str(folder))}", file=sys.stderr)


def _read_ids(text: str) -> tuple[int, ...]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() and 0 < int(word) < 2**64 for word in words):
        raise UserError(f"{text!r} is no list of ids", "--ids", "whole numbers above 0, such as 1,2,3")
    return tuple(map(int, words))


def _read_thresholds(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        found = ()
    if not found or not all(0 < threshold <= 1 for threshold in found):
        raise UserError(
            f"{text!r} is no list of thresholds", "--thresholds", "numbers above 0, at most 1, such as 0.2,0.3"
        )
    return found
