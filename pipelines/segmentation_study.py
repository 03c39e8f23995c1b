"""Compare ways from affinities to segments on real affinities of four labelled volumes, and write docs/results/segmentation.md.

    python pipelines/segmentation_study.py                  all volumes; predictions are kept in runs/segmentation_study
    python pipelines/segmentation_study.py --report         write the report from docs/results/segmentation.csv

Settings are chosen on the part that the backbone's training held out, and scored on the test part.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from segmentation_agglomerations import AGGLOMERATIONS, Problem
from segmentation_finding import find, find_by_mutex
from segmentation_parts import DOMAINS, ROOT, Part, predict_parts
from segmentation_report import write_report
from segmentation_rows import Cost, Row, make_row, measure
from study_rows import append_row

from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.segmentation.fragments import ANISOTROPIC, Fragments

SETTINGS = (0.005, 0.01, 0.02, *(round(0.04 * step, 2) for step in range(1, 24)))
# Affinities of another domain's backbone are worse, as those of a new volume are.
SETS = (
    *((domain, domain) for domain in DOMAINS),
    ("fly_fibsem", "fly_medulla_fibsem"),
    ("mouse_cortex_sssem", "fly_larva_l1_sstem"),
)
# One parameter at a time.
GRID: tuple[dict[str, Any], ...] = (
    {},
    *({"boundary": b} for b in (0.2, 0.4, 0.5)),
    *({"seed_distance_vx": s} for s in (4, 8)),
    *({"smoothing_vx": s} for s in (0.5, 1.0)),
    *({"distance_weight": w} for w in (0.0, 0.25, 1.0)),
    {"min_affinity": 0.3},
)
CLASSIC = tuple({"seed_distance_vx": s, "grown": g} for g in (False, True) for s in (6, 10))
WATERZ = tuple({"low": low, "high": high} for low, high in ((0.0001, 0.9999), (0.1, 0.9), (0.3, 0.9), (0.1, 0.8)))
FAMILIES = {"ours": GRID, "classic": CLASSIC, "waterz": WATERZ}
ON_ALL_FRAGMENTS = ("mean", "contraharmonic of a contact, by contact")
BIASES = (0.1, 0.3, 0.5, 0.7, 0.9)


def study_agglomeration(
    head: dict[str, Any],
    agglomeration: str,
    parts: tuple[Part, Part],
    found: list[np.ndarray],
    finding: Cost,
    timed: bool,
) -> Row:
    """Study one agglomeration of fragments of the validation and the test part."""
    function = AGGLOMERATIONS[agglomeration]
    problems = [Problem(part.affs, fragments) for part, fragments in zip(parts, found, strict=True)]
    luts = [list(function(problem, SETTINGS)) for problem in problems]
    sweeps = []
    for part, fragments, tables in zip(parts, found, luts, strict=True):
        overlaps = count_overlaps(fragments, part.labels)
        sweeps.append([score(overlaps.relabel(lambda ids, lut=lut: lut[ids.astype(np.int64)])) for lut in tables])
    affs, fragments = parts[1].affs, found[1]
    cost = measure(lambda: list(function(Problem(affs, fragments), (0.5,)))) if timed else Cost()
    return make_row(
        head
        | {"agglomeration": agglomeration, "fragments_number": problems[1].count, "edges": problems[1].number_of_edges},
        SETTINGS,
        *sweeps,
        lambda chosen: luts[1][chosen][fragments],
        parts[1].labels,
        cpu_s_fragments=finding.seconds,
        cpu_s_agglomeration=cost.seconds,
        peak_mb=max(finding.peak_mb, cost.peak_mb),
    )


def study_fragments(
    head: dict[str, Any],
    parts: tuple[Part, Part],
    family: str,
    parameters: dict[str, Any],
    agglomerations: Sequence[str],
    timed: bool,
) -> Iterator[Row]:
    """Study agglomerations of one kind of fragments."""
    validation, test = parts
    found = [find(validation.affs, validation.voxel_size_nm, family, parameters)]
    finding = measure(
        lambda: found.append(find(test.affs, test.voxel_size_nm, family, parameters)), times=3 if timed else 1
    )
    for agglomeration in agglomerations:
        yield study_agglomeration(head, agglomeration, parts, [found[0], found[-1]], finding, timed)


def study_mutex(head: dict[str, Any], parts: tuple[Part, Part], long: bool, timed: bool) -> Row:
    """Study the mutex watershed of voxels; its setting is the bias."""
    anisotropic = parts[1].voxel_size_nm[0] >= ANISOTROPIC * max(parts[1].voxel_size_nm[1:])
    found = [[find_by_mutex(part.affs, anisotropic, bias, long) for bias in BIASES] for part in parts]
    sweeps = [
        [score(count_overlaps(segments, part.labels)) for segments in of_part]
        for part, of_part in zip(parts, found, strict=True)
    ]
    cost = measure(lambda: find_by_mutex(parts[1].affs, anisotropic, 0.5, long), times=1) if timed else Cost()
    ways = "longer offsets made of them" if long else "nearest neighbours"
    names = {"fragments": "voxels", "parameters": "", "agglomeration": f"mutex watershed, {ways}"}
    return make_row(
        head | names | {"fragments_number": 0, "edges": 0},
        BIASES,
        *sweeps,
        lambda chosen: found[1][chosen],
        parts[1].labels,
        cpu_s_fragments=0.0,
        cpu_s_agglomeration=cost.seconds,
        peak_mb=cost.peak_mb,
    )


def study(volume: str, backbone: str, parts: tuple[Part, Part], families: dict[str, Any], timed: bool) -> Iterator[Row]:
    """Yield the rows of one volume: all agglomerations of our fragments, then a few of all others, then the mutex watershed."""
    head: dict[str, Any] = {"volume": volume, "backbone": backbone}
    thick = Fragments().resolve(parts[1].voxel_size_nm).sections
    for family, grid in families.items():
        for sections in (thick, not thick) if family == "ours" else (thick,):
            for parameters in grid:
                default = family == "ours" and sections == thick and not parameters
                name = f"{family} {'2-D' if sections else '3-D'}" if family != "waterz" else "waterz 3-D"
                head |= {"fragments": name, "parameters": " ".join(f"{k}={v}" for k, v in parameters.items())}
                given = parameters | {"sections": sections} if family == "ours" else parameters
                names = tuple(AGGLOMERATIONS) if default else ON_ALL_FRAGMENTS
                yield from study_fragments(head, parts, family, given, names, timed and parameters == grid[0])
    for long in (False, True):
        yield study_mutex(head, parts, long, timed)


def _study_all(volume: str, backbone: str, folder: Path, table: Path) -> None:
    for row in study(volume, backbone, predict_parts(volume, folder, backbone), FAMILIES, timed=volume == backbone):
        append_row(table, row)


def main() -> None:
    """Study every set in a process of its own, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", action="store_true", help="write the report from the table that is there")
    options = parser.parse_args()
    folder, table = ROOT / "runs" / "segmentation_study", ROOT / "docs" / "results" / "segmentation.csv"
    if not options.report:
        table.unlink(missing_ok=True)
        for volume, backbone in SETS:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                pool.submit(predict_parts, volume, folder, backbone).result()
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                pool.submit(_study_all, volume, backbone, folder, table).result()
    write_report(table)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
