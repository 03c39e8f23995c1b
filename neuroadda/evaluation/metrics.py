"""Variation of information and Rand scores of a segmentation against truth labels."""

import math
from collections.abc import Collection

import numpy as np

from neuroadda.config import Config
from neuroadda.errors import UserError
from neuroadda.evaluation.contingency import Contingency

UNITS = {math.e: "nats", 2: "bits"}


class Scores(Config):
    """Scores of a segmentation S against truth T, over the voxels that count.

    Attributes
    ----------
    voi_split
        H(S | T), what splits cost (over-segmentation); 0 is best.
    voi_merge
        H(T | S), what mergers cost (under-segmentation); 0 is best.
    voi
        Their sum, the variation of information.
    units
        Of the three above: "nats", "bits" or "log <base>".
    rand_split
        Of the voxel pairs that share a label, the part that shares a segment (recall); 1 is best.
    rand_merge
        Of the voxel pairs that share a segment, the part that shares a label (precision); 1 is best.
    adapted_rand_error
        1 minus the harmonic mean of the two; 0 is best.
    voxels
        Voxels that counted.
    segments, labels
        Numbers of ids among them (segment 0 is one of them where it counts).
    """

    voi_split: float
    voi_merge: float
    voi: float
    units: str
    rand_split: float
    rand_merge: float
    adapted_rand_error: float
    voxels: int
    segments: int
    labels: int


def score(
    contingency: Contingency,
    *,
    base: float = math.e,
    ignore_labels: Collection[int] = (0,),
    ignore_segments: Collection[int] = (),
) -> Scores:
    """Score a segmentation by its overlaps with the truth.

    The rules, since they differ between tools and change the numbers:

    - Truth label 0 (membrane, unassigned) is not scored. Every other voxel is.
    - Segment 0 (unsegmented) inside a labelled voxel is one segment like any other: leaving voxels out costs what
      giving them to one wrong object costs. Were they skipped, the score would be the better the less is segmented.
      waterz.evaluate counts so too, and scikit-image given ``ignore_labels=(0,)`` (labels of the truth, there).
    - VOI is in natural units by default; ``base=2`` gives the bits of waterz and scikit-image (1 nat = 1.4427 bits).
    - Rand counts pairs of distinct voxels, as scikit-image does; waterz also pairs each voxel with itself, which
      differs by about 1 / (voxels an object).

    Parameters
    ----------
    base
        Of the logarithm.
    ignore_labels, ignore_segments
        Ids whose voxels are left out.

    Raises
    ------
    UserError
        If no voxel is left to score, or the base is not above 1.

    References
    ----------
    Meila 2007, J. Multivar. Anal. 98:873 (VOI). Arganda-Carreras et al. 2015, Front. Neuroanat. 9:142 (Rand).
    """
    if not base > 1:
        raise UserError(f"{base} is not above 1", "base", "e for nats, 2 for bits")
    keep = ~(_is_among(contingency.labels, ignore_labels) | _is_among(contingency.segments, ignore_segments))
    joint = contingency.counts[keep].astype(np.float64)
    if not joint.size:
        raise UserError("there is no labelled voxel to score", "labels", "do segmentation and labels overlap?")
    segment, sizes_s = _marginal(contingency.segments[keep], joint)
    label, sizes_t = _marginal(contingency.labels[keep], joint)
    voxels = joint.sum()

    # Each term is >= 0, so nothing cancels: a perfect segmentation scores exactly 0.
    voi_split = float(joint @ np.log(sizes_t[label] / joint) / voxels / math.log(base))
    voi_merge = float(joint @ np.log(sizes_s[segment] / joint) / voxels / math.log(base))
    both, same_segment, same_label = _pairs(joint), _pairs(sizes_s), _pairs(sizes_t)
    return Scores(
        voi_split=voi_split,
        voi_merge=voi_merge,
        voi=voi_split + voi_merge,
        units=UNITS.get(base, f"log {base:g}"),
        rand_split=_fraction(both, same_label),
        rand_merge=_fraction(both, same_segment),
        adapted_rand_error=1 - _fraction(2 * both, same_segment + same_label),
        voxels=int(voxels),
        segments=len(sizes_s),
        labels=len(sizes_t),
    )


def _is_among(ids: np.ndarray, few: Collection[int]) -> np.ndarray:
    found = np.zeros(ids.shape, bool)
    for one in few:
        found |= ids == one
    return found


def _marginal(ids: np.ndarray, joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each entry's dense id, and the voxels of each dense id."""
    _, dense = np.unique(ids, return_inverse=True)
    return dense, np.bincount(dense, weights=joint)


def _pairs(sizes: np.ndarray) -> float:
    return float(sizes @ (sizes - 1))


def _fraction(part: float, whole: float) -> float:
    """Return part / whole; 1 where there is nothing that could be wrong (every object is a single voxel)."""
    return part / whole if whole else 1.0
