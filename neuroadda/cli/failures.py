"""Verbs on a run that is under way or was stopped: how far it is, what failed and why, and doing that again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroadda.cli.options import Json, Ledger
from neuroadda.errors import UserError, warn
from neuroadda.wording import format_text

if TYPE_CHECKING:
    from neuroadda.runs.health import Health
    from neuroadda.training.status import TrainingStatus

app = typer.Typer()
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")]


@app.command()
def status(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run or a training, or a ledger's URL.")],
    ledger: Ledger = None,
    as_json: Json = False,
) -> None:
    """Print whether a run is at work, waits, or was stopped, how far each task is, why blocks failed, and what to do next."""
    from neuroadda.adaptation.status import look_at_adaptation, look_at_tuning
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.runs.config import find_relocation
    from neuroadda.runs.status import NoLedger, look_at_run
    from neuroadda.segmentation.taken_edits import count_edits
    from neuroadda.training.status import look_at_trainings
    from neuroadda.volumes.identity.derived import find_stale
    from neuroadda.volumes.identity.inputs import look_again
    from neuroadda.volumes.storage.locations import to_location

    trainings: dict[str, TrainingStatus] = {}
    if "://" not in run:
        folder = Path(run)
        stale = "what was made of it here is stale; the same command"
        look_again(folder, find_relocation(folder).find).warn(
            f"{stale} makes it again", f"{stale} makes it again with --overwrite"
        )
        trainings = look_at_trainings(folder)
        if (training := trainings.get(".")) is not None:
            print_json([training.to_data()]) if as_json else _print_training(training)
            return
        for stage, look in (("adapt", look_at_adaptation), ("tune", look_at_tuning)):
            if (health := look(folder)) is not None:
                if as_json:
                    told = {"trainings": _describe_trainings(trainings)} if trainings else {}
                    print_json([{"stage": stage} | vars(health) | told])
                else:
                    _print_health(health)
                    _print_trainings(trainings)
                return
    try:
        found = look_at_run(run, ledger)
    except UserError as error:
        if trainings:
            print_json(_describe_trainings(trainings)) if as_json else _print_trainings(trainings)
        if not trainings or not isinstance(error, NoLedger):
            raise
        if not as_json:  # what has a ledger follows when the trainings have ended
            _print_advice([*trainings.values()][-1].health)
        return
    for task in found.tasks:
        task["stale"] = find_stale(to_location(task["output"]))
        if task["moved"] is not None:
            mend = "write the attributes back, or give --overwrite to the same command, which makes it again"
            warn(f"{task['stage']} changed ({task['moved']}): {mend}", task["output"])
    edits = None if "://" in run else count_edits(Path(run))
    if edits is not None and any(t["stage"] == "relabel" and t["state"] != "finished" for t in found.tasks):
        edits = replace(edits, applied=False)
    if as_json:
        for task in found.tasks:
            task["edits"] = vars(edits) if edits is not None and task["stage"] == "components" else None
        print_json([*_describe_trainings(trainings), *found.tasks])
        return
    print(format_text(found.health.sentence))
    hidden = () if any(task["interrupted"] for task in found.tasks) else ("interrupted",)
    print_table("tasks", [_status_row(task, hidden) for task in found.tasks])
    for task in found.tasks:
        _print_failures(task)
    if edits is not None:
        print(format_text(f"proofreading: {edits.advise(run)}"))
    for path, why in [stale for task in found.tasks for stale in task["stale"].items()]:
        print(format_text(f"stale: {path}: {why}"))
    if found.health.state != "finished":
        _print_advice(found.health)
    _print_trainings(trainings)


@app.command()
def retry(
    run: RunFolder,
    stage: Annotated[
        str | None, typer.Option(help="Stop after this stage, such as predict; with --blocks, their stage.")
    ] = None,
    blocks: Annotated[
        str | None,
        typer.Option(
            metavar="3,7,10-12",
            help="Do these blocks of one stage, and nothing else; by default of the first stage that is not finished.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="How the work is done: --set segment.execution.workers=4"),
    ] = None,
    ledger: Ledger = None,
    as_json: Json = False,
) -> None:
    """Do the failed blocks of a run of `segment` again and, when they are done, what else is left of it.

    `segment` with the run's config does so too. This needs no config, does the failed blocks first, may be restricted to some of
    them, and never replaces anything. How the work is done is not part of a run: give execution and ledger again, where they are
    not the default.
    """
    from neuroadda.cli.console import print_json
    from neuroadda.cli.progress import show_progress
    from neuroadda.runs.status import parse_blocks
    from neuroadda.segmentation.recovery import retry as do_again

    chosen = None if blocks is None else parse_blocks(blocks)
    with show_progress(quiet=as_json) as observer:
        task = do_again(
            run, stage=stage, blocks=chosen, ledger=ledger, overrides=overrides or (), observe=observer.on_blocks
        )
    print_json({"output": task.output}) if as_json else print(task.output)


@app.command()
def logs(
    run: RunFolder,
    stage: Annotated[str | None, typer.Option(help="Only of this stage.")] = None,
    block: Annotated[int | None, typer.Option(help="Only of this block; its tracebacks too.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only failures of blocks and of their tries.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON, a line each.")] = False,
) -> None:
    """Print what the workers of a run have logged, by time."""
    import json

    from neuroadda.runs.events import read_events

    folder = run / "logs"
    if not folder.is_dir():
        raise UserError("there are no logs here", str(run), "give the folder of a run")
    for event in read_events(folder, stage, block, failed):
        if as_json:
            print(json.dumps(event))
            continue
        who = f"{event['host']}:{event['pid']}" if "host" in event else Path(event["file"]).name
        cause = f" ({event['cause']})" if "cause" in event else ""
        told = [event["time"], event["stage"], who, event["level"], event["message"] + cause]
        print(format_text(" ".join(map(str, told))))
        if block is not None and "traceback" in event:
            print(format_text(str(event["traceback"]).rstrip()))


def _print_health(health: "Health") -> None:
    print(format_text(health.sentence))
    _print_advice(health)


def _print_training(training: "TrainingStatus") -> None:
    print(format_text(training.health.sentence))
    for line in training.describe():
        print(format_text(line))
    _print_advice(training.health)


def _print_trainings(trainings: Mapping[str, "TrainingStatus"]) -> None:
    """Print how far the trainings of a run are, each by its folder in that of the run."""
    for name, training in trainings.items():
        for line in (training.health.sentence, *training.describe()):
            print(format_text(f"{name}: {line}"))


def _describe_trainings(trainings: Mapping[str, "TrainingStatus"]) -> list[dict[str, Any]]:
    return [{"name": name} | training.to_data() for name, training in trainings.items()]


def _print_advice(health: "Health") -> None:
    if health.advice:
        print(f"what to do next: {format_text(health.advice)}")


def _status_row(task: dict[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
    from neuroadda.wording import format_count, format_seconds

    rate, left = task["voxels_per_second"], task["eta_seconds"]
    keys = ("stage", "done", "blocks", "running", "interrupted", "failed", "state")
    return {key: task[key] for key in keys if key not in hidden} | {
        "rate": "" if rate is None else format_count(rate, "vx/s"),
        "time left": "" if left is None else format_seconds(left),
        "fingerprint": task["fingerprint"],
    }


def _print_failures(task: dict[str, Any]) -> None:
    """Print a task's failures by cause: every error in a line, one traceback, and what to do."""

    def cause_of(failure: dict[str, Any]) -> str:
        return str(failure["cause"])

    for cause, found in groupby(sorted(task["failures"], key=cause_of), cause_of):
        failures = sorted(found, key=lambda failure: -failure["count"])
        print(f"\n{task['stage']}: {sum(failure['count'] for failure in failures)} blocks failed: {cause}")
        for failure in failures:
            which = _say_blocks(failure["blocks"], failure["count"])
            print(format_text(f"  {failure['type']}: {failure['message']} ({which})"))
        if failures[0]["traceback"]:
            print(format_text(failures[0]["traceback"].rstrip()))
        print(f"what to do: {failures[0]['advice']}")
        print(f"logs: {task['logs'] or 'logs/' + task['stage'] + ' in the folder of the run'}")


def _say_blocks(blocks: Sequence[int], count: int) -> str:
    more = f" and {count - len(blocks)} more" if count > len(blocks) else ""
    return f"block{'s' if count > 1 else ''} {', '.join(map(str, blocks))}{more}"
