"""How much lower is VOI from a backbone of the zoo than from scratch, with four boxes?

    python -m studies.transfer.zoo_backbones [--draws 3] [--minutes 60]

Rows go to docs/results/transfer_zoo.csv; what is in there is not done again. `studies.transfer.zoo_page` makes a page of them.

Written before the first run (2026-11-30). In transfer.md, VOI is 5 to 49 % lower from the nearest source than from scratch, and
25 % are reached on 3 of 6 volumes; Sawmya et al. report 25 to 67 %. Its sources are small networks for single sections, trained
for 600 iterations.

Hypothesis: the sources are the reason. With the zoo's backbones (ten times the parameters, trained for up to 2,000 iterations,
3-D), VOI is lower than from scratch by 25 % or more on at least four of the six targets, by the mean over draws.

- Target: every domain of the zoo and the cerebellum. Boxes are drawn at random from the train volume, at each draw anew; the whole
  test volume is scored, in single sections where ids are not linked.
- Source: the first by the default of `domains rank` on the test volume, without the target's own domain and the generalist, and of
  those that predict affinities along z (docs/results/ranking.md, third to fifth run). It is fixed below.
- Scratch is the same architecture from random weights, at the learning rate that is the default for it; *long* scratch has three
  times the iterations. All else is equal: boxes, augmentation, iterations, seed.
- Score: VOI at the threshold that is best for the boxes (the mean over them), and at the best for the test volume.
- Analysis: of each target, 1 - VOI of the source / VOI of scratch, the mean over draws, and Student's 95 % interval. No target is
  left out, and no setting is changed after the first run. (One run was made with 150 iterations of 8 x 96 x 96 voxels. It was left,
  as three draws would have taken three CPU hours; nothing was chosen by its score.)
- Noise: of what differs between draws, the boxes and the seed; that of the source's own training is not in the interval.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product, starmap
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.config import Zyx, parse_config
from neuroadda.evaluation.sweep import Sweep
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.training.config import TrainConfig
from neuroadda.training.trainer import train_network
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.zoo.finding import open_zoo
from studies.ranking.targets import DATA
from studies.rows import append_row, read_table
from studies.transfer.study import tell_chosen

ROOT = Path(__file__).parents[2]
FOLDER = Path("runs/transfer_zoo")
ROWS = Path("docs/results/transfer_zoo.csv")
SOURCE, SCRATCH, LONG_SCRATCH = STARTS = ("source", "scratch", "scratch, 3x longer")
BOXES = 4
ITERATIONS = 100


@dataclass(frozen=True)
class Target:
    """A domain whose test volume is segmented after training on boxes of its train volume.

    Attributes
    ----------
    train, test
        Names of the volumes.
    source
        The zoo's entry to start from.
    isotropic
        Whether boxes are cubes, and sections are no planes of their own.
    linked
        Whether ids are linked across sections.
    erode_vx
        Between labels that touch each other.
    """

    train: str
    test: str
    source: str
    isotropic: bool = False
    linked: bool = True
    erode_vx: int = 0

    @property
    def box_vx(self) -> Zyx:
        """Shape of a box."""
        return (48, 48, 48) if self.isotropic else (8, 128, 128)


L1 = "fly_larva_l1_sstem"
TARGETS = {
    "fly_fibsem": Target("fly_fibsem_train", "fly_fibsem_test", L1, isotropic=True),
    "fly_medulla_fibsem": Target("fly_medulla_fibsem_train", "fly_medulla_fibsem_test", L1, isotropic=True, erode_vx=1),
    "fly_larva_l1_sstem": Target("fly_larva_l1_sstem_train", "fly_larva_l1_sstem_test", "fly_fibsem"),
    "fly_larva_l3_sstem": Target("fly_larva_l3_sstem_train", "fly_larva_l3_sstem_test", L1, linked=False),
    "mouse_cortex_sssem": Target("mouse_cortex_ac4_train", "mouse_cortex_sssem_test", L1),
    "mouse_cerebellum_sbem": Target("mouse_cerebellum_sbem_train", "mouse_cerebellum_sbem_test", L1, linked=False),
}


@dataclass(frozen=True)
class Run:
    """One training on the boxes of a draw."""

    draw: int
    target: str
    start: str


@dataclass(frozen=True)
class Row(Run):
    """What came of it: VOI (nats) of the test volume at the threshold that is best for the boxes, and at the best one."""

    voi: float
    voi_split: float
    voi_merge: float
    threshold: float
    best_voi: float
    best_threshold: float
    cpu_minutes: float


def train_and_score(run: Run) -> Row:
    """Train on the boxes of a draw, from the source or from scratch, and score the test volume."""
    target = TARGETS[run.target]
    boxes = draw_boxes(run.target, run.draw)
    folder = FOLDER / "runs" / f"{run.target}-{run.draw}-{run.start.replace(', ', '_')}"
    card = train_network(_configure(target, boxes, folder, run))
    backbone = load_backbone(folder / "backbone")
    known = [_sweep(backbone, target, target.train, box) for box in boxes]
    found = tell_chosen(known, _sweep(backbone, target, target.test))
    return Row(**asdict(run), **found, cpu_minutes=card.cpu_minutes)


def draw_boxes(name: str, draw: int) -> list[dict[str, list[float]]]:
    """Return boxes (nm) of a target's train volume that do not overlap, if a few hundred tries find such places."""
    target = TARGETS[name]
    labels = _open(target.train, "labels")
    random, box = np.random.default_rng([draw, *name.encode()]), np.array(target.box_vx)
    begins: list[np.ndarray] = []
    while len(begins) < BOXES:
        for _ in range(300):
            begin = random.integers(np.array(labels.shape_vx) - box + 1)
            if all((np.abs(begin - other) >= box).any() for other in begins):
                break
        begins.append(begin)
    voxel, offset = np.array(labels.voxel_size_nm), np.array(labels.offset_nm)
    return [{"offset_nm": (offset + begin * voxel).tolist(), "shape_nm": (box * voxel).tolist()} for begin in begins]


def _open(name: str, kind: str) -> Volume:
    """Return an array of a volume, imported once."""
    path = FOLDER / "data" / f"{name}.zarr"
    if not (path / "labels").exists():
        import_volume(DATA / f"{name}.hdf", path)
    return Volume.open(path / kind)


def _arrays(name: str) -> dict[str, str]:
    return {kind: str(_open(name, kind).path) for kind in ("raw", "labels")}


def _configure(target: Target, boxes: Sequence[dict[str, Any]], folder: Path, run: Run) -> TrainConfig:
    entry = open_zoo().folder(target.source)
    if run.start == SOURCE:
        start: dict[str, Any] = {"start": {"backbone": str(entry)}, "learning_rate": 1e-3, "iterations": ITERATIONS}
    else:
        network = load_backbone(entry).card.architecture.model_dump(mode="json")
        start = {"network": network, "iterations": ITERATIONS * (3 if run.start == LONG_SCRATCH else 1)}
    sample = _arrays(target.train) | {"erode_vx": target.erode_vx, "linked": target.linked}
    data = {
        "name": folder.name,
        "domain": run.target,
        "samples": [sample | {"roi": box} for box in boxes],
        "output_shape_vx": (32, 40, 40) if target.isotropic else (8, 80, 80),
        "augment": {"transpose": "zyx" if target.isotropic else "yx", "sectionwise": not target.isotropic},
        "loss": {"balance": True},
        "padded": 0.9,
        "seed": run.draw,
        "workers": 0,
        "precision": "float32",
        "checkpoint_every": 0,
        "picture_every": 0,
        "output": str(folder),
    }
    return parse_config(TrainConfig, data | start, folder.name)


def _sweep(backbone: Backbone, target: Target, volume: str, roi: dict[str, list[float]] | None = None) -> Sweep:
    """Return the scores of a backbone at every threshold, on a volume or a box of it."""
    config = _arrays(volume) | {"predict": {"precision": "float32"}, "linked": target.linked}
    return Validator(parse_config(ValidateConfig, config | ({} if roi is None else {"roi": roi}), volume)).sweep(
        backbone
    )


def main() -> None:
    """Do what is missing, draw by draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing new after so long")
    options = parser.parse_args()
    torch.set_num_threads(1)
    done = {Run(row.draw, row.target, row.start) for row in read_table(ROWS, Row)}
    until = time.monotonic() + 60 * options.minutes
    for run in starmap(Run, product(range(options.draws), TARGETS, STARTS)):
        if run not in done and time.monotonic() < until:
            append_row(ROWS, train_and_score(run))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
