"""The tables of the comparison, printed and written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_run
from benchmarks.peers.prediction import Prediction
from benchmarks.peers.segmentation import Result, fit_lines
from benchmarks.tables import to_markdown
from neuroadda.wording import format_bytes, format_count

OURS = "neuroadda"
Row = dict[str, Any]
Table = tuple[str, list[Row]]

INTRODUCTION = """# Beside our peers

neuroadda beside gunpowder, volara and the field's usual recipe, all in one run on one machine, each in processes of its own that
are measured from outside: wall seconds, CPU seconds (user and system, of all processes, start-up included), and the peak memory of
the largest process. `x` is how many times as many voxels per CPU second neuroadda does: above 1, neuroadda is faster. One worker is
one process without a scheduler, where the tool can do without.

{run}
- Versions: {versions}
"""

PREDICTION_NOTE = """
The zoo's {domain} backbone on its train volume, mirrored to larger ones: gunpowder scans (ArraySource, Pad, Normalize, Predict,
AsType, ZarrWrite, Scan) with the tile that neuroadda chose, one thread a worker, as neuroadda. gunpowder knows float32 alone; for
bfloat16 the network itself was wrapped to cast, which gunpowder's documentation does not do, to show what is the engine's and what
the precision's. `differs` is by how much any uint8 affinity differs from neuroadda's of the same precision; 255 are voxels that
gunpowder lost: its workers write chunks that tiles share, and now and then one overwrites what another has just written.
"""

SEGMENTATION_NOTE = """
From the same uint8 affinities (test part of each volume, by the zoo's backbone of its domain), with the blocks and the context of
neuroadda's defaults for every tool. Each tool is at its best on the very volume: neuroadda by its threshold alone, volara by its
biases and seeds for fragments and its threshold for merges, the classic recipe by the distance of seeds, the score and
the threshold. VOI in nats; `transferred` is the VOI on the test part of the settings that were best on the train part (of volara
not tried: minutes for each). `classic, blockwise, database` is the road of the field's scripts on daisy, its graph in
funlib.persistence's SQLite; `classic, blockwise` keeps edges in plain files instead; `classic, in memory` needs neither scheduler
nor storage nor context, and exists only for volumes that fit: it is the same recipe's lower bound.
"""

SIZES_NOTE = """
One volume mirrored to several sizes. A line through CPU seconds over voxels gives start-up, and voxels per CPU second without it.
"""


def prediction_tables(results: Sequence[Prediction]) -> list[Table]:
    """Return rows of the prediction."""
    rows = []
    for r in results:
        same = (r.voxels, r.workers)
        ours = {o.precision: o for o in results if (o.voxels, o.workers) == same and o.contestant == OURS}
        best = min(ours.values(), key=lambda o: o.cpu)
        rows.append(
            {
                "voxels": format_count(r.voxels),
                "tool": r.contestant,
                "precision": r.precision,
                "workers": r.workers,
                "wall": f"{r.wall:.1f} s",
                "CPU": f"{r.cpu:.1f} s",
                "rate": format_count(r.voxels / r.wall, "vx/s"),
                "per CPU second": format_count(r.voxels / r.cpu, "vx"),
                "x, same precision": f"{r.cpu / ours[r.precision].cpu:.2f}",
                "x, neuroadda's own choice": f"{r.cpu / best.cpu:.2f}",
                "peak": format_bytes(r.peak_bytes),
                "differs": r.difference,
            }
        )
    return [("Prediction", rows)]


def volume_tables(results: Sequence[Result]) -> list[Table]:
    """Return rows of the segmentation of each volume."""
    return [("Segmentation", [_row(r, results, quality=True) for r in results])]


def size_tables(results: Sequence[Result]) -> list[Table]:
    """Return rows of the segmentation of several sizes, the lines through them, and where the CPU seconds of the largest went."""
    lines = fit_lines(results)
    ours = {line.workers: line for line in lines if line.contestant == OURS}
    fitted = [
        {
            "tool": line.contestant,
            "workers": line.workers,
            "start-up, CPU": f"{line.start:.1f} s",
            "per CPU second, without start-up": format_count(line.rate, "vx"),
            "x": f"{ours[line.workers].rate / line.rate:.2f}" if line.workers in ours else "",
        }
        for line in lines
    ]
    largest = max((r.voxels for r in results), default=0)
    stages = [
        {"tool": r.contestant, "workers": r.workers, "stage": name, "CPU": f"{cpu:.2f} s"}
        for r in results
        if r.voxels == largest
        for name, cpu in ({"start": r.cost.cpu - sum(r.cost.stages.values())} | r.cost.stages).items()
    ]
    return [
        ("Sizes", [_row(r, results, quality=False) for r in results]),
        ("Without start-up", fitted),
        ("CPU seconds by stage, largest size", stages),
    ]


def _row(result: Result, results: Sequence[Result], quality: bool) -> Row:
    same = (result.volume, result.workers)
    ours = next((r for r in results if (r.volume, r.workers) == same and r.contestant == OURS), None)
    row = {
        "volume": result.volume,
        "voxels": format_count(result.voxels),
        "tool": result.contestant,
        "workers": result.workers,
        "CPU": f"{result.cost.cpu:.1f} s",
        "per CPU second": format_count(result.rate, "vx"),
        "x": f"{ours.rate / result.rate:.2f}" if ours else "",
        "wall": f"{result.cost.wall:.1f} s",
        "peak": format_bytes(result.cost.peak_bytes),
    }
    if quality and result.scores:
        scores = result.scores
        row |= {
            "split": f"{scores.voi_split:.3f}",
            "merge": f"{scores.voi_merge:.3f}",
            "VOI": f"{scores.voi:.3f}",
            "transferred": f"{result.transferred.voi:.3f}" if result.transferred else "",
            "settings": ", ".join(f"{k} {v}" for k, v in result.settings.items() if v is not None),
        }
    return row


def write_report(path: Path, versions: str, parts: Sequence[tuple[str, list[Table]]]) -> None:
    """Write notes and tables as Markdown."""
    text = INTRODUCTION.format(run=describe_run(), versions=versions)
    for note, tables in parts:
        for number, (title, rows) in enumerate((title, rows) for title, rows in tables if rows):
            table = to_markdown(rows[0], (row.values() for row in rows))
            text += f"\n## {title}\n{note if number == 0 else ''}\n{table}\n"
    path.write_text(text)
