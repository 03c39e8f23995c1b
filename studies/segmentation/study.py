"""Compare ways from affinities to segments on real affinities of four labelled volumes, and write docs/results/segmentation.md.

    python -m studies.segmentation.study                  all volumes; predictions are kept in runs/segmentation_study
    python -m studies.segmentation.study --report         write the report from docs/results/segmentation.csv

Settings are chosen on the part that the backbone's training held out, and scored on the test part.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.segmentation.fragments import Fragments
from studies.rows import append_row
from studies.segmentation.agglomerations import AGGLOMERATIONS, Problem
from studies.segmentation.finding import find, find_by_mutex
from studies.segmentation.parts import DOMAINS, ROOT, Part, predict_parts
from studies.segmentation.report import write_report
from studies.segmentation.rows import Cost, Row, make_row, measure

SETTINGS = (0.005, 0.01, 0.02, *(round(0.04 * step, 2) for step in range(1, 24)))
# Affinities of another domain's backbone are worse, as those of a new volume are.
SETS = (
    *((domain, domain) for domain in DOMAINS),
    ("fly_fibsem", "fly_medulla_fibsem"),
    ("mouse_cortex_sssem", "fly_larva_l1_sstem"),
)
SEEDS: dict[str, Any] = {"method": "seeds"}  # "ours" here; steepest ascent has a study of its own
# One parameter at a time.
GRID: tuple[dict[str, Any], ...] = (
    {},
    *({"boundary": b} for b in (0.2, 0.5)),
    *({"seed_distance_vx": s} for s in (4, 8)),
    {"smoothing_vx": 1.0},
    *({"distance_weight": w} for w in (0.0, 1.0)),
)
CLASSIC = tuple({"seed_distance_vx": s, "grown": g} for g in (False, True) for s in (6, 10))
WATERZ = tuple({"low": low, "high": high} for low, high in ((0.0001, 0.9999), (0.1, 0.9), (0.3, 0.9), (0.1, 0.8)))
FAMILIES = {"ours": GRID, "classic": CLASSIC, "waterz": WATERZ}
ON_ALL_FRAGMENTS = ("mean", "contraharmonic of a contact, by contact")
BIASES = (0.3, 0.5, 0.7)
MUTEX_VOXELS = 4_000_000  # it takes ten seconds for a million


def study_agglomeration(
    head: dict[str, Any],
    agglomeration: str,
    parts: tuple[Part, Part],
    problems: list[Problem],
    finding: Cost,
    repeat: int,
) -> Row:
    """Study one agglomeration of fragments of the validation and the test part."""
    function = AGGLOMERATIONS[agglomeration]
    luts = [list(function(problem, SETTINGS)) for problem in problems]
    sweeps = []
    for part, problem, tables in zip(parts, problems, luts, strict=True):
        overlaps = count_overlaps(problem.fragments, part.labels)
        sweeps.append([score(overlaps.relabel(lambda ids, lut=lut: lut[ids.astype(np.int64)])) for lut in tables])
    affs, fragments = parts[1].affs, problems[1].fragments
    cost = measure(lambda: list(function(Problem(affs, fragments), (0.5,))), repeat)
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
    repeat: int,
) -> Iterator[Row]:
    """Study agglomerations of one kind of fragments."""
    validation, test = parts
    found = [find(validation.affs, validation.voxel_size_nm, family, parameters)]
    finding = measure(lambda: found.append(find(test.affs, test.voxel_size_nm, family, parameters)), max(repeat, 1))
    problems = [Problem(part.affs, fragments) for part, fragments in zip(parts, (found[0], found[-1]), strict=True)]
    for agglomeration in agglomerations:
        yield study_agglomeration(head, agglomeration, parts, problems, finding, repeat)


def study_agglomerations(head: dict[str, Any], parts: tuple[Part, Part], repeat: int) -> Iterator[Row]:
    """Study all agglomerations of our fragments from seeds with default parameters."""
    head = head | {"fragments": f"ours {'2-D' if _is_thick(parts) else '3-D'}", "parameters": ""}
    yield from study_fragments(head, parts, "ours", SEEDS, tuple(AGGLOMERATIONS), repeat)


def study_families(
    head: dict[str, Any], parts: tuple[Part, Part], repeat: int, families: dict[str, Any] = FAMILIES
) -> Iterator[Row]:
    """Study two agglomerations of all other fragments."""
    thick = _is_thick(parts)
    for family, grid in families.items():
        for sections in (thick, not thick) if family == "ours" else (thick and family != "waterz",):
            for parameters in grid:
                if family == "ours" and sections == thick and not parameters:
                    continue
                text = " ".join(f"{key}={value}" for key, value in parameters.items())
                names = {"fragments": f"{family} {'2-D' if sections else '3-D'}", "parameters": text}
                given = SEEDS | parameters | {"sections": sections} if family == "ours" else parameters
                times = repeat * (parameters == grid[0])
                yield from study_fragments(head | names, parts, family, given, ON_ALL_FRAGMENTS, times)


def study_mutex(head: dict[str, Any], parts: tuple[Part, Part], repeat: int) -> Iterator[Row]:
    """Study the mutex watershed of voxels, of small volumes; its setting is the bias."""
    if parts[1].voxels > MUTEX_VOXELS:
        return
    thick = _is_thick(parts)
    for long, name in ((False, "nearest neighbours"), (True, "longer offsets made of them")):
        found = [[find_by_mutex(part.affs, thick, bias, long) for bias in BIASES] for part in parts]
        sweeps = [
            [score(count_overlaps(segments, part.labels)) for segments in of_part]
            for part, of_part in zip(parts, found, strict=True)
        ]
        cost = measure(partial(find_by_mutex, parts[1].affs, thick, BIASES[1], long), min(repeat, 1))
        names = {"fragments": "voxels", "parameters": "", "agglomeration": f"mutex watershed, {name}"}
        yield make_row(
            head | names | {"fragments_number": 0, "edges": 0},
            BIASES,
            *sweeps,
            found[1].__getitem__,
            parts[1].labels,
            cpu_s_fragments=0.0,
            cpu_s_agglomeration=cost.seconds,
            peak_mb=cost.peak_mb,
        )


def _is_thick(parts: tuple[Part, Part]) -> bool:
    return bool(Fragments(**SEEDS).resolve(parts[1].voxel_size_nm).sections)


STUDIES = (study_agglomerations, study_families, study_mutex)


def _study(number: int, volume: str, backbone: str, folder: Path, table: Path, repeat: int) -> None:
    head = {"volume": volume, "backbone": backbone}
    times = repeat if volume == backbone else 0
    for row in STUDIES[number](head, predict_parts(volume, folder, backbone), times):
        append_row(table, row)


def main() -> None:
    """Do each study of each set in a process of its own, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", action="store_true", help="write the report from the table that is there")
    parser.add_argument("--repeat", type=int, default=3, help="CPU times are medians of so many")
    parser.add_argument("--workers", type=int, default=1, help="processes; one for good times")
    options = parser.parse_args()
    folder, table = ROOT / "runs" / "segmentation_study", ROOT / "docs" / "results" / "segmentation.csv"
    if not options.report:
        table.unlink(missing_ok=True)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.workers, spawn, max_tasks_per_child=1) as pool:
            jobs = [
                pool.submit(_study, number, *names, folder, table, options.repeat)
                for number, names in product(range(len(STUDIES)), SETS)
                if number == 0 or names[0] == names[1]
            ]
            for job in jobs:
                job.result()
    write_report(table)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
