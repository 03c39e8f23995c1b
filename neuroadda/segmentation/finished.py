"""Whether the stages of a run are finished, before something is made of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from neuroadda.blockwise.outputs import bind_output, read_tag
from neuroadda.blockwise.resuming import find_lost
from neuroadda.blockwise.task import Task
from neuroadda.errors import UserError
from neuroadda.ledger.open import is_here, open_ledger
from neuroadda.segmentation.components import Components
from neuroadda.segmentation.pipeline import Plan, is_run
from neuroadda.segmentation.recovery import read_run
from neuroadda.segmentation.relabel import Relabel
from neuroadda.segmentation.taken_edits import count_edits
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.moved import describe_move
from neuroadda.volumes.storage.locations import Location, to_location


def check_finished(plan: Plan, names: Iterable[str] | None = None) -> None:
    """Raise UserError if a stage of a run is not finished; it tells what goes on with it.

    Parameters
    ----------
    names
        Of the stages; all of them by default.
    """
    tasks = plan.tasks if names is None else [plan.task(name) for name in names]
    counted = _count_done(plan, tasks)
    for task in tasks:
        if (done := counted.get(task.name, 0)) < len(task.blocks):
            raise _unfinished(plan, task, done)


def check_whole(plan: Plan, names: Sequence[str] | None = None) -> None:
    """Do what `check_finished` does; raise UserError also if output was deleted since. It lists the files of the output."""
    check_finished(plan, names)
    bound = [bind_output(task) for task in plan.tasks if names is None or task.name in names]
    ledger = open_ledger(plan.config.ledger_url, reading=True)
    try:
        for task in bound:
            assert task is not None  # else it would not be finished
            if (lost := find_lost(task, ledger)).blocks:
                right = "`neuroadda segment` with the same config does them again"
                raise UserError(lost.describe(task.name), task.output, right)
    finally:
        ledger.close()


def open_result(place: Location | str) -> Volume:
    """Open the segmentation of a run, or any array; raise UserError if a run that wrote it has not finished it, or lost a part.

    Parameters
    ----------
    place
        The folder of a run, or an array, in such a folder or elsewhere.
    """
    if is_run(place):
        plan = read_run(str(place))
        check_whole(plan, [Relabel.kind])
        return Volume.open(plan.output(Relabel.kind))
    volume = Volume.open(place)
    for run in filter(is_run, volume.path.parents):
        try:
            plan = read_run(str(run))
        except UserError:  # such as raw that is gone: what was made of it can be read all the same
            continue
        written = [task.name for task in plan.tasks if to_location(task.output) == volume.path]
        if is_here(plan.config.ledger_url):
            check_whole(plan, written)
    return volume


def _unfinished(plan: Plan, task: Task, done: int) -> UserError:
    run, output = plan.config.output, to_location(task.output)
    tag = read_tag(output) or {}
    if tag.get("fingerprint") == task.fingerprint and (moved := describe_move(output)):
        what = f"the attributes of the output of {task.name} were edited: {moved}"
        return UserError(what, task.output, "write them back, or run `neuroadda segment` with --overwrite")
    edited = task.name in (Components.kind, Relabel.kind) and count_edits(Path(run)) is not None
    verb = f"neuroadda edits apply {run}" if edited else "neuroadda segment"
    same = not tag or (tag.get("base") or tag.get("fingerprint")) == (task.base or task.fingerprint)
    other = "" if same else " with these parameters"
    what = f"{task.name} is not finished{other} ({done} of {len(task.blocks)} blocks)"
    retry = f" or `neuroadda retry {run}`" if is_run(run) else ""
    return UserError(what, run, f"run `{verb}`{retry} first")


def _count_done(plan: Plan, tasks: Sequence[Task]) -> dict[str, int]:
    """Return how many blocks are done of each task that has an output, by name."""
    outputs = {task.name: bound for task in tasks if (bound := bind_output(task)) is not None}
    if not outputs:  # nor is there a ledger, and opening it would make one
        return {}
    ledger = open_ledger(plan.config.ledger_url, reading=True)
    try:
        return {name: ledger.summary(bound.key).done for name, bound in outputs.items()}
    finally:
        ledger.close()
