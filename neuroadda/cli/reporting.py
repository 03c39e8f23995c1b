"""The verb that collects what a bug report needs."""

from pathlib import Path
from typing import Annotated

import typer

from neuroadda.cli.options import Ledger

app = typer.Typer()


@app.command()
def report_bug(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="Folder of the run, training or adaptation.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The text file to write.")] = Path(
        "neuroadda-bug-report.txt"
    ),
    ledger: Ledger = None,
) -> None:
    """Write a text file for a bug report: versions, machine, a run's config, state and last errors, without secrets."""
    from neuroadda.checking.bug_report import write_bug_report

    print(write_bug_report(output, run, ledger))
