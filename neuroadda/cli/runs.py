"""Verbs on a volume or a config, and the run they make: predict, segment, evaluate, run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroadda.cli.dry_runs import print_dry_run
from neuroadda.cli.options import (
    AnyVoxelSize,
    Backbones,
    DryRun,
    Json,
    Ledger,
    MaybeConfigFiles,
    Measure,
    NoData,
    Output,
    Overrides,
    Overwrite,
    Raw,
    TrustInputs,
    Workers,
    load_run,
    print_facts,
    refuse_many_processes,
    take_section,
    trust_inputs_of,
)
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.evaluation.measure import EvaluateConfig, Measured
    from neuroadda.flow import RunConfig

app = typer.Typer()

Mask = Annotated[
    str | None, typer.Option(help="Mask: an array that is 0 outside the tissue; its voxels may be coarser than raw's.")
]


@app.command()
def predict(
    raw: Raw = None,
    backbone: Backbones = None,
    output: Output = None,
    mask: Mask = None,
    no_data: NoData = None,
    any_voxel_size: AnyVoxelSize = None,
    workers: Workers = None,
    ledger: Ledger = None,
    config: MaybeConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    measure: Measure = None,
    overwrite: Overwrite = False,
    trust_inputs: TrustInputs = False,
    as_json: Json = False,
) -> None:
    """Predict affinities of a whole volume: RAW --backbone NAME -o OUT, or [segment] of a config."""
    keys = _segment_keys(raw, backbone, output, mask, no_data, any_voxel_size, workers, ledger, trust_inputs)
    _segment(load_run(config, overrides, keys, SEGMENT_USAGE, as_json), "predict", dry_run, measure, overwrite, as_json)


@app.command()
def segment(
    raw: Raw = None,
    backbone: Backbones = None,
    output: Output = None,
    mask: Mask = None,
    no_data: NoData = None,
    any_voxel_size: AnyVoxelSize = None,
    workers: Workers = None,
    ledger: Ledger = None,
    config: MaybeConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    measure: Measure = None,
    overwrite: Overwrite = False,
    trust_inputs: TrustInputs = False,
    as_json: Json = False,
) -> None:
    """Segment a volume: RAW --backbone NAME -o OUT, or [segment] of a config.

    Affinities, fragments, edges, agglomeration, components, relabelling. --set sets what has no option of its own, such as
    segment.components.threshold=0.4 or segment.block_vx=[32,256,256].
    """
    keys = _segment_keys(raw, backbone, output, mask, no_data, any_voxel_size, workers, ledger, trust_inputs)
    _segment(load_run(config, overrides, keys, SEGMENT_USAGE, as_json), "relabel", dry_run, measure, overwrite, as_json)


@app.command()
def evaluate(
    segmentation: Annotated[
        str | None,
        typer.Argument(metavar="SEGMENTATION", help="Array, or the folder of a run: its thresholds are swept."),
    ] = None,
    labels: Annotated[str | None, typer.Argument(metavar="LABELS", help="Array of the truth.")] = None,
    ledger: Ledger = None,
    config: MaybeConfigFiles = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Score a segmentation: SEGMENTATION LABELS, or [segment] and [evaluate] of a config. VOI (nats), Rand, sweep of thresholds."""
    from neuroadda.cli.console import print_json
    from neuroadda.config import dump_config

    if config:
        from neuroadda.evaluation.measure import measure_plan
        from neuroadda.segmentation.pipeline import make_plan

        loaded = load_run(
            config, overrides, {"segment": {"ledger": ledger}, "evaluate": {"labels": labels}}, quiet=as_json
        )
        wanted = take_section(loaded, "evaluate", config)
        measured = measure_plan(make_plan(take_section(loaded, "segment", config)), wanted)
    elif segmentation is None or labels is None:
        raise UserError("nothing to evaluate", None, "give SEGMENTATION LABELS, or --config")
    else:
        from neuroadda.api.runs import evaluate as measure

        wanted = _set_evaluate(labels, overrides, as_json) if overrides else None
        measured = measure(segmentation, labels, ledger=ledger, config=wanted)
    if measured.sweep is not None:
        print_json(measured.to_data()) if as_json else _print_sweep(measured)
        return
    assert measured.scores is not None
    print_facts(dump_config(measured.scores), as_json)


def _set_evaluate(labels: str, overrides: list[str], quiet: bool) -> "EvaluateConfig":
    """Return what --set says of [evaluate], where no config is given; keys of any other section are refused."""
    if others := [text.partition("=")[0] for text in overrides if not text.startswith("evaluate.")]:
        raise UserError(f"{others[0]} is not used to evaluate", "--set", "set keys of [evaluate] only")
    return take_section(load_run(None, overrides, {"evaluate": {"labels": labels}}, quiet=quiet), "evaluate")


@app.command()
def run(
    target: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="A config (.toml, .json); -c adds others.")
    ] = None,
    config: MaybeConfigFiles = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    measure: Measure = None,
    overwrite: Overwrite = False,
    trust_inputs: TrustInputs = False,
    as_json: Json = False,
) -> None:
    """Do all that the config has: train or adapt, segment, evaluate, report. Exit code 3: boxes wait for labels."""
    from neuroadda.cli.console import print_json, print_summary
    from neuroadda.cli.progress import show_progress

    refuse_many_processes("run")
    files = [*([target] if target else []), *(config or [])]
    if not files:
        raise UserError("nothing was given to run", None, "give CONFIG, or -c CONFIG")
    loaded = load_run(files, overrides, quiet=as_json)
    if trust_inputs:
        loaded = trust_inputs_of(loaded)
    if dry_run or measure:
        print_dry_run(loaded, "relabel", dry_run, measure, as_json)
        return
    from neuroadda import flow  # torch's import takes seconds, of which `load_run` has told

    with show_progress(quiet=as_json) as observer:
        summary = flow.run(loaded, overwrite=overwrite, observer=observer)
    if as_json:
        print_json(summary)
    elif summary:
        print_summary(summary)


SEGMENT_USAGE = "RAW --backbone NAME --output OUT"


def _segment_keys(
    raw: str | None,
    backbone: list[str] | None,
    output: str | None,
    mask: str | None,
    no_data: str | None,
    any_voxel_size: bool | None,
    workers: int | None,
    ledger: str | None,
    trust_inputs: bool,
) -> Mapping[str, Any]:
    keys: dict[str, Any] = {
        "raw": raw,
        "backbone": backbone or None,
        "output": output,
        "mask": mask,
        "no_data": no_data,
    }
    keys |= {"any_voxel_size": any_voxel_size, "trust_inputs": trust_inputs or None}
    return {"segment": keys | {"ledger": ledger, "execution": {"workers": workers}}}


def _segment(
    loaded: "RunConfig", upto: str, dry_run: bool, measure: int | None, overwrite: bool, as_json: bool
) -> None:
    from neuroadda.api import runs as api
    from neuroadda.cli.console import print_json
    from neuroadda.cli.progress import show_progress

    config = take_section(loaded, "segment")
    if dry_run or measure:
        alone = loaded.model_copy(update=dict.fromkeys(("select", "train", "adapt", "validation", "tune", "evaluate")))
        print_dry_run(alone, upto, dry_run, measure, as_json)
        return
    make = api.segment if upto == "relabel" else api.predict
    with show_progress(quiet=as_json) as observer:
        volume = make(config=config, overwrite=overwrite, observer=observer)
    print_json({"output": str(volume.path)}) if as_json else print(volume.path)


def _print_sweep(measured: "Measured") -> None:
    from neuroadda.cli.console import print_table

    assert measured.sweep is not None
    assert measured.scores is not None
    shown = ("voi_split", "voi_merge", "voi", "adapted_rand_error")
    sweep = zip(measured.sweep.thresholds, measured.sweep.scores, strict=True)
    print_table(
        f"sweep ({measured.scores.units})",
        [{"threshold": t} | {name: round(getattr(s, name), 4) for name in shown} for t, s in sweep],
    )
    edits = (
        f" with {measured.edits} edit{'s' * (measured.edits > 1)}, which the sweep is without" if measured.edits else ""
    )
    scores = f"VOI {measured.scores.voi:.4f} {measured.scores.units}"
    told = f"at the segmentation's threshold {measured.threshold}{edits}: {scores}"
    print(told + (f", {measured.trained.describe()}" if measured.trained else ""))
