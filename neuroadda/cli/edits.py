"""Verbs on the corrections of a run's segmentation: added, listed, undone, checked, applied."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroadda.cli.options import Json, Ledger, Overrides, Workers
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.proofreading.decisions import Decision, End
    from neuroadda.segmentation.edits import Edit, Kind

edits = typer.Typer(no_args_is_help=True, help="Corrections of a segmentation: merges and splits of proofreaders.")

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of `segment`.")]
Who = Annotated[str | None, typer.Option("--who", help="Who decides; by default the user's name.")]
Ends = tuple[str, str]
END = "P1 P2"


@edits.command()
def add(
    run: RunFolder,
    merge: Annotated[
        Ends | None, typer.Option("--merge", metavar=END, help="These are one neuron: z,y,x in nm, or fragment ids.")
    ] = None,
    split: Annotated[Ends | None, typer.Option("--split", metavar=END, help="These are two neurons.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Add the rows of a table whose decision is yes, such as errors.csv: docs/edits.md.",
        ),
    ] = None,
    who: Who = None,
    ledger: Ledger = None,
    as_json: Json = False,
) -> None:
    """Add decisions to a run; `apply` makes the segmentation with them. Printed decisions are stored safely."""
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.proofreading.edits import add as add_edits

    given = [option for option in (merge, split, table) if option is not None]
    if len(given) != 1:
        raise UserError("one thing is added at a time", "edits add", "give --merge P1 P2, --split P1 P2 or --csv FILE")
    added = add_edits(run, _read_decisions(merge, split, table, who), ledger)
    rows = [_row(edit) | {"state": "added" if edit.id in added.new else "known"} for edit in added.edits]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("no row says yes")
    print_table("edits", rows)
    _print_counts(run)


@edits.command("list")
def list_(run: RunFolder, as_json: Json = False) -> None:
    """List all decisions, undone ones too."""
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.proofreading.edits import read_journal

    journal = read_journal(run)
    rows = [
        _row(edit) | {"state": "undone" if edit.id in journal.undone else "in force"} for edit in journal.edits.values()
    ]
    if as_json:
        print_json(rows)
        return
    print_table("edits", rows)
    _print_counts(run)


@edits.command()
def undo(
    run: RunFolder, id: Annotated[int, typer.Argument(metavar="ID", help="Of the edit.")], who: Who = None
) -> None:
    """Undo a decision; it stays on record."""
    from neuroadda.proofreading.edits import undo as undo_edit

    print(f"undone: {undo_edit(run, id, who).describe()}")
    _print_counts(run)


@edits.command()
def check(run: RunFolder, ledger: Ledger = None, as_json: Json = False) -> None:
    """Print decisions that contradict each other, or whose fragments were made again; exit code 2 if `apply` would refuse."""
    from neuroadda.cli.console import print_json
    from neuroadda.config import dump_config
    from neuroadda.proofreading.edits import check as check_edits

    found = check_edits(run, ledger)
    if as_json:
        conflicts = [
            {"split": dump_config(conflict.split), "merges": [dump_config(edit) for edit in conflict.merges]}
            for conflict in found.conflicts
        ]
        lost = [{"edit": dump_config(edit), "why": why} for edit, why in found.lost]
        print_json({"conflicts": conflicts, "stale": [edit.id for edit in found.stale], "lost": lost})
    else:
        for conflict in found.conflicts:
            print(conflict.describe())
        for edit, why in found.lost:
            print(f"{edit.describe()} is stale: {why}")
        for edit in found.stale:
            print(f"{edit.describe()} is stale: its fragments were made again, and are looked up at its points")
        if not (found.conflicts or found.lost):
            print("no conflicts")
    if found.conflicts or found.lost:
        raise typer.Exit(UserError.exit_code)


@edits.command()
def apply(
    run: RunFolder,
    workers: Workers = None,
    ledger: Ledger = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Make the segmentation with the decisions that are not undone: components, relabelling, and its pyramids.

    `segment` and `run` with the run's config do so, too, except the pyramids. Only what depends on a decision is done again.
    --set sets keys of segment.execution, as in `retry`: segment.execution.launcher=slurm.
    """
    from neuroadda.cli.console import print_json
    from neuroadda.cli.progress import show_progress
    from neuroadda.proofreading.applying import apply as apply_edits

    wanted = [] if workers is None else [f"segment.execution.workers={workers}"]
    with show_progress(quiet=as_json) as observer:
        plan = apply_edits(run, ledger=ledger, overrides=[*wanted, *(overrides or ())], observe=observer.on_blocks)
    output = str(plan.output("relabel"))
    print_json({"output": output}) if as_json else print(output)


def _print_counts(run: Path) -> None:
    from neuroadda.segmentation.taken_edits import count_edits

    counts = count_edits(run)
    print("no edits" if counts is None else counts.advise(run))


def _row(edit: "Edit") -> dict[str, Any]:
    ends = [",".join(f"{p:g}" for p in point) for point in edit.points] if edit.points else ["", ""]
    return {
        "id": edit.id,
        "kind": edit.kind,
        "fragment 1": edit.fragments[0],
        "fragment 2": edit.fragments[1],
        "point 1": ends[0],
        "point 2": ends[1],
        "who": edit.who,
        "when": edit.when,
    }


def _read_decisions(merge: Ends | None, split: Ends | None, table: Path | None, who: str | None) -> "list[Decision]":
    from dataclasses import replace

    from neuroadda.proofreading.decisions import Decision, read_decisions

    if table is not None:
        return [replace(one, who=one.who or who) for one in read_decisions(table)]
    kind: Kind = "merge" if merge is not None else "split"
    first, second = (_read_end(text, f"--{kind}") for text in merge or split or ())
    if isinstance(first, int) != isinstance(second, int):
        raise UserError("one end is a point, and the other an id", f"--{kind}", "give two points, or two ids")
    return [Decision(kind, (first, second), who, f"--{kind}")]


def _read_end(text: str, option: str) -> "End":
    parts = text.split(",")
    try:
        if len(parts) == 1 and text.isascii() and text.isdigit():
            return int(text)
        z, y, x = map(float, parts)
    except ValueError as error:
        raise UserError(
            f"{text!r} is neither a point nor an id", option, "z,y,x in nm, or the id of a fragment"
        ) from error
    return z, y, x
