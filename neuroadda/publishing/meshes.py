"""Meshes of segments: each block's part of the surface by marching cubes (zmesh), simplified, then joined and written by segment.

A block does the cubes whose lowest voxel is its own, with one voxel of its neighbours above; the first block of an axis also does
those that begin a voxel before the volume, and the last those that end after it, where there is background. So every cube is done
once: there are no gaps and no doubled faces, and vertices on a border are the same numbers on both sides. They stay whole half
voxels until parts are joined; then they are simplified, too (see `simplification`).
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import ZyxFloat
from neuroadda.publishing import kept_meshes
from neuroadda.publishing.mesh_forms import FORMS, Form, Mesh
from neuroadda.publishing.mesh_pieces import Piece, join_pieces
from neuroadda.publishing.named_files import WrittenNames
from neuroadda.publishing.publication import Publication
from neuroadda.publishing.segment_table import Chosen, SegmentTable, find_touching, list_touching
from neuroadda.publishing.segments import SEGMENTATION, TABLE, choose_rows, list_segments, make_row_grid, rows_of
from neuroadda.publishing.simplification import simplify_near, simplify_part
from neuroadda.publishing.whole_voxels import read_ids
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, write_columns
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location, to_location
from neuroadda.volumes.storage.placing import write_file

SEGMENTS_IN_BLOCK = 32


class MeshBlocks(Stage):
    """Make each block's part of the surfaces of the chosen segments.

    Attributes
    ----------
    max_error_nm
        0 simplifies nothing.
    """

    kind: ClassVar[str] = "mesh_blocks"
    version: ClassVar[int] = 2

    chosen: Chosen
    voxel_size_nm: ZyxFloat
    max_error_nm: float

    def create_output(self, task: Task) -> None:
        """Create the folder of the blocks' files."""
        task.create_folder()
        kept_meshes.begin(Path(task.output).parent)

    def written(self, task: Task) -> Written:
        """Return which blocks' files are there."""
        return WrittenFiles(Path(task.output), task.blocks.to_mask())

    def open(self, task: Task) -> BlockFunction:
        """Return the function that meshes a block."""
        volume, table = Volume.open(task.inputs[SEGMENTATION]), SegmentTable.load(task.inputs[TABLE])
        wanted = table.id[self.chosen.find_rows(table)]
        low, high = np.array(task.grid.roi.begin), np.array(task.grid.roi.end)
        settings = self.version, self.voxel_size_nm, self.max_error_nm

        def simplify(piece: Piece) -> Piece:
            return simplify_piece(piece, self.voxel_size_nm, self.max_error_nm)

        def mesh(block: Block) -> dict[str, Any]:
            begin, end = np.array(block.write_roi.begin), np.array(block.write_roi.end)
            first = np.where(begin == low, low - 1, begin)  # cubes begin here, and end with the voxel `end`
            ids = read_ids(volume, np.maximum(first, low), np.minimum(end + 1, high))
            ids = np.pad(ids, [(int(b == a), int(e == h)) for b, a, e, h in zip(begin, low, end, high, strict=True)])
            kept = kept_meshes.KeptPieces(Path(task.output).parent, block.index, settings)
            pieces = {id_: kept.find_or_make(piece, simplify) for id_, piece in mesh_voxels(ids, first, wanted).items()}
            columns = {f"{n}{id_}": array for id_, piece in pieces.items() for n, array in piece._asdict().items()}
            write_columns(block_file(Path(task.output), block.index), **columns)
            kept.write()
            return {"faces": sum(len(piece.faces) for piece in pieces.values())}

        return mesh


def mesh_voxels(ids: np.ndarray, first: np.ndarray, wanted: np.ndarray) -> dict[int, Piece]:
    """Return, by id, the surfaces of some ids in an array of voxels (uint64, zyx), open where they leave it.

    Parameters
    ----------
    first
        Place of its first voxel, zyx from the origin.
    """
    import fastremap
    import zmesh

    found = [id_ for id_ in fastremap.unique(ids).tolist() if id_]
    kept = np.intersect1d(np.array(found, np.uint64), wanted)
    if not len(kept):
        return {}
    ids = ids if len(kept) == len(found) else fastremap.mask_except(ids, kept.tolist())
    mesher = zmesh.Mesher((2, 2, 2))
    mesher.mesh(np.ascontiguousarray(ids), close=False)
    pieces = {}
    for id_ in sorted(mesher.ids()):
        mesh = mesher.get(id_, normals=False, reduction_factor=0)
        mesher.erase(id_)
        vertices = np.rint(mesh.vertices).astype(np.int32) + (2 * first).astype(np.int32)
        pieces[int(id_)] = Piece(vertices, np.zeros((0, 3)), np.asarray(mesh.faces, np.uint32))
    return pieces


def simplify_piece(piece: Piece, voxel_size_nm: ZyxFloat, max_error_nm: float) -> Piece:
    """Return a piece with fewer faces, of which no vertex has moved yet; what other pieces share stays as it is."""
    if max_error_nm == 0:
        return piece
    half = np.array(voxel_size_nm) / 2
    less = simplify_part(piece.whole * half, piece.faces, max_error_nm)
    return Piece(piece.whole[less.kept], less.moved / half, less.faces.astype(np.uint32))


class JoinMeshes(Stage):
    """Join and write the meshes of the chosen segments; memory grows with the simplified surface of a segment.

    Attributes
    ----------
    blocks
        The grid of the pieces.
    max_error_nm
        0 simplifies nothing.
    """

    kind: ClassVar[str] = "join_meshes"
    version: ClassVar[int] = 2
    unit: ClassVar[str] = "segments"

    form: Form
    chosen: Chosen
    blocks: BlockGrid
    voxel_size_nm: ZyxFloat
    max_error_nm: float

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
        form = FORMS[self.form]
        return WrittenNames(
            to_location(task.output),
            task.grid,
            lambda b: [name for id_ in ids[rows_of(b)].tolist() for name in form.name(id_)],
        )

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes some segments' meshes."""
        table = SegmentTable.load(task.inputs[TABLE])
        rows, pieces, form = self.chosen.find_rows(table), Path(task.inputs["pieces"]), FORMS[self.form]
        settings = self.version, self.voxel_size_nm, self.max_error_nm, self.blocks.offset, self.blocks.block

        def join(block: Block) -> dict[str, Any]:
            faces = 0
            for row in rows[rows_of(block)].tolist():
                id_ = int(table.id[row])
                found: list[Piece] = []
                for index in list_touching(table.list_blocks(row), self.blocks).tolist():
                    with np.load(block_file(pieces, index)) as file:
                        if f"faces{id_}" in file.files:
                            found.append(Piece(*(file[f"{name}{id_}"] for name in Piece._fields)))
                mesh = kept_meshes.find_or_make(pieces.parent, found, settings, partial(self._join, found))
                for name, content in form.write(id_, mesh).items():
                    write_file(to_location(task.output) / name, content)
                faces += len(mesh.faces)
            return {"faces": faces}

        return join

    def _join(self, pieces: list[Piece]) -> Mesh:
        size = np.array(self.voxel_size_nm)
        places, faces, shared = join_pieces(pieces)
        nm = (places + 1) / 2 * size
        if self.max_error_nm > 0 and len(pieces) > 1:
            box = np.array(self.blocks.block) * size
            begin = np.array(self.blocks.offset) * size + box / 2  # so the borders of blocks lie in the middle of boxes
            nm, faces = simplify_near(nm, faces, shared, begin, box, self.max_error_nm)
        xyz, turned = nm[:, ::-1], faces[:, ::-1]  # normals point outward again, since the axes are reversed
        return Mesh(np.ascontiguousarray(xyz, np.float32), np.ascontiguousarray(turned, np.uint32))


def write_meshes(publication: Publication, form: Form, folder: Location) -> int:
    """Write the meshes of the chosen segments into a folder; return how many there are."""
    config, volume = publication.config, publication.segmentation
    table, listed, grid = list_segments(publication)
    chosen, rows = choose_rows(publication, table)
    if not len(rows):
        return 0
    source: Any = publication.source(SEGMENTATION)
    error = max(volume.voxel_size_nm) if config.max_error_nm is None else config.max_error_nm
    pieces = Task.make(
        MeshBlocks(chosen=chosen, voxel_size_nm=volume.voxel_size_nm, max_error_nm=error),
        {SEGMENTATION: source, TABLE: listed},
        publication.work / "mesh_pieces",
        grid,
        blocks=find_touching(table, rows, grid),
    )
    pieces = publication.run(pieces)
    stage = JoinMeshes(form=form, chosen=chosen, blocks=grid, voxel_size_nm=volume.voxel_size_nm, max_error_nm=error)
    inputs = {"pieces": (Path(pieces.output), pieces.fingerprint), TABLE: listed}
    publication.run(Task.make(stage, inputs, folder, make_row_grid(len(rows), SEGMENTS_IN_BLOCK)))
    for name, content in FORMS[form].beside.items():  # what tells the format
        write_file(folder / name, content)
    return len(rows)
