"""What the page is told, as plain data without secrets."""

import math
import shlex
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.errors import UserError
from neuroadda.ledger.base import Summary
from neuroadda.ledger.open import open_ledger
from neuroadda.locks import LockState
from neuroadda.redaction import Redaction
from neuroadda.runs.health import Health, Pulse, judge, split_running
from neuroadda.runs.status import NoLedger, RunLedger, describe, find_ledger
from neuroadda.viewing.dashboard.blockmap import count_history, map_blocks
from neuroadda.viewing.dashboard.progress import DONE, FAILED, RUNNING, StageProgress
from neuroadda.viewing.dashboard.slices import Slices
from neuroadda.viewing.dashboard.trainings import Trainings
from neuroadda.viewing.dashboard.watch import Watch, WatchedStage

MOST_WORKERS = 60
MOST_GROUPS = 20


class Facts:
    """Answers the page's questions about a run, or about trainings where there is no ledger yet.

    Parameters
    ----------
    where, url
        A run's folder or a ledger's URL, as the user named it, and the URL of the folder's ledger; see `find_ledger`.

    Attributes
    ----------
    trainings
        Those in the folder.

    Raises
    ------
    UserError
        If there is neither a ledger nor a training.
    """

    def __init__(self, where: str, url: str | None = None) -> None:
        self._named, self._url = where, url
        self._attaching = threading.Lock()
        self._ledger: RunLedger | None = None
        self._watch: Watch | None = None
        self._hide, self._slices = Redaction(url or ""), Slices()
        self._run = "RUN"
        self._details: dict[str, tuple[int, dict[str, Any]]] = {}
        self.trainings = Trainings(None if "://" in where else Path(where))
        try:
            self._attach()
        except NoLedger:
            if not self.trainings:
                raise

    def close(self) -> None:
        """End the reading of the ledger."""
        if self._watch is not None:
            self._watch.close()

    def overview(self) -> dict[str, Any]:
        """Return health, stages, failures and trainings."""
        trouble = None
        try:
            self._attach()
        except NoLedger:  # there is none before the training has ended
            pass
        except UserError as error:
            trouble = str(error)
        trainings = self.trainings.describe()
        told = self._overview_of_ledger() if self._ledger is not None else _describe_none(trouble)
        if trainings and not told["stages"] and not told["reading"]:
            told["health"] = trainings[-1]["health"]
        where = self._hide(self._named).partition("?")[0]
        return dict(self._hide.clean(told | {"where": where, "trainings": trainings}))

    def _attach(self) -> None:
        """Begin to read the ledger, once it is there."""
        with self._attaching:
            if self._ledger is None:
                found = find_ledger(self._named, self._url)
                self._hide = Redaction(found.url)
                self._watch = Watch(open_ledger(found.url, reading=True), found.choose)
                self._run = shlex.quote(str(found.folder)) if found.folder else "RUN"
                self._ledger = found

    def _read(self) -> tuple[RunLedger, Watch]:
        if self._ledger is None or self._watch is None:
            raise UserError("there is no ledger yet")
        return self._ledger, self._watch

    def _overview_of_ledger(self) -> dict[str, Any]:
        ledger, watch = self._read()
        locks = ledger.read_locks()
        with watch.stages() as stages:
            read_at, trouble = watch.read_at, watch.trouble
            stages = [stage for stage in stages if stage.summary]
            pulses = [_pulse(stage, locks.of(stage.task)) for stage in stages]
        # Outputs and logs are looked at without holding up the ledger's reader.
        return {
            "ledger": True,
            "read_at": read_at,
            "trouble": trouble,
            "reading": not read_at or not all(stage.whole for stage in stages),
            "health": vars(locks.judge([stage.task for stage in stages], pulses, read_at)) if read_at else None,
            "retry": f"neuroadda retry {self._run}",
            "logs": f"neuroadda logs {self._run} --failed",
            "stages": [
                self._describe(stage, pulse, judge([pulse], read_at, locks.of(stage.task)))
                for stage, pulse in zip(stages, pulses, strict=True)
            ],
        }

    def detail(self, fingerprint: str) -> dict[str, Any]:
        """Return map, history and workers of a stage.

        Raises
        ------
        UserError
            If there is no such stage.
        """
        ledger, watch = self._read()
        locks = ledger.read_locks()
        with watch.stages() as stages:
            stage = _find(stages, fingerprint)
            lock = locks.of(stage.task)
            at_work = judge([_pulse(stage, lock)], watch.read_at, lock).is_at_work
            before, known = self._details.get(fingerprint, (-1, {}))
            if (version := _version(stage, at_work)) != before:
                progress = stage.progress.without_interrupted(_since(lock, at_work))
                told = {
                    "version": version,
                    "map": map_blocks(progress),
                    "history": count_history(progress),
                    "grid": stage.task.grid,
                    **_describe_workers(progress),
                }
                known = self._hide.clean(told)
                self._details[fingerprint] = version, known
        return known

    def slice(self, fingerprint: str, block: int) -> bytes:
        """Return a PNG of what a finished block has written.

        Raises
        ------
        UserError
            If there is no such stage or block, it is not done, or its output cannot be read.
        """
        with self._read()[1].stages() as stages:
            stage = _find(stages, fingerprint)
            done = stage.progress.statuses == DONE
            if not 0 <= block < len(done) or not done[block]:
                raise UserError("no block of this number is done", str(block))
        return self._slices.picture(stage.task, block, done)

    def _describe(self, stage: WatchedStage, pulse: Pulse, health: Health) -> dict[str, Any]:
        task = stage.task
        told = describe(task, pulse, stage.failures[:MOST_GROUPS], self._read()[0].folder, health)
        return told | {
            "id": task.fingerprint,
            "version": _version(stage, health.is_at_work),
            "whole": stage.whole,
            "first": pulse.summary.started,
            "last": pulse.last,
            "picture": pulse.summary.done > 0 and self._slices.has_array(task),
        }


def _describe_none(trouble: str | None) -> dict[str, Any]:
    """Return the overview of a run before it has a ledger."""
    nothing: dict[str, Any] = {"retry": "", "logs": "", "stages": [], "health": None, "reading": False}
    return nothing | {"ledger": False, "read_at": time.time(), "trouble": trouble}


def _since(lock: LockState | None, at_work: bool) -> float:
    """Return the time before which a block must have begun that is marked as running and is not."""
    if not at_work:
        return math.inf
    return lock.since if lock is not None and lock.state == "held" else -math.inf


def _find(stages: list[WatchedStage], fingerprint: str) -> WatchedStage:
    for stage in stages:
        if stage.task.fingerprint == fingerprint:
            return stage
    raise UserError("the ledger has no such stage")


def _version(stage: WatchedStage, at_work: bool) -> int:
    """Return what changes with the stage's records, and where a run ends or begins."""
    return 2 * stage.version + at_work


def _pulse(stage: WatchedStage, lock: LockState | None) -> Pulse:
    task, progress = stage.task, stage.progress
    summary, interrupted = split_running(stage.summary or Summary(), progress.started_running, lock)
    last = max(when for when in (task.created, summary.finished, progress.last) if when is not None)
    return Pulse(task.stage, task.blocks, summary, progress.longest, last, interrupted)


def _describe_workers(progress: StageProgress) -> dict[str, Any]:
    size = len(progress.workers)
    counted = {
        name: np.bincount(progress.worker[progress.statuses == status], minlength=size).tolist()
        for name, status in (("done", DONE), ("running", RUNNING), ("failed", FAILED))
    }
    latest = sorted(range(size), key=lambda place: -progress.workers[place].last)
    described = [
        {
            **progress.workers[place].worker.model_dump(),
            "first": progress.workers[place].first,
            "last": progress.workers[place].last,
            **{name: counts[place] for name, counts in counted.items()},
        }
        for place in latest[:MOST_WORKERS]
    ]
    return {"workers": described, "more_workers": max(0, size - MOST_WORKERS)}
