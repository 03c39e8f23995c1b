"""The state of a run, from its ledger and the lock of its folder."""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.outputs import read_key
from neuroadda.errors import UserError
from neuroadda.ledger.base import FailureGroup, Ledger, TaskRecord
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.url import NAME, SQLITE, VARIABLE, ledger_url
from neuroadda.locks import LOCK, LockState, read_lock
from neuroadda.runs.advice import advise, describe_cause
from neuroadda.runs.config import find_arrays, find_relocation, read_config
from neuroadda.runs.folder import CONFIG
from neuroadda.runs.health import MAKE_AGAIN, WRITE_BACK, Health, Pulse, judge, split_running
from neuroadda.volumes.identity.derived import PYRAMID_RUN
from neuroadda.volumes.identity.moved import describe_move
from neuroadda.volumes.identity.relocation import Relocation
from neuroadda.volumes.storage.locations import Location, is_inside, to_location

LOGS = "logs"  # folder of a run's logs
SHOWN_BLOCKS = 20
DEEPEST = 3  # folders from an output up to that of its run, such as run/merges/level_0
BUG_BLOCKS = int(Execution.model_fields["same_error_limit"].default)


class NoLedger(UserError):
    """There is no ledger of a run, or none that knows of it: nothing that has one was begun."""


@dataclass(frozen=True)
class RunLedger:
    """The ledger of a run, and the run's place.

    Attributes
    ----------
    url
        Of the ledger.
    folder
        Of the run; for a ledger's URL, that of its file, and None for a server.
    shared
        The ledger may hold tasks of other runs, which are not shown.
    """

    url: str
    folder: Path | None
    shared: bool

    def read_locks(self) -> "RunLocks":
        """Look at the lock of the folder and, later, at those of the pyramids that its tasks are of."""
        return RunLocks(self.folder)

    def choose(self, tasks: Sequence[TaskRecord]) -> list[TaskRecord]:
        """Return the tasks of the run, with their outputs where they are now: in its folder, or where its config says."""
        if self.folder is None:
            return list(tasks)
        places: list[Location] = [self.folder.parent if self.folder.name == PYRAMID_RUN else self.folder]
        with suppress(UserError):
            places.append(find_arrays(self.folder, read_config(self.folder)))
            if (relocation := find_relocation(self.folder)).moved:
                tasks = [_relocate(task, relocation) for task in tasks]
        if not self.shared:
            return list(tasks)
        found = ((task, _locate(task)) for task in tasks)
        return [task for task, output in found if output and any(is_inside(output, place) for place in places)]


class RunLocks:
    """What the locks say of a run and of its tasks; each is looked at once."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._seen = folder, dict[Path | None, LockState | None]()
        self.own = self._read(folder)

    def of(self, task: TaskRecord) -> LockState | None:
        """Return the state of the lock that a task's run takes: in the nearest folder above the output that has one.

        A ledger may be shared by runs, also by that of a pyramid and that of its volume.
        """
        output = _locate(task)
        above = output.parents[:DEEPEST] if isinstance(output, Path) else ()
        places = (place for folder in above for place in (folder / PYRAMID_RUN, folder))
        return self._read(next((place for place in places if (place / LOCK).exists()), self._folder))

    def judge(self, tasks: Sequence[TaskRecord], pulses: Sequence[Pulse], now: float) -> Health:
        """Judge the run that is at work; if none is, the one of the folder."""
        locks = [self.of(task) for task in tasks]
        held = [lock for lock in (self.own, *locks) if lock is not None and lock.state == "held"]
        chosen = held[0] if held else self.own
        if locks and chosen not in locks:  # a ledger of several runs: the one that was last at work
            chosen = locks[max(range(len(locks)), key=lambda place: pulses[place].last)]
        return judge([pulse for pulse, lock in zip(pulses, locks, strict=True) if lock == chosen], now, chosen)

    def _read(self, folder: Path | None) -> LockState | None:
        if folder not in self._seen:
            self._seen[folder] = None if folder is None else read_lock(folder)
        return self._seen[folder]


def _locate(task: TaskRecord) -> Location | None:
    """Return where a task's output lies; None where its record names no place, or one with credentials."""
    try:
        return to_location(task.output)
    except UserError:
        return None


def _relocate(task: TaskRecord, relocation: Relocation) -> TaskRecord:
    """Return a task with its output where it is now, if it was moved with the folder."""
    output = _locate(task)
    if not isinstance(output, Path) or read_key(found := Path(relocation.find(str(output)))) != task.fingerprint:
        return task
    return task.model_copy(update={"output": str(found.absolute())})


def _is_gone(task: TaskRecord, pulse: Pulse) -> bool:
    """Tell whether what a task has written is no longer at its place, though the ledger has blocks of it as done."""
    output = _locate(task)
    return pulse.summary.done > 0 and output is not None and read_key(output) != task.fingerprint


def _find_move(task: TaskRecord) -> str | None:
    """Return how the place that the output of a task says was edited; None if it was not."""
    output = _locate(task)
    if output is None or read_key(output) != task.fingerprint:
        return None
    return describe_move(output)


@dataclass(frozen=True)
class RunStatus:
    """How a run does, and each of its tasks, oldest first, as plain data."""

    health: Health
    tasks: list[dict[str, Any]]


def read_status(where: str | Path, url: str | None = None) -> list[dict[str, Any]]:
    """Return the tasks of `look_at_run`."""
    return look_at_run(where, url).tasks


def look_at_run(where: str | Path, url: str | None = None) -> RunStatus:
    """Return whether a run is at work, and every task's progress, rate, time left and failures.

    Parameters
    ----------
    where
        A run's folder, or a ledger's URL.
    url
        Of the folder's ledger; see `ledger_url`.

    Raises
    ------
    NoLedger
        If there is none, or a shared one that knows nothing of the folder.
    UserError
        If it cannot be read, or there is no folder.
    """
    now = time.time()
    if (begun := _look_at_beginning(where, url, now)) is not None:
        return begun
    found = find_ledger(where, url)
    ledger = open_ledger(found.url, reading=True)
    try:
        locks = found.read_locks()  # before the records: a run that ends now has written them
        tasks = found.choose(ledger.tasks())
        if found.shared and locks.own is None and not tasks:
            right = f"give a run's folder, or the URL of its own ledger (--ledger, or {VARIABLE})"
            raise NoLedger("the ledger knows no task of this folder", str(where), right)
        pulses = [_pulse(task, ledger, locks.of(task)) for task in tasks]
        told = [
            describe(task, pulse, ledger.failures(task.fingerprint), found.folder, judge([pulse], now, locks.of(task)))
            | {"moved": _find_move(task)}
            for task, pulse in zip(tasks, pulses, strict=True)
        ]
        health = locks.judge(tasks, pulses, now)
        if "://" not in str(where) and not health.is_at_work:  # by a URL, outputs may be those of another machine
            gone = [row for task, pulse, row in zip(tasks, pulses, told, strict=True) if _is_gone(task, pulse)]
            for row in gone:
                row["state"] = "gone"
            if gone and health.state == "finished":
                stages = " and ".join(row["stage"] for row in gone)
                health = Health("stopped", f"Incomplete: what {stages} wrote is gone.", MAKE_AGAIN)
        moved = [task["stage"] for task in told if task["moved"]]
        if moved and not health.is_at_work:
            health = Health(
                "failed", f"Edited: the place of what {' and '.join(moved)} wrote is another now.", WRITE_BACK
            )
        return RunStatus(health, told)
    finally:
        ledger.close()


def _look_at_beginning(where: str | Path, url: str | None, now: float) -> RunStatus | None:
    """Return the status of a run that has taken its folder and made no ledger yet; raise UserError if no folder is there."""
    if "://" in str(where):
        return None
    folder, ledger = Path(where), ledger_url(Path(where), url)
    if ledger != f"{SQLITE}{folder / NAME}":
        return None  # it is elsewhere
    if not folder.exists():
        right = (
            "a run makes its folder once its inputs are checked: run its command again, or give the folder of another"
        )
        raise UserError("there is no ledger here, nor a folder: no run has begun", str(where), right)
    lock = read_lock(folder)
    if lock is None or any((folder / name).exists() for name in (NAME, LOGS)):
        return None  # where workers have logged, there was a ledger
    return RunStatus(judge([], now, lock), [])


def find_ledger(where: str | Path, url: str | None = None) -> RunLedger:
    """Return the ledger of a run's folder; for a ledger's URL, itself.

    Raises
    ------
    NoLedger
        If there is none.
    """
    if "://" in str(where):
        url, folder, shared = str(where), None, False
    else:
        folder = Path(where)
        url = ledger_url(folder, url)
        shared = url != f"{SQLITE}{folder / NAME}"
    if url.startswith(SQLITE):
        file = Path(url.removeprefix(SQLITE))
        if not file.exists():
            right = f"give a run's folder, or the URL of a ledger (--ledger, or {VARIABLE}), such as mongodb://host/database"
            if folder is not None and (folder / CONFIG).is_file():
                right += f"; if it was deleted, `neuroadda ledger rebuild {folder}` makes it from what is written"
            raise NoLedger("there is no ledger here", str(where), right)
        folder = folder or file.parent
    return RunLedger(url, folder, shared)


def _pulse(task: TaskRecord, ledger: Ledger, lock: LockState | None) -> Pulse:
    summary, interrupted = ledger.summary(task.fingerprint), 0
    last = [task.created, summary.finished or 0.0]
    if summary.running:
        last += [float(each.when.max()) for each in ledger.columns(task.fingerprint, max(last)) if len(each.when)]
        started = (float(block["started"]) for block in ledger.blocks(task.fingerprint, "running"))
        summary, interrupted = split_running(summary, started, lock)
    return Pulse(task.stage, task.blocks, summary, summary.seconds / max(1, summary.done), max(last), interrupted)


def describe(
    task: TaskRecord, pulse: Pulse, failures: Sequence[FailureGroup], folder: Path | None, health: Health
) -> dict[str, Any]:
    """Return a task's progress and failures as plain data; `folder` is the run's, where it is known."""
    summary = pulse.summary
    rate, left = summary.voxels_per_second, task.voxels - summary.voxels
    at_work = summary.running if health.is_at_work else 0
    logs = None if folder is None else folder / "logs" / task.stage
    return {
        "stage": task.stage,
        "state": "finished" if summary.done >= task.blocks else health.state,
        "fingerprint": task.fingerprint[:12],
        "blocks": task.blocks,
        "done": summary.done,
        "running": at_work,
        "interrupted": pulse.interrupted + summary.running - at_work,
        "failed": summary.failed,
        "voxels": task.voxels,
        "voxels_per_second": None if rate is None else round(rate),
        "eta_seconds": round(left / rate) if rate and left and at_work and health.state != "stalled" else None,
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
