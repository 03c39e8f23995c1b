"""Which boxes of a pool a person should label, and why each of them.

To add a strategy: its name in `Strategy`, its order in `_order`, its words in `_explain`.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.spatial.distance import cdist

from neuroadda.active.pool import Candidates
from neuroadda.config import Config
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.regions import RoiConfig

Strategy = Literal["median", "max", "min", "random", "diverse", "median+diverse"]
Embed = Callable[[Sequence[RoiConfig]], np.ndarray]
"""Appearance of boxes: float32[n, f], one row a box."""

EXTREMES = {"max": "highest", "min": "lowest"}
BLOCK = 2**16  # candidates that are compared with the chosen ones at a time


class ChooseConfig(Config):
    """How boxes are chosen.

    Attributes
    ----------
    strategy
        "median": scores nearest to the pool's median; "max", "min": highest, lowest scores; "random": any, all alike;
        "diverse": different in appearance; "median+diverse": the same among scores near the median, the best in
        docs/results/boxes.md.
    count : boxes
        How many boxes.
    min_distance_nm
        Least gap between two of them, face to face.
    seed
        Decides what is random, and between equal scores.
    method
        What different in appearance means. "k-centre": each is the farthest from those before it (Sener & Savarese 2018).
        "facility": each brings the shortlist nearest to those chosen, in total (greedy facility location).
    shortlist : boxes
        How many boxes are looked at for their appearance; at least four times as many as asked for.
    """

    strategy: Strategy = "median+diverse"
    count: int = Field(default=4, ge=1)
    min_distance_nm: float = Field(default=0.0, ge=0)
    seed: int = Field(default=0, ge=0)
    method: Literal["k-centre", "facility"] = "k-centre"
    shortlist: int = Field(default=128, ge=1, le=8192)


def choose(candidates: Candidates, config: ChooseConfig, embed: Embed | None = None) -> tuple[list[int], list[str]]:
    """Return the boxes to label in the order of their rank, and the reason for each.

    They do not overlap and keep the distance asked for. If fewer fit than were asked for, those that fit are returned.

    Parameters
    ----------
    embed
        Appearance of boxes; "diverse" and "median+diverse" need it.

    Returns
    -------
    chosen
        Indices of `candidates`.
    reasons
        One sentence each.

    Raises
    ------
    UserError
        If there are no candidates, `embed` is missing, or it returns something else than finite numbers.
    """
    if not len(candidates):
        raise UserError("there are no boxes to choose from", None, "make them smaller, or ask for less tissue")
    median = float(np.median(candidates.score))
    order = _order(candidates.score, median, config)
    chosen: list[int] = []
    if config.strategy in ("diverse", "median+diverse"):
        if embed is None:
            raise UserError(f"strategy {config.strategy!r} needs the appearance of boxes", None, "give a backbone")
        _choose_diverse(candidates, order, config, embed, chosen)
    apart = len(chosen)
    choose_in_order(candidates, order, config, chosen)
    return chosen, [
        _explain(config, rank, rank < apart, float(candidates.score[i]), median) for rank, i in enumerate(chosen)
    ]


def _order(score: np.ndarray, median: float, config: ChooseConfig) -> np.ndarray:
    """Return all candidates, best first; int32[n]."""
    order = np.random.default_rng(config.seed).permutation(np.arange(len(score), dtype=np.int32))
    if config.strategy in ("random", "diverse"):
        return order
    key = score[order]
    if config.strategy == "max":
        np.negative(key, out=key)
    elif config.strategy != "min":
        np.abs(np.subtract(key, np.float32(median), out=key), out=key)
    return order[np.argsort(key, kind="stable")]


def read_appearance(boxes: Sequence[RoiConfig], embed: Embed) -> np.ndarray:
    """Return the appearance of boxes, float64[n, f].

    Raises
    ------
    UserError
        If `embed` returns something else than a row of finite numbers for each.
    """
    features = np.asarray(embed(boxes), np.float64)
    if features.ndim != 2 or len(features) != len(boxes) or not np.isfinite(features).all():
        raise UserError("the appearance of boxes is not a row of finite numbers each", "embedding")
    return features


def choose_in_order(candidates: Candidates, order: np.ndarray, config: ChooseConfig, chosen: list[int]) -> None:
    """Take the first that fits beside those chosen, again and again."""
    for begin in range(0, len(order), BLOCK):
        if len(chosen) >= config.count:
            return
        left = order[begin : begin + BLOCK]
        for index in chosen:
            left = left[fits(candidates, left, index, config.min_distance_nm)]
        while len(left) and len(chosen) < config.count:
            chosen.append(int(left[0]))
            left = left[fits(candidates, left, chosen[-1], config.min_distance_nm)]


def fits(candidates: Candidates, indices: np.ndarray, index: int, min_distance_nm: float) -> np.ndarray:
    """Return which boxes neither overlap the one at `index` nor come too near to it."""
    first = candidates.first_cell
    between = np.abs(first[indices] - first[index]) - np.array(candidates.shape_cells)
    gap_nm = np.linalg.norm(np.maximum(between, 0) * np.array(candidates.cell_nm), axis=1)
    return (between >= 0).any(axis=1) & (gap_nm >= min_distance_nm - 1e-6)


def _choose_diverse(
    candidates: Candidates, order: np.ndarray, config: ChooseConfig, embed: Embed, chosen: list[int]
) -> None:
    """Take boxes of a shortlist that differ in appearance, as long as one fits."""
    near_median = config.strategy == "median+diverse"
    most = min(config.shortlist, len(order) // 4) if near_median else config.shortlist
    shortlist = order[: max(most, 4 * config.count)]
    features = read_appearance([candidates.box(int(i)) for i in shortlist], embed)
    facility = config.method == "facility"
    distances = cdist(features, features) if facility else np.empty((0, 0))
    nearest = np.full(len(shortlist), distances.max() if facility else np.inf)
    free = np.ones(len(shortlist), bool)
    while len(chosen) < config.count and free.any():
        # Where gains are equal the first of the shortlist is taken, and its order is seeded.
        if facility and (chosen or not near_median):
            gain = np.array(
                [np.maximum(nearest - row, 0).sum() if f else -1 for row, f in zip(distances, free, strict=True)]
            )
        else:
            gain = np.where(free, nearest, -1)
        pick = int(gain.argmax())
        chosen.append(int(shortlist[pick]))
        nearest = np.minimum(nearest, distances[pick] if facility else cdist(features, features[pick : pick + 1])[:, 0])
        free &= fits(candidates, shortlist, chosen[-1], config.min_distance_nm)


def _explain(config: ChooseConfig, rank: int, apart: bool, score: float, median: float) -> str:
    """Return why a box was chosen; `apart` if for its appearance."""
    told = f"uncertainty {score:.2f}"
    nearest = f"{told} is {'next ' if rank else ''}nearest to the pool's median, {median:.2f}"
    if config.strategy in EXTREMES:
        return f"{told} is the {'next ' if rank else ''}{EXTREMES[config.strategy]}"
    if config.strategy == "median":
        return nearest
    if config.strategy == "random":
        return f"drawn at random, {told}"
    near_median = config.strategy == "median+diverse"
    if not apart or (near_median and not rank):
        return nearest if near_median else f"drawn at random as no box of the shortlist fits any more, {told}"
    among = f" among boxes near the pool's median, {median:.2f}" if near_median else ""
    if config.method == "facility":
        what = "stands best for what those before it do not look like" if rank else "most typical in appearance"
    else:
        what = "farthest in appearance from those before it" if rank else "drawn at random to begin with"
    return f"{what}{among}, {told}"
