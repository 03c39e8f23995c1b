"""The tasks of an agglomeration: level after level of blocks, or one by waterz."""

from collections.abc import Mapping
from pathlib import Path

from funlib.geometry import Coordinate

from neuroadda.blockwise.grid import BlockGrid, BlockSet, coarsen_blocks
from neuroadda.blockwise.task import Task
from neuroadda.segmentation.agglomerate import FAN_OUT, Agglomerate, AgglomerateLevel, count_levels, level_grid
from neuroadda.segmentation.by_waterz import AgglomerateByWaterz, context_vx
from neuroadda.segmentation.scoring import is_by_waterz
from neuroadda.volumes.storage.locations import Location


def plan_levels(
    agglomerate: Agglomerate,
    inputs: Mapping[str, tuple[Location, str]],
    blocks: BlockGrid,
    voxel_size_nm: tuple[float, ...],
    tissue: BlockSet | None,
    folder: Path,
) -> list[Task]:
    """Bind an agglomeration to affs, fragments and edges.

    Parameters
    ----------
    inputs
        These three; as those of `Task.make`.
    blocks
        The grid of the fragments, without context.
    tissue
        Of its blocks, those that have any.
    folder
        Each level writes to a folder of its own in it.
    """
    if is_by_waterz(agglomerate.scoring):
        context = tuple(Coordinate(context_vx(voxel_size_nm)) * Coordinate(blocks.voxel_size))
        seen = blocks.model_copy(update={"context": context})
        stage = AgglomerateByWaterz(**dict(agglomerate))
        return [Task.make(stage, inputs, folder / "level_0", seen, blocks=tissue)]
    below, held, levels = inputs["edges"], tissue, list[Task]()
    for level in range(count_levels(blocks)):
        grid = level_grid(blocks, level)
        output = folder / f"level_{level}"
        stage_of_level = AgglomerateLevel(limit=agglomerate.limit, level=level, blocks=blocks)
        levels.append(Task.make(stage_of_level, {"below": below}, output, grid, blocks=held))
        held = None if held is None else coarsen_blocks(held, grid.counts, FAN_OUT)
        below = (output, levels[-1].fingerprint)
    return levels
