"""What the page is told, as plain data without secrets."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.blockwise.ledger.base import Summary
from neuroadda.blockwise.status import describe
from neuroadda.errors import UserError
from neuroadda.viewing.dashboard.blockmap import count_history, map_blocks
from neuroadda.viewing.dashboard.health import Pulse, judge
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
        As the user named the run; `url` is its ledger's, `folder` where it lies, if that is known.
    """

    def __init__(self, where: str, url: str, folder: Path | None, watch: Watch) -> None:
        self._watch, self._hide, self._slices, self._folder = watch, Redaction(url), Slices(), folder
        self._where = self._hide(where).partition("?")[0]
        self._run = shlex.quote(str(folder)) if folder else "RUN"
        self._details: dict[str, tuple[int, dict[str, Any]]] = {}

    def overview(self) -> dict[str, Any]:
        """Return health, stages and failures."""
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
            "health": vars(judge(pulses, read_at)) if read_at else None,
            "retry": f"neuroadda retry {self._run}",
            "logs": f"neuroadda logs {self._run} --failed",
            "stages": [self._describe(stage, pulse) for stage, pulse in zip(stages, pulses, strict=True)],
        }
        return dict(self._hide.clean(told))

    def detail(self, fingerprint: str) -> dict[str, Any]:
        """Return map, history and workers of a stage.

        Raises
        ------
        UserError
            If there is no such stage.
        """
        with self._watch.stages() as stages:
            stage = _find(stages, fingerprint)
            version, known = self._details.get(fingerprint, (-1, {}))
            if version != stage.version:
                known = self._hide.clean(
                    {
                        "version": stage.version,
                        "map": map_blocks(stage.progress),
                        "history": count_history(stage.progress),
                        "grid": stage.task.grid,
                        **_describe_workers(stage.progress),
                    }
                )
                self._details[fingerprint] = stage.version, known
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

    def _describe(self, stage: WatchedStage, pulse: Pulse) -> dict[str, Any]:
        task = stage.task
        told = describe(task, pulse.summary, stage.failures[:MOST_GROUPS], self._folder)
        if self._watch.read_at - pulse.last > pulse.patience:
            told["eta_seconds"] = None
        return told | {
            "id": task.fingerprint,
            "version": stage.version,
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
