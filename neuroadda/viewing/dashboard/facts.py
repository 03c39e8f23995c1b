"""What the page is told, as plain data without secrets."""

import shlex
from typing import Any

import numpy as np

from neuroadda.blockwise.health import Health, Pulse, judge
from neuroadda.blockwise.ledger.base import Summary
from neuroadda.blockwise.status import RunLedger, describe
from neuroadda.errors import UserError
from neuroadda.viewing.dashboard.blockmap import count_history, map_blocks
from neuroadda.viewing.dashboard.progress import DONE, FAILED, RUNNING, StageProgress
from neuroadda.viewing.dashboard.redaction import Redaction
from neuroadda.viewing.dashboard.slices import Slices
from neuroadda.viewing.dashboard.watch import Watch, WatchedStage

MOST_WORKERS = 60
MOST_GROUPS = 20


class Facts:
    """Answers the page's questions about a run.

    Parameters
    ----------
    where
        As the user named the run; `run` is what was found there.
    """

    def __init__(self, where: str, run: RunLedger, watch: Watch) -> None:
        self._watch, self._hide, self._slices, self._ledger = watch, Redaction(run.url), Slices(), run
        self._where = self._hide(where).partition("?")[0]
        self._run = shlex.quote(str(run.folder)) if run.folder else "RUN"
        self._details: dict[str, tuple[int, dict[str, Any]]] = {}

    def overview(self) -> dict[str, Any]:
        """Return health, stages and failures."""
        locks = self._ledger.read_locks()
        with self._watch.stages() as stages:
            read_at, trouble = self._watch.read_at, self._watch.trouble
            stages = [stage for stage in stages if stage.summary]
            pulses = [_pulse(stage) for stage in stages]
        # Outputs and logs are looked at without holding up the ledger's reader.
        told: dict[str, Any] = {
            "where": self._where,
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
        return dict(self._hide.clean(told))

    def detail(self, fingerprint: str) -> dict[str, Any]:
        """Return map, history and workers of a stage.

        Raises
        ------
        UserError
            If there is no such stage.
        """
        locks = self._ledger.read_locks()
        with self._watch.stages() as stages:
            stage = _find(stages, fingerprint)
            at_work = judge([_pulse(stage)], self._watch.read_at, locks.of(stage.task)).is_at_work
            before, known = self._details.get(fingerprint, (-1, {}))
            if (version := _version(stage, at_work)) != before:
                told = {
                    "version": version,
                    "map": map_blocks(stage.progress),
                    "history": count_history(stage.progress),
                    "grid": stage.task.grid,
                    **_describe_workers(stage.progress),
                }
                if not at_work:  # what is marked as running was interrupted
                    for shown in (*told["map"], *told["workers"]):
                        shown["running"] = [0] * len(shown["running"]) if "rows" in shown else 0
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
        with self._watch.stages() as stages:
            stage = _find(stages, fingerprint)
            done = stage.progress.statuses == DONE
            if not 0 <= block < len(done) or not done[block]:
                raise UserError("no block of this number is done", str(block))
        return self._slices.picture(stage.task, block, done)

    def _describe(self, stage: WatchedStage, pulse: Pulse, health: Health) -> dict[str, Any]:
        task = stage.task
        told = describe(task, pulse.summary, stage.failures[:MOST_GROUPS], self._ledger.folder, health)
        return told | {
            "id": task.fingerprint,
            "version": _version(stage, health.is_at_work),
            "whole": stage.whole,
            "first": pulse.summary.started,
            "last": pulse.last,
            "picture": pulse.summary.done > 0 and self._slices.has_array(task),
        }


def _find(stages: list[WatchedStage], fingerprint: str) -> WatchedStage:
    for stage in stages:
        if stage.task.fingerprint == fingerprint:
            return stage
    raise UserError("the ledger has no such stage")


def _version(stage: WatchedStage, at_work: bool) -> int:
    """Return what changes with the stage's records, and where a run ends or begins."""
    return 2 * stage.version + at_work


def _pulse(stage: WatchedStage) -> Pulse:
    task, summary, progress = stage.task, stage.summary or Summary(), stage.progress
    last = max(when for when in (task.created, summary.finished, progress.last) if when is not None)
    return Pulse(task.stage, task.blocks, summary, progress.longest, last)


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
