"""Edges between touching fragments: the numbers of their contacts that a scoring adds up, collected by block."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from funlib.geometry import Coordinate
from pydantic import SerializerFunctionWrapHandler, model_serializer

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Zyx
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, read_columns, write_columns
from neuroadda.segmentation.contacts import FULL, Contacts, collect_contacts, mark_as_one
from neuroadda.segmentation.ids import capacity_of, to_local_of
from neuroadda.segmentation.rag import Rag
from neuroadda.segmentation.scoring import MEAN, Scoring, list_quantiles, weigh
from neuroadda.segmentation.seams import find_cut_pairs
from neuroadda.volumes.arrays import Volume


@dataclass(frozen=True)
class Edges:
    """Edges as columns, sorted by (u, v): of touching fragments, what a scoring adds up (see `scoring`).

    Attributes
    ----------
    u, v
        uint64 fragment ids, u < v.
    sum
        int64, in units of 1 / 255: of the mean affinity, the sum of the uint8 affinities between them.
    count
        int64, the weight: of the mean affinity, the number of affinities.
    """

    u: np.ndarray
    v: np.ndarray
    sum: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, contacts: Contacts, scoring: str) -> "Edges":
        """Return what a scoring adds up of contacts."""
        return cls(contacts.u, contacts.v, *weigh(contacts, scoring))

    def to_rag(self) -> Rag:
        """Return the graph of these edges, of which none was merged."""
        return Rag(self.u, self.v, self.sum, self.count, self.u, self.v)

    @property
    def mean(self) -> np.ndarray:
        """float64, the weighted mean, 0 to 1: of the scoring ``mean``, the mean affinity."""
        return np.asarray(self.sum / (FULL * self.count))


class CollectEdges(Stage):
    """Collect the edges that each block owns, and the sizes of its fragments.

    Attributes
    ----------
    scoring
        What edges carry is for it; not one of waterz'. ``mean`` is no part of the stage's identity: what is made of it is older.
    """

    kind: ClassVar[str] = "edges"
    version: ClassVar[int] = 2

    scoring: Scoring = MEAN

    @model_serializer(mode="wrap")
    def _leave_mean_out(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if (name, value) != ("scoring", MEAN)}

    def create_output(self, task: Task) -> None:
        """Create the folder of edge files."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return which blocks' files are there."""
        return WrittenFiles(Path(task.output), task.blocks.to_mask())

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes a block's edge file and reports how many edges it has."""
        affs, fragments = Volume.open(task.inputs["affs"]), Volume.open(task.inputs["fragments"])
        capacity = capacity_of(task.grid)

        def collect(block: Block) -> dict[str, Any]:
            read_roi = block.write_roi.grow(affs.voxel_size, Coordinate(0, 0, 0)).intersect(fragments.roi)
            ids = fragments.read(read_roi)
            z, y, x = (block.write_roi.begin - read_roi.begin) / affs.voxel_size
            low = (z, y, x)
            contacts = collect_contacts(affs.read(block.write_roi)[:3], ids, low, list_quantiles(self.scoring))
            mark_as_one(contacts, *find_cut_pairs(fragments.path, block.index, capacity, ids, low))
            edges = Edges.of(contacts, self.scoring)
            own = ids[low[0] :, low[1] :, low[2] :]
            sizes = np.bincount(to_local_of(block.index, own, capacity).ravel())[1:]
            write_columns(block_file(Path(task.output), block.index), **vars(edges), sizes=sizes)
            return {"edges": len(edges.u), "fragments": len(sizes)}

        return collect


def read_edges(folder: Path, block: int) -> Edges:
    """Return the edges that a block owns."""
    return Edges(**read_columns(block_file(folder, block), "u", "v", "sum", "count"))


def read_sizes(folder: Path, block: int) -> np.ndarray:
    """Return int64 voxel counts of a block's fragments, by local number."""
    return read_columns(block_file(folder, block), "sizes")["sizes"]


def collect_edges(affs: np.ndarray, fragments: np.ndarray, low: Zyx = (0, 0, 0), scoring: str = MEAN) -> Edges:
    """Return the edges of the voxels of a block; see `collect_contacts`."""
    return Edges.of(collect_contacts(affs, fragments, low, list_quantiles(scoring)), scoring)
