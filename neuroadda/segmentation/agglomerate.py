"""Agglomerate block by block, then blocks of blocks, and so on: the merges are those of the whole volume.

Level 0 merges what it can within each block; level l takes what was left in 2 x 2 x 2 blocks of the level below, adds the edges
between them, and goes on (see `rag`). What is left of a block is about as much as its surface has.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from neuroadda.blockwise.grid import Block, BlockGrid, BlockSet
from neuroadda.blockwise.outputs import Written, blocks_in
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Config
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, list_block_files, read_columns, write_columns
from neuroadda.segmentation.edges import read_edges
from neuroadda.segmentation.ids import capacity_of, to_local
from neuroadda.segmentation.rag import Contracted, Rag, contract
from neuroadda.segmentation.scoring import MEAN, Scoring

FAN_OUT = 2
LEVEL = "agglomerate-"  # and its number: the name of a level


class Agglomerate(Config):
    """Parameters of the agglomeration.

    Attributes
    ----------
    limit
        Regions merge while they score below it, such as 1 - mean affinity; thresholds are at most this.
    scoring
        ``mean``, ``contraharmonic``, ``quantile_<q>``, ``quantile_<q>_root`` or ``waterz:<function>``; see docs/scoring.md.
    """

    limit: float = Field(default=0.95, gt=0, le=1)
    scoring: Scoring = MEAN


class AgglomerateLevel(Stage):
    """Agglomeration over the blocks of one level.

    Attributes
    ----------
    limit
        See `Agglomerate`.
    level
        0 for the blocks of the fragments; a block of each further level is `FAN_OUT` blocks of the last along each axis.
    blocks
        The grid of the fragments.
    """

    kind: ClassVar[str] = "agglomerate"

    limit: float
    level: int
    blocks: BlockGrid

    @property
    def name(self) -> str:
        """Such as ``agglomerate-0``."""
        return f"{LEVEL}{self.level}"

    def create_output(self, task: Task) -> None:
        """Create the folder of what every block merged and left."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return which blocks' files are there."""
        return WrittenFiles(Path(task.output), task.blocks.to_mask())

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes what a block merges and leaves."""
        below = Path(task.inputs["below"])
        held = blocks_in(below, level_grid(self.blocks, max(0, self.level - 1)))

        def agglomerate(block: Block) -> dict[str, Any]:
            if self.level == 0:
                part = _read_block(below, held, self.blocks, block)
            else:
                part = _join_blocks(below, held, self.blocks, self.level, block)
            done = contract(part.rag, self.limit, part.faces.region)
            _write(block_file(Path(task.output), block.index), done, part.faces)
            return {"edges": len(part.rag.u), "merges": len(done.merges.u), "left": len(done.rag.u)}

        return agglomerate


def level_grid(blocks: BlockGrid, level: int) -> BlockGrid:
    """Return the grid of a level."""
    z, y, x = (side * FAN_OUT**level for side in blocks.block)
    return blocks.model_copy(update={"block": (z, y, x), "context": (0, 0, 0)})


def count_levels(blocks: BlockGrid) -> int:
    """Return how many levels there are: the last has one block."""
    level = 0
    while len(level_grid(blocks, level)) > 1:
        level += 1
    return level + 1


def read_merges(folders: Iterable[Path]) -> Iterator[dict[str, np.ndarray]]:
    """Read the columns of `Merges` of every block of every level's folder."""
    for folder in folders:
        for path in list_block_files(folder):
            yield read_columns(path, "u", "v", "score")


@dataclass(frozen=True)
class _Faces:
    """Edges that leave a block, as columns: the fragments inside and outside, the region of the former, sum and count."""

    inside: np.ndarray
    outside: np.ndarray
    region: np.ndarray
    sum: np.ndarray
    count: np.ndarray

    def take(self, chosen: np.ndarray) -> "_Faces":
        return _Faces(**{name: column[chosen] for name, column in vars(self).items()})


@dataclass(frozen=True)
class _Part:
    """What a block knows: the edges inside it, and those that leave it."""

    rag: Rag
    faces: _Faces


def _read_block(edges: Path, held: BlockSet, blocks: BlockGrid, block: Block) -> _Part:
    """Read what a block of level 0 knows: edges that cross a face belong to the upper of two blocks."""
    own = read_edges(edges, block.index)
    above = [read_edges(edges, index) for index in _upper_neighbours(blocks, block) if index in held]
    u, v, sum_, count = (
        np.concatenate([getattr(e, name) for e in (own, *above)]) for name in ("u", "v", "sum", "count")
    )
    capacity = capacity_of(blocks)
    u_inside, v_inside = (to_local(ids, capacity)[0] == block.index for ids in (u, v))
    within = u_inside & v_inside
    crossing = u_inside ^ v_inside
    inside, outside = np.where(u_inside, u, v)[crossing], np.where(u_inside, v, u)[crossing]
    faces = _Faces(inside, outside, inside, sum_[crossing], count[crossing])
    u, v = u[within], v[within]
    return _Part(Rag(u, v, sum_[within], count[within], u, v), faces)


def _upper_neighbours(blocks: BlockGrid, block: Block) -> list[int]:
    places = [tuple(p + (i == axis) for i, p in enumerate(block.position)) for axis in range(3)]
    return [
        blocks.at((z, y, x)).index
        for z, y, x in places
        if all(p < n for p, n in zip((z, y, x), blocks.counts, strict=True))
    ]


def _join_blocks(below: Path, held: BlockSet, blocks: BlockGrid, level: int, block: Block) -> _Part:
    """Join what the blocks of the level below left; the faces between them become edges."""
    grid = level_grid(blocks, level - 1)
    ranges = [range(FAN_OUT * p, min(FAN_OUT * (p + 1), n)) for p, n in zip(block.position, grid.counts, strict=True)]
    indices = (grid.at((z, y, x)).index for z, y, x in product(*ranges))
    parts = [_read_left(block_file(below, index)) for index in indices if index in held]
    faces = _Faces(**{n: np.concatenate([getattr(p.faces, n) for p in parts]) for n in _Faces.__dataclass_fields__})
    leaving = _level_block(faces.outside, blocks, level) != block.index
    rag = Rag.concatenate([*(part.rag for part in parts), _match(faces.take(~leaving))])
    return _Part(rag, faces.take(leaving))


def _level_block(fragments: np.ndarray, blocks: BlockGrid, level: int) -> np.ndarray:
    """Return the index of the block of a level in which each fragment lies."""
    index, _ = to_local(fragments, capacity_of(blocks))
    places = np.unravel_index(index, blocks.counts)
    counts = level_grid(blocks, level).counts
    return np.ravel_multi_index(tuple(place // FAN_OUT**level for place in places), counts)


def _match(faces: _Faces) -> Rag:
    """Return edges from faces that both sides know: each side tells its own region."""
    low = faces.take(faces.inside < faces.outside)
    high = faces.take(faces.inside > faces.outside)
    low, high = low.take(np.lexsort((low.outside, low.inside))), high.take(np.lexsort((high.inside, high.outside)))
    u, v = np.minimum(low.region, high.region), np.maximum(low.region, high.region)
    return Rag(u, v, low.sum, low.count, low.inside, low.outside)


def _write(path: Path, done: Contracted, faces: _Faces) -> None:
    faces = _Faces(**(vars(faces) | {"region": done.rename(faces.region)}))
    columns = {f"rag_{name}": column for name, column in vars(done.rag).items()}
    columns |= {f"face_{name}": column for name, column in vars(faces).items()}
    write_columns(path, **vars(done.merges), **columns)


def _read_left(path: Path) -> _Part:
    def read(prefix: str, names: Iterable[str]) -> dict[str, np.ndarray]:
        columns = read_columns(path, *(prefix + name for name in names))
        return {name.removeprefix(prefix): column for name, column in columns.items()}

    rag, faces = Rag(**read("rag_", Rag.__dataclass_fields__)), _Faces(**read("face_", _Faces.__dataclass_fields__))
    return _Part(rag, faces)
