"""How good is every source on a target's labelled samples before it is fine-tuned? One row a target, source, n and seed.

    python -m studies.transfer.zero_shot [--seeds 5] [--pretraining 1]

Rows go to docs/results/transfer_zero_shot.csv; what is in there already is not done again. Who has labels can choose a source by
them: `studies/transfer/report.py` says whether that is better than the distance of domains.
"""

import argparse
import csv
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from neuroadda.backbones.checkpoint import load_backbone
from studies.single_sections import DOMAINS
from studies.transfer.distances import sources_of
from studies.transfer.study import ROOT, SAMPLES, draw_samples, pretrained_folder, sweep_part

ROWS = Path("docs/results/transfer_zero_shot.csv")
COLUMNS = ("target", "source", "n", "seed", "voi")

Key = tuple[str, str, int, int]


def score_samples(target: str, source: str, seed: int, pretraining: int) -> dict[int, float]:
    """Return, for every n, the mean VOI (nats) on the n samples at the threshold that is best for them."""
    backbone = load_backbone(pretrained_folder(source, target, pretraining))
    boxes = draw_samples(target, max(SAMPLES), seed)
    voi = np.array([[s.voi for s in sweep_part(backbone, target, "train", box).scores] for box in boxes])
    return {n: float(voi[:n].mean(0).min()) for n in SAMPLES}


def read_zero_shot(path: Path = ROWS) -> Mapping[Key, float]:
    """Return VOI by target, source, n and seed, as far as it is there."""
    if not path.exists():
        return {}
    with path.open() as file:
        return {(r["target"], r["source"], int(r["n"]), int(r["seed"])): float(r["voi"]) for r in csv.DictReader(file)}


def main() -> None:
    """Score what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pretraining", type=int, default=1)
    options = parser.parse_args()
    done = read_zero_shot()
    new = not ROWS.exists()
    with ROWS.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        for seed in range(options.seeds):
            for target in DOMAINS:
                for source in sources_of(target):
                    if (target, source, max(SAMPLES), seed) not in done:
                        found = score_samples(target, source, seed, options.pretraining)
                        writer.writerows((target, source, n, seed, round(voi, 5)) for n, voi in found.items())
                        file.flush()


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
