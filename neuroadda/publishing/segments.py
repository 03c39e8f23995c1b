"""Size, box and blocks of every segment: measured by block, then joined to one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import Block, BlockGrid, BlockSet
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Config, ZyxFloat
from neuroadda.errors import UserError, warn
from neuroadda.publishing.places import make_voxel_grid, read_ids
from neuroadda.publishing.publication import Publication
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, read_columns, write_columns
from neuroadda.volumes.arrays import Volume

SEGMENTATION, TABLE = "segmentation", "table"


@dataclass(frozen=True)
class SegmentTable:
    """Segments as columns, by id.

    Attributes
    ----------
    id
        uint64, ascending, without 0.
    voxels
        int64.
    begin, end
        int64 ``(n, 3)``: the box, zyx in voxels from the origin; `end` is the voxel after the last.
    first, blocks
        int64: those that hold segment i are ``blocks[first[i] : first[i + 1]]``, ascending.
    """

    id: np.ndarray
    voxels: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    first: np.ndarray
    blocks: np.ndarray

    @classmethod
    def load(cls, folder: str | Path) -> "SegmentTable":
        """Read what `ListSegments` wrote."""
        return cls(**read_columns(block_file(Path(folder), 0)))

    @cached_property
    def rows(self) -> dict[int, int]:
        """The row of each id."""
        return {id_: row for row, id_ in enumerate(self.id.tolist())}

    def list_blocks(self, row: int) -> np.ndarray:
        """Return the blocks that hold a segment."""
        return np.asarray(self.blocks[self.first[row] : self.first[row + 1]])


class Chosen(Config):
    """Which segments something is written of.

    Attributes
    ----------
    min_size
        Voxels; smaller ones are left out.
    ids
        Only these; None for all.
    """

    min_size: int
    ids: tuple[int, ...] | None

    def find_rows(self, table: SegmentTable) -> np.ndarray:
        """Return int64, the rows of the segments, by id.

        Raises
        ------
        UserError
            If an id is not in the table.
        """
        large = table.voxels >= self.min_size
        if self.ids is None:
            return np.flatnonzero(large)
        wanted = np.array(sorted(set(self.ids)), np.uint64)
        unknown = wanted[~np.isin(wanted, table.id)]
        if len(unknown):
            shown = ", ".join(map(str, unknown[:5].tolist()))
            raise UserError(f"there is no segment {shown}", "--ids", "ids of the segmentation, without 0")
        return np.flatnonzero(np.isin(table.id, wanted))  # what is asked for by its id is never too small


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


def measure_parts(ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return id, voxels, and box (begin, end, within the array) of every id above 0 in uint64 zyx."""
    import fastremap
    from scipy.ndimage import find_objects

    local, numbers = fastremap.renumber(ids, preserve_zero=True)  # 1, 2, ... as they come
    numbers.pop(0, None)
    found = np.array(sorted(numbers, key=numbers.__getitem__), np.uint64)
    boxes = find_objects(local.astype(np.int32), len(found))
    begin = np.array([[axis.start for axis in box] for box in boxes], np.int64).reshape(-1, 3)
    end = np.array([[axis.stop for axis in box] for box in boxes], np.int64).reshape(-1, 3)
    voxels = np.bincount(local.ravel(), minlength=len(found) + 1)[1:]
    order = np.argsort(found)
    return {"id": found[order], "voxels": voxels[order], "begin": begin[order], "end": end[order]}


def join_parts(parts: Sequence[dict[str, np.ndarray]]) -> SegmentTable:
    """Return the table of what `measure_parts` found in each block."""
    blocks = np.repeat(np.arange(len(parts)), [len(part["id"]) for part in parts])
    columns = {name: np.concatenate([part[name] for part in parts]) for name in ("id", "voxels", "begin", "end")}
    order = np.argsort(columns["id"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    id_, first = np.unique(columns["id"], return_index=True)
    if not len(id_):
        none = np.zeros((0, 3), np.int64)
        return SegmentTable(id_, np.zeros(0, np.int64), none, none, np.zeros(1, np.int64), blocks)
    return SegmentTable(
        id_,
        np.add.reduceat(columns["voxels"], first),
        np.minimum.reduceat(columns["begin"], first),
        np.maximum.reduceat(columns["end"], first),
        np.append(first, len(order)),
        blocks[order],
    )


def list_segments(publication: Publication) -> tuple[SegmentTable, tuple[Path, str], BlockGrid]:
    """Measure all segments; return the table, its place and content for the tasks that read it, and the grid of its blocks."""
    grid = make_voxel_grid(publication.segmentation, publication.config.block_vx)
    work, source = publication.work, {SEGMENTATION: publication.source(SEGMENTATION)}
    parts = publication.run(Task.make(MeasureSegments(), source, work / "parts", grid))  # type: ignore[arg-type]
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


def describe_segments(table: SegmentTable, rows: np.ndarray, voxel_size_nm: ZyxFloat) -> dict[str, Any]:
    """Return the ``info`` of Neuroglancer's segment properties: voxels, nm3, and the box in nm."""
    size, nm3 = np.array(voxel_size_nm), float(np.prod(voxel_size_nm))
    voxels = table.voxels[rows]
    numbers = {"voxels": voxels, "size_nm3": voxels * nm3}
    for side, places in (("begin", table.begin), ("end", table.end)):
        numbers |= {
            f"{name}_{side}_nm": places[rows, axis] * size[axis] for axis, name in ((2, "x"), (1, "y"), (0, "z"))
        }
    whole = len(voxels) == 0 or int(voxels.max()) < 2**32
    types = {name: "uint32" if name == "voxels" and whole else "float32" for name in numbers}
    properties = [
        {"id": name, "type": "number", "data_type": types[name], "values": values.tolist()}
        for name, values in numbers.items()
    ]
    inline = {"ids": [str(id_) for id_ in table.id[rows].tolist()], "properties": properties}
    return {"@type": "neuroglancer_segment_properties", "inline": inline}


def find_touching(table: SegmentTable, rows: np.ndarray, grid: BlockGrid) -> BlockSet:
    """Return the blocks that a surface of some segments may lie in: see `mesh_blocks`."""
    found = np.zeros(len(grid), bool)
    for row in rows.tolist():
        found[list_touching(table.list_blocks(row), grid)] = True
    return BlockSet.of(found)


def list_touching(blocks: np.ndarray, grid: BlockGrid) -> np.ndarray:
    """Return some blocks with their neighbours one block before along each axis, ascending: those whose read voxels are in them."""
    places = np.stack(np.unravel_index(blocks, grid.counts), axis=-1)
    steps = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    around = (places[:, None] - steps).reshape(-1, 3)
    around = around[(around >= 0).all(axis=1)]
    return np.unique(np.ravel_multi_index(tuple(around.T), grid.counts))
