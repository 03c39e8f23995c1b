"""The verb that chooses, on labelled boxes, how a backbone's affinities are segmented."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroadda.cli.options import (
    BOX,
    AnyVoxelSize,
    Backbone,
    Json,
    MaybeConfigFiles,
    NoData,
    Output,
    Overrides,
    Overwrite,
    load_run,
    read_box,
    take_one,
    take_section,
)
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.adaptation.tune_config import TuneConfig
    from neuroadda.evaluation.tuning import Tuned

app = typer.Typer()
ROWS = 8
USAGE = "RAW LABELS --backbone NAME --output OUT"
RAW_HELP = (
    "Zarr array of raw; or the folder of an adaptation, with its boxes and its backbone, or of a run of `segment`."
)
LABELS_HELP = "Zarr arrays of labels on raw's voxels: each is a box."
ROI_HELP = f'A box of the labels, "{BOX}" in nm; again for each.'
PROPOSALS_HELP = "Folder of `propose`, or of an adaptation: its labelled boxes, instead of LABELS."


@app.command()
def tune(
    raw: Annotated[str | None, typer.Argument(metavar="RAW|RUN", help=RAW_HELP)] = None,
    labels: Annotated[list[str] | None, typer.Argument(metavar="LABELS...", help=LABELS_HELP)] = None,
    backbone: Backbone = None,
    output: Output = None,
    roi: Annotated[list[str] | None, typer.Option(metavar="BOX", help=ROI_HELP)] = None,
    proposals: Annotated[Path | None, typer.Option(metavar="FOLDER", help=PROPOSALS_HELP)] = None,
    no_data: NoData = None,
    any_voxel_size: AnyVoxelSize = None,
    config: MaybeConfigFiles = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Choose fragments, agglomeration and threshold on labelled boxes: RAW LABELS --backbone NAME -o OUT, or [tune] of a config.

    Every box is left out in turn; the default stays if nothing is better beyond the spread over boxes. OUT/tune.toml holds the
    choice: neuroadda segment RAW -c OUT/tune.toml -o RUN.
    """
    from neuroadda.cli.console import print_json
    from neuroadda.cli.progress import show_progress

    one = take_one(backbone, "tune")
    keys: dict[str, Any] = {} if raw is None else _read_subject(raw)
    keys |= {"labels": labels or None, "no_data": no_data or keys.get("no_data"), "any_voxel_size": any_voxel_size}
    given = {"backbone": one, "output": output, "proposals": proposals, "rois": _read_rois(roi)}
    if labels:
        keys.pop("proposals", None)
    keys |= {key: value for key, value in given.items() if value is not None}
    loaded = load_run(config, overrides, {"tune": keys}, USAGE, quiet=as_json)
    wanted = take_section(loaded, "tune", config)
    from neuroadda.api.tuning import tune as tune_backbone  # torch's import takes seconds, of which `load_run` has told

    with show_progress(quiet=as_json) as observer:
        tuned = tune_backbone(config=wanted, overwrite=overwrite, observer=observer)
    print_json(tuned.to_data()) if as_json else print_tuned(tuned, wanted)


def _read_subject(raw: str) -> dict[str, Any]:
    from neuroadda.adaptation.subject import read_subject

    return read_subject(raw)


def _read_rois(given: list[str] | None) -> list[dict[str, Any]] | None:
    from neuroadda.config import dump_config

    right = f'write "{BOX}" in nm'
    boxes = [(text, read_box(text, "--roi", right)) for text in given or []]
    for text, box in boxes:
        if box is None:
            raise UserError(f"{text!r} is no box", "--roi", right)
    return [dump_config(box) for _, box in boxes if box is not None] or None


def print_tuned(tuned: "Tuned", config: "TuneConfig") -> None:
    """Print the best settings, each at its best threshold, what was taken and what it is worth, and the next command."""
    from neuroadda.adaptation.tuning import PICTURE, RECORD, TAKEN
    from neuroadda.cli.console import print_table

    best = sorted(tuned.list_best(), key=lambda one: one[2].mean)
    shown = [("default, untuned", tuned.default_threshold, tuned.choice.default), *best[:ROWS]]
    rows = [{"setting": name, "threshold": t, "VOI (95 % interval)": str(voi)} for name, t, voi in shown]
    print_table("the best settings, each at the threshold that is best on these boxes", rows)
    if len(best) > ROWS:
        print(f"{len(best) - ROWS} other settings are worse: {config.output / RECORD}")
    print(tuned.describe())
    print(f"picture: {config.output / PICTURE}")
    print(f"next: neuroadda segment {config.raw} -c {config.output / TAKEN} -o OUT")
