"""What a finished segmentation cost: what every stage did and took."""

from dataclasses import dataclass

from neuroadda.blockwise.outputs import bind_output
from neuroadda.ledger.base import Summary
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.usage import sum_usage
from neuroadda.segmentation.finished import check_whole
from neuroadda.segmentation.pipeline import Plan


@dataclass(frozen=True)
class FinishedStage:
    """A stage, its progress (blocks, voxels, seconds), and the most memory that a process which did its blocks has held."""

    name: str
    summary: Summary
    peak_bytes: int | None


def finished_stages(plan: Plan) -> list[FinishedStage]:
    """Return what every stage did and took.

    Raises
    ------
    UserError
        If a stage's output is missing, unfinished, or made with other parameters.
    """
    check_whole(plan)
    ledger = open_ledger(plan.config.ledger_url, reading=True)
    try:
        stages = []
        for task in plan.tasks:
            written = bind_output(task)
            assert written is not None
            summary = ledger.summary(written.key)
            stages.append(FinishedStage(task.name, summary, sum_usage(ledger, written.key).peak_bytes))
        return stages
    finally:
        ledger.close()


def wall_seconds(summary: Summary) -> float:
    """Return the seconds from the first block's start to the last block's end."""
    return (summary.finished or 0.0) - (summary.started or 0.0)
