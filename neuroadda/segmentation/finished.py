"""Whether the stages of a run are finished, before something is made of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.outputs import bind_output
from neuroadda.blockwise.task import Task
from neuroadda.errors import UserError
from neuroadda.segmentation.components import Components
from neuroadda.segmentation.pipeline import Plan
from neuroadda.segmentation.relabel import Relabel
from neuroadda.segmentation.taken_edits import count_edits


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
            run = plan.config.output
            edited = task.name in (Components.kind, Relabel.kind) and count_edits(Path(run)) is not None
            verb = f"neuroadda edits apply {run}" if edited else "neuroadda segment"
            what = f"{task.name} is not finished ({done} of {len(task.blocks)} blocks)"
            raise UserError(what, run, f"finish the run first: `{verb}`, or `neuroadda retry {run}`")


def _count_done(plan: Plan, tasks: Sequence[Task]) -> dict[str, int]:
    """Return how many blocks are done of each task that has an output, by name."""
    outputs = {task.name: bound for task in tasks if (bound := bind_output(task)) is not None}
    if not outputs:  # nor is there a ledger, and opening it would make one
        return {}
    ledger = open_ledger(plan.config.ledger_url)
    try:
        return {name: ledger.summary(bound.key).done for name, bound in outputs.items()}
    finally:
        ledger.close()
