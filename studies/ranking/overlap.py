"""Consistency of every source on a target as the product measures it (the fifth run): the overlap of boundaries.

    python -m studies.ranking.overlap [--zoo FOLDER]     rows of `FOLDER` (the zoo before) go to ranking_second_overlap.csv

Rows that are there are not made again; delete them when the zoo changes.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.domains.consistency import draw_crops, measure_consistency
from neuroadda.domains.features import load_features
from neuroadda.domains.patches import PatchConfig, count_fitting
from neuroadda.domains.ranking import RankConfig
from neuroadda.domains.selection import FEWEST_FITTING
from neuroadda.zoo.finding import Zoo, open_zoo
from studies.ranking.targets import TARGETS, choose_part, open_raw
from studies.rows import append_rows, read_table

RESULTS = Path(__file__).parents[2] / "docs" / "results"
OVERLAPS, OVERLAPS_BEFORE = RESULTS / "ranking_overlap.csv", RESULTS / "ranking_second_overlap.csv"
SEEDS = range(3)


@dataclass(frozen=True)
class OverlapRow:
    """The overlap of a source's boundaries in a crop of a target, or of the `small` part of it; `seed` draws the crops.

    `room`: whether four patches of every source fit side by side, so that MMD takes part.
    """

    target: str
    small: int
    source: str
    seed: int
    dimensions: str
    crop: int
    overlap: float  # NaN where there is no boundary
    boundary: float
    room: int


def measure_overlaps(
    target: str, small: bool, seed: int, zoo: Zoo, backbones: Mapping[str, Backbone]
) -> list[OverlapRow]:
    """Measure the overlap of every source on the same crops."""
    raw, defaults = open_raw(target), RankConfig()
    config = PatchConfig(count=defaults.crops, seed=seed, roi=choose_part(raw, small))
    features = load_features(raw, zoo, backbones, defaults).values()
    room = all(count_fitting(raw, found.footprint_vx, config) >= FEWEST_FITTING for found in features)
    crops = draw_crops(raw, [backbone.card.architecture for backbone in backbones.values()], config)
    return [
        OverlapRow(
            target, int(small), name, seed, dimensions, crop, round(float(one), 5), round(float(share), 5), int(room)
        )
        for name, backbone in backbones.items()
        for dimensions, found in measure_consistency(raw, backbone, crops).items()
        for crop, (one, share) in enumerate(zip(found.overlap, found.boundary, strict=True))
    ]


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", help="folder of the zoo before; the one that comes with neuroadda by default")
    folder = parser.parse_args().zoo
    torch.set_num_threads(1)
    zoo, path = open_zoo(folder), OVERLAPS_BEFORE if folder else OVERLAPS
    backbones = {name: zoo.backbone(name) for name in zoo.names()}
    there = {(row.target, row.small, row.seed) for row in read_table(path, OverlapRow)}
    for seed, target in product(SEEDS, TARGETS):
        for small in (0, 1) if TARGETS[target].own else (0,):
            if (target, small, seed) not in there:
                append_rows(path, measure_overlaps(target, bool(small), seed, zoo, backbones))


if __name__ == "__main__":
    main()
