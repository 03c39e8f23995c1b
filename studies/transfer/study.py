"""Which source transfers best? Every target, source and number of samples, three seeds each, one row a run.

    python -m studies.transfer.study [--workers 2] [--seeds 3] [--pretraining 0] [--minutes 60]

Rows are appended to docs/results/transfer.csv as they come; what is in there already is not done again.
`studies/transfer/report.py` makes pages of it. Networks see single sections of 8 nm (`single_sections.py`), and no source ever
saw the target's domain. Every source may be trained more than once: `--pretraining` is the seed of that training, and noted in
the row.
"""

import argparse
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.config import parse_config
from neuroadda.evaluation.sweep import Sweep
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.training.config import TrainConfig
from neuroadda.training.trainer import train_network
from neuroadda.volumes.arrays import Volume
from studies.rows import read_table, run_all
from studies.single_sections import DOMAINS, LABELLED, PIXEL_NM, SOURCES, prepare, provenance

ROOT = Path(__file__).parents[2]
FOLDER = Path("runs/transfer")
ROWS = Path("docs/results/transfer.csv")
SAMPLES = (4, 1, 16)
LONG_SCRATCH_SAMPLES = 4
SAMPLE_PX = 120
SCRATCH, LONG_SCRATCH, GENERALIST = "scratch", "scratch, 3x longer", "generalist"
NETWORK = {
    "features": [12, 24, 48, 96],
    "downsample": [[1, 2, 2]] * 3,
    "kernels": [[[1, 3, 3], [1, 3, 3]]] * 4,
}
PRETRAIN = {"iterations": 600, "learning_rate": 5e-3, "batch_size": 4, "output_shape_vx": [1, 96, 96]}
FINE_TUNE = {"iterations": 80, "learning_rate": 3e-3, "batch_size": 2, "output_shape_vx": [1, 112, 112]}
FROM_SCRATCH = FINE_TUNE | {"learning_rate": 1e-2}


@dataclass(frozen=True)
class Run:
    """One fine-tuning."""

    target: str
    source: str
    n: int
    seed: int


@dataclass(frozen=True)
class Row(Run):
    """What came of it: VOI (nats) at the threshold that was best on the training samples, and at the best one on the test part.

    `pretraining` tells which training of the source was fine-tuned: its seed.
    """

    pretraining: int
    voi: float
    voi_split: float
    voi_merge: float
    threshold: float
    best_voi: float
    best_threshold: float
    cpu_minutes: float


def pretrained_folder(source: str, target: str, pretraining: int) -> Path:
    """Return the backbone that is fine-tuned: a generalist is another one for each target, for it must not have seen it."""
    name = f"without_{target}" if source == GENERALIST else source
    return FOLDER / "pretrained" / f"{name}-{pretraining}" / "backbone"


def pretrain(source: str, target: str, pretraining: int, data: Path) -> None:
    """Train a source's backbone on all of its train part, or a generalist on all sources but the target."""
    folder = pretrained_folder(source, target, pretraining).parent
    if not (folder / "backbone" / "card.json").exists():
        domains = [s for s in SOURCES if s != target] if source == GENERALIST else [source]
        samples = [_sample(name) | {"provenance": provenance(data, name)} for name in domains]
        config = _config(folder.name, source, samples, folder, any_voxel_size=True, seed=pretraining, **PRETRAIN)
        train_network(config)


def run(task: Run, pretraining: int) -> Row:
    """Fine-tune on random samples, or train from scratch, and score the target's test part."""
    boxes = draw_samples(task.target, task.n, task.seed)
    folder = FOLDER / "runs" / f"{task.target}-{task.source.replace(', ', '_')}-n{task.n}-s{task.seed}"
    if task.source in (SCRATCH, LONG_SCRATCH):
        longer = {"iterations": 3 * FROM_SCRATCH["iterations"]} if task.source == LONG_SCRATCH else {}
        config = FROM_SCRATCH | longer
    else:
        config = fine_tuning(pretrained_folder(task.source, task.target, pretraining))
    found = train_and_score(task.target, boxes, folder, config | {"seed": task.seed})
    return Row(**asdict(task), pretraining=pretraining, **found)


def fine_tuning(backbone: Path) -> dict[str, Any]:
    """Return how a backbone is fine-tuned."""
    return FINE_TUNE | {"start": {"backbone": str(backbone)}}


def train_and_score(
    target: str, boxes: Sequence[dict[str, list[float]]], folder: Path, config: Mapping[str, Any]
) -> dict[str, float]:
    """Train on boxes of a target's train part; choose a threshold on them, and score the test part: the figures of a `Row`."""
    samples = [_sample(target) | {"roi": box} for box in boxes]
    card = train_network(_config(folder.name, target, samples, folder, **config))
    backbone = load_backbone(folder / "backbone")
    known = [sweep_part(backbone, target, "train", box) for box in boxes]
    return tell_chosen(known, sweep_part(backbone, target, "test")) | {"cpu_minutes": card.cpu_minutes}


def tell_chosen(boxes: Sequence[Sweep], test: Sweep) -> dict[str, float]:
    """Return the scores of a test part at the threshold that is best for the boxes (the mean over them), and at its best one."""
    chosen = int(np.mean([[scores.voi for scores in box.scores] for box in boxes], axis=0).argmin())
    at = test.scores[chosen]
    return {
        "voi": round(at.voi, 5),
        "voi_split": round(at.voi_split, 5),
        "voi_merge": round(at.voi_merge, 5),
        "threshold": test.thresholds[chosen],
        "best_voi": round(test.scores[test.best].voi, 5),
        "best_threshold": test.thresholds[test.best],
    }


def draw_samples(target: str, count: int, seed: int) -> list[dict[str, list[float]]]:
    """Return boxes (nm) of single sections for training; those of a smaller `count` are the first of a larger one's.

    They do not overlap if a few hundred tries find such places.
    """
    labels = Volume.open(array_of(target, "train", "labels"))
    depth, *size = labels.shape_vx
    random = np.random.default_rng([seed, *target.encode()])
    boxes: list[tuple[int, int, int]] = []
    while len(boxes) < count:
        for _ in range(300):
            z, y, x = (int(random.integers(n)) for n in (depth, *(s - SAMPLE_PX + 1 for s in size)))
            if not any(z == a and abs(y - b) < SAMPLE_PX and abs(x - c) < SAMPLE_PX for a, b, c in boxes):
                break
        boxes.append((z, y, x))
    thick = labels.voxel_size_nm[0]
    shape = [thick, SAMPLE_PX * PIXEL_NM, SAMPLE_PX * PIXEL_NM]
    return [{"offset_nm": [z * thick, y * PIXEL_NM, x * PIXEL_NM], "shape_nm": shape} for z, y, x in boxes]


def array_of(domain: str, part: str, kind: str) -> str:
    """Return where the sections of a domain lie."""
    return str(FOLDER / "data" / f"{domain}_{part}.zarr" / kind)


def _sample(domain: str) -> dict[str, Any]:
    arrays = {kind: array_of(domain, "train", kind) for kind in ("raw", "labels")}
    return arrays | {"erode_vx": LABELLED[domain].erode_vx, "linked": False}


def _config(name: str, domain: str, samples: list[dict[str, Any]], folder: Path, **changes: Any) -> TrainConfig:
    network = {} if "start" in changes else {"network": NETWORK}
    data = {
        "name": name,
        "domain": domain,
        "samples": samples,
        "offsets": [[0, -1, 0], [0, 0, -1]],
        "augment": {"elastic_spacing_vx": [1, 32, 32]},
        "loss": {"balance": True},
        "padded": 0.9,
        "workers": 0,
        "precision": "float32",
        "checkpoint_every": 0,
        "picture_every": 0,
        "output": str(folder),
    }
    return parse_config(TrainConfig, data | network | changes, name)


def sweep_part(backbone: Backbone, domain: str, part: str, roi: dict[str, list[float]] | None = None) -> Sweep:
    """Return the scores of a backbone at every threshold, on a part of a domain or a box of it."""
    arrays = {kind: array_of(domain, part, kind) for kind in ("raw", "labels")}
    config = {
        **arrays,
        "predict": {"precision": "float32"},
        "fragments": {"sections": True},
        **({} if roi is None else {"roi": roi}),
    }
    return Validator(parse_config(ValidateConfig, config, domain)).sweep(backbone)


def plan(seeds: int) -> list[Run]:
    """Return all runs, in an order in which every prefix is worth reading."""
    runs = []
    for seed in range(seeds):
        for n in SAMPLES:
            for target in DOMAINS:
                sources = [s for s in SOURCES if s != target] + [SCRATCH, GENERALIST]
                runs += [Run(target, source, n, seed) for source in sources]
                runs += [Run(target, LONG_SCRATCH, n, seed)] if n == LONG_SCRATCH_SAMPLES else []
    return runs


def read_rows(path: Path = ROWS) -> list[Row]:
    """Return the rows that are there."""
    return read_table(path, Row)


def main() -> None:
    """Do what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pretraining", type=int, default=0, help="which training of the sources: its seed")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing new after so long")
    options = parser.parse_args()
    data = Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data"))
    prepare(data, FOLDER / "data")
    done = {Run(row.target, row.source, row.n, row.seed) for row in read_rows()}
    missing = [task for task in plan(options.seeds) if task not in done]
    print(f"{len(done)} runs are done, {len(missing)} are missing", flush=True)
    number = options.pretraining
    starts = {pretrained_folder(t.source, t.target, number): t for t in missing if t.source in (*SOURCES, GENERALIST)}
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in [pool.submit(pretrain, t.source, t.target, number, data) for t in starts.values()]:
            future.result()
        run_all(pool, ((run, task, number) for task in missing), options.workers, options.minutes, ROWS)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
