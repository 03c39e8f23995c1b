"""MMD^2 of every source and a target, in the ways that the study compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.domains.baselines import frechet_distance
from neuroadda.domains.comparison import MmdConfig, estimate_mmd2
from neuroadda.domains.embedding import embed_patches, pixel_of
from neuroadda.domains.kernel import sum_pairs
from neuroadda.domains.mmd import choose_bandwidths
from neuroadda.domains.patches import PatchConfig, count_fitting, draw_places, footprint_vx, match_levels, read_patches
from neuroadda.zoo.embeddings import Embedding, find_generalist, load_embeddings
from neuroadda.zoo.finding import Zoo
from studies.ranking.targets import choose_part, open_raw

HALVINGS = 1000
PATCHES = 32  # as the product
DEFAULT, PAPER = MmdConfig(), MmdConfig(pooling="mean", bandwidth="median", unbiased=False)


@dataclass(frozen=True)
class DistanceRow:
    """Distances of a source and a target, or the `small` part of it; `seed` draws the target's patches."""

    target: str
    small: int
    source: str
    seed: int
    own: float
    paper: float
    over_null: float
    common: float  # by the generalist's network
    standardised: float
    frechet: float


def measure_distances(
    target: str, small: bool, seed: int, zoo: Zoo, backbones: Mapping[str, Backbone], wanted: Sequence[str]
) -> list[DistanceRow]:
    """Return the distances of the `wanted` of all sources, less the generalist: all see the same places of the target.

    Sources whose patches do not fit are left out; where the generalist's do not, all are.
    """
    raw = open_raw(target)
    generalist = find_generalist(zoo)
    assert generalist is not None
    stored = {name: load_embeddings(zoo.folder(name)) for name in backbones}
    views = {name: (pixel_of(b.card), stored[name]["own"]["max"].shape_vx) for name, b in backbones.items()}
    part = choose_part(raw, small)
    seen = {name: footprint_vx(raw, *view) for name, view in views.items()}
    seen = {name: n for name, n in seen.items() if count_fitting(raw, n, PatchConfig(roi=part))}
    kept = [name for name in seen if name in wanted and name != generalist]
    if generalist not in seen or not kept:
        return []
    footprint = np.max(list(seen.values()), axis=0)
    config = PatchConfig(count=PATCHES, seed=seed, roi=part)
    places = draw_places(raw, tuple(map(int, footprint)), config)  # type: ignore[arg-type]
    common = embed_patches(backbones[generalist], read_patches(raw, places, *views[generalist]))["max"]
    rows = []
    for name in kept:
        patches, source = read_patches(raw, places, *views[name]), stored[name]["own"]
        here = embed_patches(backbones[name], patches)
        assert source["max"].raw_mean is not None
        assert source["max"].raw_std is not None
        alike = embed_patches(backbones[name], match_levels(patches, source["max"].raw_mean, source["max"].raw_std))
        own = estimate_mmd2(here["max"], source["max"], DEFAULT)
        values = (
            own,
            estimate_mmd2(here["mean"], source["mean"], PAPER),
            own / measure_null(source["max"]),
            estimate_mmd2(common, stored[name]["reference"]["max"], DEFAULT),
            estimate_mmd2(alike["max"], source["max"], DEFAULT),
            frechet_distance(here["max"].features, source["max"].features),
        )
        rows.append(DistanceRow(target, int(small), name, seed, *(round(value, 5) for value in values)))
    return rows


def measure_null(source: Embedding) -> float:
    """Return the 95 % quantile of MMD^2 between random halves of a source's own blocks."""
    features = source.features
    blocks = np.unique(source.blocks, return_inverse=True)[1]
    sums = sum_pairs(
        features[:1], features[1:], blocks, choose_bandwidths(features[::2], features[1::2], DEFAULT.bandwidth)
    )
    count = len(sums.sizes)
    halves = np.zeros((HALVINGS, count))
    halves[:, : count // 2] = 1
    halves = np.random.default_rng(0).permuted(halves, axis=1)
    return float(np.quantile(sums.mmd2_between_groups(halves), 0.95))
