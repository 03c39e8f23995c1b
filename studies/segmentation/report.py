"""The report of the study of segmentation: docs/results/segmentation.md from segmentation.csv beside it."""

import datetime
import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean

from studies.rows import read_table
from studies.segmentation.rows import Row

REFERENCE = "mean"
COSTS = ("Mvx / CPU s", "peak MB")
HEAD = """# From affinities to segments: which way

VOI in nats; voxels with truth label 0 are not scored, unsegmented voxels count as one segment. The setting of a way (threshold,
bias) is *chosen* on the part that the training of the backbone held out, and scored on the test part, on which nothing was
chosen; *best* is at the setting that is best on the test part itself. Affinities are uint8, predicted in float32, of nearest
neighbours: all that the backbones predict. The held-out parts are `[validation]` of `configs/`: disjoint from the `roi` of every
training sample. The trainings saw them once, at their end, to choose a threshold (`validate_every` is `iterations`).

- Command: `python -m studies.segmentation.study`, {date}
- Machine: {machine}; one process, one thread; CPU seconds on the test parts by the volumes' own backbones
- Every row is in [segmentation.csv](segmentation.csv)

Limits: one network a volume; four small volumes ({sizes}), and two of them once more by a backbone of another domain, whose
affinities are worse, as a new volume's are; validation parts smaller still, so that a chosen setting is uncertain. *quarters*
are the quarters of test parts (by y and x) in which a way, at its chosen setting, has a lower VOI than mean affinity, of those
in which the two differ.
"""

FOLLOWS = """## What follows

- By section where z is coarse, in 3-D where it is not, with the parameters as they are: none is better for all volumes.
- Mean affinity stays the default: no multicut, GASP linkage or quantile of all affinities beats it on most sets.
- Contraharmonic means, of affinities weighted by themselves, come out ahead in more quarters than not, most of all where affinities
  are weak, but by little on the volumes' own. Which of them is best, and by how much, changed when the fragments changed slightly:
  too little to make one the default. That of all affinities would be exact over blocks, at the price of one more sum an edge;
  those that count a contact once would not, since a block's border makes two contacts of one.
- The mutex watershed of voxels is for networks that predict long-range affinities.
- Fragments by steepest ascent have [a study of their own](ascent.md).
"""


def write_report(table: Path) -> None:
    """Write the report beside its table."""
    rows = sorted(read_table(table, Row), key=lambda row: (row.volume != row.backbone, row.volume))
    own = [row for row in rows if row.volume == row.backbone]
    sizes = ", ".join(f"{name} {voxels / 1e6:.1f} Mvx" for name, voxels in {r.volume: r.voxels for r in own}.items())
    head = HEAD.format(date=datetime.date.today().isoformat(), machine=describe_machine(), sizes=sizes)
    sections = [head, *_agglomerations(rows), *_fragments(rows), *_parameters(own), *_mutex(rows), FOLLOWS]
    table.with_suffix(".md").write_text("\n".join(sections))
    print(table.with_suffix(".md"))


def _agglomerations(rows: list[Row]) -> list[str]:
    """Return the table of all agglomerations of our default fragments."""
    ways = _common(_group(_default(rows), lambda row: row.agglomeration))
    order = sorted(ways, key=lambda way: mean(row.voi for row in ways[way]))
    lines = [
        "## Agglomerations of the same fragments",
        "",
        f"Sorted by the chosen VOI on all sets: {order[0]} has {mean(row.voi for row in ways[order[0]]):.3f}, mean affinity",
        f"{mean(row.voi for row in ways[REFERENCE]):.3f}.",
        "Our fragments with default parameters, by section where z is coarse, else in 3-D. *by voxel* weighs a contact of two",
        "fragments by its affinities when contacts become one, *by contact* counts each once. *contraharmonic* is the mean of",
        "affinities weighted by themselves: the sum of their squares over their sum. *own*: mean over the volumes by their own",
        "backbones; *all*: over all sets.",
        "",
        *_header("way", _sets(ways[REFERENCE]), "quarters", "Rand error", *COSTS, "edges and scores, CPU s"),
    ]
    for way in order:
        rand = mean(row.adapted_rand_error for row in ways[way])
        seconds = sum(row.cpu_s_agglomeration for row in ways[way])
        rest = (_quarters(ways[way], ways[REFERENCE]), f"{rand:.3f}", *_costs(ways[way]), f"{seconds:.2f}")
        lines.append(_line(way, ways[way], *rest))
    return [*lines, ""]


def _fragments(rows: list[Row]) -> list[str]:
    """Return the table of kinds of fragments under two agglomerations."""
    lines = [
        "## Fragments",
        "",
        "*tuned*: with the parameters that have the lowest VOI on the validation part of each volume (ours: of those below).",
        "Classic: by section where z is coarse; *grown* fills the boundaries, which it leaves unsegmented.",
        "Rates are of finding the fragments alone.",
        "",
    ]
    voxels = [row for row in rows if row.fragments != "voxels"]
    for agglomeration in dict.fromkeys(row.agglomeration for row in voxels if row.fragments.startswith("waterz")):
        few = [row for row in voxels if row.agglomeration == agglomeration]
        kinds: dict[str, list[Row]] = {}
        for name, found in _group(few, _kind).items():
            for grown in ("", " grown"):
                of_kind = [row for row in found if ("grown=True" in row.parameters) == bool(grown)]
                plain = [row for row in of_kind if not row.parameters]
                if plain:
                    kinds[name] = plain
                if of_kind:
                    kinds[f"{name}{grown}, tuned"] = _tuned(of_kind)
        kinds["ours, by voxel size"] = [row for row in few if row in _default(few)]
        kinds = _common(kinds)
        lines += [
            f"Agglomerated by {agglomeration}:",
            "",
            *_header("fragments", _sets(next(iter(kinds.values()))), "number", "CPU s", COSTS[0]),
        ]
        for name, chosen in sorted(kinds.items(), key=lambda item: mean(row.voi for row in item[1])):
            number = sum(row.fragments_number for row in chosen)
            seconds = sum(row.cpu_s_fragments for row in chosen)
            rate = sum(row.voxels for row in chosen) / 1e6 / seconds
            lines.append(_line(name, chosen, f"{number}", f"{seconds:.2f}", f"{rate:.1f}"))
        lines.append("")
    return lines


def _kind(row: Row) -> str:
    return "classic" if row.fragments.startswith("classic") else row.fragments


def _tuned(rows: list[Row]) -> list[Row]:
    sets = _group(rows, lambda row: f"{row.volume} {row.backbone}")
    return [min(found, key=lambda row: row.chosen_voi_validation) for found in sets.values()]


def _parameters(rows: list[Row]) -> list[str]:
    """Return the table of our parameters, one at a time."""
    lines = [
        "## Parameters of our fragments",
        "",
        "One parameter changed from its default; mean VOI of the volumes by their own backbones, of those in the table above.",
        "",
    ]
    kinds = [("fine z in 3-D, coarse z by section", _natural), ("the other way round", lambda row: not _natural(row))]
    for title, chosen in kinds:
        few = [row for row in rows if row.fragments.startswith("ours") and chosen(row)]
        parameters = _common(_group(few, lambda row: row.parameters or "(default)"))
        ways = [way for way in dict.fromkeys(row.agglomeration for row in few) if _covers(few, way, len(parameters))]
        lines += [
            f"{title}:",
            "",
            "| parameters | " + " | ".join(f"{w}: validation | chosen | best" for w in ways) + " |",
        ]
        lines.append("|" + "---|" * (1 + 3 * len(ways)))
        for name, found in parameters.items():
            cells = []
            for way in ways:
                of_way = [row for row in found if row.agglomeration == way]
                values = ([getattr(row, key) for row in of_way] for key in ("chosen_voi_validation", "voi", "best_voi"))
                cells += [f"{mean(v):.3f}" for v in values]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def _covers(rows: list[Row], way: str, parameters: int) -> bool:
    return len({row.parameters for row in rows if row.agglomeration == way}) == parameters


def _mutex(rows: list[Row]) -> list[str]:
    """Return the table of the mutex watershed of voxels."""
    few = [row for row in rows if row.fragments == "voxels"]
    ways = _common(_group(few, lambda row: row.agglomeration)) if few else {}
    if not ways:
        return []
    lines = [
        "## Mutex watershed of voxels",
        "",
        "The backbones predict no long-range affinities, which this method lives on: repulsion is that of the nearest neighbours,",
        "or of longer offsets whose affinity is the least on the straight way. Setting: the bias. Small volumes only: it is slow.",
        "",
        *_header("way", _sets(next(iter(ways.values()))), *COSTS),
    ]
    return [*lines, *(_line(way, found, *_costs(found)) for way, found in ways.items())]


def _natural(row: Row) -> bool:
    return ("2-D" in row.fragments) == ("ss" in row.volume.rpartition("_")[2])


def _default(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.fragments.startswith("ours") and _natural(row) and not row.parameters]


def _group(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _common(groups: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Return the rows of the sets that every group has: those of an unfinished study are left out."""
    if not groups:
        return {}
    common = set.intersection(*({(row.volume, row.backbone) for row in rows} for rows in groups.values()))
    return {name: [row for row in rows if (row.volume, row.backbone) in common] for name, rows in groups.items()}


def _sets(rows: list[Row]) -> list[str]:
    names = ((row.volume, row.backbone) for row in rows)
    return [v if v == b else f"{v} by {b}" for v, b in dict.fromkeys(names)]


def _header(first: str, sets: list[str], *rest: str) -> list[str]:
    cells = [first, *sets, "own", "all", "best: own", "all", *rest]
    return ["| " + " | ".join(cells) + " |", "|" + "---|" * len(cells)]


def _line(name: str, rows: list[Row], *rest: str) -> str:
    own = [row for row in rows if row.volume == row.backbone]
    values = [*(row.voi for row in rows), mean(row.voi for row in own), mean(row.voi for row in rows)]
    values += [mean(row.best_voi for row in own), mean(row.best_voi for row in rows)]
    return "| " + " | ".join([name, *(f"{v:.3f}" for v in values), *rest]) + " |"


def _quarters(rows: list[Row], reference: list[Row]) -> str:
    pairs = [
        (float(a), float(b))
        for one, other in zip(rows, reference, strict=True)
        for a, b in zip(one.tiles.split(), other.tiles.split(), strict=True)
    ]
    pairs = [(a, b) for a, b in pairs if abs(a - b) > 0.001]
    return f"{sum(a < b for a, b in pairs)} of {len(pairs)}"


def _costs(rows: list[Row]) -> tuple[str, str]:
    """Return voxels/s from affinities to a lookup table, and memory."""
    timed = [row for row in rows if row.cpu_s_agglomeration > 0]
    if not timed:
        return "", ""
    seconds = sum(row.cpu_s_agglomeration + row.cpu_s_fragments for row in timed)
    return f"{sum(row.voxels for row in timed) / 1e6 / seconds:.2f}", f"{max(row.peak_mb for row in timed):.0f}"


def describe_machine() -> str:
    """Return what did the work."""
    return f"{_processor()}, {os.cpu_count()} cores, no GPU"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
