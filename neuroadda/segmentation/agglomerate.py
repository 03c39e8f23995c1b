"""Score every edge in the company of its neighbours: hierarchical agglomeration over a block and the 26 around it."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.segmentation.agglomeration import score_edges
from neuroadda.segmentation.blockfiles import block_file, read_columns, write_columns
from neuroadda.segmentation.edges import Edges, is_pair_of, read_edges


class Agglomerate(Stage):
    """Parameters of the agglomeration.

    A block's edges are scored in the graph of all edges owned by it and the blocks around it. Their statistics are those of
    the whole volume, so only merges further away are missed.

    Attributes
    ----------
    limit
        Scores (1 - mean affinity) are computed up to here; thresholds lie below it.
    rings
        How many blocks away "around" reaches; more for blocks under about 250 voxels across.
    """

    name: ClassVar[str] = "agglomerate"

    limit: float = Field(default=0.95, gt=0, le=1)
    rings: int = Field(default=1, ge=1)

    def create_output(self, task: Task) -> None:
        """Create the folder of score files."""
        task.create_folder()

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes the scores of a block's edges."""
        folder = Path(task.inputs["edges"])

        def agglomerate(block: Block) -> dict[str, Any]:
            around = task.grid.neighbourhood(block.index, self.rings)
            parts = [read_edges(folder, index) for index in around if index in task.blocks]
            own = read_edges(folder, block.index)
            edges = Edges.concatenate(parts)
            wanted = is_pair_of(edges.u, edges.v, own.u, own.v)
            scores = score_edges(edges.u, edges.v, edges.sum, edges.count, self.limit, wanted)
            write_columns(block_file(Path(task.output), block.index), u=own.u, v=own.v, score=scores)
            return {"edges": len(scores)}

        return agglomerate


def read_scores(folder: Path, block: int) -> dict[str, np.ndarray]:
    """Return the columns u, v (uint64) and score (float32) of the edges that a block owns."""
    return read_columns(block_file(folder, block), "u", "v", "score")
