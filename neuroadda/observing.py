"""What a long run tells while it works: one object that is called, and that a caller may replace by its own."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from neuroadda.blockwise.task import Task
    from neuroadda.ledger.base import Summary

log = logging.getLogger(__name__)
T = TypeVar("T")


class RunObserver:
    """Is called with the progress of a run. This one logs notes at level INFO; override the methods that you need.

    All calls come from the process and the thread that started the run.
    """

    def on_blocks(self, task: "Task", summary: "Summary") -> None:
        """Blocks of a task are done: called at the task's start and end, and about twice a second between.

        Parameters
        ----------
        task
            `task.name` is the stage, ``len(task.blocks)`` the number of its blocks.
        summary
            Blocks done, running and failed, voxels, and seconds.
        """

    def on_iteration(self, name: str, iteration: int, iterations: int, values: Mapping[str, float]) -> None:
        """An iteration of a training is done, or a validation after it.

        Parameters
        ----------
        name
            Of the training.
        iteration, iterations
            How many are done, and how many there are.
        values
            ``loss``, ``lr`` and ``cpu_seconds``; or, of a validation, its metrics, whose names start with ``validation_``.
        """

    def on_progress(self, what: str, done: int, total: int) -> None:
        """Work that is not done in blocks has come so far, such as looking for voxels without data.

        Parameters
        ----------
        what
            Of people's words, such as ``import of em.tif``.
        done, total
            Parts of it; 0 when it begins.
        """

    def on_note(self, text: str) -> None:
        """One line for a person, such as which backbone a training starts from."""
        log.info(text)


_watching: ContextVar[RunObserver | None] = ContextVar("watching", default=None)


@contextmanager
def watched_by(observer: RunObserver) -> Iterator[None]:
    """Have `track` tell an observer of all work of the block."""
    token = _watching.set(observer)
    try:
        yield
    finally:
        _watching.reset(token)


def track(what: str, parts: Sequence[T]) -> Iterator[T]:
    """Yield the parts of some work, and tell the observer, if there is one, how many are done; see `RunObserver.on_progress`."""
    observer = _watching.get()
    if observer is None:
        yield from parts
        return
    for done, part in enumerate(parts):
        observer.on_progress(what, done, len(parts))
        yield part
    observer.on_progress(what, len(parts), len(parts))


@contextmanager
def taking_logs(handler: logging.Handler) -> Iterator[None]:
    """Have a handler take what this process logs in the block: ours from level INFO on, others' as Python has it."""
    root, ours = logging.getLogger(), logging.getLogger("neuroadda")
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(level)
        root.removeHandler(handler)
        handler.close()
