"""The verb that adapts a backbone to a volume, as far as there are labels."""

from typing import Any

import typer

from neuroadda.cli.active import print_boxes
from neuroadda.cli.options import (
    ConfigFiles,
    Json,
    Overrides,
    Overwrite,
    TrustInputs,
    load_run,
    refuse_many_processes,
    take_section,
    trust_inputs_of,
)
from neuroadda.errors import PersonNeeded

app = typer.Typer()


@app.command()
def adapt(
    config: ConfigFiles,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    trust_inputs: TrustInputs = False,
    as_json: Json = False,
) -> None:
    """Adapt a backbone to a volume ([adapt] of the config): rank, propose, wait for labels, fine-tune, compare, again.

    Exit code 3: it waits for labels, import them with `neuroadda proposals import`, then run it again.
    """
    from neuroadda.cli.console import print_json
    from neuroadda.cli.progress import show_progress

    refuse_many_processes("adapt")
    loaded = load_run(config, overrides, quiet=as_json)
    wanted = take_section(trust_inputs_of(loaded) if trust_inputs else loaded, "adapt", config)
    from neuroadda.api.boxes import adapt as adapt_to  # torch's import takes seconds, of which `load_run` has told

    with show_progress(quiet=as_json) as observer:
        done = adapt_to(config=wanted, overwrite=overwrite, observer=observer)
    if as_json:
        print_json(done.to_data())
    else:
        print_adaptation(done)
    if done.waiting:
        raise typer.Exit(PersonNeeded.exit_code)


def print_adaptation(done: Any) -> None:
    """Print what every round came to, and what the last one waits for."""
    from neuroadda.active.proposals import SHEET
    from neuroadda.cli.console import print_table

    rows = [{"backbone": str(done.start)} | _shorten(done.before)]
    rows += [{"backbone": str(r.backbone)} | _shorten(r.metrics) for r in done.rounds if r.backbone]
    print_table("before and after", rows)
    if done.backbone is not None:
        print(f"adapted backbone: {done.backbone}")
    if done.waiting:
        last = done.rounds[-1]
        print_boxes(last.proposals)
        print(
            f"{len(last.missing)} boxes wait for labels: look at {last.folder / SHEET},\n"
            f"hand them on with `neuroadda proposals export {last.folder} --to ...`, bring labels back with\n"
            f"`neuroadda proposals import {last.folder} LABELS` (`neuroadda proposals skip {last.folder} RANK` leaves a box\n"
            f"out), and run this command again"
        )


def _shorten(metrics: dict[str, float] | None) -> dict[str, float]:
    return {key: round(value, 4) for key, value in (metrics or {}).items()}
