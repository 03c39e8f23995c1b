"""The table of segments: size, box and blocks of each; and which of them are chosen to be written."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.blockwise.grid import BlockGrid, BlockSet
from neuroadda.config import Config, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.segmentation.blockfiles import block_file, read_columns


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
    """Which segments have their mesh, skeleton or properties written.

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


def measure_parts(ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return id, voxels, and box (begin, end, within the array) of every id above 0 in uint64 zyx."""
    import fastremap
    from scipy.ndimage import find_objects

    local, numbers = fastremap.renumber(ids, preserve_zero=True)  # 1, 2, ... as they come
    numbers.pop(0, None)
    found = np.array([id_ for _, id_ in sorted((number, id_) for id_, number in numbers.items())], np.uint64)
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
    """Return the blocks that a surface of some segments may lie in: see `MeshBlocks`."""
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
