"""Measure every target by every source: evidence without labels, and zero-shot scores. See `studies.ranking`.

    python -m studies.ranking.study [--seeds 3]

Rows go to docs/results/ranking_scores.csv, ranking_crops.csv and ranking_distances.csv; what is in there is not done again. Delete
the rows of the sources that change.
"""

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.whole import agglomerate_array
from neuroadda.zoo.finding import open_zoo
from studies.ranking.crops import CropRow, measure_crops
from studies.ranking.distances import DistanceRow, measure_distances
from studies.ranking.targets import TARGETS, leave_borders_out, open_raw, read_truth
from studies.rows import append_rows, read_table
from studies.single_sections import split_by_section

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SCORES, CROPS, DISTANCES = (RESULTS / f"ranking_{what}.csv" for what in ("scores", "crops", "distances"))
THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
FIXED = 0.5


@dataclass(frozen=True)
class ScoreRow:
    """VOI (nats) of a target's middle by a source without any training."""

    target: str
    source: str
    dimensions: str
    voi: float  # at threshold 0.5
    best_voi: float
    best_threshold: float


def score_source(target: str, source: str, backbone: Backbone) -> list[ScoreRow]:
    """Segment a target's middle by a source and score it, in each section and, where ids are linked, in 3-D."""
    raw = open_raw(target)
    box, truth = read_truth(target)
    roi = Roi([s.start for s in box], [s.stop - s.start for s in box]) * raw.voxel_size + raw.roi.begin
    block = Coordinate(truth.shape)
    predictor = Predictor(backbone, Predict(precision="float32").resolve(backbone.card.architecture, tuple(block)))
    affs, _ = predictor(raw, roi)
    rows = [_row(target, source, "2d", _segment_sections(affs, raw.voxel_size_nm), split_by_section(truth))]
    if TARGETS[target].linked and any(offset[0] == -1 for offset in backbone.card.offsets):
        found = agglomerate_array(affs, raw.voxel_size_nm, Fragments(), Agglomerate())
        rows.append(_row(target, source, "3d", {t: found.segment(t) for t in THRESHOLDS}, truth))
    return rows


def _segment_sections(affs: np.ndarray, voxel_size_nm: tuple[float, ...]) -> dict[float, np.ndarray]:
    """Return segmentations (uint64, zyx) by threshold in which no segment is in two sections."""
    sections: dict[float, list[np.ndarray]] = {t: [] for t in THRESHOLDS}
    for z in range(affs.shape[1]):
        found = agglomerate_array(affs[:, z : z + 1], voxel_size_nm, Fragments(sections=True), Agglomerate())
        for threshold, parts in sections.items():
            segment = found.segment(threshold)
            parts.append(np.where(segment > 0, segment + np.uint64(z << 32), 0))
    return {t: np.concatenate(parts) for t, parts in sections.items()}


def _row(target: str, source: str, dimensions: str, found: dict[float, np.ndarray], truth: np.ndarray) -> ScoreRow:
    counted = leave_borders_out(truth) if TARGETS[target].touching else truth
    voi = {t: score(count_overlaps(segments, counted)).voi for t, segments in found.items()}
    best = min(voi, key=lambda t: voi[t])
    return ScoreRow(target, source, dimensions, round(voi[FIXED], 5), round(voi[best], 5), best)


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    zoo = open_zoo(None)
    backbones = {name: zoo.backbone(name) for name in zoo.names()}
    scored = {(row.target, row.source) for row in read_table(SCORES, ScoreRow)}
    for target, (name, backbone) in product(TARGETS, backbones.items()):
        if (target, name) not in scored:
            append_rows(SCORES, score_source(target, name, backbone))
    cropped = {(row.target, row.small, row.seed, row.source) for row in read_table(CROPS, CropRow)}
    measured = {(row.target, row.small, row.seed, row.source) for row in read_table(DISTANCES, DistanceRow)}
    for seed, target in product(seeds, TARGETS):
        for small in (0, 1) if TARGETS[target].own else (0,):
            if wanted := [name for name in backbones if (target, small, seed, name) not in cropped]:
                append_rows(CROPS, measure_crops(target, bool(small), seed, zoo, backbones, wanted))
            if wanted := [name for name in backbones if (target, small, seed, name) not in measured]:
                append_rows(DISTANCES, measure_distances(target, bool(small), seed, zoo, backbones, wanted))


if __name__ == "__main__":
    main()
