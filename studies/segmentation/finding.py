"""Ways from affinities to fragments, and the mutex watershed, which needs none."""

from typing import Any

import fastremap
import numpy as np
import waterz
from bioimage_cpp.segmentation import mutex_watershed
from skimage.segmentation import expand_labels

from neuroadda.evaluation.baselines import classic_fragments
from neuroadda.segmentation.by_waterz import silence_stdout
from neuroadda.segmentation.fragments import Fragments, find_fragments

GROWTH_VX = 20
# Offsets (zyx) of repulsion for the mutex watershed, by whether z is coarse. The networks predict nearest neighbours only: the
# affinity of a longer offset is taken to be the least on the straight way.
LONG_OFFSETS = {
    False: ((-4, 0, 0), (0, -4, 0), (0, 0, -4), (-9, 0, 0), (0, -9, 0), (0, 0, -9)),
    True: ((-2, 0, 0), (0, -9, 0), (0, 0, -9), (0, -27, 0), (0, 0, -27)),
}
NEAREST = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))


def find(affs: np.ndarray, voxel_size_nm: tuple[float, ...], family: str, parameters: dict[str, Any]) -> np.ndarray:
    """Return fragments of a family: ``ours`` (`Fragments`), ``classic`` or ``waterz`` (its watershed's two thresholds)."""
    if family == "ours":
        return find_fragments(affs, voxel_size_nm, Fragments(**parameters)).astype(np.uint64)
    nearest = affs.astype(np.float32) / np.float32(255)
    if family == "classic":
        found = classic_fragments(nearest, voxel_size_nm, parameters["seed_distance_vx"])
        if parameters["grown"]:  # into the boundaries, which the recipe leaves out
            spacing = np.array(voxel_size_nm) / min(voxel_size_nm)
            found = expand_labels(found, distance=GROWTH_VX, spacing=tuple(spacing))
        return fastremap.renumber(found)[0].astype(np.uint64)
    with silence_stdout():
        low, high = parameters["low"], parameters["high"]
        found = next(waterz.agglomerate(nearest, [0.0], aff_threshold_low=low, aff_threshold_high=high))
    return fastremap.renumber(np.array(found))[0].astype(np.uint64)


def find_by_mutex(
    affs: np.ndarray, anisotropic: bool, bias: float, long: bool, strides: tuple[int, int, int] = (1, 2, 2)
) -> np.ndarray:
    """Return segments of the mutex watershed of voxels (Wolf et al. 2020).

    Repulsion is that of the nearest neighbours, or, if `long`, of longer offsets whose affinity is made up of them.
    """
    nearest = affs.astype(np.float32) / np.float32(255)
    offsets: tuple[tuple[int, ...], ...] = NEAREST
    repulsion = nearest
    if long:
        offsets = LONG_OFFSETS[anisotropic]
        repulsion = np.stack([_least_on_the_way(nearest, offset) for offset in offsets])
    weights = np.concatenate([nearest - np.float32(bias), np.float32(bias) - repulsion])
    found = mutex_watershed(weights, NEAREST + offsets, 3, strides=strides if long else None)
    return found.astype(np.uint64)


def _least_on_the_way(nearest: np.ndarray, offset: tuple[int, ...]) -> np.ndarray:
    axis = next(i for i, step in enumerate(offset) if step)
    least = nearest[axis].copy()
    for step in range(1, -offset[axis]):
        moved = np.roll(nearest[axis], step, axis)
        np.minimum(least, moved, out=least)
    return least
