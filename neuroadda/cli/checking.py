"""The verb that looks at everything before a long run."""

from pathlib import Path
from typing import Annotated

import typer

from neuroadda.cli.options import CONFIG_HELP, Json, Overrides, print_facts
from neuroadda.errors import UserError

app = typer.Typer()


@app.command()
def check(
    target: Annotated[
        str | None,
        typer.Argument(metavar="CONFIG|VOLUME", help="A config (.toml, .json), or a zarr array: a path or a URL."),
    ] = None,
    config: Annotated[list[Path] | None, typer.Option("--config", "-c", help=CONFIG_HELP)] = None,
    overrides: Overrides = None,
    overwrite: Annotated[
        bool, typer.Option(help="Check the run as with --overwrite: it may replace other results.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check everything that a run depends on, in seconds: what is right, doubtful and wrong; each fault with its fix.

    Inputs, backbone, output, ledger, disk, workers, GPU. Nothing is written. Exit code 2: something is wrong.
    """
    from neuroadda.api.checks import CONFIGS
    from neuroadda.api.checks import check as look
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.segmentation.pipeline import is_run

    given = [] if target is None else [target]
    if not given and not config:
        raise UserError("nothing was given to look at", None, "give CONFIG or VOLUME")
    if target is not None and Path(target).suffix.lower() not in CONFIGS:
        if config or overrides:
            raise UserError("this is no config", target, "a volume is looked at alone, without --config and --set")
        if is_run(target):
            raise UserError(
                "this is the folder of a run", target, "`neuroadda status` shows it; give a config or a volume"
            )
        found = look(target)
    else:
        found = look([*given, *(config or [])], overrides=overrides or (), overwrite=overwrite)
    if as_json:
        print_json({**({"volume": found.facts} if found.facts else {}), "findings": found.to_data()})
    else:
        if found.facts:
            print_facts(found.facts, as_json=False)
        rows = [{key: value or "" for key, value in row.items()} for row in found.to_data()]
        print_table("", rows)
    if found["wrong"]:
        count = len(found["wrong"])
        told = f"{count} {'things are' if count > 1 else 'thing is'} wrong"
        raise UserError(
            told, ", ".join(map(str, [*given, *(config or [])])), "see what was printed for the mend of each"
        )
