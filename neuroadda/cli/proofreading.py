"""Verbs of proofreading: the queue of likely errors."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroadda.cli.options import Json, Ledger, Overwrite

if TYPE_CHECKING:
    from neuroadda.segmentation.pipeline import Plan

app = typer.Typer()
SHOWN = 10


@app.command()
def errors(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `segment`.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many at most.")] = 100,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder for what is written; RUN/errors by default.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="http(s) address where raw is served, for Neuroglancer; else annotations alone.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the dataset in WEBKNOSSOS.")] = None,
    ledger: Ledger = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """List where a segmentation is likely to be wrong, what gains most first: two segments of one neuron, or two neurons in one.

    Writes errors.csv (a person fills its column "decision"), errors.html (pictures), neuroglancer.json and webknossos.nml.
    """
    from neuroadda.api.proofreading import likely_errors
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.proofreading.exports import SKELETONS, STATE, TABLE, write_skeletons, write_state, write_table
    from neuroadda.viewing.error_sheet import SHEET, write_error_sheet
    from neuroadda.volumes.arrays import Volume
    from neuroadda.volumes.neuroglancer import check_url
    from neuroadda.volumes.storage.locations import to_folder
    from neuroadda.volumes.storage.placing import check_free, check_writable

    folder = run / "errors" if output is None else to_folder(output, "what is written")
    for name in (TABLE, SHEET, STATE, SKELETONS):
        check_free(folder / name, overwrite)
        check_writable(folder / name)
    if url is not None:
        check_url(url, "--url")
    queue = likely_errors(run, count=count, ledger=ledger)
    raw = Volume.open(queue.plan.config.raw)
    written = [
        write_table(queue.errors, folder / TABLE, overwrite=overwrite),
        write_error_sheet(queue, folder / SHEET, overwrite=overwrite),
        write_state(queue.errors, raw, folder / STATE, url, overwrite=overwrite),
        write_skeletons(queue.errors, raw, folder / SKELETONS, dataset=dataset, overwrite=overwrite),
    ]
    if as_json:
        print_json({"errors": [vars(error) for error in queue.errors], "written": list(map(str, written))})
        return
    rows: list[dict[str, Any]] = [
        {
            "rank": error.rank,
            "kind": error.kind,
            "expected gain, nats": f"{error.gain:.2g}",
            "likelihood": f"{error.likelihood:.2f}",
            "segments": " ".join(map(str, dict.fromkeys(error.segments))),
            "where, zyx nm": " ".join(f"{p:g}" for p in error.place_nm),
        }
        for error in queue.errors[:SHOWN]
    ]
    print_table(
        f"{len(queue.errors)} likely errors" + (f", the first {SHOWN}" if len(queue.errors) > SHOWN else ""), rows
    )
    for path in written:
        print(path)
    print(f"see the first in Neuroglancer: neuroadda view {_find_shown(run, queue.plan)} {folder} --error 1")
    print(
        f"write yes or no into the column decision of {folder / TABLE}, then: neuroadda edits add {run} --csv {folder / TABLE}"
    )


def _find_shown(run: Path, plan: "Plan") -> str:
    """Return what a viewer takes to show a run: where it is published with meshes, else the run itself."""
    from neuroadda.volumes.identity.derived import list_copies

    published = list_copies(plan.output("relabel"), "precomputed")
    return shlex.quote(str(published[0].parent if published else run))
