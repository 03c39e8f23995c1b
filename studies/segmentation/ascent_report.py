"""The report of the study of steepest ascent: docs/results/ascent.md from ascent.csv and ascent_blocks.csv beside it."""

import datetime
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean

import numpy as np

from neuroadda.segmentation.fragments import Fragments, context_vx
from studies.rows import read_table
from studies.segmentation.parts import DOMAINS
from studies.segmentation.report import describe_machine
from studies.segmentation.rows import Row

HIGH = 0.99
HIGHS = (0.984, HIGH, 0.996)  # uint8 affinities of 251, 253 and 254
SIZES = (100, 200, 400, 800, 1600, 3200, 6400, 12800)
DEFAULT_BLOCK_VX = {False: (128, 128, 128), True: (32, 256, 256)}


@dataclass(frozen=True)
class BlockRow:
    """A test part segmented by blocks of a shape, first as one block.

    Attributes
    ----------
    voi
        The mean over five thresholds around the chosen one.
    from_whole
        VOI between the segmentation and that of the whole part, at the chosen threshold.
    """

    volume: str
    fragments: str
    block_vx: str
    context_vx: str
    number: int
    voi: float
    from_whole: float


def name_dimensions(sections: bool) -> str:
    """Return how the tables call it."""
    return "2-D" if sections else "3-D"


HEAD = """# Fragments by steepest ascent

Two watersheds of the same affinities, agglomerated by mean affinity: `method = "seeds"` floods a boundary map from seeds;
`method = "ascent"` goes uphill on the affinities and merges fragments of fewer than `min_size_vx` voxels (after Zlateski and
Seung 2015, arXiv:1505.00249). VOI in nats. *validation* is the part that the training of the backbone held out: the threshold, and
in the first table `min_size_vx` and the dimensions, have the lowest VOI there. *test* is VOI on the test part, on which nothing was
chosen; *best* is at the threshold that is best on the test part itself.

Ascent is the default in 3-D. In a config: `[segment.fragments]` with `min_size_vx`, `low`, `high` of ascent, or `method = "seeds"`,
as `Fragments` explains them (`neuroadda/segmentation/fragments.py`). Without a method, the parameters given decide; without any,
seeds are the method where `sections = true` or the backbone predicts no affinities across sections.

- Command: `python -m studies.segmentation.ascent`, {date}
- Machine: {machine}, busy with other work; one process, one thread
- Every row is in [ascent.csv](ascent.csv) and [ascent_blocks.csv](ascent_blocks.csv)

Limits: one network a volume, four small volumes, and validation parts that are smaller still: a difference of 0.05 is within what
another choice of the threshold makes.
"""

FOLLOWS = """## What follows

- Ascent is better than seeds on all four validation parts, and on the test parts of mouse_cortex_sssem and fly_medulla_fibsem.
  Seeds are better on the test part of fly_larva_l1_sstem, and slightly on that of fly_fibsem. Ascent is the default; both stay.
- In 3-D, also where z is coarse: ascent by section has a higher VOI on every validation part. So seeds are the default there.
- `min_size_vx` = 1600 has the lowest mean VOI on validation parts, and is the default. The best differs by volume.
- `high` decides how much of a saturated interior is joined at once, and matters as much: 0.984 and 0.996 differ by 0.1 to 0.2. On
  validation parts 0.99 and 0.996 are alike; the default is 0.996, which joins less.
- The VOI of two block sizes differs by less than 0.02, and from that of the whole as well. Basins are exact with a voxel of
  context; the rest of the context is for the size rule, which has to see how large a fragment is.
"""


def write_report(table: Path, blocks: Path) -> None:
    """Write the page beside its tables."""
    rows = read_table(table, Row)
    lines = [HEAD.format(date=datetime.date.today().isoformat(), machine=describe_machine()), *_chosen(rows)]
    for title, high in (*(("ascent 3-D", high) for high in HIGHS), ("ascent 2-D", HIGH)):
        few = [r for r in rows if r.fragments == title and r.parameters.startswith(f"high={high} ")]
        lines += [f"## By size: {title}, high = {high}", "", *_by_size(few)]
    lines += [*_speed(rows), *_blocks(read_table(blocks, BlockRow))]
    table.with_suffix(".md").write_text("\n".join([*lines, FOLLOWS]))
    print(table.with_suffix(".md"))


def _volumes(rows: list[Row]) -> list[str]:
    return [d for d in DOMAINS if any(r.volume == d for r in rows)]


def _chosen(rows: list[Row]) -> list[str]:
    lines = ["## Chosen on the validation part", "", f"Ascent with `high = {HIGH}`, and with any.", ""]
    lines += [
        "| volume | fragments | parameters | threshold | validation | test | best |",
        "|---|---|---|---|---|---|---|",
    ]
    for volume, kind in product(_volumes(rows), ("seeds", f"ascent high={HIGH}", "ascent")):
        method, _, only = kind.partition(" ")
        few = [
            r
            for r in rows
            if r.volume == volume and r.fragments.startswith(method) and only in ("", r.parameters.partition(" ")[0])
        ]
        row = min(few, key=lambda r: r.chosen_voi_validation)
        lines.append(
            f"| {volume} | {row.fragments} | {row.parameters} | {row.chosen} | {row.chosen_voi_validation:.3f} "
            f"| {row.voi:.3f} | {row.best_voi:.3f} |"
        )
    return [*lines, ""]


def _by_size(rows: list[Row]) -> list[str]:
    volumes = _volumes(rows)
    lines = [
        "| min_size_vx | "
        + " | ".join(f"{v}: validation | test | best" for v in volumes)
        + " | mean: validation | test | best |"
    ]
    lines.append("|" + "---|" * (4 + 3 * len(volumes)))
    for size in SIZES:
        few = [r for v in volumes for r in rows if r.volume == v and r.parameters.endswith(f"min_size_vx={size}")]
        if len(few) < len(volumes):
            continue
        values = [[r.chosen_voi_validation, r.voi, r.best_voi] for r in few]
        cells = [x for row in values for x in row] + [mean(column) for column in zip(*values, strict=True)]
        lines.append(f"| {size} | " + " | ".join(f"{x:.3f}" for x in cells) + " |")
    return [*lines, ""]


def _speed(rows: list[Row]) -> list[str]:
    kinds = list(dict.fromkeys(r.fragments for r in rows))
    lines = [
        "## Speed",
        "",
        "Million voxels per CPU second of finding the fragments of a whole test part (median over sizes).",
        "",
    ]
    lines += ["| volume | " + " | ".join(kinds) + " |", "|" + "---|" * (1 + len(kinds))]
    for volume in _volumes(rows):
        rates = [
            np.median([r.voxels / 1e6 / r.cpu_s_fragments for r in rows if (r.volume, r.fragments) == (volume, kind)])
            for kind in kinds
        ]
        lines.append(f"| {volume} | " + " | ".join(f"{rate:.1f}" for rate in rates) + " |")
    lines.append("")
    for anisotropic, block in DEFAULT_BLOCK_VX.items():
        size = (40.0, 8.0, 8.0) if anisotropic else (8.0, 8.0, 8.0)
        around = context_vx(Fragments(method="ascent"), size)
        more = float(np.prod([b + 2 * c for b, c in zip(block, around, strict=True)]) / np.prod(block))
        lines.append(
            f"A block of {block} voxels of {size} nm reads {around} more on each side: {more:.2f} times its voxels."
        )
    return [*lines, ""]


def _blocks(rows: list[BlockRow]) -> list[str]:
    lines = [
        "## Blocks",
        "",
        "The test part in blocks, fragments joined at their borders as the stages do; VOI is the mean over five thresholds.",
        "",
    ]
    lines += [
        "| volume | fragments | block | context | fragments | VOI | VOI from the whole |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            row.volume,
            row.fragments,
            row.block_vx,
            row.context_vx,
            str(row.number),
            f"{row.voi:.4f}",
            f"{row.from_whole:.4f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]
