"""Verbs that train: train, validate."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from neuroadda.cli.options import (
    ConfigFiles,
    Json,
    MaybeConfigFiles,
    NoData,
    Output,
    Overrides,
    Overwrite,
    Raw,
    TrustInputs,
    Zoo,
    load_run,
    print_facts,
    take_one,
    trust_inputs_of,
)
from neuroadda.errors import UserError

app = typer.Typer()
ITERATIONS = 2000


@app.command()
def train(
    raw: Raw = None,
    labels: Annotated[
        str | None, typer.Argument(metavar="LABELS", help="Zarr array of labels, on raw's voxels.")
    ] = None,
    output: Output = None,
    start: Annotated[
        list[str] | None, typer.Option("--from", help="Backbone to fine-tune: an entry of the zoo, or a folder.")
    ] = None,
    zoo: Zoo = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help=f"By default {ITERATIONS}; a config has to say it.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the backbone; by default that of the folder.")] = None,
    domain: Annotated[
        str | None, typer.Option(help="Kind of tissue, the name in a zoo; by default that of the backbone.")
    ] = None,
    no_data: NoData = None,
    config: MaybeConfigFiles = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    trust_inputs: TrustInputs = False,
    as_json: Json = False,
) -> None:
    """Train a backbone: RAW LABELS -o OUT, or [train] and [validation] of a config. If it was killed, it continues.

    Started by torchrun or srun, the processes share [train].accumulate batches an iteration: docs/training_cluster.md.

    With --zoo alone, or with [select], the zoo is ranked for the raw of the first sample; the first entry is the start.
    --set sets how a backbone is fine-tuned, such as train.start.encoder_rate=0.1 or train.start.frozen_levels=2.
    """
    from neuroadda.cli.console import print_json
    from neuroadda.cli.progress import show_progress
    from neuroadda.config import dump_config
    from neuroadda.training.ranks import find_rank

    one = take_one(start, "train", "--from")
    rank = find_rank(os.environ)
    quiet = as_json or rank.index > 0
    if not config and output is not None:
        name = name or Path(output).resolve().name
        domain, iterations = domain or name, iterations or ITERATIONS
    keys: dict[str, Any] = {"output": output, "iterations": iterations, "name": name, "domain": domain}
    if raw is not None or labels is not None:
        keys["samples"] = [{"raw": raw, "labels": labels} | ({} if no_data is None else {"no_data": no_data})]
    elif no_data is not None:
        raise UserError("it is given without RAW LABELS", "--no-data", "set no_data in each of [train].samples")
    if one is not None:
        from neuroadda.zoo.finding import find_backbone

        keys["start"] = {"backbone": str(find_backbone(one, zoo))}
    select = {"zoo": zoo if one is None else None}
    wanted = load_run(config, overrides, {"train": keys, "select": select}, "RAW LABELS --output OUT", quiet)
    if trust_inputs:
        wanted = trust_inputs_of(wanted)
    from neuroadda.flow import train_backbone  # torch's import takes seconds, of which `load_run` has told

    with show_progress(quiet) as observer:
        card = train_backbone(wanted, overwrite=overwrite, observer=observer, rank=rank)
    if rank.index > 0:
        return
    if as_json:
        print_json(dump_config(card))
        return
    taken = f"{card.iterations} iteration{'s' * (card.iterations != 1)}"
    print(f"{card.name}: {taken} in {card.cpu_minutes:.1f} CPU minutes {card.metrics or ''}")


@app.command()
def validate(config: ConfigFiles, overrides: Overrides = None, as_json: Json = False) -> None:
    """Score a trained backbone on the held-out part again and note the best threshold in its card."""
    from neuroadda.flow import validate_backbone

    print_facts(dict(validate_backbone(load_run(config, overrides, quiet=as_json)).metrics), as_json)
