"""Size, box and blocks of every segment: measured by block, then joined to one table."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.errors import warn
from neuroadda.publishing.publication import Publication
from neuroadda.publishing.segment_table import Chosen, SegmentTable, join_parts, measure_parts
from neuroadda.publishing.whole_voxels import make_voxel_grid, read_ids
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, read_columns, write_columns
from neuroadda.volumes.arrays import Volume

SEGMENTATION, TABLE = "segmentation", "table"


class MeasureSegments(Stage):
    """Measure the parts of segments in each block."""

    kind: ClassVar[str] = "measure_segments"

    def create_output(self, task: Task) -> None:
        """Create the folder of the blocks' files."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return which blocks' files are there."""
        return WrittenFiles(Path(task.output), task.blocks.to_mask())

    def open(self, task: Task) -> BlockFunction:
        """Return the function that measures a block."""
        volume = Volume.open(task.inputs[SEGMENTATION])

        def measure(block: Block) -> dict[str, Any]:
            begin = np.array(block.write_roi.begin)
            columns = measure_parts(read_ids(volume, begin, np.array(block.write_roi.end)))
            columns |= {name: columns[name] + begin for name in ("begin", "end")}
            write_columns(block_file(Path(task.output), block.index), **columns)
            return {"segments": len(columns["id"])}

        return measure


class ListSegments(Stage):
    """Join the blocks' parts to a `SegmentTable`; memory is some tens of bytes for each block that a segment is in.

    Attributes
    ----------
    blocks
        The grid of the parts.
    """

    kind: ClassVar[str] = "list_segments"
    unit: ClassVar[str] = ""

    blocks: BlockGrid

    def create_output(self, task: Task) -> None:
        """Create the table's folder."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return whether the table is there."""
        return WrittenFiles(Path(task.output), np.ones(1, bool))

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes the table."""

        def join(block: Block) -> dict[str, Any]:
            parts = Path(task.inputs["parts"])
            table = join_parts([read_columns(block_file(parts, index)) for index in range(len(self.blocks))])
            write_columns(block_file(Path(task.output), 0), **vars(table))
            return {"segments": len(table.id)}

        return join


def list_segments(publication: Publication) -> tuple[SegmentTable, tuple[Path, str], BlockGrid]:
    """Measure all segments; return the table, its place and content for the tasks that read it, and the grid of its blocks."""
    grid = make_voxel_grid(publication.segmentation, publication.config.block_vx)
    work, source = publication.work, {SEGMENTATION: publication.source(SEGMENTATION)}
    parts = publication.run(Task.make(MeasureSegments(), source, work / "parts", grid))
    inputs = {"parts": (work / "parts", parts.fingerprint)}
    listed = publication.run(Task.make(ListSegments(blocks=grid), inputs, work / "segments", make_row_grid(1, 1)))
    return SegmentTable.load(listed.output), (work / "segments", listed.fingerprint), grid


def choose_rows(publication: Publication, table: SegmentTable) -> tuple[Chosen, np.ndarray]:
    """Return the choice of the config and its rows, with a warning where there are none."""
    config = publication.config
    chosen = Chosen(min_size=config.min_size, ids=None if config.ids is None else tuple(sorted(set(config.ids))))
    rows = chosen.find_rows(table)
    if not len(rows):
        warn(f"no segment has {config.min_size} voxels: there is nothing to write of segments", config.run)
    return chosen, rows


def make_row_grid(rows: int, in_block: int) -> BlockGrid:
    """Return a grid over rows of a table, so many in a block."""
    return BlockGrid.make(Roi((0, 0, 0), (rows, 1, 1)), Coordinate(1, 1, 1), (in_block, 1, 1))


def rows_of(block: Block) -> slice:
    """Return the rows of a block of such a grid."""
    return slice(block.write_roi.begin[0], block.write_roi.end[0])
