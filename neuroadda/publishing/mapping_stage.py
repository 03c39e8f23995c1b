"""A mapping of WEBKNOSSOS: which fragments are one agglomerate, and the edges between them, in the documented form of zarr arrays.

The form: docs.webknossos.org, "AgglomerateAttachment Specification", version 4. Agglomerates are a run's segments, with their ids.
Fragments in no segment are mapped to 0, and are in no list of an agglomerate. Memory is some tens of bytes a fragment, and
what `agglomerates` holds of edges.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import Written, blocks_in
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import write_json
from neuroadda.publishing.agglomerates import EdgeSorter, Members
from neuroadda.publishing.fragment_numbers import read_numbering, read_places
from neuroadda.publishing.named_files import WrittenNames
from neuroadda.publishing.zarr3 import METADATA, RowWriter, list_files
from neuroadda.segmentation.components import Lut
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
ROWS_AT_ONCE = 2**20
SORTED = "sorted"


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
    unit: ClassVar[str] = ""

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

    def _write_members(self, folder: Path, members: Members, places: np.ndarray) -> None:
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

    def _write_edges(self, folder: Path, found: EdgeSorter) -> None:
        count = int(found.offsets[-1])
        with (
            RowWriter(folder / OF_EDGES[0], (count, 2), self.data_type, CHUNK_BYTES) as pairs,
            RowWriter(folder / OF_EDGES[1], (count,), "float32", CHUNK_BYTES) as affinities,
        ):
            for edges in found.read():
                pairs.append(np.stack([edges["a"], edges["b"]], axis=1))
                affinities.append(edges["affinity"])
        _write_offsets(folder / OFFSETS[1], found.offsets)


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
