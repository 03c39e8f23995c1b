"""Verbs on a run's ledger: make it again from what is written, or check it against that."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from neuroadda.cli.options import Json, Ledger

ledger = typer.Typer(no_args_is_help=True, help="The record of every block: made again, or checked and repaired.")

INCONSISTENT = 1
SHOWN = 10

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a segmentation.")]


@ledger.command()
def rebuild(run: Run, url: Ledger = None, as_json: Json = False) -> None:
    """Record as done what a run has written and its ledger does not have: everything, if the ledger is lost.

    A block counts as written if every chunk and file of it exists. The next run does again what is in doubt, with the same bytes.
    """
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.segmentation.recovery import rebuild_ledger

    rows = [asdict(stage) for stage in rebuild_ledger(run, url)]
    print_json(rows) if as_json else print_table("blocks", rows)


@ledger.command()
def verify(
    run: Run,
    url: Ledger = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Forget what is wrong, so that the next run does it again.")
    ] = False,
    read: Annotated[
        bool,
        typer.Option("--read", help="Also read all that is done, to find broken files; takes as long as copying it."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the ledger against what is written; exit code 1 where they disagree and --repair is not given.

    Blocks that are written and not on record do no harm: they are done again, unless `rebuild` records them.
    """
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.segmentation.recovery import verify_ledger

    told = verify_ledger(run, url, repair=repair, read=read)
    stages = [asdict(stage) for stage in told.stages]
    findings = [
        {"stage": finding.stage, "what": finding.what, "blocks": list(finding.blocks)} for finding in told.findings
    ]
    if as_json:
        print_json({"findings": findings, "repaired": repair, "stages": stages})
    else:
        for finding in told.findings:
            print(f"{finding.stage}: {_name(finding.blocks)}{finding.what}{' (repaired)' if repair else ''}")
        print_table("blocks", stages)
        if not findings:
            print("ledger and outputs agree")
    if findings and not repair:
        raise typer.Exit(INCONSISTENT)


def _name(blocks: Sequence[int]) -> str:
    if not blocks:
        return ""
    first = ", ".join(map(str, blocks[:SHOWN]))
    more = f" and {len(blocks) - SHOWN} more" if len(blocks) > SHOWN else ""
    return f"block{'s' if len(blocks) > 1 else ''} {first}{more}: "
