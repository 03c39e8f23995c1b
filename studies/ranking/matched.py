"""MMD^2 of every source and a target as the product measures it, of more patches (the fourth run)."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.domains.features import compare_features, load_features
from neuroadda.domains.patches import count_fitting
from neuroadda.domains.ranking import RankConfig, RankPatches
from neuroadda.zoo.finding import Zoo
from studies.ranking.targets import choose_part, open_raw

PATCHES = 96


@dataclass(frozen=True)
class MatchedRow:
    """MMD^2 of a source and a target, or the `small` part of it; `seed` draws the target's patches."""

    target: str
    small: int
    source: str
    seed: int
    mmd2: float


def measure_matched(
    target: str, small: bool, seed: int, zoo: Zoo, backbones: Mapping[str, Backbone], pool: Executor
) -> list[MatchedRow]:
    """Return the MMD^2 of the sources whose patches fit."""
    raw = open_raw(target)
    patches = RankPatches(count=PATCHES, seed=seed, roi=choose_part(raw, small))
    config = RankConfig(patches=patches, permutations=1, resamples=1)  # MMD^2 alone is kept
    features = load_features(raw, zoo, backbones, config)
    fitting = {name: found for name, found in features.items() if count_fitting(raw, found.footprint_vx, patches)}
    return [
        MatchedRow(target, int(small), name, seed, round(compared.mmd2, 5))
        for name, compared in compare_features(raw, backbones, fitting, config, pool).items()
    ]
