"""The state of a run, from its ledger alone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.failures import advise, describe_cause
from neuroadda.blockwise.ledger.base import FailureGroup, Summary, TaskRecord
from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.ledger.url import SQLITE, VARIABLE, ledger_url
from neuroadda.errors import UserError

SHOWN_BLOCKS = 20
BUG_BLOCKS = int(Execution.model_fields["same_error_limit"].default)


def read_status(where: str | Path, url: str | None = None) -> list[dict[str, Any]]:
    """Return every task's progress, rate, time left and failures, oldest task first, as plain data.

    Parameters
    ----------
    where
        A run's folder, or a ledger's URL.
    url
        Of the folder's ledger; see `ledger_url`.

    Raises
    ------
    UserError
        If there is no ledger.
    """
    url, folder = find_ledger(where, url)
    ledger = open_ledger(url)
    try:
        return [
            describe(task, ledger.summary(task.fingerprint), ledger.failures(task.fingerprint), folder)
            for task in ledger.tasks()
        ]
    finally:
        ledger.close()


def find_ledger(where: str | Path, url: str | None = None) -> tuple[str, Path | None]:
    """Return the URL of the ledger of a run's folder, and the folder; for a ledger's URL, itself, and the folder of its file.

    Raises
    ------
    UserError
        If there is no ledger.
    """
    folder = None if "://" in str(where) else Path(where)
    url = str(where) if folder is None else ledger_url(folder, url)
    if url.startswith(SQLITE):
        file = Path(url.removeprefix(SQLITE))
        if not file.exists():
            right = f"give a run's folder, or the URL of a ledger (--ledger, or {VARIABLE}), such as mongodb://host/database"
            raise UserError("there is no ledger here", str(where), right)
        folder = folder or file.parent
    return url, folder


def describe(
    task: TaskRecord, summary: Summary, failures: Sequence[FailureGroup], folder: Path | None
) -> dict[str, Any]:
    """Return a task's progress and failures as plain data; `folder` is the run's, where it is known."""
    rate, left = summary.voxels_per_second, task.voxels - summary.voxels
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
        "eta_seconds": round(left / rate) if rate and left and summary.running else None,
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
            for group in failures
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
