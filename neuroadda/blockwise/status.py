"""The state of a run, from its ledger alone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.failures import advise, describe_cause
from neuroadda.blockwise.ledger.base import Ledger, Summary, TaskRecord
from neuroadda.blockwise.ledger.open import SQLITE, open_ledger
from neuroadda.errors import UserError

SHOWN_BLOCKS = 20
BUG_BLOCKS = int(Execution.model_fields["same_error_limit"].default)


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
    url = find_ledger(where)
    folder = Path(url.removeprefix(SQLITE)).parent if url.startswith(SQLITE) else None
    ledger = open_ledger(url)
    try:
        return [_describe(task, ledger, folder) for task in ledger.tasks()]
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


def _describe(task: TaskRecord, ledger: Ledger, folder: Path | None) -> dict[str, Any]:
    summary = ledger.summary(task.fingerprint)
    rate, left = summary.voxels_per_second, seconds_left(task, summary)
    logs = None if folder is None else folder / "logs" / task.stage
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
        "logs": str(logs) if logs is not None and logs.exists() else None,
        "failures": [
            {
                "cause": (cause := describe_cause(group.cause, len(group.blocks), BUG_BLOCKS)),
                "type": group.type,
                "message": group.message,
                "count": len(group.blocks),
                "blocks": group.blocks[:SHOWN_BLOCKS],
                "traceback": group.traceback,
                "advice": advise(cause, str(folder or "RUN"), task.stage, list_blocks(group.blocks)),
            }
            for group in ledger.failures(task.fingerprint)
        ],
    }


def list_blocks(blocks: Sequence[int]) -> str:
    """Return the first of some blocks as `parse_blocks` reads them."""
    return ",".join(map(str, blocks[:SHOWN_BLOCKS]))


def parse_blocks(text: str) -> list[int]:
    """Return the blocks of a list such as ``3,7,10-12``.

    Raises
    ------
    UserError
        If it is no such list.
    """
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise UserError(f"{text!r} is no list of blocks", "--blocks", "write 3,7,10-12")
    bounds = [part.partition("-") for part in text.split(",")]
    return sorted({block for first, _, last in bounds for block in range(int(first), int(last or first) + 1)})
