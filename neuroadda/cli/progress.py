"""The progress of a run on the command line: bars in a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from neuroadda.cli.verbosity import is_quiet
from neuroadda.cli.working import LATE_S, Silence, WorkLines
from neuroadda.observing import RunObserver, watched_by
from neuroadda.wording import format_count

if TYPE_CHECKING:
    from neuroadda.blockwise.task import Task
    from neuroadda.ledger.base import Summary

BLOCKS_EVERY_S, ITERATIONS_EVERY_S = 10.0, 15.0


@contextmanager
def show_progress(quiet: bool) -> Iterator[RunObserver]:
    """Yield the observer that prints a run's progress; nothing if `quiet`, or with `--quiet`."""
    with _choose(quiet or is_quiet()) as observer, watched_by(observer):
        yield observer


@contextmanager
def _choose(quiet: bool) -> Iterator[RunObserver]:
    if quiet:
        yield Silence()
    elif sys.stderr.isatty() and sys.stdout.isatty():
        from rich.console import Console

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"), TimeRemainingColumn())
        with Progress(TextColumn("{task.description:12}"), *columns, console=Console(stderr=True)) as bars:
            yield Bars(bars)
    else:
        yield Lines()


class Bars(RunObserver):
    """A bar for each task and each training, on standard error."""

    def __init__(self, bars: Progress) -> None:
        self._bars, self._ids = bars, dict[str, TaskID]()
        self._begun = dict[str, float]()  # other work

    def on_blocks(self, task: "Task", summary: "Summary") -> None:
        """Move the bar of a task."""
        failed = f"  {summary.failed} failed" if summary.failed else ""
        self._move(task.fingerprint, task.name, summary.done, len(task.blocks), _rate(task, summary) + failed)

    def on_iteration(self, name: str, iteration: int, iterations: int, values: Mapping[str, float]) -> None:
        """Move the bar of a training, or print a validation above it."""
        if "loss" in values:
            self._move(name, name, iteration, iterations, f"loss {values['loss']:.4f}")
        else:
            self.on_note(_name_values(name, values))

    def on_progress(self, what: str, done: int, total: int) -> None:
        """Move the bar of work that has taken two seconds."""
        if time.monotonic() - self._begun.setdefault(what, time.monotonic()) >= LATE_S or what in self._ids:
            self._move(what, what, done, total, "")
        if done >= total:
            self._begun.pop(what)

    def on_note(self, text: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)

    def _move(self, key: str, name: str, done: int, total: int, told: str) -> None:
        if key not in self._ids:
            self._ids[key] = self._bars.add_task(name, total=total, told="")
        self._bars.update(self._ids[key], completed=done, told=told)


class Lines(WorkLines):
    """A line now and then: of blocks and other work on standard error, of trainings on standard output."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[str, tuple[float, int]] = {}  # when a task was last reported, and how many blocks were done
        self._trainings: dict[str, tuple[float, int]] = {}  # when a training began here, and after which iteration
        self._told = 0.0

    def on_blocks(self, task: "Task", summary: "Summary") -> None:
        """Print how far a task is, every ten seconds and at its end."""
        when, done = self._blocks.get(task.fingerprint, (0.0, -1))
        finished = summary.done == len(task.blocks)
        if summary.done == done or (not finished and time.monotonic() - when < BLOCKS_EVERY_S):
            return
        self._blocks[task.fingerprint] = (time.monotonic(), summary.done)
        failed = f", {summary.failed} failed" if summary.failed else ""
        told = f"{task.name}: {summary.done}/{len(task.blocks)} blocks{failed} {_rate(task, summary)}"
        print(told.rstrip(), file=sys.stderr)

    def on_iteration(self, name: str, iteration: int, iterations: int, values: Mapping[str, float]) -> None:
        """Print how far a training is, at its start, every 15 seconds and at its end; and every validation."""
        if "loss" not in values:
            self.on_note(_name_values(name, values))
            return
        now = time.monotonic()
        begins = name not in self._trainings
        started, first = self._trainings.setdefault(name, (now, iteration))
        if begins or now - self._told > ITERATIONS_EVERY_S or iteration == iterations:
            self._told = now
            rate = "" if begins else f"{(iteration - first) / max(1e-9, now - started):.2f} it/s  "
            self.on_note(f"{name}  loss {values['loss']:.4f}  {rate}iteration {iteration}/{iterations}")

    def on_note(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)


def _name_values(name: str, values: Mapping[str, float]) -> str:
    return f"{name}  " + "  ".join(f"{key} {value:.4f}" for key, value in values.items())


def _rate(task: "Task", summary: "Summary") -> str:
    rate, unit = summary.voxels_per_second, task.bound.unit
    return "" if rate is None or not unit else format_count(rate, f"{unit}/s")
