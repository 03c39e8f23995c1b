"""Magnifications of a layer of WEBKNOSSOS, each an array of zarr format 3 whose first voxel is voxel 0 of the data set.

What lies before the volume is in no file, or, in a file that the volume begins in, 0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.task import Task
from neuroadda.config import Zyx, ZyxFloat
from neuroadda.publishing.fragment_numbers import read_numbering
from neuroadda.publishing.scale_stage import Read, WriteScale
from neuroadda.publishing.scales import Layer, Scale, plan_extents
from neuroadda.publishing.whole_voxels import first_voxel, read_ids
from neuroadda.publishing.zarr3 import describe_array, open_array
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.masks import Mask
from neuroadda.volumes.coverage.tissue import NO_DATA
from neuroadda.volumes.storage.locations import Location

SHARD_CHUNKS = 4  # along each axis of a file
AXES = ("c", "x", "y", "z")


class Mag(Scale):
    """One magnification.

    Attributes
    ----------
    mag
        Voxels of the finest in one of its own, zyx.
    """

    mag: Zyx

    @property
    def key(self) -> str:
        """Such as ``2``, or ``4-4-1``: along x, y and z."""
        z, y, x = self.mag
        return str(x) if x == y == z else f"{x}-{y}-{z}"

    @property
    def shard_vx(self) -> Zyx:
        """What lies in a file, zyx."""
        z, y, x = (SHARD_CHUNKS * c for c in self.chunk_vx)
        return z, y, x

    @property
    def grid(self) -> BlockGrid:
        """A block is a file."""
        begin = np.array(self.begin_vx) // self.shard_vx * self.shard_vx
        return BlockGrid.make(Roi(begin.tolist(), (self.box[1] - begin).tolist()), Coordinate(1, 1, 1), self.shard_vx)

    @property
    def metadata(self) -> dict[str, Any]:
        """What its ``zarr.json`` holds."""
        count, lead = self.channels or 1, self.box[1][::-1].tolist()
        chunk, shard = (count, *self.chunk_vx[::-1]), (count, *self.shard_vx[::-1])
        return describe_array((count, *lead), self.data_type, chunk, shard, AXES)

    def list_files(self, begin_vx: Sequence[int], shape_vx: Sequence[int]) -> list[str]:
        """Return the name of the one file of a block."""
        z, y, x = (b // s for b, s in zip(begin_vx, self.shard_vx, strict=True))
        return [f"c/0/{x}/{y}/{z}"]

    def open(self, folder: Location) -> Any:
        """Open the array below the folder of the layer, xyzc, to be read or written; its ``zarr.json`` need not be there."""
        return open_array(folder / self.key, self.metadata).transpose([1, 2, 3, 0])


class WriteMag(WriteScale):
    """The stage that writes one magnification.

    The finest of fragments needs the inputs ``numbers``, their dense ids, and, where the segmentation has it, `NO_DATA`: there
    nothing is segmented.
    """

    kind: ClassVar[str] = "webknossos_layer"

    scale: Mag
    finer: Mag | None

    def open_volume(self, task: Task) -> Read:
        """Return a function of first voxel and the one after the last: ``[c,] z, y, x``."""
        if self.scale.layer != "fragments":
            return super().open_volume(task)
        fragments, numbering = Volume.open(task.inputs["source"]), read_numbering(Path(task.inputs["numbers"]))
        data = Mask.open(task.inputs[NO_DATA], fragments) if NO_DATA in task.inputs else None
        first, corner, size = first_voxel(fragments), fragments.roi.begin, fragments.voxel_size

        def read(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
            ids = read_ids(fragments, begin, end)
            there = ids > 0
            if data is not None:
                low, shape = Coordinate((begin - first).tolist()), Coordinate((end - begin).tolist())
                there &= data.read(Roi(corner + low * size, shape * size))
            dense = np.zeros(ids.shape, self.scale.data_type)
            dense[there] = numbering.to_dense(ids[there]) + 1
            return dense

        return read


def plan_mags(layer: Layer, data_type: str, volume: Volume, like: Volume, chunk_vx: Zyx, fit_vx: int) -> list[Mag]:
    """Return the magnifications of a volume over the extent of another, which has the same voxels; from fine to coarse.

    Raises
    ------
    UserError
        If the offset is not a whole number of voxels.
    """
    extents = plan_extents(layer, data_type, volume, like, chunk_vx, fit_vx)
    finest = extents[0].voxel_size_nm
    return [Mag(**dict(extent), mag=_divide(extent.voxel_size_nm, finest)) for extent in extents]


def _divide(size: ZyxFloat, finest: ZyxFloat) -> Zyx:
    z, y, x = (round(coarse / fine) for coarse, fine in zip(size, finest, strict=True))
    return z, y, x
