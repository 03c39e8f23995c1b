"""Skeletons of segments: a tree with radii for each (see `trees`), in the precomputed format or as SWC.

A segment is traced as a whole, on voxels so coarse that its box has at most `MAX_VOXELS` of them: a coarser voxel is in the
segment where any finer one is, so nothing that holds together falls apart. Nodes are then moved to the finer voxel of the segment
that is nearest to the coarser one's centre. Memory does not grow with the volume; the detail of skeletons of segments that run
through very large volumes does go down.
"""

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import ZyxFloat
from neuroadda.publishing.crops import choose_coarsening
from neuroadda.publishing.named_files import WrittenNames
from neuroadda.publishing.publication import Publication
from neuroadda.publishing.segment_table import Chosen, SegmentTable
from neuroadda.publishing.segments import SEGMENTATION, TABLE, choose_rows, list_segments, make_row_grid, rows_of
from neuroadda.publishing.trees import Tree, describe_swc, trace
from neuroadda.publishing.whole_voxels import read_ids
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location, to_location
from neuroadda.volumes.storage.placing import write_file

Form = Literal["precomputed", "swc"]
MAX_VOXELS, SEGMENTS_IN_BLOCK = 2**22, 16
INFO = {
    "@type": "neuroglancer_skeletons",
    "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
    "vertex_attributes": [{"id": "radius", "data_type": "float32", "num_components": 1}],
}


@dataclass
class PlacedCrop:
    """A segment in its box, on coarser voxels; of each it is known which finer voxel of the segment is nearest to its centre.

    Attributes
    ----------
    begin
        The first coarser voxel, zyx from the origin.
    voxel_size_nm
        Of the finer voxels.
    factor
        Voxels in a coarser one, zyx.
    offsets
        int64 ``(n, 3)``: the places of voxels in a coarser one, zyx, by their distance from its centre.
    nearest
        uint32, zyx: the first of `offsets` that is in the segment, of each coarser voxel; n where none is.
    """

    begin: np.ndarray
    voxel_size_nm: np.ndarray
    factor: np.ndarray
    offsets: np.ndarray
    nearest: np.ndarray

    @classmethod
    def plan(cls, begin: np.ndarray, end: np.ndarray, voxel_size_nm: ZyxFloat, max_voxels: int) -> "PlacedCrop":
        """Return the empty crop of a box, in voxels as fine as `max_voxels` allows."""
        factor, size = choose_coarsening(begin, end, voxel_size_nm, max_voxels), np.array(voxel_size_nm)
        shape = -(-end // factor) - begin // factor
        offsets = np.argwhere(np.ones(factor, bool))
        away = np.linalg.norm((offsets + 0.5 - factor / 2) * size, axis=1)
        offsets = offsets[np.argsort(away, kind="stable")]
        return cls(begin // factor, size, factor, offsets, np.full(shape, len(offsets), np.uint32))

    @property
    def mask(self) -> np.ndarray:
        """The coarser voxels that are in the segment: bool, zyx."""
        return self.nearest < len(self.offsets)

    def add(self, voxels: np.ndarray, begin: np.ndarray) -> None:
        """Add voxels (bool, zyx) that lie at `begin`, from the origin."""
        ranks = np.zeros(self.factor, np.uint32)
        ranks[tuple(self.offsets.T)] = np.arange(len(self.offsets))
        coarse, within = np.divmod(np.argwhere(voxels) + begin, self.factor)
        flat = np.ravel_multi_index(tuple((coarse - self.begin).T), self.nearest.shape)
        np.minimum.at(self.nearest.reshape(-1), flat, ranks[tuple(within.T)])

    def trace(self) -> Tree:
        """Return the segment's tree: its nodes lie in voxels of the segment, or in cavities of it."""
        size = self.voxel_size_nm * self.factor
        tree = trace(self.mask, size, self.begin)
        coarse = np.floor(tree.nodes[:, ::-1] / size).astype(np.int64)
        ranks = self.nearest[tuple((coarse - self.begin).T)]
        inside = ranks < len(self.offsets)
        places = coarse[inside] * self.factor + self.offsets[ranks[inside]] + 0.5
        tree.nodes[inside] = (places * self.voxel_size_nm)[:, ::-1]
        return tree


class WriteSkeletons(Stage):
    """Write the skeletons of the chosen segments.

    Attributes
    ----------
    blocks
        The grid of the table's blocks.
    max_voxels
        Of a segment's box, when it is traced.
    """

    kind: ClassVar[str] = "skeletons"
    version: ClassVar[int] = 2
    unit: ClassVar[str] = "segments"

    form: Form
    chosen: Chosen
    blocks: BlockGrid
    voxel_size_nm: ZyxFloat
    max_voxels: int = MAX_VOXELS

    @property
    def name(self) -> str:
        """Kind and form."""
        return f"{self.kind}_{self.form}"

    def create_output(self, task: Task) -> None:
        """Create the folder."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return which segments' files are there."""
        table = SegmentTable.load(task.inputs[TABLE])
        ids = table.id[self.chosen.find_rows(table)]
        return WrittenNames(
            to_location(task.output), task.grid, lambda b: [self._name(i) for i in ids[rows_of(b)].tolist()]
        )

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes some segments' skeletons."""
        volume, table = Volume.open(task.inputs[SEGMENTATION]), SegmentTable.load(task.inputs[TABLE])
        rows = self.chosen.find_rows(table)

        def write(block: Block) -> dict[str, Any]:
            nodes = 0
            for row, crop in self._read(volume, table, rows[rows_of(block)].tolist()).items():
                tree = crop.trace()
                id_ = int(table.id[row])
                content = describe_swc(tree, id_) if self.form == "swc" else describe_precomputed(tree)
                write_file(to_location(task.output) / self._name(id_), content)
                nodes += len(tree.nodes)
            return {"nodes": nodes}

        return write

    def _read(self, volume: Volume, table: SegmentTable, rows: list[int]) -> dict[int, PlacedCrop]:
        """Return the crops of some segments; each block of the volume is read once."""
        crops = {
            row: PlacedCrop.plan(table.begin[row], table.end[row], self.voxel_size_nm, self.max_voxels) for row in rows
        }
        within: dict[int, list[int]] = {}
        for row in rows:
            for index in table.list_blocks(row).tolist():
                within.setdefault(index, []).append(row)
        for index, held in sorted(within.items()):
            roi = self.blocks[index].write_roi
            begin, end = np.array(roi.begin), np.array(roi.end)
            ids = read_ids(volume, begin, end)
            for row in held:
                low, high = np.maximum(begin, table.begin[row]), np.minimum(end, table.end[row])
                box = tuple(slice(int(a), int(b)) for a, b in zip(low - begin, high - begin, strict=True))
                crops[row].add(ids[box] == table.id[row], low)
        return crops

    def _name(self, id_: int) -> str:
        return f"{id_}.swc" if self.form == "swc" else str(id_)


def describe_precomputed(tree: Tree) -> bytes:
    """Return a skeleton's file: github.com/google/neuroglancer, precomputed/skeletons.md."""
    counts = np.array([len(tree.nodes), len(tree.edges)], "<u4")
    columns = (counts, tree.nodes.astype("<f4"), tree.edges.astype("<u4"), tree.radii.astype("<f4"))
    return b"".join(column.tobytes() for column in columns)


def write_skeletons(publication: Publication, form: Form, folder: Location) -> int:
    """Write the skeletons of the chosen segments into a folder; return how many there are."""
    volume = publication.segmentation
    table, listed, grid = list_segments(publication)
    chosen, rows = choose_rows(publication, table)
    if len(rows):
        stage = WriteSkeletons(form=form, chosen=chosen, blocks=grid, voxel_size_nm=volume.voxel_size_nm)
        source: Any = publication.source(SEGMENTATION)
        inputs = {SEGMENTATION: source, TABLE: listed}
        publication.run(Task.make(stage, inputs, folder, make_row_grid(len(rows), SEGMENTS_IN_BLOCK)))
        if form == "precomputed":
            write_file(folder / "info", json.dumps(INFO).encode())
    return len(rows)
