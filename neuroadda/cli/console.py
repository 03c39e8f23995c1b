"""How the command line speaks: tables and progress for people, plain lines for logs, JSON for scripts."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from neuroadda.blockwise.engine import Observer
from neuroadda.blockwise.ledger.base import Summary
from neuroadda.blockwise.task import Task
from neuroadda.formats import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from neuroadda.forecast.forecast import Forecast, Interval

PLAIN_EVERY_SECONDS = 10.0


def print_json(data: Any) -> None:
    """Print data for a script."""
    print(json.dumps(data, indent=2))


def print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of equal keys; tab-separated when this is not a terminal."""
    if not rows:
        return
    if not sys.stdout.isatty():
        print("\t".join(rows[0]))
        for row in rows:
            print("\t".join(str(value) for value in row.values()))
        return
    table = Table(title=Text(title), title_justify="left")
    for column, value in rows[0].items():
        table.add_column(column, justify="right" if isinstance(value, int | float) else "left")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    Console().print(table)


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print what a whole run came to."""
    stages = [
        {
            "stage": s["stage"],
            "blocks": s["blocks"],
            "time": format_seconds(s["seconds"]),
            "rate": format_count(s["voxels"] / max(s["seconds"], 1e-3), "vx/s"),
        }
        for s in summary["stages"]
    ]
    print_table(summary["title"], stages)
    if "scores" in summary:
        scores = summary["scores"]
        print(
            f"VOI {scores['voi']:.3f} {scores['units']} (split {scores['voi_split']:.3f}, merge {scores['voi_merge']:.3f}), "
            f"adapted Rand error {scores['adapted_rand_error']:.3f} at threshold {summary['threshold']}"
        )
    for name, scores in summary["compared"].items():
        print(f"  {name}: VOI {scores['voi']:.3f} {scores['units']}")
    for name, scores in summary["baselines"].items():
        print(f"  {name}, at its best: VOI {scores['voi']:.3f} {scores['units']}")
    print(f"segmentation: {summary['segmentation']}")
    print(f"report: {summary['report']}")


def print_forecast(forecast: "Forecast") -> None:
    """Print what a plan will cost, by stage."""

    def show(interval: "Interval", write: Callable[[float], str]) -> str:
        low, high = write(interval.low), write(interval.high)
        return write(interval.value) + ("" if low == high else f" ({low} - {high})")

    rows = [
        {
            "stage": s.stage,
            "blocks": s.blocks,
            "voxels": format_count(s.voxels, "vx"),
            "on disk": show(s.bytes, format_bytes),
            "files": show(s.files, format_count),
            "CPU": show(s.cpu_seconds, format_seconds),
            "wall": show(s.wall_seconds, format_seconds),
            "memory": format_bytes(s.peak_bytes),
            "found": ", ".join(f"{format_count(n.value)} {name}" for name, n in s.counts.items()),
        }
        for s in (*forecast.stages, forecast.total)
    ]
    measured = forecast.measurement
    print_table("dry run: only samples were segmented, in a temporary folder", rows)
    print(
        f"{forecast.workers} workers; memory is a worker's. From {len(measured.boxes)} boxes of together "
        f"{format_count(measured.voxels, 'vx')}; in brackets 95 % by how they differ."
    )


@contextmanager
def show_progress(quiet: bool) -> Iterator[Observer]:
    """Show the blocks of each task as they are done: a bar in a terminal, a line now and then elsewhere."""
    if quiet:
        yield lambda task, summary: None
    elif sys.stderr.isatty():
        with Progress(
            TextColumn("{task.description:12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as progress:
            yield _bars(progress)
    else:
        yield _lines()


def _bars(progress: Progress) -> Observer:
    bars: dict[str, TaskID] = {}

    def observe(task: Task, summary: Summary) -> None:
        if task.fingerprint not in bars:
            bars[task.fingerprint] = progress.add_task(task.name, total=len(task.blocks), rate="")
        failed = f"  {summary.failed} failed" if summary.failed else ""
        progress.update(bars[task.fingerprint], completed=summary.done, rate=_rate(summary) + failed)

    return observe


def _lines() -> Observer:
    told: dict[str, tuple[float, int]] = {}

    def observe(task: Task, summary: Summary) -> None:
        when, done = told.get(task.fingerprint, (0.0, -1))
        finished = summary.done == len(task.blocks)
        if summary.done == done or (not finished and time.monotonic() - when < PLAIN_EVERY_SECONDS):
            return
        told[task.fingerprint] = (time.monotonic(), summary.done)
        failed = f", {summary.failed} failed" if summary.failed else ""
        print(
            f"{task.name}: {summary.done}/{len(task.blocks)} blocks{failed} {_rate(summary)}".rstrip(), file=sys.stderr
        )

    return observe


def _rate(summary: Summary) -> str:
    rate = summary.voxels_per_second
    return "" if rate is None else format_count(rate, "vx/s")
