"""The verb that adapts a backbone to a volume, as far as there are labels."""

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroadda.cli.active import print_boxes
from neuroadda.cli.options import (
    Backbone,
    Json,
    MaybeConfigFiles,
    Output,
    Overrides,
    Overwrite,
    RankingFile,
    Raw,
    TrustInputs,
    Zoo,
    load_run,
    refuse_many_processes,
    take_one,
    take_section,
    trust_inputs_of,
)
from neuroadda.errors import PersonNeeded

app = typer.Typer()
ITERATIONS = 500
PROPOSALS_HELP = "Folder of `propose`: its boxes, with the labels that are there, are those of the first round."


@app.command()
def adapt(
    raw: Raw = None,
    output: Output = None,
    proposals: Annotated[Path | None, typer.Option(metavar="FOLDER", help=PROPOSALS_HELP)] = None,
    ranking: RankingFile = None,
    backbone: Backbone = None,
    zoo: Zoo = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help=f"Of the fine-tuning; by default {ITERATIONS}, or what a config says.")
    ] = None,
    config: MaybeConfigFiles = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    trust_inputs: TrustInputs = False,
    as_json: Json = False,
) -> None:
    """Adapt a backbone to a volume: rank, propose, wait for labels, fine-tune, compare. RAW -o OUT, or [adapt] of a config.

    It reuses what exists: a ranking (--ranking), proposals and their labels (--proposals).

    Exit code 3: it waits for labels, import them with `neuroadda proposals import`, then run it again.
    """
    from neuroadda.cli.console import print_json
    from neuroadda.cli.progress import show_progress

    refuse_many_processes("adapt")
    keys: dict[str, Any] = {
        "raw": raw,
        "output": output,
        "backbone": take_one(backbone, "adapt"),
        "proposals": proposals,
        "select": {"zoo": zoo, "ranking": ranking},
        "train": {"iterations": iterations},
    }
    if not config and output is not None:
        name = Path(output).resolve().name
        keys["train"] = {"name": name, "domain": name, "iterations": iterations or ITERATIONS}
    loaded = load_run(config, overrides, {"adapt": keys}, "RAW --output OUT", quiet=as_json)
    wanted = take_section(trust_inputs_of(loaded) if trust_inputs else loaded, "adapt", config)
    from neuroadda.api.boxes import adapt as adapt_to  # torch's import takes seconds, of which `load_run` has told

    with show_progress(quiet=as_json) as observer:
        done = adapt_to(config=wanted, overwrite=overwrite, observer=observer)
    if as_json:
        print_json(done.to_data())
    else:
        print_adaptation(done, wanted)
    if done.waiting:
        raise typer.Exit(PersonNeeded.exit_code)


def print_adaptation(done: Any, config: Any) -> None:
    """Print what every round came to, what the fine-tuning was worth, and the next command or what is waited for."""
    from neuroadda.active.proposals import SHEET
    from neuroadda.cli.console import print_table
    from neuroadda.volumes.coverage.no_data_setting import AUTO

    rows = [{"backbone": str(done.start)} | _shorten(done.before)]
    rows += [{"backbone": str(r.backbone)} | _shorten(r.metrics) for r in done.rounds if r.backbone]
    print_table("before and after", rows)
    if done.backbone is not None:
        print(f"adapted backbone: {done.backbone}")
    if done.waiting:
        last = done.rounds[-1]
        print_boxes(last.proposals, last.labels)
        print(
            f"{len(last.missing)} boxes wait for labels: look at {last.asked / SHEET},\n"
            f"hand them on with `neuroadda proposals export {last.asked} --to ...`, bring labels back with\n"
            f"`neuroadda proposals import {last.asked} LABELS` (`neuroadda proposals skip {last.asked} RANK` leaves a box\n"
            f"out), and run this command again"
        )
        return
    print(done.describe_scores())
    if done.tuned is not None:
        print(f"segmented by it: {done.tuned.describe()}")
    where = "" if config.mask is None else f" --mask {config.mask}"
    where += "" if config.no_data == AUTO else f" --no-data {config.no_data}"
    print(f"next: neuroadda segment {config.raw} --backbone {done.backbone}{where} -o {config.output / 'segmentation'}")


def _shorten(metrics: dict[str, float] | None) -> dict[str, float]:
    return {key: round(value, 4) for key, value in (metrics or {}).items()}
