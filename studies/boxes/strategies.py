"""Two more ways to choose boxes, on trial: called and answering as `neuroadda.active.strategies.choose` does.

If one of them wins (`studies.boxes`), its function moves there.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.cluster.vq import kmeans, vq
from scipy.spatial import KDTree

from neuroadda.active.pool import Candidates
from neuroadda.active.strategies import ChooseConfig, Embed, choose_in_order, fits, read_appearance

NEIGHBOURS = 20  # of a box whose density is measured, as in TypiClust
RESTARTS = 20  # of k-means


def choose_covering(candidates: Candidates, config: ChooseConfig, embed: Embed) -> tuple[list[int], list[str]]:
    """Choose boxes whose parts stand for as many parts of the volume as possible (CGS, iScience 29(1):114507).

    A part is a half of a box along each axis on which it has two cells or more. It stands for the k parts nearest to it in
    appearance, itself among them; k is such that the boxes asked for could just stand for all. Each box is the one that adds
    the most. Parts are those of a shortlist drawn at random; between equal gains its order decides, which is seeded.

    Parameters
    ----------
    embed
        Appearance of boxes of the shape of a part.

    Returns
    -------
    chosen, reasons
        As `choose` does, which takes the same settings; `strategy` and `method` are not read.
    """
    order, shortlist = _draw(candidates, config)
    parts, parts_of = _cut(candidates, shortlist)
    features = read_appearance([parts.box(i) for i in range(len(parts))], embed)
    k = max(1, len(parts) // (config.count * parts_of.shape[1]))
    nearest = KDTree(features).query(features, k)[1].reshape(len(parts), k)
    stands = np.zeros((len(shortlist), len(parts)), bool)
    for own, row in zip(parts_of, stands, strict=True):
        row[nearest[own]] = True
    chosen: list[int] = []
    reasons: list[str] = []
    free, left = np.ones(len(shortlist), bool), np.ones(len(parts), bool)
    while len(chosen) < config.count and free.any():
        gain = np.where(free, (stands & left).sum(axis=1), -1)
        pick = int(gain.argmax())
        chosen.append(int(shortlist[pick]))
        reasons.append(f"stands for {100 * gain[pick] / len(parts):.0f} % of the volume that those before it do not")
        left &= ~stands[pick]
        free &= fits(candidates, shortlist, chosen[-1], config.min_distance_nm)
    return _complete(candidates, order, config, chosen, reasons)


def choose_typical(candidates: Candidates, config: ChooseConfig, embed: Embed) -> tuple[list[int], list[str]]:
    """Choose the most typical box of each group that look alike (TypiClust, arXiv 2202.02794).

    Groups are as many clusters of k-means as boxes are asked for, of a shortlist drawn at random. From each, the largest first,
    the box with the lowest mean distance to its nearest neighbours in the cluster is taken that fits beside those before it.

    Parameters
    ----------
    embed
        Appearance of boxes.

    Returns
    -------
    chosen, reasons
        As `choose` does, which takes the same settings; `strategy` and `method` are not read.
    """
    order, shortlist = _draw(candidates, config)
    features = read_appearance([candidates.box(int(i)) for i in shortlist], embed)
    chosen: list[int] = []
    reasons: list[str] = []
    for members in _cluster(features, config.count, config.seed):
        near = shortlist[members[_sort_by_density(features[members])]]
        for index in chosen:
            near = near[fits(candidates, near, index, config.min_distance_nm)]
        if len(near):
            chosen.append(int(near[0]))
            share = 100 * len(members) / len(shortlist)
            reasons.append(f"most typical of a group with {share:.0f} % of the volume")
    return _complete(candidates, order, config, chosen, reasons)


def _draw(candidates: Candidates, config: ChooseConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return all candidates in a random order, and the first of them, whose appearance is looked at."""
    order = np.random.default_rng(config.seed).permutation(np.arange(len(candidates), dtype=np.int32))
    return order, order[: max(config.shortlist, 4 * config.count)]


def _cut(candidates: Candidates, shortlist: np.ndarray) -> tuple[Candidates, np.ndarray]:
    """Return the parts of boxes, each once, and int[boxes, parts]: which of them a box has."""
    halves = [(0, s - s // 2) if s > 1 else (0,) for s in candidates.shape_cells]
    begins = np.array(list(product(*halves)), np.int32)
    z, y, x = (max(1, s // 2) for s in candidates.shape_cells)
    first = candidates.first_cell[shortlist, None] + begins
    once, parts_of = np.unique(first.reshape(-1, 3), axis=0, return_inverse=True)
    blank = np.zeros(len(once), np.float32)
    parts = replace(candidates, first_cell=once, shape_cells=(z, y, x), score=blank, tissue=blank)
    return parts, parts_of.reshape(len(shortlist), len(begins))


def _cluster(features: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the members of each cluster (int[m], ascending), the largest first; of equal ones that of the first member."""
    centres, _ = kmeans(features, min(count, len(features)), iter=RESTARTS, seed=seed)
    label, _ = vq(features, centres)
    members = [np.flatnonzero(label == one) for one in range(len(centres))]
    yield from sorted((m for m in members if len(m)), key=lambda m: (-len(m), m[0]))


def _sort_by_density(features: np.ndarray) -> np.ndarray:
    """Return the order of boxes by the mean distance to their nearest neighbours, lowest first."""
    count = min(NEIGHBOURS + 1, len(features))  # each is its own nearest
    distances = KDTree(features).query(features, count)[0].reshape(len(features), count)
    return np.argsort(distances.sum(axis=1), kind="stable")


def _complete(
    candidates: Candidates, order: np.ndarray, config: ChooseConfig, chosen: list[int], reasons: list[str]
) -> tuple[list[int], list[str]]:
    """Add boxes drawn at random where too few fitted; and to every reason the box's score."""
    choose_in_order(candidates, order, config, chosen)
    reasons += ["drawn at random as no other box fits"] * (len(chosen) - len(reasons))
    scores = candidates.score[chosen]
    return chosen, [f"{reason}, uncertainty {score:.2f}" for reason, score in zip(reasons, scores, strict=True)]
