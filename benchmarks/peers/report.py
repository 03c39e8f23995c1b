"""The tables of the comparison, printed and written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_run
from benchmarks.peers.contestants import Settings
from benchmarks.peers.prediction import Prediction
from benchmarks.peers.segmentation import Result, fit_lines
from benchmarks.tables import to_markdown
from neuroadda.evaluation.settings import Setting
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.wording import format_bytes, format_count

OURS = "neuroadda"
ABISS = {
    "mouse_cortex_sssem": 1.096,
    "fly_larva_l1_sstem": 0.991,
    "fly_medulla_fibsem": 1.266,
    "fly_fibsem": 0.258,
}
DEFAULT = Setting(fragments=Fragments(), agglomerate=Agglomerate())
Row = dict[str, Any]
Table = tuple[str, list[Row]]

INTRODUCTION = """# Beside our peers

neuroadda beside gunpowder, volara and the field's usual recipe, all in one run on one machine, each in processes of its own that
are measured from outside: wall seconds, CPU seconds (user and system, of all processes, start-up included), and the peak memory of
the largest process. `x` is how many times as many voxels per CPU second neuroadda does: above 1, neuroadda is faster. One worker is
one process without a scheduler, where the tool can do without.
"""
ABISS_HALF = "Beside abiss"
HALVES = ("Prediction", "Segmentation", ABISS_HALF)
RUN = """
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
From the same uint8 affinities (test part of each volume, by the zoo's backbone of its domain), with the blocks of neuroadda's
defaults for every tool. Each tool's settings were chosen on the train part of the volume: those of neuroadda by what
`neuroadda tune` does on one labelled volume, those of the others by the lowest VOI there. For volara these were two biases for
fragments and 21 thresholds for merges; for the classic recipe two distances of seeds, three scores and 17 thresholds, in memory.
`neuroadda, default` has the settings of a user who chooses nothing. VOI in nats, on the test part.
`classic, blockwise, database` is the road of the field's scripts on daisy, its graph in funlib.persistence's SQLite;
`classic, blockwise` keeps edges in plain files instead; `classic, in memory` needs neither scheduler nor storage nor context, and
exists only for volumes that fit: it is the same recipe's lower bound.

abiss is not run here: see [Beside abiss](#beside-abiss).
"""

ABISS_NOTE = """
abiss, the watershed and mean-affinity agglomeration behind MICrONS and FlyWire, is not run here: its licence is the GPL. Its VOIs
were measured elsewhere, on the uint8 affinities of the zoo of 2026-11-23, with settings chosen on the train parts. Its bare
watershed did 18 Mvx per CPU second in 3-D. neuroadda is measured here with the backbones of that zoo:
`git archive cb0d590^ neuroadda/zoo/data | tar -x -C FOLDER`. They predict the same affinities, but for rounding: here in
float32. VOI in nats on the test parts. Settings were chosen on the train parts, on which the backbones were trained:

- *neuroadda*: what `neuroadda tune` chooses. It keeps the default unless a gain is beyond the spread over quarters of the part.
- *neuroadda, default*: the settings of a user who chooses nothing.
- *neuroadda, lowest*: the lowest VOI of all that `tune` tries, averaged with the thresholds beside it, whatever the spread. This
  column was added after the scores of the first were seen.

VOI less that of abiss:

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


def tell_abiss(results: Sequence[Result]) -> str:
    """Return the note on abiss, with where neuroadda is better and where worse."""
    lines = []
    for name in dict.fromkeys(r.contestant for r in results):
        gaps = {r.volume: r.scores.voi - ABISS[r.volume] for r in results if r.contestant == name and r.scores}
        told = ", ".join(f"{volume} {gap:+.3f}" for volume, gap in gaps.items())
        lines.append(
            f"- {name}: better than abiss on {sum(gap < 0 for gap in gaps.values())} of {len(gaps)} volumes ({told})"
        )
    return ABISS_NOTE + "\n".join(lines) + "\n"


def abiss_tables(results: Sequence[Result]) -> list[Table]:
    """Return a row for each volume: neuroadda tuned and as it is beside abiss."""
    rows = []
    for volume in dict.fromkeys(r.volume for r in results):
        found = {r.contestant: r for r in results if r.volume == volume}
        row = {"volume": volume, **{name: f"{r.scores.voi:.3f}" for name, r in found.items() if r.scores}}
        row["abiss"] = f"{ABISS[volume]:.3f}"
        chosen = {name: r.settings for name, r in found.items() if r.settings}
        rows.append(row | {f"settings of {name}": _describe(settings) for name, settings in chosen.items()})
    return [(ABISS_HALF, rows)]


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
            "settings": _describe(result.settings),
        }
    return row


def _describe(settings: Settings) -> str:
    if "components" in settings:  # ours
        chosen = Setting(**{name: settings[name] for name in Setting.model_fields})
        return f"{chosen.describe(DEFAULT)}, threshold {settings['components']['threshold']}"
    return ", ".join(f"{k} {v}" for k, v in settings.items() if v is not None) or "default"


def write_report(path: Path, versions: str, parts: Mapping[str, list[tuple[str, list[Table]]]]) -> None:
    """Write notes and tables as Markdown; a half that was not measured stays as it was.

    Parameters
    ----------
    parts
        By half of the page; see `HALVES`.
    """
    kept = _split(path.read_text()) if path.exists() else {}
    text = INTRODUCTION
    for half in HALVES:
        if half in parts:
            text += f"\n## {half}\n{RUN.format(run=describe_run(), versions=versions)}"
            text += "".join(_write_part(note, tables, half) for note, tables in parts[half])
        else:
            text += kept.get(half, "")
    path.write_text(text)


def _split(text: str) -> dict[str, str]:
    """Return the halves of a page."""
    begins = [text.find(f"\n## {half}\n") for half in HALVES] + [len(text)]
    return {
        half: text[begin : min(b for b in begins if b > begin)]
        for half, begin in zip(HALVES, begins, strict=False)
        if begin >= 0
    }


def _write_part(note: str, tables: Sequence[Table], half: str) -> str:
    text = note if tables and tables[0][0] == half else ""
    for number, (title, rows) in enumerate((title, rows) for title, rows in tables if rows):
        heading = "" if title == half else f"\n## {title}\n{note if number == 0 else ''}"
        text += f"{heading}\n{to_markdown(rows[0], (row.values() for row in rows))}\n"
    return text
