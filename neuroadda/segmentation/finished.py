"""Whether the stages of a run are finished, before something is made of them."""

from collections.abc import Iterable
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
    for task in plan.tasks if names is None else map(plan.task, names):
        if (done := _count_done(plan, task)) < len(task.blocks):
            run = plan.config.output
            edited = task.name in (Components.kind, Relabel.kind) and count_edits(Path(run)) is not None
            verb = f"neuroadda edits apply {run}" if edited else "neuroadda segment"
            what = f"{task.name} is not finished ({done} of {len(task.blocks)} blocks)"
            raise UserError(what, run, f"finish the run first: `{verb}`, or `neuroadda retry {run}`")


def _count_done(plan: Plan, task: Task) -> int:
    if (bound := bind_output(task)) is None:
        return 0
    ledger = open_ledger(plan.config.ledger_url)
    try:
        return ledger.summary(bound.key).done
    finally:
        ledger.close()
