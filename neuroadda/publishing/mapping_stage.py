"""A mapping of WEBKNOSSOS: which fragments are one agglomerate, and the edges between them, in the documented form of zarr arrays.

The form: docs.webknossos.org, "AgglomerateAttachment Specification", version 4. Agglomerates are a run's segments, with their ids.
Fragments in no segment are mapped to 0, and are in no list of an agglomerate. Memory is some tens of bytes a fragment, and
`EDGES_AT_ONCE` edges, or those of one agglomerate that has more.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import Written, blocks_in
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import write_json
from neuroadda.publishing.fragment_numbers import read_numbering, read_places
from neuroadda.publishing.named_files import WrittenNames
from neuroadda.publishing.zarr3 import METADATA, RowWriter, list_files
from neuroadda.segmentation.components import Lut, Numbering
from neuroadda.segmentation.contacts import is_pair_of
from neuroadda.segmentation.edges import read_edges
from neuroadda.segmentation.edited_fragments import EDITS, read_pairs

GROUP = {
    "zarr_format": 3,
    "node_type": "group",
    "attributes": {"voxelytics": {"artifact_schema_version": 4, "artifact_class": "AgglomerateViewArtifact"}},
}
OF_SEGMENTS = ("segment_to_agglomerate", "agglomerate_to_segments", "agglomerate_to_positions")
OFFSETS = ("agglomerate_to_segments_offsets", "agglomerate_to_edges_offsets")
OF_EDGES = ("agglomerate_to_edges", "agglomerate_to_affinities")
CHUNK_BYTES, CHUNK_BYTES_OF_OFFSETS = 2**18, 2**16
EDGES_AT_ONCE, ROWS_AT_ONCE = 2**22, 2**20
SORTED = "sorted"
EDGE = np.dtype([("agglomerate", "<u8"), ("a", "<u8"), ("b", "<u8"), ("affinity", "<f4")])


class WriteMapping(Stage):
    """Write one mapping.

    Attributes
    ----------
    mapping
        Its name.
    data_type
        Of the ids of fragments in their layer.
    blocks
        The grid of the fragments.
    """

    kind: ClassVar[str] = "webknossos_mapping"

    mapping: str
    data_type: str
    blocks: BlockGrid

    @property
    def name(self) -> str:
        """Kind and mapping."""
        return f"{self.kind}_{self.mapping}"

    def create_output(self, task: Task) -> None:
        """Create the mapping's folder."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return whether all files are there; that of the group is written last."""
        return WrittenNames(Path(task.output), task.grid, lambda block: list(_list_names(Path(task.output))))

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes the mapping."""
        edges, folder = Path(task.inputs["edges"]), Path(task.output)
        numbers = Path(task.inputs["numbers"])
        numbering, places = read_numbering(numbers), read_places(numbers)
        lut, held = np.asarray(Lut.open(Path(task.inputs["lut"])).table), blocks_in(edges, self.blocks)
        decided = read_pairs(task)[0] if EDITS in task.inputs else np.zeros((0, 2), np.uint64)

        def write(block: Block) -> dict[str, Any]:
            for left in (folder / METADATA, folder / SORTED):
                left.unlink() if left.is_file() else shutil.rmtree(left, ignore_errors=True)
            members = Members(lut)
            self._write_members(folder, members, places)
            found = EdgeSorter(folder / SORTED, members, numbering, decided)
            for index in held:
                found.count(edges, index)
            found.count_decided()
            for index in held:
                found.sort_in(edges, index)
            found.sort_in_decided()
            self._write_edges(folder, found)
            shutil.rmtree(folder / SORTED, ignore_errors=True)
            write_json(folder / METADATA, GROUP)
            return {"fragments": len(lut), "agglomerates": members.count, "edges": int(found.offsets[-1])}

        return write

    def _write_members(self, folder: Path, members: "Members", places: np.ndarray) -> None:
        lut, inside = members.lut, members.order
        with RowWriter(folder / OF_SEGMENTS[0], (len(lut) + 1,), "uint64", CHUNK_BYTES) as rows:
            rows.append(np.zeros(1, np.uint64))
            for part in _cut(len(lut)):
                rows.append(lut[part])
        with RowWriter(folder / OF_SEGMENTS[1], (len(inside),), self.data_type, CHUNK_BYTES) as rows:
            for part in _cut(len(inside)):
                rows.append(inside[part] + 1)
        with RowWriter(folder / OF_SEGMENTS[2], (len(inside), 3), "int32", CHUNK_BYTES) as rows:
            for part in _cut(len(inside)):
                rows.append(places[inside[part]][:, ::-1])
        _write_offsets(folder / OFFSETS[0], members.offsets)

    def _write_edges(self, folder: Path, found: "EdgeSorter") -> None:
        count = int(found.offsets[-1])
        with (
            RowWriter(folder / OF_EDGES[0], (count, 2), self.data_type, CHUNK_BYTES) as pairs,
            RowWriter(folder / OF_EDGES[1], (count,), "float32", CHUNK_BYTES) as affinities,
        ):
            for edges in found.read():
                pairs.append(np.stack([edges["a"], edges["b"]], axis=1))
                affinities.append(edges["affinity"])
        _write_offsets(folder / OFFSETS[1], found.offsets)


@dataclass(frozen=True)
class Members:
    """The fragments of each agglomerate.

    Attributes
    ----------
    lut
        uint64, the agglomerate of each dense number, from 1; 0 for none.
    """

    lut: np.ndarray

    @cached_property
    def count(self) -> int:
        """Number of agglomerates."""
        return int(self.lut.max(initial=0))

    @cached_property
    def offsets(self) -> np.ndarray:
        """int64, from 0 to one more than there are agglomerates: where those of each begin in `order`; 0 has none."""
        counts = np.bincount(self.lut.astype(np.int64), minlength=self.count + 1)
        counts[0] = 0
        return np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def order(self) -> np.ndarray:
        """Dense numbers (int64) by agglomerate, ascending in each."""
        order = np.argsort(self.lut, kind="stable")
        return np.asarray(order[len(order) - self.offsets[-1] :])

    @cached_property
    def local(self) -> np.ndarray:
        """int64, by dense number: the how many-th of its agglomerate it is, from 0."""
        local = np.zeros(len(self.lut), np.int64)
        local[self.order] = np.arange(len(self.order)) - self.offsets[self.lut[self.order]]
        return local


class EdgeSorter:
    """Brings the edges within agglomerates into their order, through files, each of the edges of some agglomerates.

    First all edges are counted, then they are sorted in, then read. Pairs that people have decided to merge have the affinity 1,
    and have an edge also where they do not touch: else an agglomerate would not be connected.

    Parameters
    ----------
    folder
        Of these files.
    decided
        uint64 ``(n, 2)``, ids of fragments.
    """

    def __init__(self, folder: Path, members: Members, numbering: Numbering, decided: np.ndarray) -> None:
        self._folder, self._members, self._numbering = folder, members, numbering
        self._decided = np.unique(np.sort(decided[decided[:, 0] != decided[:, 1]], axis=1), axis=0)
        self._touch = np.zeros(len(self._decided), bool)
        self._counts = np.zeros(members.count + 1, np.int64)

    @cached_property
    def offsets(self) -> np.ndarray:
        """int64, from 0 to one more than there are agglomerates: where the edges of each begin."""
        return np.concatenate([[0], np.cumsum(self._counts)])

    def count(self, folder: Path, block: int) -> None:
        """Count the edges that a block owns."""
        edges = read_edges(folder, block)
        self._touch |= is_pair_of(self._decided[:, 0], self._decided[:, 1], edges.u, edges.v)
        self._add(edges.u, edges.v)

    def count_decided(self) -> None:
        """Count the decided edges between fragments that do not touch."""
        self._add(*self._apart)

    def sort_in(self, folder: Path, block: int) -> None:
        """Sort in the edges that a block owns."""
        edges = read_edges(folder, block)
        decided = is_pair_of(edges.u, edges.v, self._decided[:, 0], self._decided[:, 1])
        self._keep(edges.u, edges.v, np.where(decided, 1, edges.mean))

    def sort_in_decided(self) -> None:
        """Sort in the decided edges between fragments that do not touch."""
        self._keep(*self._apart, np.ones(len(self._apart[0])))

    def read(self) -> Iterator[np.ndarray]:
        """Yield all edges (`EDGE`) in their order."""
        for path in sorted(self._folder.glob("*")):
            edges = np.fromfile(path, EDGE)
            yield edges[np.lexsort((edges["b"], edges["a"], edges["agglomerate"]))]

    @property
    def _apart(self) -> tuple[np.ndarray, np.ndarray]:
        u, v = self._decided[~self._touch].T
        return u, v

    def _find_within(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return which edges are within an agglomerate, and of these both ends (dense numbers) and the agglomerate."""
        a, b = self._numbering.to_dense(u), self._numbering.to_dense(v)
        agglomerate = self._members.lut[a].astype(np.int64)
        within = (agglomerate > 0) & (agglomerate == self._members.lut[b].astype(np.int64))
        return within, a[within], b[within], agglomerate[within]

    def _add(self, u: np.ndarray, v: np.ndarray) -> None:
        np.add.at(self._counts, self._find_within(u, v)[3], 1)

    def _keep(self, u: np.ndarray, v: np.ndarray, affinity: np.ndarray) -> None:
        self._folder.mkdir(exist_ok=True)
        within, a, b, agglomerate = self._find_within(u, v)
        edges = np.empty(len(a), EDGE)
        ends = np.sort(np.stack([self._members.local[a], self._members.local[b]]), axis=0)
        edges["agglomerate"], edges["a"], edges["b"], edges["affinity"] = agglomerate, *ends, affinity[within]
        files = self.offsets[agglomerate] // EDGES_AT_ONCE
        for number in np.unique(files).tolist():
            with (self._folder / f"{number:012d}").open("ab") as file:
                edges[files == number].tofile(file)


def _cut(rows: int) -> Iterator[slice]:
    for first in range(0, rows, ROWS_AT_ONCE):
        yield slice(first, min(first + ROWS_AT_ONCE, rows))


def _write_offsets(folder: Path, offsets: np.ndarray) -> None:
    with RowWriter(folder, (len(offsets),), "uint64", CHUNK_BYTES_OF_OFFSETS) as rows:
        for part in _cut(len(offsets)):
            rows.append(offsets[part])


def _list_names(folder: Path) -> Iterator[str]:
    """Yield the names of all files of a mapping."""
    yield METADATA
    for array in (*OF_SEGMENTS, *OFFSETS, *OF_EDGES):
        path = folder / array / METADATA
        yield f"{array}/{METADATA}"
        if path.is_file():
            yield from (f"{array}/{name}" for name in list_files(json.loads(path.read_text())))
