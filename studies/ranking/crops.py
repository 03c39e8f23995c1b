"""What every source makes of the same crops of a target, in the ways that the study compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.domains.consistency import BOUNDARY, MIRROR, count_boundary, draw_crops, predict_boundaries
from neuroadda.domains.features import load_features
from neuroadda.domains.patches import PatchConfig, count_fitting
from neuroadda.domains.ranking import RankConfig
from neuroadda.domains.selection import FEWEST_FITTING
from neuroadda.zoo.finding import Zoo
from studies.ranking.crank import CONTRAST, agree, boundary_entropy
from studies.ranking.targets import choose_part, open_raw


@dataclass(frozen=True)
class CropRow:
    """What a source makes of a crop of a target, or of the `small` part of it; `seed` draws the crops."""

    target: str
    small: int
    source: str
    seed: int
    dimensions: str
    crop: int
    mirrored: float  # agreement after CRank with the mirror image, NaN where there is no boundary
    bent: float  # with another contrast
    boundary: float
    entropy: float
    overlap: float  # with the mirror image, NaN where there is no boundary
    room: int  # whether four patches of every source fit side by side, so that MMD takes part
    either: int = 0  # voxels that are boundary as they are or mirrored; 0 in the runs before the sixth


def measure_crops(
    target: str, small: bool, seed: int, zoo: Zoo, backbones: Mapping[str, Backbone], wanted: Sequence[str]
) -> list[CropRow]:
    """Measure the `wanted` of some sources on the crops that suit all of them."""
    raw, defaults = open_raw(target), RankConfig()
    config = PatchConfig(count=defaults.crops, seed=seed, roi=choose_part(raw, small))
    features = load_features(raw, zoo, backbones, defaults).values()
    room = all(count_fitting(raw, found.footprint_vx, config) >= FEWEST_FITTING for found in features)
    crops = draw_crops(raw, [backbone.card.architecture for backbone in backbones.values()], config)
    return [
        CropRow(target, int(small), name, seed, dimensions, crop, room=int(room), **_describe(*boundaries))
        for name in wanted
        for crop, found in enumerate(predict_boundaries(raw, backbones[name], crops, changes=(MIRROR, CONTRAST)))
        for dimensions, boundaries in found.items()
    ]


def _describe(plain: np.ndarray, mirrored: np.ndarray, bent: np.ndarray) -> dict[str, Any]:
    """Return what a row says of the boundaries of a crop."""
    both, either = count_boundary(plain, mirrored)
    found = {
        "mirrored": agree(plain, mirrored),
        "bent": agree(plain, bent),
        "boundary": float((plain > BOUNDARY).mean()),
        "entropy": boundary_entropy(plain),
        "overlap": both / either if either else float("nan"),
    }
    return {name: round(value, 5) for name, value in found.items()} | {"either": either}
