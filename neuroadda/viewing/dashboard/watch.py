"""Keep up with a ledger while somebody looks."""

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from neuroadda.errors import UserError
from neuroadda.ledger.base import FailureGroup, Ledger, Summary, TaskRecord
from neuroadda.viewing.dashboard.progress import StageProgress

EVERY_SECONDS = 2.0
SHARE = 20  # of the time: a ledger of millions of blocks is not to be busy with questions
OVERLAP_SECONDS = 120.0  # clocks of other machines, and records that waited for the ledger
AGAIN_SECONDS = 600.0  # a ledger that was repaired has changes that bear no new date
LOOKED_SECONDS = 60.0
PATIENCE_SECONDS = 0.5


@dataclass
class WatchedStage:
    """A task and how far it is.

    Attributes
    ----------
    version
        Grows with every change.
    whole
        Whether all of the ledger's blocks of it have been read once; before, `progress` is of few of them.
    """

    progress: StageProgress
    summary: Summary | None = None
    failures: list[FailureGroup] = field(default_factory=list)
    version: int = 0
    whole: bool = False
    read_at: float = 0.0
    again_at: float = 0.0

    @property
    def task(self) -> TaskRecord:
        """The task as the ledger knows it."""
        return self.progress.task


class Watch:
    """Reads a ledger, which is its own from then on, in a thread: all of it once, then what changes, as long as somebody asks.

    Parameters
    ----------
    choose
        Returns the tasks that are looked at, of all in the ledger.

    Attributes
    ----------
    read_at
        When the ledger was last read, seconds since the epoch; 0 before the first time.
    trouble
        Why it could not be read just now, in a line.
    """

    def __init__(self, ledger: Ledger, choose: Callable[[Sequence[TaskRecord]], list[TaskRecord]] = list) -> None:
        self._ledger, self._choose = ledger, choose
        self._changed = threading.Condition()
        self._stages: dict[str, WatchedStage] = {}
        self._versions = 0
        self._asked = time.monotonic()
        self._closed = False
        self.read_at = 0.0
        self.trouble: str | None = None
        self._thread = threading.Thread(target=self._run, name="ledger reader", daemon=True)
        self._thread.start()

    @contextmanager
    def stages(self) -> Iterator[list[WatchedStage]]:
        """Hold what is known of every task still, oldest first; what nobody looked at for a while is read again first."""
        with self._changed:
            idle, self._asked = self._is_idle(), time.monotonic()
            if idle:
                before = self.read_at
                self._changed.notify_all()
                self._changed.wait_for(lambda: self.read_at > before or self._closed, timeout=1.0)
            yield sorted(self._stages.values(), key=lambda stage: (stage.task.created, stage.task.fingerprint))

    def close(self) -> None:
        """End, and close the ledger; one that does not answer at once is left to the end of the process."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(PATIENCE_SECONDS)
        if not self._thread.is_alive():
            self._ledger.close()

    def _is_idle(self) -> bool:
        return time.monotonic() - self._asked > LOOKED_SECONDS

    def _run(self) -> None:
        while not self._closed:
            began, first = time.monotonic(), self.read_at == 0.0
            try:
                self._read()
                self.trouble = None
            except UserError as error:
                self.trouble = str(error)
            except Exception as error:
                if self._closed:
                    return
                traceback.print_exc()
                self.trouble = f"the dashboard failed to read the ledger: {type(error).__name__}"
            pause = EVERY_SECONDS if first else max(EVERY_SECONDS, SHARE * (time.monotonic() - began))
            with self._changed:
                self._changed.wait_for(lambda: self._closed, timeout=pause)
                self._changed.wait_for(lambda: self._closed or not self._is_idle())

    def _read(self) -> None:
        tasks = self._choose(self._ledger.tasks())
        with self._changed:
            self._stages = {
                task.fingerprint: self._stages.get(task.fingerprint) or WatchedStage(StageProgress(task))
                for task in tasks
            }
            newest_first = list(self._stages.values())[::-1]
        for stage in newest_first:
            if self._closed:
                return
            self._read_changes(stage)
        with self._changed:
            self.read_at = time.time()
            self._changed.notify_all()
        for stage in newest_first:
            if self._closed:
                return
            self._read_all(stage)

    def _read_changes(self, stage: WatchedStage) -> None:
        now, key = time.time(), stage.task.fingerprint
        if stage.summary and stage.summary.done == stage.task.blocks and now < stage.again_at:
            return
        summary = self._ledger.summary(key)
        # The first time, what came after the last block that ended: enough to see whether it is alive.
        since = stage.read_at - OVERLAP_SECONDS if stage.read_at else summary.finished or 0.0
        changed = summary != stage.summary
        for columns in self._ledger.columns(key, since):
            with self._changed:
                changed |= stage.progress.update(columns)
        failures = stage.failures
        if changed:
            failures = self._ledger.failures(key) if summary.failed else []
        with self._changed:
            stage.summary, stage.failures, stage.read_at = summary, failures, now
            if changed:
                self._bump(stage)

    def _read_all(self, stage: WatchedStage) -> None:
        if time.time() < stage.again_at:
            return
        # Filled as it is read the first time, and replaced when it is read again.
        progress = StageProgress(stage.task) if stage.whole else stage.progress
        for columns in self._ledger.columns(stage.task.fingerprint):
            with self._changed:
                progress.update(columns)
            if self._closed:
                return
        with self._changed:
            stage.progress, stage.whole, stage.again_at = progress, True, time.time() + AGAIN_SECONDS
            self._bump(stage)

    def _bump(self, stage: WatchedStage) -> None:
        self._versions += 1
        stage.version = self._versions
