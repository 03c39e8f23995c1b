"""Options that several verbs share, and how they print."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from neuroadda.errors import UserError

CONFIG_HELP = "TOML or JSON; see configs/. Given again, a later one (such as a machine's) is laid over the earlier."
ConfigFiles = Annotated[list[Path], typer.Option("--config", "-c", help=CONFIG_HELP)]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Set a key: --set segment.components.threshold=0.4")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print blocks, voxels and bytes of each stage; write nothing.")]
MEASURE_HELP = "With --dry-run: segment this many small boxes, and forecast time, bytes and memory of the whole."
Measure = Annotated[int | None, typer.Option("--measure", min=2, metavar="BOXES", help=MEASURE_HELP)]
Overwrite = Annotated[bool, typer.Option(help="Replace outputs that were made with other parameters or inputs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
ZOO_HELP = "Folder or URL (http, s3 ...) of a zoo; left out, the one that comes with neuroadda."
Zoo = Annotated[str | None, typer.Option("--zoo", help=ZOO_HELP)]
Triple = tuple[float, float, float]


def print_facts(facts: dict[str, Any], as_json: bool) -> None:
    """Print what is known of one thing, as JSON or as a table of two columns."""
    from neuroadda.cli.console import print_json, print_table

    if as_json:
        print_json(facts)
    else:
        print_table("", [{"what": key, "is": value} for key, value in facts.items()])


def refuse_many_processes(verb: str) -> None:
    """Raise UserError if torchrun or srun started this as one of several processes, which only `train` knows how to be."""
    from neuroadda.training.ranks import find_rank

    count = find_rank(os.environ).count
    if count > 1:
        right = "share the training by `neuroadda train`, then run the rest in one process"
        raise UserError(f"{verb} is for one process, and {count} were started", "the environment", right)
