"""Compare the watershed by steepest ascent with the seeded one on four labelled volumes, and write docs/results/ascent.md.

    python -m studies.segmentation.ascent                 all volumes; predictions are kept in runs/segmentation_study
    python -m studies.segmentation.ascent --report        write the report from the tables in docs/results

Parameters and thresholds are chosen on the part that the backbone's training held out, and scored on the test part.
"""

import argparse
import datetime
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.segmentation.components import Numbering, connect_components
from neuroadda.segmentation.edges import collect_edges, mark_as_one
from neuroadda.segmentation.fragments import Fragments, context_vx, find_fragments
from neuroadda.segmentation.ids import capacity_of, to_global
from neuroadda.segmentation.rag import Rag, contract
from neuroadda.segmentation.seams import find_cut_pairs, number_inside, write_views
from studies.rows import append_row, read_table
from studies.segmentation.agglomerations import LIMIT
from studies.segmentation.parts import DOMAINS, ROOT, Part, predict_parts
from studies.segmentation.report import describe_machine
from studies.segmentation.rows import Row
from studies.segmentation.study import study_fragments

HIGH = 0.99
HIGHS = (0.984, HIGH, 0.996)  # uint8 affinities of 251, 253 and 254
SIZES = (100, 200, 400, 800, 1600, 3200, 6400, 12800)
# Blocks of a volume: as large as the default or nearly, and small ones.
BLOCKS = {
    "fly_medulla_fibsem": ((80, 125, 125), (40, 64, 64)),
    "mouse_cortex_sssem": ((24, 256, 256), (12, 128, 128)),
}
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


def study_volume(domain: str, parts: tuple[Part, Part]) -> Iterator[Row]:
    """Study both watersheds by section and in 3-D, agglomerated by mean affinity."""
    head = {"volume": domain, "backbone": domain}
    for sections in (False, True):
        names = {"fragments": f"seeds {_dimensions(sections)}", "parameters": ""}
        yield from study_fragments(head | names, parts, "ours", {"method": "seeds", "sections": sections}, ("mean",), 1)
    for high, sections, size in ((h, s, n) for h in HIGHS for s in (False, True)[: 1 + (h == HIGH)] for n in SIZES):
        names = {"fragments": f"ascent {_dimensions(sections)}", "parameters": f"high={high} min_size_vx={size}"}
        given = {"method": "ascent", "sections": sections, "min_size_vx": size, "high": high}
        yield from study_fragments(head | names, parts, "ours", given, ("mean",), 1)


def study_blocks(domain: str, part: Part, fragments: Fragments, threshold: float) -> Iterator[BlockRow]:
    """Segment a part as a whole and in blocks."""
    around = context_vx(fragments, part.voxel_size_nm)
    thresholds = [threshold + step for step in (0, -0.08, -0.04, 0.04, 0.08)]
    whole: np.ndarray | None = None
    for block_vx in (part.labels.shape, *BLOCKS[domain]):
        ids, u, v = find_in_blocks(part, fragments, block_vx, around)
        edges = collect_edges(part.affs, ids)
        mark_as_one(edges, u, v)
        merges = contract(Rag(edges.u, edges.v, edges.sum, edges.count, edges.u, edges.v), LIMIT).merges
        numbers = np.unique(ids[ids > 0])
        dense = (np.searchsorted(numbers, ids) + 1) * (ids > 0)
        columns = vars(merges) | {n: np.searchsorted(numbers, getattr(merges, n)).astype(np.uint64) + 1 for n in "uv"}
        numbering = Numbering(np.array([0, len(numbers)]), max(len(numbers), 1))
        found = [np.r_[np.uint64(0), connect_components(numbering, [columns], t)][dense] for t in thresholds]
        whole = found[0] if whole is None else whole
        yield BlockRow(
            domain,
            fragments.method,
            " ".join(map(str, block_vx)),
            " ".join(map(str, around)),
            len(numbers),
            mean(score(count_overlaps(segments, part.labels)).voi for segments in found),
            score(count_overlaps(found[0], whole + np.uint64(1))).voi,
        )


def find_in_blocks(
    part: Part, fragments: Fragments, block_vx: tuple[int, ...], around: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, and the pairs of them that are pieces of one, as the stages make them."""
    one = Coordinate(1, 1, 1)
    z, y, x = block_vx
    grid = BlockGrid.make(Roi((0, 0, 0), part.labels.shape), one, (z, y, x), around)
    capacity, ids = capacity_of(grid), np.zeros(part.labels.shape, np.uint64)
    us, vs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(len(grid)):
            block = grid[index]
            read_roi = block.read_roi.intersect(grid.roi)
            found = find_fragments(
                np.ascontiguousarray(part.affs[(slice(None), *read_roi.to_slices())]), part.voxel_size_nm, fragments
            )
            inside = (block.write_roi - read_roi.begin).to_slices()
            numbers = number_inside(found, inside)
            write_views(Path(folder), index, found, inside, numbers)
            ids[block.write_roi.to_slices()] = to_global(numbers, index, capacity)[found[inside]]
        for index in range(len(grid)):
            block = grid[index]
            seen = block.write_roi.grow(one, Coordinate(0, 0, 0)).intersect(grid.roi)
            low = tuple(block.write_roi.begin - seen.begin)
            u, v = find_cut_pairs(Path(folder), index, capacity, ids[seen.to_slices()], low)
            us.append(u)
            vs.append(v)
    return ids, np.concatenate(us), np.concatenate(vs)


def _dimensions(sections: bool) -> str:
    return "2-D" if sections else "3-D"


HEAD = """# Fragments by steepest ascent

Two watersheds of the same affinities, agglomerated by mean affinity: `method = "seeds"` floods a boundary map from seeds;
`method = "ascent"` goes uphill on the affinities and merges fragments of fewer than `min_size_vx` voxels (after Zlateski and
Seung 2015, arXiv:1505.00249). VOI in nats. *validation* is the part that the training of the backbone held out: the threshold, and
in the first table `min_size_vx` and the dimensions, have the lowest VOI there. *test* is VOI on the test part, on which nothing was
chosen; *best* is at the threshold that is best on the test part itself.

- Command: `python -m studies.segmentation.ascent`, {date}
- Machine: {machine}, busy with other work; one process, one thread
- Every row is in [ascent.csv](ascent.csv) and [ascent_blocks.csv](ascent_blocks.csv)

Limits: one network a volume, four small volumes, and validation parts that are smaller still: a difference of 0.05 is within what
another choice of the threshold makes.
"""

FOLLOWS = """## What follows

- Ascent is better than seeds on all four validation parts, and on the test parts of mouse_cortex_sssem and fly_medulla_fibsem. Seeds are
  better on the test part of fly_larva_l1_sstem, and slightly on that of fly_fibsem. So both stay, and labelled boxes decide.
- In 3-D, also where z is coarse: sections one by one are worse than seeds on every volume but fly_larva_l1_sstem.
- `min_size_vx` = 1600 has the lowest mean VOI on validation parts, and is the default. The best differs by volume, from 200 to 6400.
- `high` decides how much of a saturated interior is joined at once, and matters as much: affinities of 251 and 254 differ by 0.1 to 0.2.
- Two block sizes differ by less than 0.02 in VOI from each other and from the whole. Basins are exact with a voxel of context; the rest
  of the context is for the size rule, which has to see how large a fragment is.
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


def main() -> None:
    """Study all volumes, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", action="store_true", help="write the report from the tables that are there")
    parser.add_argument(
        "--affinities", type=Path, default=ROOT / "runs" / "segmentation_study", help="kept predictions"
    )
    options = parser.parse_args()
    results = ROOT / "docs" / "results"
    table, blocks = results / "ascent.csv", results / "ascent_blocks.csv"
    if not options.report:
        table.unlink(missing_ok=True)
        blocks.unlink(missing_ok=True)
        for domain in DOMAINS:
            parts = predict_parts(domain, options.affinities)
            chosen: list[Row] = []
            for row in study_volume(domain, parts):
                append_row(table, row)
                chosen.append(row)
            for method in ("seeds", "ascent") if domain in BLOCKS else ():
                few = [
                    r
                    for r in chosen
                    if r.fragments.startswith(method) and (r.parameters == "" or f"high={HIGH} " in r.parameters)
                ]
                best = min(few, key=lambda r: r.chosen_voi_validation)
                own = {"min_size_vx": int(best.parameters.rpartition("=")[2])} if method == "ascent" else {}
                fragments = Fragments(method=method, sections="2-D" in best.fragments, **own)
                for block_row in study_blocks(domain, parts[1], fragments, best.chosen):
                    append_row(blocks, block_row)
    write_report(table, blocks)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
