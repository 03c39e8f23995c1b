"""The scales of a published volume: where each lies. How a format stores one is told by its own subclass.

Coarser voxels lie on the lattice that begins at voxel 0, not at the volume's corner, since the formats have whole voxel offsets. So
every scale is in its place, whatever the offset; a coarser voxel at the border stands for the finer ones that exist.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import Config, Zyx, ZyxFloat
from neuroadda.publishing.whole_voxels import first_voxel
from neuroadda.pyramids.downsampling import choose_factor
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location

Layer = Literal["raw", "affs", "fragments", "segmentation"]
IMAGES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")
"""Data types of images that the formats can store."""


class Extent(Config):
    """What a scale holds, and where; everything zyx.

    Attributes
    ----------
    begin_vx
        The first voxel, in voxels of this scale from the origin.
    channels
        None for one channel that the source has no axis for.
    chunk_vx
        What is compressed at once.
    """

    layer: Layer
    data_type: str
    channels: int | None
    begin_vx: Zyx
    shape_vx: Zyx
    voxel_size_nm: ZyxFloat
    chunk_vx: Zyx

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """First voxel, and the one after the last."""
        begin = np.array(self.begin_vx)
        return begin, begin + self.shape_vx


class Scale(Extent):
    """A scale as a format stores it."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Name of the folder."""

    @property
    @abstractmethod
    def grid(self) -> BlockGrid:
        """Blocks in voxels from the origin; no two write to one file, and they may begin before the scale does."""

    @abstractmethod
    def list_files(self, begin_vx: Sequence[int], shape_vx: Sequence[int]) -> list[str]:
        """Return the names of the files that hold a block."""

    @abstractmethod
    def open(self, folder: Location) -> Any:
        """Open the array below the folder of the volume by tensorstore, xyzc, to be read or written; without its metadata, too."""


def plan_extents(
    layer: Layer, data_type: str, volume: Volume, like: Volume, chunk_vx: Zyx, fit_vx: int
) -> list[Extent]:
    """Return the scales of a volume over the extent of another, which has the same voxels; from fine to coarse.

    Parameters
    ----------
    fit_vx
        There are scales until each axis has at most so many voxels.

    Raises
    ------
    UserError
        If the offset is not a whole number of voxels.
    """
    begin, shape, size = first_voxel(like), np.array(like.shape_vx), np.array(like.voxel_size_nm)
    extents = []
    while True:
        extent = Extent(
            layer=layer,
            data_type=data_type,
            channels=volume.channels,
            begin_vx=to_zyx(begin),
            shape_vx=to_zyx(shape),
            voxel_size_nm=(float(size[0]), float(size[1]), float(size[2])),
            chunk_vx=chunk_vx,
        )
        extents.append(extent)
        if shape.max() <= fit_vx:
            return extents
        factor = np.array(choose_factor(shape.tolist(), size.tolist()))
        end = -(-(begin + shape) // factor)
        begin, size = begin // factor, size * factor
        shape = end - begin


def to_zyx(values: np.ndarray) -> Zyx:
    """Return three numbers as plain ones."""
    z, y, x = values.tolist()
    return z, y, x
