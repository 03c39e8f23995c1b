"""Measure every target by every source: evidence without labels, and zero-shot scores. See `studies.ranking`.

    python -m studies.ranking.study [--seeds 3]

Rows go to docs/results/ranking_scores.csv and ranking_evidence.csv; what is in there is not done again. Delete them when the
zoo changes.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.domains.baselines import frechet_distance
from neuroadda.domains.embedding import embed_volume
from neuroadda.domains.patches import PatchConfig
from neuroadda.domains.ranking import RankConfig, estimate_mmd2
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.whole import agglomerate_array
from neuroadda.zoo.embeddings import load_embeddings
from neuroadda.zoo.finding import open_zoo
from studies.ranking.consistency import ConsistencyConfig, measure_all
from studies.ranking.targets import TARGETS, open_raw, read_truth
from studies.rows import append_row, read_table
from studies.single_sections import split_by_section

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SCORES, EVIDENCE = RESULTS / "ranking_scores.csv", RESULTS / "ranking_evidence.csv"
THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
FIXED = 0.5
PATCHES = PatchConfig(count=256)
PAPER = RankConfig(pooling="mean", bandwidth="median", unbiased=False)


@dataclass(frozen=True)
class ScoreRow:
    """VOI (nats) of a target's middle by a source without any training."""

    target: str
    source: str
    dimensions: str
    voi: float  # at threshold 0.5
    best_voi: float
    best_threshold: float


@dataclass(frozen=True)
class EvidenceRow:
    """What is known of a source and a target without labels; `seed` draws crops and patches."""

    target: str
    source: str
    seed: int
    consistency_2d: float
    consistency_3d: float
    boundary: float
    entropy: float
    mmd2: float
    mmd2_paper: float
    frechet: float


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
    counted = _leave_borders_out(truth) if TARGETS[target].touching else truth
    voi = {t: score(count_overlaps(segments, counted)).voi for t, segments in found.items()}
    best = min(voi, key=lambda t: voi[t])
    return ScoreRow(target, source, dimensions, round(voi[FIXED], 5), round(voi[best], 5), best)


def _leave_borders_out(truth: np.ndarray) -> np.ndarray:
    """Return labels that are 0 where a neighbour in the section has another id."""
    border = np.zeros(truth.shape, bool)
    for axis in (1, 2):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differ = truth[tuple(ahead)] != truth[tuple(behind)]
        border[tuple(ahead)] |= differ
        border[tuple(behind)] |= differ
    return np.where(border, 0, truth).astype(truth.dtype)


def gather_evidence(
    target: str, backbones: dict[str, Backbone], folders: dict[str, Path], seed: int
) -> list[EvidenceRow]:
    """Return the evidence of every source on a target."""
    raw = open_raw(target)
    flat = measure_all(raw, backbones, ConsistencyConfig(seed=seed))
    deep = measure_all(raw, backbones, ConsistencyConfig(seed=seed, dimensions="3d"))
    stored = {name: load_embeddings(folder)["own"] for name, folder in folders.items()}
    shapes = {name: by_pooling["max"].shape_vx for name, by_pooling in stored.items()}
    patches = PATCHES.model_copy(update={"seed": seed})
    here = embed_volume(raw, {name: backbones[name] for name in stored}, patches, shapes)
    rows = []
    for name in stored:
        one = flat[name]
        known = one.entropy[np.isfinite(one.entropy)]
        rows.append(
            EvidenceRow(
                target,
                name,
                seed,
                round(one.mean, 5),
                round(deep[name].mean, 5),
                round(float(one.boundary.mean()), 5),
                round(float(known.mean()) if len(known) else 1.0, 5),
                round(estimate_mmd2(here[name]["max"], stored[name]["max"], RankConfig()), 5),
                round(estimate_mmd2(here[name]["mean"], stored[name]["mean"], PAPER), 5),
                round(frechet_distance(here[name]["max"].features, stored[name]["max"].features), 5),
            )
        )
    return rows


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    zoo = open_zoo(None)
    backbones = {name: zoo.backbone(name) for name in zoo.names()}
    folders = {name: zoo.folder(name) for name in zoo.names()}
    scored = {(row.target, row.source) for row in read_table(SCORES, ScoreRow)}
    known = {(row.target, row.seed) for row in read_table(EVIDENCE, EvidenceRow)}
    for target in TARGETS:
        for name, backbone in backbones.items():
            if (target, name) not in scored:
                for score_row in score_source(target, name, backbone):
                    append_row(SCORES, score_row)
        for seed in range(options.seeds):
            if (target, seed) not in known:
                for row in gather_evidence(target, backbones, folders, seed):
                    append_row(EVIDENCE, row)


if __name__ == "__main__":
    main()
