"""The state of a run, from its ledger alone."""

from pathlib import Path
from typing import Any

from neuroadda.blockwise.ledger.base import Ledger, Summary, TaskRecord
from neuroadda.blockwise.ledger.open import SQLITE, open_ledger
from neuroadda.errors import UserError


def read_status(where: str) -> list[dict[str, Any]]:
    """Return every task's progress, rate, time left and failures, oldest task first, as plain data.

    Parameters
    ----------
    where
        A run's folder, or a ledger's URL.

    Raises
    ------
    UserError
        If there is no ledger.
    """
    ledger = open_ledger(find_ledger(where))
    try:
        return [_describe(task, ledger) for task in ledger.tasks()]
    finally:
        ledger.close()


def find_ledger(where: str) -> str:
    """Return the URL of the ledger of a run's folder, or of a URL.

    Raises
    ------
    UserError
        If there is no ledger.
    """
    url = where if "://" in where else f"{SQLITE}{Path(where) / 'ledger.db'}"
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():
        raise UserError(
            "there is no ledger here", where, "give a run's folder, or a URL such as mongodb://host/database"
        )
    return url


def seconds_left(task: TaskRecord, summary: Summary) -> float | None:
    """Return how long a task that is running has still to go, at the rate of the workers that it has now; None if unknown."""
    rate, left = summary.voxels_per_second, task.voxels - summary.voxels
    return left / rate if rate and left and summary.running else None


def _describe(task: TaskRecord, ledger: Ledger) -> dict[str, Any]:
    summary = ledger.summary(task.fingerprint)
    rate, left = summary.voxels_per_second, seconds_left(task, summary)
    return {
        "stage": task.stage,
        "fingerprint": task.fingerprint[:12],
        "blocks": task.blocks,
        "done": summary.done,
        "running": summary.running,
        "failed": summary.failed,
        "voxels": task.voxels,
        "voxels_per_second": None if rate is None else round(rate),
        "eta_seconds": None if left is None else round(left),
        "output": task.output,
        "failures": [
            {
                "type": group.type,
                "message": group.message,
                "count": len(group.blocks),
                "blocks": group.blocks[:20],
                "traceback": group.traceback,
            }
            for group in ledger.failures(task.fingerprint)
        ],
    }
