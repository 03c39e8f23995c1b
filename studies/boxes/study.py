"""Run the boxes study: fine-tune each target on boxes that strategies choose. What is compared, and why: `studies.boxes`.

    python -m studies.boxes.study [--draws 14] [--workers 2] [--minutes 60] [--dry-run]
        [--strategies random coverage ...] [--targets fly_fibsem ...]

Rows are appended to docs/results/boxes.csv as they come; what is in there already is not done again. Sources are trained as those
of the transfer study (runs/transfer), where they are not there. `python -m studies.boxes.judgement` says what came of it.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from studies.boxes import plan
from studies.boxes.pools import STRATEGIES as KNOWN
from studies.boxes.pools import open_pool
from studies.rows import run_all
from studies.single_sections import prepare
from studies.transfer.study import FOLDER as TRANSFER
from studies.transfer.study import ROOT, SAMPLE_PX, array_of, fine_tuning, pretrain, train_and_score

FOLDER = Path("runs/boxes")


def run(task: plan.Run, digest: str, boxes: list[dict[str, Any]], chosen_in_minutes: float) -> plan.Row:
    """Fine-tune on boxes and score."""
    begun = time.process_time()
    config = fine_tuning(plan.source_folder(task.target, task.draw)) | {"seed": task.draw}
    with TemporaryDirectory(dir=FOLDER) as folder:
        found = train_and_score(task.target, boxes, Path(folder) / "run", config)
    what: dict[str, Any] = {
        "source": plan.TARGETS[task.target].source,
        "digest": digest,
        "labelled_px": len(boxes) * SAMPLE_PX**2,
        "cpu_minutes": round(chosen_in_minutes + (time.process_time() - begun) / 60, 3),
    }
    return plan.Row(**asdict(task), **found | what)


def find_jobs(
    runs: Sequence[plan.Run], rows: Sequence[plan.Row], pool: ProcessPoolExecutor, data: Path
) -> Iterator[tuple[Any, ...]]:
    """Train the sources of each draw, and choose the boxes of every run that is left."""
    for _, group in groupby(runs, lambda one: one.draw):
        of_draw = list(group)
        sources = plan.list_sources(plan.find_missing(of_draw, rows, plan.read_digest)).values()
        trainings = [pool.submit(pretrain, plan.TARGETS[r.target].source, r.target, r.draw, data) for r in sources]
        for training in trainings:
            training.result()
        # Sources may have become those of rows that are there.
        left = plan.find_missing(of_draw, rows, plan.read_digest)
        for target, of_target in groupby(left, lambda one: one.target):
            begun = time.process_time()
            boxes = None
            for task in of_target:
                source, digest = plan.source_folder(target, task.draw), plan.read_digest(target, task.draw)
                boxes = boxes or open_pool(
                    array_of(target, "train", "raw"), source, FOLDER / "pools" / f"{target}-{digest}"
                )
                chosen = boxes.choose(task.strategy, task.n, task.draw)
                yield run, task, digest, chosen, (time.process_time() - begun) / 60
                begun = time.process_time()


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=plan.DRAWS)
    parser.add_argument("--strategies", nargs="+", choices=KNOWN, default=plan.ARMS)
    parser.add_argument("--targets", nargs="+", choices=plan.TARGETS, default=list(plan.TARGETS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing new after so long")
    parser.add_argument("--dry-run", action="store_true", help="say what is left, and about how long it takes")
    options = parser.parse_args(arguments)
    runs, rows = plan.plan(options.targets, options.strategies, options.draws), plan.read_rows()
    print(plan.describe(runs, rows), flush=True)
    if options.dry_run:
        return
    data = Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data"))
    prepare(data, TRANSFER / "data", {*options.targets, *(plan.TARGETS[target].source for target in options.targets)})
    FOLDER.mkdir(parents=True, exist_ok=True)
    # The choice takes turns with the workers, and rounds in the same way on any number of cores.
    torch.set_num_threads(1)
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        run_all(pool, find_jobs(runs, rows, pool, data), options.workers, options.minutes, plan.ROWS)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
