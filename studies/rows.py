"""Rows of a study: read from its table, and appended to it as its runs end."""

import csv
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

Row = TypeVar("Row")


def read_table(path: Path, row: type[Row]) -> list[Row]:
    """Return the rows of a table, dataclasses of one kind; none if it is not there. A column may be missing that has a default."""
    if not path.exists():
        return []
    with path.open() as file:
        lines = list(csv.DictReader(file))
    return [row(**{f.name: f.type(line[f.name]) for f in fields(row) if f.name in line}) for line in lines]


def append_row(path: Path, row: Any) -> None:
    """Write one more row, a dataclass, and print it."""
    append_rows(path, [row])


def append_rows(path: Path, rows: Sequence[Any]) -> None:
    """Write more rows, dataclasses of one kind, and print them."""
    if not rows:
        return
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(map(asdict, rows))
    for row in rows:
        print(" ".join(str(value) for value in asdict(row).values()), flush=True)


def run_all(
    pool: ProcessPoolExecutor, jobs: Iterator[tuple[Any, ...]], workers: int, minutes: float, path: Path
) -> None:
    """Do jobs (a function and its arguments, made when their turn comes) and append the row of each as it ends.

    Nothing new is begun after so many minutes.
    """
    until = time.monotonic() + minutes * 60
    running: set[Future[Any]] = set()
    while True:
        while len(running) < workers and time.monotonic() < until:
            job = next(jobs, None)
            if job is None:
                break
            running.add(pool.submit(*job))
        if not running:
            return
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            append_row(path, future.result())
