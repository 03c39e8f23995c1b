"""Write the segmentation: every fragment's voxels get its segment's id."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.segmentation.components import Lut
from neuroadda.segmentation.ids import capacity_of, to_local_of
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.masks import Mask
from neuroadda.volumes.coverage.tissue import NO_DATA


class Relabel(Stage):
    """Relabel fragments by the lookup table; a block reads its own part of it alone."""

    kind: ClassVar[str] = "relabel"

    def create_output(self, task: Task) -> None:
        """Create the uint64 segmentation."""
        task.create_array(Volume.open(task.inputs["fragments"]), np.uint64)

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes a block of the segmentation."""
        fragments, segmentation = Volume.open(task.inputs["fragments"]), Volume.open(task.output, "r+")
        data = Mask.open(task.inputs[NO_DATA], fragments) if NO_DATA in task.inputs else None
        lut, capacity = Lut.open(Path(task.inputs["lut"])), capacity_of(task.grid)

        def relabel(block: Block) -> dict[str, Any]:
            ids = fragments.read(block.write_roi)
            table = np.r_[np.uint64(0), lut.of_block(block.index)]
            segments = table[to_local_of(block.index, ids, capacity)]
            if data is not None:  # lost sections, across which fragments were found
                segments[~data.read(block.write_roi)] = 0
            segmentation.write(block.write_roi, segments)
            return {}

        return relabel
