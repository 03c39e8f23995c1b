"""Verbs on configs and the runs they make: train, validate, predict, segment, evaluate, run, view."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from neuroadda.cli.options import (
    ConfigFiles,
    DryRun,
    Json,
    Measure,
    Overrides,
    Overwrite,
    Zoo,
    print_facts,
    refuse_many_processes,
)
from neuroadda.errors import UserError

app = typer.Typer()


@app.command()
def train(
    config: ConfigFiles,
    start: Annotated[
        str | None, typer.Option("--from", help="Backbone to fine-tune: an entry of the zoo, or a folder.")
    ] = None,
    zoo: Zoo = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a backbone ([train] and [validation] of the config); killed, it goes on from its last checkpoint.

    Started by torchrun or srun, the processes share [train].accumulate batches an iteration: docs/training_cluster.md.

    With --zoo alone, or with [select], the zoo is ranked for the raw of the first sample and its nearest backbone taken.
    --set sets how a backbone is fine-tuned, such as train.start.encoder_rate=0.1 or train.start.frozen_levels=2.
    """
    from neuroadda.config import dump_config
    from neuroadda.flow import train_backbone
    from neuroadda.training.ranks import find_rank

    if start is not None:
        from neuroadda.zoo.finding import find_backbone, open_zoo

        folder = str(find_backbone(start, open_zoo(zoo)))
        overrides = [f"train.start.backbone={json.dumps(folder)}", *(overrides or [])]
    elif zoo is not None:
        overrides = [f"select.zoo={json.dumps(zoo)}", *(overrides or [])]
    rank = find_rank(os.environ)
    card = train_backbone(load_run(config, overrides), overwrite=overwrite, progress=not as_json, rank=rank)
    if rank.index > 0:
        return
    if as_json:
        from neuroadda.cli.console import print_json

        print_json(dump_config(card))
    else:
        print(f"{card.name}: {card.iterations} iterations in {card.cpu_minutes:.1f} CPU minutes {card.metrics or ''}")


@app.command()
def validate(config: ConfigFiles, overrides: Overrides = None, as_json: Json = False) -> None:
    """Score a trained backbone on the held-out part again and note the best threshold in its card."""
    from neuroadda.flow import validate_backbone

    print_facts(dict(validate_backbone(load_run(config, overrides)).metrics), as_json)


@app.command()
def predict(
    config: ConfigFiles,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    measure: Measure = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Predict affinities of the whole volume ([segment] of the config)."""
    _segment(config, overrides, "predict", dry_run, measure, overwrite, as_json)


@app.command()
def segment(
    config: ConfigFiles,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    measure: Measure = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Predict, then fragments, edges, agglomeration, components and relabelling ([segment] of the config)."""
    _segment(config, overrides, "relabel", dry_run, measure, overwrite, as_json)


@app.command()
def evaluate(
    config: Annotated[
        list[Path] | None, typer.Option("--config", "-c", help="Sweep the thresholds of its [segment].")
    ] = None,
    segmentation: Annotated[str | None, typer.Option(help="Or score this array ...")] = None,
    labels: Annotated[str | None, typer.Option(help="... against these labels.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Score a segmentation against labels: VOI (nats), Rand, and the sweep of thresholds."""
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.config import dump_config

    if not config:
        from neuroadda.evaluation.sweep import evaluate_volume

        if segmentation is None or labels is None:
            raise UserError("nothing to evaluate", None, "give --config, or --segmentation and --labels")
        print_facts(dump_config(evaluate_volume(segmentation, labels)), as_json)
        return
    from neuroadda.evaluation.measure import measure_plan
    from neuroadda.segmentation.pipeline import make_plan

    loaded = load_run(config, overrides)
    if loaded.segment is None or loaded.evaluate is None:
        raise UserError(
            "there is no [segment] or no [evaluate] section", name_files(config), "see configs/ for examples"
        )
    measured = measure_plan(make_plan(loaded.segment), loaded.evaluate)
    if as_json:
        print_json(measured.to_data())
        return
    assert measured.sweep is not None
    assert measured.scores is not None
    shown = ("voi_split", "voi_merge", "voi", "adapted_rand_error")
    sweep = zip(measured.sweep.thresholds, measured.sweep.scores, strict=True)
    print_table(
        f"sweep ({measured.scores.units})",
        [{"threshold": t} | {name: round(getattr(s, name), 4) for name in shown} for t, s in sweep],
    )
    print(
        f"at the segmentation's threshold {measured.threshold}: VOI {measured.scores.voi:.4f} {measured.scores.units}"
    )


@app.command()
def run(
    config: ConfigFiles,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    measure: Measure = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Do all that the config has: train, segment, evaluate, report."""
    from neuroadda import flow
    from neuroadda.cli.console import print_json, print_summary, show_progress

    refuse_many_processes("run")
    loaded = load_run(config, overrides)
    if dry_run or measure:
        _dry_run(loaded, "relabel", dry_run, measure, as_json)
        return
    with show_progress(quiet=as_json) as observe:
        summary = flow.run(loaded, overwrite=overwrite, observe=observe, progress=not as_json)
    if as_json:
        print_json(summary)
    elif summary:
        print_summary(summary)


@app.command()
def view(
    config: ConfigFiles,
    overrides: Overrides = None,
    root: Annotated[Path, typer.Option(help="Folder that is served, holding raw and the run.")] = Path(),
    base_url: Annotated[str, typer.Option(help="Where it is served.")] = "http://127.0.0.1:8000",
    as_json: Json = False,
) -> None:
    """Print a Neuroglancer link to a run's volumes (--json: its state), served by any web server that allows cross-origin reads."""
    from neuroadda.cli.console import print_json
    from neuroadda.segmentation.pipeline import make_plan
    from neuroadda.viewing.run_view import view_plan

    loaded = load_run(config, overrides)
    if loaded.segment is None:
        raise UserError("there is no [segment] section", name_files(config), "see configs/ for examples")
    shown = view_plan(make_plan(loaded.segment), root, base_url)
    print_json(shown["state"]) if as_json else print(shown["url"])


def load_run(paths: list[Path], overrides: list[str] | None) -> Any:
    """Return the `RunConfig` in files, each laid over those before it, some of its keys set."""
    from neuroadda.config import apply_overrides, lay_over, load_config_file, parse_config
    from neuroadda.flow import RunConfig

    data = lay_over(*map(load_config_file, paths))
    return parse_config(RunConfig, apply_overrides(data, overrides or ()), name_files(paths))


def name_files(paths: list[Path]) -> str:
    """Return the names of a run's config files, for a message."""
    return ", ".join(map(str, paths))


def _segment(
    paths: list[Path],
    overrides: list[str] | None,
    upto: str,
    dry_run: bool,
    measure: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    from neuroadda.cli.console import print_json, show_progress
    from neuroadda.segmentation import pipeline

    loaded = load_run(paths, overrides)
    if loaded.segment is None:
        raise UserError("there is no [segment] section", name_files(paths), "see configs/ for examples")
    if dry_run or measure:
        _dry_run(loaded, upto, dry_run, measure, as_json)
        return
    with show_progress(quiet=as_json) as observe:
        plan = pipeline.segment(loaded.segment, upto=upto, overwrite=overwrite, observe=observe)
    output = {"output": str(plan.output(upto))}
    print_json(output) if as_json else print(output["output"])


def _dry_run(loaded: Any, upto: str, dry_run: bool, measure: int | None, as_json: bool) -> None:
    from neuroadda.cli.console import print_forecast, print_json, print_table
    from neuroadda.config import dump_config
    from neuroadda.formats import format_bytes, format_count
    from neuroadda.segmentation.pipeline import make_plan

    if not dry_run:
        raise UserError("nothing is measured but for a dry run", "--measure", "add --dry-run")
    if loaded.segment is None:
        raise UserError("there is no [segment] section to plan", None, "see configs/ for examples")
    plan = make_plan(loaded.segment).upto(upto)
    if measure is not None:
        from neuroadda.forecast.forecast import forecast
        from neuroadda.forecast.sampling import measure_boxes

        found = forecast(plan, measure_boxes(plan, measure))
        print_json(dump_config(found)) if as_json else print_forecast(found)
        return
    stages = plan.describe()
    if as_json:
        print_json(stages)
        return
    shown = [
        {
            "stage": s["stage"],
            "blocks": s["blocks"],
            "voxels": format_count(s["voxels"], "vx"),
            "bytes, uncompressed": format_bytes(s["bytes"]),
            "output": s["output"],
        }
        for s in stages
    ]
    print_table("dry run: nothing was written", shown)
