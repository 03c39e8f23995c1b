"""Write the next coarser level of a volume, block by block."""

from pathlib import Path
from typing import Any, ClassVar

from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Zyx
from neuroadda.pyramids.downsampling import Halving, Method, downsample
from neuroadda.volumes.arrays import Volume


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
            voxels = downsample(source.read(block.write_roi.intersect(source.roi)), self.factor, self.method)
            begin_vx = (block.write_roi.begin - task.grid.roi.begin) / voxel_size
            shape_vx = block.write_roi.shape / voxel_size
            corner = output.roi.begin + begin_vx * output.voxel_size
            output.write(Roi(corner, shape_vx * output.voxel_size), voxels)
            return {}

        return write_coarser


def make_downsample_task(
    source: Volume, output: Path, stage: Downsample, fingerprint: str, block_vx: Zyx, chunk_vx: Zyx
) -> Task:
    """Bind the stage to a finer level whose content has a fingerprint; blocks and chunks are the coarser level's."""
    voxel_size = source.voxel_size * Coordinate(stage.factor)
    shape_vx = Coordinate(-(-s // f) for s, f in zip(source.shape_vx, stage.factor, strict=True))
    grid = BlockGrid.make(Roi(source.roi.begin, shape_vx * voxel_size), voxel_size, block_vx)
    return Task.make(stage, {"source": (source.path, fingerprint)}, output, grid, chunk_vx)
