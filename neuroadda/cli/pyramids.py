"""The verb that gives a volume its coarser levels."""

from typing import Annotated

import typer

from neuroadda.cli.options import Json, Ledger, Overrides, Overwrite, TrustInputs
from neuroadda.errors import UserError

app = typer.Typer()


@app.command()
def pyramid(
    volume: Annotated[str, typer.Argument(help="Zarr array.")],
    kind: Annotated[
        str | None, typer.Option(help="raw, affs or labels; by default it follows from the data type.")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Default: raw.ome.zarr beside raw.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy level 0 instead of linking to it.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    ledger: Ledger = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    trust_inputs: TrustInputs = False,
    as_json: Json = False,
) -> None:
    """Write a volume's coarser levels: an OME-NGFF image beside it, whose level 0 is the volume itself.

    --set sets the rest: execution.launcher=slurm, see neuroadda.pyramids.pyramid.PyramidConfig.
    """
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.cli.progress import show_progress
    from neuroadda.config import apply_overrides, parse_config
    from neuroadda.pyramids.pyramid import PyramidConfig, build_pyramid

    if kind not in (None, "raw", "affs", "labels"):
        raise UserError(f"{kind!r} is no kind of volume", "--kind", "raw, affs or labels")
    data = {
        "volume": volume,
        "kind": kind,
        "output": output,
        "copy_finest": copy,
        "ledger": ledger,
        "trust_inputs": trust_inputs,
        "execution": {"workers": workers},
    }
    config = parse_config(PyramidConfig, apply_overrides(data, overrides or ()), "pyramid")
    with show_progress(quiet=as_json) as observer:
        levels = build_pyramid(config, overwrite=overwrite, observe=observer.on_blocks)
    rows = [
        {"level": level.path.name, "shape": list(level.data.shape), "voxel_size_nm": list(level.voxel_size_nm)}
        for level in levels
    ]
    if as_json:
        print_json({"output": str(config.group), "levels": rows})
    else:
        print_table("", rows)
        print(config.group)
