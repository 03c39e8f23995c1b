"""``--to parquet``: a run's fragments and edges as two folders of Parquet files, a row group for each block."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import Written, blocks_in
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.publishing.named_files import WrittenNames
from neuroadda.publishing.publication import Publication, require_packages
from neuroadda.publishing.segments import make_row_grid, rows_of
from neuroadda.segmentation.components import Lut, Numbering
from neuroadda.segmentation.edges import read_edges, read_sizes
from neuroadda.segmentation.ids import capacity_of

if TYPE_CHECKING:
    import pyarrow as pa

BLOCKS_IN_FILE = 64
TABLES = ("fragments", "edges")


class WriteTables(Stage):
    """Write the rows of some blocks.

    Attributes
    ----------
    blocks
        The grid of the fragments.
    """

    kind: ClassVar[str] = "tables"
    unit: ClassVar[str] = ""

    blocks: BlockGrid

    def create_output(self, task: Task) -> None:
        """Create the folder."""
        task.create_folder()
        for table in TABLES:
            (Path(task.output) / table).mkdir()

    def written(self, task: Task) -> Written:
        """Return which files are there."""
        return WrittenNames(Path(task.output), task.grid, lambda b: [_name(table, b.index) for table in TABLES])

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes the two files of some blocks."""
        edges, lut = Path(task.inputs["edges"]), Lut.open(Path(task.inputs["lut"]))
        capacity, held = capacity_of(self.blocks), blocks_in(edges, self.blocks)
        numbering = Numbering(np.asarray(lut.first), capacity)

        def list_fragments(index: int) -> dict[str, np.ndarray]:
            sizes = read_sizes(edges, index)
            ids = np.arange(1, len(sizes) + 1, dtype=np.uint64) + np.uint64(index * capacity)
            return {"fragment": ids, "voxels": sizes.astype(np.int64), "segment": lut.of_block(index)}

        def list_edges(index: int) -> dict[str, np.ndarray]:
            found = read_edges(edges, index)
            u, v = (np.asarray(lut.table[numbering.to_dense(ids)]) for ids in (found.u, found.v))
            columns = {"fragment_a": found.u, "fragment_b": found.v, "score": 1 - found.mean, "weight": found.count}
            return columns | {"segment_a": u, "segment_b": v}

        def write(block: Block) -> dict[str, Any]:
            rows = rows_of(block)
            indices = [index for index in range(rows.start, rows.stop) if index in held]
            makers: tuple[Callable[[int], dict[str, np.ndarray]], ...] = (list_fragments, list_edges)
            return {
                table: write_parquet(Path(task.output) / _name(table, block.index), make, indices, SCHEMAS[table])
                for table, make in zip(TABLES, makers, strict=True)
            }

        return write


SCHEMAS = {
    "fragments": {"fragment": "uint64", "voxels": "int64", "segment": "uint64"},
    "edges": {
        "fragment_a": "uint64",
        "fragment_b": "uint64",
        "score": "float64",
        "weight": "int64",
        "segment_a": "uint64",
        "segment_b": "uint64",
    },
}
"""Columns and their types. ``segment`` is 0 where a fragment is in none."""


def write_parquet(
    path: Path, make: Callable[[int], dict[str, np.ndarray]], blocks: list[int], schema: dict[str, str]
) -> int:
    """Write a file with a row group for each block that has rows, whole or not at all; return the number of rows."""
    import pyarrow as pa
    from pyarrow import parquet

    partial, rows = path.with_name(f".{path.name}.{os.getpid()}"), 0
    types = _to_schema(schema)
    try:
        with parquet.ParquetWriter(partial, types, compression="zstd") as writer:
            for index in blocks:
                table = pa.table(make(index), schema=types)
                if table.num_rows:
                    writer.write_table(table, row_group_size=table.num_rows)
                rows += table.num_rows
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _to_schema(columns: dict[str, str]) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([(name, getattr(pa, kind)()) for name, kind in columns.items()])


def _name(table: str, index: int) -> str:
    return f"{table}/part-{index:06d}.parquet"


def check(publication: Publication, name: str) -> None:
    """Raise UserError if there is no run, or a package is missing."""
    publication.require_run(f"--to {name}")
    require_packages(f"--to {name}", "pyarrow")


def publish(publication: Publication, name: str) -> None:
    """Write ``parquet/fragments`` and ``parquet/edges``."""
    plan = publication.require_run(name)
    edges, lut = plan.task("edges"), plan.task("components")
    inputs = {"edges": (plan.output("edges"), edges.fingerprint), "lut": (plan.output("components"), lut.fingerprint)}
    grid = make_row_grid(len(edges.grid), BLOCKS_IN_FILE)
    publication.run(Task.make(WriteTables(blocks=edges.grid), inputs, publication.find_folder(name), grid))
