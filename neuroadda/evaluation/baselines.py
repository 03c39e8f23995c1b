"""What others would have done with the same voxels: baselines for a results table, in memory."""

from collections.abc import Sequence

import numpy as np
import waterz
from scipy.ndimage import distance_transform_edt, gaussian_filter, label, maximum_filter
from skimage.segmentation import watershed

from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import Scores, score
from neuroadda.segmentation.by_waterz import silence_stdout
from neuroadda.segmentation.scoring import MEAN_AFFINITY

SIGMAS_VX = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)


def score_raw_watershed(
    raw: np.ndarray, labels: np.ndarray, voxel_size_nm: Sequence[float], sigmas_vx: Sequence[float] = SIGMAS_VX
) -> Scores:
    """Return the scores of a 3-D watershed of the smoothed raw image, at the smoothing that suits it best.

    Membranes are dark: basins are the maxima of the smoothed image, found by flooding its inverse.

    Parameters
    ----------
    raw, labels
        zyx.
    sigmas_vx
        Of the Gaussian, in xy voxels (fewer in z by the voxel size). The best is chosen on these very labels, which favours
        the baseline.
    """
    return min((_score_raw(raw, labels, voxel_size_nm, sigma) for sigma in sigmas_vx), key=lambda scores: scores.voi)


def _score_raw(raw: np.ndarray, labels: np.ndarray, voxel_size_nm: Sequence[float], sigma: float) -> Scores:
    sigmas = [sigma * min(voxel_size_nm) / v for v in voxel_size_nm]
    smooth = gaussian_filter(raw.astype(np.float32), sigmas)
    seeds, _ = label(maximum_filter(smooth, size=3) == smooth)
    return score(count_overlaps(watershed(-smooth, seeds).astype(np.uint64), labels))


def score_classic_recipe(
    affs: np.ndarray,
    labels: np.ndarray,
    voxel_size_nm: Sequence[float],
    thresholds: Sequence[float],
    seed_distance_vx: int = 10,
) -> Scores:
    """Return the scores of the field's usual recipe on the same affinities, at its best threshold.

    Seeded watershed (scikit-image) on the distance to the boundary, by section where z is coarse, and waterz agglomeration by
    mean affinity: Funke et al. 2019 (doi:10.1109/TPAMI.2018.2835450) as in the scripts of Sheridan et al. 2023
    (doi:10.1038/s41592-022-01711-z).

    Parameters
    ----------
    affs
        uint8, czyx; the first three channels are the nearest neighbours.
    thresholds
        The best is chosen on these very labels.
    """
    nearest = affs[:3].astype(np.float32) / np.float32(255)
    fragments = classic_fragments(nearest, voxel_size_nm, seed_distance_vx)
    with silence_stdout():
        segmentations = waterz.agglomerate(
            nearest, list(thresholds), fragments=fragments, scoring_function=MEAN_AFFINITY, discretize_queue=256
        )
        found = [score(count_overlaps(np.asarray(segmentation), labels)) for segmentation in segmentations]
    return min(found, key=lambda scores: scores.voi)


def classic_fragments(affs: np.ndarray, voxel_size_nm: Sequence[float], seed_distance_vx: int) -> np.ndarray:
    """Return the recipe's fragments (uint64, zyx) of affinities (float, 0 to 1, czyx)."""
    if voxel_size_nm[0] < 2 * max(voxel_size_nm[1:]):
        return _flood(affs.mean(axis=0) > 0.5, seed_distance_vx)
    fragments = np.zeros(affs.shape[1:], np.uint64)
    last = 0
    for section, inside in zip(fragments, (affs[1] + affs[2]) / 2 > 0.5, strict=True):
        found = _flood(inside, seed_distance_vx)
        section[:] = np.where(found > 0, found + np.uint64(last), 0)
        last = max(last, int(section.max()))
    return fragments


def _flood(inside: np.ndarray, seed_distance_vx: int) -> np.ndarray:
    distance = distance_transform_edt(inside)
    seeds, _ = label((maximum_filter(distance, seed_distance_vx) == distance) & inside)
    return watershed(distance.max() - distance, seeds, mask=inside).astype(np.uint64)
