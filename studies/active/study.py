"""The paper's comparison on our domains: scratch, sources, and the boxes that are labelled chosen in every way.

    python -m studies.active.study [--workers 2] [--seeds 3] [--minutes 60]

Every target is fine-tuned from its nearest source on n boxes of single sections, chosen by a strategy. Scratch, the other sources
and some of the random boxes are rows of `studies/transfer/study.py --seeds 5 --pretraining 1`: run it before. Rows are appended to
docs/results/active.csv as they come; what is in there already is not done again. `studies/active/report.py` makes pages of it.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from neuroadda.active.propose import ProposeConfig, propose_boxes
from neuroadda.config import parse_config
from neuroadda.volumes.arrays import Volume
from studies.rows import read_table, run_all
from studies.single_sections import DOMAINS, PIXEL_NM, SOURCES, prepare
from studies.transfer.distances import nearest_source
from studies.transfer.study import FOLDER as STUDY
from studies.transfer.study import (
    GENERALIST,
    ROOT,
    SAMPLE_PX,
    SAMPLES,
    array_of,
    draw_samples,
    fine_tuning,
    pretrain,
    pretrained_folder,
    read_rows,
    train_and_score,
)

FOLDER = Path("runs/active")
ROWS = Path("docs/results/active.csv")
FIRST_SEED, PRETRAINING = 3, 1  # the runs of the transfer study that are shared
RANDOM = "random"
STRATEGIES = {
    "median": ("median", "mean"),
    "median of median voxels": ("median", "median"),
    "max": ("max", "mean"),
    "min": ("min", "mean"),
    "diverse": ("diverse", "mean"),
    "median+diverse": ("median+diverse", "mean"),
}


@dataclass(frozen=True)
class Run:
    """One fine-tuning from a target's nearest source."""

    target: str
    strategy: str
    n: int
    seed: int


@dataclass(frozen=True)
class Row(Run):
    """What came of it; see `studies.transfer.study.Row`."""

    source: str
    labelled_px: int
    voi: float
    voi_split: float
    voi_merge: float
    threshold: float
    best_voi: float
    best_threshold: float
    cpu_minutes: float


def choose_boxes(task: Run, source: str) -> list[dict[str, list[float]]]:
    """Return the boxes (nm) that are labelled."""
    if task.strategy == RANDOM:
        return draw_samples(task.target, task.n, task.seed)
    strategy, reading = STRATEGIES[task.strategy]
    raw = array_of(task.target, "train", "raw")
    data = {
        "raw": raw,
        "backbone": str(pretrained_folder(source, task.target, PRETRAINING)),
        "output": str(FOLDER / "proposals" / f"{task.target}-{reading}"),
        "shape_nm": [Volume.open(raw).voxel_size_nm[0], SAMPLE_PX * PIXEL_NM, SAMPLE_PX * PIXEL_NM],
        "reading": reading,
        "predict": {"precision": "float32"},
        "choose": {"strategy": strategy, "count": task.n, "seed": task.seed, "shortlist": 128},
        "any_voxel_size": True,
        "execution": {"launcher": "serial"},
    }
    found = propose_boxes(parse_config(ProposeConfig, data, "reproduce"), overwrite=True)
    return [p.box.model_dump(mode="json") for p in found.proposals.proposals]


def run(task: Run, source: str, boxes: list[dict[str, list[float]]]) -> Row:
    """Fine-tune on boxes and score."""
    folder = FOLDER / "runs" / f"{task.target}-{task.strategy.replace(' ', '_')}-n{task.n}-s{task.seed}"
    config = fine_tuning(pretrained_folder(source, task.target, PRETRAINING)) | {"seed": task.seed}
    found = train_and_score(task.target, boxes, folder, config)
    return Row(**asdict(task), source=source, labelled_px=len(boxes) * SAMPLE_PX**2, **found)


def plan(seeds: int) -> list[Run]:
    """Return all runs, in an order in which every prefix is worth reading."""
    return [
        Run(target, strategy, n, seed)
        for n in SAMPLES
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
        for target in DOMAINS
        for strategy in (RANDOM, *STRATEGIES)
    ]


def read_results(path: Path = ROWS) -> list[Row]:
    """Return the rows that are there, and those of random boxes in the transfer study."""
    rows = read_table(path, Row)
    nearest = {row.target: row.source for row in rows}
    for row in read_rows():
        if row.pretraining == PRETRAINING and row.source == nearest.get(row.target) and row.seed >= FIRST_SEED:
            figures = {k: v for k, v in asdict(row).items() if k in {f.name for f in fields(Row)}}
            rows.append(Row(strategy=RANDOM, labelled_px=row.n * SAMPLE_PX**2, **figures))
    return rows


def find_jobs(missing: Sequence[Run], sources: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
    """Choose the boxes of every run; runs for which there are not as many are left out."""
    for task in missing:
        boxes = choose_boxes(task, sources[task.target])
        if len(boxes) < task.n:
            print(f"{task.target}: no {task.n} boxes fit for {task.strategy}", flush=True)
        else:
            yield run, task, sources[task.target], boxes


def main() -> None:
    """Do what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing new after so long")
    options = parser.parse_args()
    data = Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data"))
    prepare(data, STUDY / "data")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        starts = [(s, t) for t in DOMAINS for s in (GENERALIST, *SOURCES) if s != t]
        once = {pretrained_folder(source, target, PRETRAINING): (source, target) for source, target in starts}
        for future in [pool.submit(pretrain, *start, PRETRAINING, data) for start in once.values()]:
            future.result()
        sources = {target: nearest_source(target, PRETRAINING) for target in DOMAINS}
        shared = {(r.target, r.source, r.n, r.seed) for r in read_rows() if r.pretraining == PRETRAINING}
        done = {Run(row.target, row.strategy, row.n, row.seed) for row in read_results()}
        missing = [
            task
            for task in plan(options.seeds)
            if task not in done
            and not (task.strategy == RANDOM and (task.target, sources[task.target], task.n, task.seed) in shared)
        ]
        print(f"{len(done)} runs are done, {len(missing)} are missing; from {sources}", flush=True)
        run_all(pool, find_jobs(missing, sources), options.workers, options.minutes, ROWS)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
