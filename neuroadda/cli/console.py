"""What the command line prints: tables for people, JSON for scripts."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuroadda.wording import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from neuroadda.forecast.forecast import Forecast, Interval


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
    console = Console()
    table = Table(title=Text(title), title_justify="left")
    for number, (column, value) in enumerate(rows[0].items()):
        longest = max(len(str(row[column])) for row in rows)
        table.add_column(
            column,
            justify="right" if isinstance(value, int | float) else "left",
            overflow="fold",  # what is cut off could be a name that is to be typed
            no_wrap=number == 0 and longest <= console.width // 3,  # names stay whole, to be copied
        )
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    console.print(table)


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print what a whole run came to."""
    stages = [
        {
            "stage": s["stage"],
            "blocks": s["blocks"],
            "time": format_seconds(s["seconds"]),
            "rate": format_count(s["voxels"] / s["seconds"], "vx/s") if s["seconds"] else "",
        }
        for s in summary["stages"]
    ]
    print_table(summary["title"], stages)
    if "scores" in summary:
        scores = summary["scores"]
        print(
            f"VOI {scores['voi']:.3f} {scores['units']} (split {scores['voi_split']:.3f}, merge {scores['voi_merge']:.3f}), "
            f"adapted Rand error {scores['adapted_rand_error']:.3f} at threshold {summary['threshold']}"
            + _tell_trained(summary)
        )
    for name, scores in summary["compared"].items():
        print(f"  {name}: VOI {scores['voi']:.3f} {scores['units']}")
    for name, scores in summary["baselines"].items():
        print(f"  {name}, at its best: VOI {scores['voi']:.3f} {scores['units']}")
    if summary.get("tuned"):
        print(f"tuned: {summary['tuned']}")
    print(f"segmentation: {summary['segmentation']}")
    print(f"report: {summary['report']}")


def _tell_trained(measured: Mapping[str, Any]) -> str:
    """Return the end of a line of scores: what of it the backbone was trained on."""
    return f", {measured['trained']['told']}" if measured.get("trained") else ""


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
    count, voxels = len(measured.boxes), format_count(measured.voxels, "vx")
    spread = "in brackets 95 % by how they differ" if count > 1 else "one box does not tell how boxes differ"
    boxes = f"{count} boxes of together {voxels}" if count > 1 else f"the one box that has room, of {voxels}"
    print(f"{forecast.workers} workers; memory is a worker's. From {boxes}; {spread}.")
