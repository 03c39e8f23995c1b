"""Segments cut out of a volume on coarse voxels, of one size for all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from funlib.geometry import Roi

from neuroadda.config import ZyxFloat
from neuroadda.observing import track
from neuroadda.publishing.crops import Crop, choose_coarsening
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_ids import read_ids

MAX_VOXELS = 2**19


@dataclass(frozen=True)
class Frame:
    """A volume on coarse voxels, which begin at its corner.

    Attributes
    ----------
    roi
        Of the volume, in its world units.
    factor
        int64 zyx: voxels in a coarse one.
    shape
        int64 zyx, in coarse voxels; the last of an axis may stick out.
    voxel_nm
        Of a coarse voxel, zyx.
    size_nm
        Of the volume, zyx.
    """

    roi: Roi
    factor: np.ndarray
    shape: np.ndarray
    voxel_nm: np.ndarray
    size_nm: np.ndarray

    @classmethod
    def plan(cls, volume: Volume, roi: Roi, max_voxels: int = MAX_VOXELS) -> "Frame":
        """Return the frame of a ROI with voxels as fine as `max_voxels` allows."""
        shape_vx = np.array(roi.shape / volume.voxel_size)
        factor = choose_coarsening(np.zeros(3, np.int64), shape_vx, volume.voxel_size_nm, max_voxels)
        size_nm = np.array(volume.voxel_size_nm)
        return cls(roi, factor, -(-shape_vx // factor), size_nm * factor, size_nm * shape_vx)

    @property
    def voxel_size_nm(self) -> ZyxFloat:
        """`voxel_nm` as a tuple."""
        z, y, x = self.voxel_nm.tolist()
        return z, y, x


Held = Sequence[tuple[Roi, Sequence[int]]]
"""Parts of a volume, and the ids to cut out of each."""


def cut_crops(volume: Volume, frame: Frame, held: Held) -> dict[int, Crop]:
    """Return the crops of ids, in coarse voxels from the frame's corner; each part of the volume is read once.

    A coarse voxel is in a segment where any finer one is, as of `Crop`. Ids of which there is nothing are left out.

    Parameters
    ----------
    held
        Their ROIs are on the voxels of the volume, inside the frame.
    """
    import fastremap

    boxes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for roi, ids in held:
        begin, end = (np.array((corner - frame.roi.begin) / volume.voxel_size) for corner in (roi.begin, roi.end))
        low, high = begin // frame.factor, -(-end // frame.factor)
        for id_ in ids:
            first, last = boxes.get(id_, (low, high))
            boxes[id_] = np.minimum(first, low), np.maximum(last, high)
    crops = {id_: Crop(low, frame.factor, np.zeros(high - low, bool)) for id_, (low, high) in boxes.items()}
    for roi, ids in track(f"shapes in {volume.path.name}", held):
        voxels, begin = read_ids(volume, roi), np.array((roi.begin - frame.roi.begin) / volume.voxel_size)
        for id_ in np.intersect1d(fastremap.unique(voxels), np.array(ids, np.uint64)).tolist():
            crops[id_].add(voxels == np.uint64(id_), begin)
    return {id_: _shrink(crop) for id_, crop in crops.items() if crop.mask.any()}


def _shrink(crop: Crop) -> Crop:
    from scipy.ndimage import find_objects

    (box,) = find_objects(crop.mask.view(np.uint8))
    return Crop(crop.begin + [axis.start for axis in box], crop.factor, crop.mask[box].copy())
