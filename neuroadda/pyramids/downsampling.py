"""The next coarser level of a volume: which axes are halved, what a coarser voxel holds, and the stage that writes it."""

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_ids import clean_ids, describe_unlabelled

Method = Literal["mean", "mode"]
Halving = tuple[Literal[1, 2], Literal[1, 2], Literal[1, 2]]


def choose_factor(shape_vx: Sequence[int], voxel_size: Sequence[float]) -> Halving:
    """Return by what each axis is divided: 2 or 1, zyx.

    An axis is halved if its voxels are less than sqrt(2) as long as the shortest: halving the others brings the voxels
    nearer to a cube, and near a cube all axes are halved. Axes of one voxel neither are halved nor count.
    """
    finest = min((v for s, v in zip(shape_vx, voxel_size, strict=True) if s > 1), default=math.inf)
    z, y, x = (2 if s > 1 and v < math.sqrt(2) * finest else 1 for s, v in zip(shape_vx, voxel_size, strict=True))
    return cast(Halving, (z, y, x))


def check_method(dtype: np.dtype[Any], method: Method, where: str) -> None:
    """Raise UserError if voxels of a data type have no such average."""
    if method == "mode" and dtype.kind not in "iub":
        raise UserError(f"its data type is {dtype}", where, "labels are integers")
    if method == "mean" and dtype.kind != "f" and (dtype.kind not in "iu" or dtype.itemsize > 4):
        raise UserError(f"its data type is {dtype}", where, "only grey values are averaged; say --kind labels for ids")


def downsample(voxels: np.ndarray, factor: Halving, method: Method) -> np.ndarray:
    """Return the next coarser level.

    A coarser voxel stands for the 1 to 8 voxels that it covers; at the high end of an axis of odd length for the half of
    them that there are.

    Parameters
    ----------
    voxels
        ``[c,] z, y, x``; channels are kept apart.
    factor
        1 or 2 for each axis, zyx.
    method
        ``mean``: rounded to the nearest integer and, halfway, to the even one, so that many levels do not grow brighter or
        darker. ``mode``: the most frequent id; of equally frequent ones the smallest. Background (0) is an id like any
        other: ignoring it would let thin things grow at each level, and close the gaps between neurons.

    Returns
    -------
    np.ndarray
        Of the same dtype; an axis of n voxels has ceil(n / factor).
    """
    dz, dy, dx = factor
    # Repeating the last voxel of an odd axis gives every voxel of a cut window the same weight: mean and mode stay.
    short = [(0, 0)] * (voxels.ndim - 3) + [(0, -s % f) for s, f in zip(voxels.shape[-3:], factor, strict=True)]
    if any(after for _, after in short):
        voxels = np.pad(voxels, short, mode="edge")
    corners = [voxels[..., z::dz, y::dy, x::dx] for z, y, x in product(range(dz), range(dy), range(dx))]
    if len(corners) == 1:
        return corners[0]
    return _take_mean(corners) if method == "mean" else _take_mode(corners)


class Downsample(Stage):
    """Parameters of one level; see `downsample`."""

    kind: ClassVar[str] = "downsample"

    method: Method
    factor: Halving

    def create_output(self, task: Task) -> None:
        """Create the coarser array at the corner of the finer one; its world unit may be another (two 4.5 nm are 9 nm)."""
        source, grid = Volume.open(task.inputs["source"]), task.grid
        Volume.create(
            task.output,
            grid.roi.shape / Coordinate(grid.voxel_size),
            [v / source.units_per_nm for v in grid.voxel_size],
            source.dtype,
            offset_nm=source.offset_nm,
            channels=source.channels,
            chunk_vx=task.chunk_vx,
            attrs=task.tag,
        )

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes a block of the coarser level."""
        source, output = Volume.open(task.inputs["source"]), Volume.open(task.output, "r+")
        voxel_size = Coordinate(task.grid.voxel_size)

        def write_coarser(block: Block) -> dict[str, Any]:
            finer = source.read(block.write_roi.intersect(source.roi))
            voxels, results = self.make(finer, str(source.path))
            begin_vx = (block.write_roi.begin - task.grid.roi.begin) / voxel_size
            shape_vx = block.write_roi.shape / voxel_size
            corner = output.roi.begin + begin_vx * output.voxel_size
            output.write(Roi(corner, shape_vx * output.voxel_size), voxels)
            return results

        return write_coarser

    def make(self, finer: np.ndarray, where: str) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the coarser voxels of finer ones, and what is recorded of the block."""
        return downsample(finer, self.factor, self.method), {}


class CopyLabels(Downsample):
    """Copy labels; ids that say that nothing is labelled become 0 (see `label_ids`), and are counted."""

    kind: ClassVar[str] = "copy_labels"

    method: Method = "mode"
    factor: Halving = (1, 1, 1)

    def make(self, finer: np.ndarray, where: str) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the ids, and how many voxels became 0; raise UserError if an id is negative."""
        ids, unlabelled = clean_ids(finer, where)
        return ids.astype(finer.dtype), describe_unlabelled(0 if unlabelled is None else int(unlabelled.sum()))


def make_downsample_task(
    source: Volume, output: Path, stage: Downsample, fingerprint: str, block_vx: Zyx, chunk_vx: Zyx
) -> Task:
    """Bind the stage to a finer level whose content has a fingerprint; blocks and chunks are the coarser level's."""
    voxel_size = source.voxel_size * Coordinate(stage.factor)
    shape_vx = Coordinate(-(-s // f) for s, f in zip(source.shape_vx, stage.factor, strict=True))
    grid = BlockGrid.make(Roi(source.roi.begin, shape_vx * voxel_size), voxel_size, block_vx)
    return Task.make(stage, {"source": (source.path, fingerprint)}, output, grid, chunk_vx)


def _take_mean(corners: list[np.ndarray]) -> np.ndarray:
    dtype = corners[0].dtype
    exact: Any = np.float32 if dtype.kind in "iu" and dtype.itemsize <= 2 else np.float64  # holds the sum of eight
    mean: np.ndarray = corners[0].astype(exact)
    for corner in corners[1:]:
        mean += corner
    mean /= len(corners)
    if dtype.kind in "iu":
        np.rint(mean, out=mean)
    return mean.astype(dtype)


def _take_mode(corners: list[np.ndarray]) -> np.ndarray:
    mode = corners[0].copy()
    mixed = np.zeros(mode.shape, bool)
    for corner in corners[1:]:
        mixed |= corner != mode
    ids = np.sort(np.stack([corner[mixed] for corner in corners], axis=-1), axis=-1)
    found, longest, run = ids[:, 0].copy(), np.ones(len(ids), np.uint8), np.ones(len(ids), np.uint8)
    for i in range(1, len(corners)):
        run = np.where(ids[:, i] == ids[:, i - 1], run + np.uint8(1), np.uint8(1))
        longer = run > longest  # not where equal: the smaller id came first
        found[longer], longest[longer] = ids[longer, i], run[longer]
    mode[mixed] = found
    return mode
