"""Compare the watershed by steepest ascent with the seeded one on four labelled volumes, and write docs/results/ascent.md.

    python -m studies.segmentation.ascent                 all volumes; predictions are kept in runs/segmentation_study
    python -m studies.segmentation.ascent --report        write the report from the tables in docs/results

Parameters and thresholds are chosen on the part that the backbone's training held out, and scored on the test part.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.segmentation.components import Numbering, connect_components
from neuroadda.segmentation.contacts import collect_contacts, mark_as_one
from neuroadda.segmentation.edges import Edges
from neuroadda.segmentation.fragments import Fragments, context_vx, find_fragments
from neuroadda.segmentation.ids import capacity_of, to_global
from neuroadda.segmentation.rag import contract
from neuroadda.segmentation.scoring import MEAN
from neuroadda.segmentation.seams import find_cut_pairs, number_inside, write_views
from studies.rows import append_row
from studies.segmentation.agglomerations import LIMIT
from studies.segmentation.ascent_report import HIGH, HIGHS, SIZES, BlockRow, name_dimensions, write_report
from studies.segmentation.parts import DOMAINS, ROOT, Part, predict_parts
from studies.segmentation.rows import Row
from studies.segmentation.study import study_fragments

# Blocks of a volume: as large as the default or nearly, and small ones.
BLOCKS = {
    "fly_medulla_fibsem": ((80, 125, 125), (40, 64, 64)),
    "mouse_cortex_sssem": ((24, 256, 256), (12, 128, 128)),
}


def study_volume(domain: str, parts: tuple[Part, Part]) -> Iterator[Row]:
    """Study both watersheds by section and in 3-D, agglomerated by mean affinity."""
    head = {"volume": domain, "backbone": domain}
    for sections in (False, True):
        names = {"fragments": f"seeds {name_dimensions(sections)}", "parameters": ""}
        yield from study_fragments(head | names, parts, "ours", {"method": "seeds", "sections": sections}, ("mean",), 1)
    for high, sections, size in ((h, s, n) for h in HIGHS for s in (False, True)[: 1 + (h == HIGH)] for n in SIZES):
        names = {"fragments": f"ascent {name_dimensions(sections)}", "parameters": f"high={high} min_size_vx={size}"}
        given = {"method": "ascent", "sections": sections, "min_size_vx": size, "high": high}
        yield from study_fragments(head | names, parts, "ours", given, ("mean",), 1)


def study_blocks(domain: str, part: Part, fragments: Fragments, threshold: float) -> Iterator[BlockRow]:
    """Segment a part as a whole and in blocks."""
    around = context_vx(fragments, part.voxel_size_nm)
    thresholds = [threshold + step for step in (0, -0.08, -0.04, 0.04, 0.08)]
    whole: np.ndarray | None = None
    for block_vx in (part.labels.shape, *BLOCKS[domain]):
        ids, u, v = find_in_blocks(part, fragments, block_vx, around)
        contacts = collect_contacts(part.affs, ids)
        mark_as_one(contacts, u, v)
        merges = contract(Edges.of(contacts, MEAN).to_rag(), LIMIT).merges
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
