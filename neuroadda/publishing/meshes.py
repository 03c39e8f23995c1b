"""Meshes of segments: each block's part of the surface by marching cubes (zmesh), then joined, simplified and written by segment.

A block does the cubes whose lowest voxel is its own, with one voxel of its neighbours above; the first block of an axis also does
those that begin a voxel before the volume, and the last those that end after it, where there is background. So every cube is done
once: there are no gaps and no doubled faces, and vertices on a border are the same numbers on both sides. Places are kept as whole
half voxels until then.
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
from neuroadda.publishing.named_files import WrittenNames
from neuroadda.publishing.publication import Publication
from neuroadda.publishing.segment_table import Chosen, SegmentTable, find_touching, list_touching
from neuroadda.publishing.segments import SEGMENTATION, TABLE, choose_rows, list_segments, make_row_grid, rows_of
from neuroadda.publishing.whole_voxels import read_ids
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, write_columns
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location, to_location
from neuroadda.volumes.storage.placing import write_file

SEGMENTS_IN_BLOCK = 32
FEWER_FACES = 100  # simplification aims at this many times fewer faces; it stops earlier, at the largest error allowed


class MeshBlocks(Stage):
    """Make each block's part of the surfaces of the chosen segments."""

    kind: ClassVar[str] = "mesh_blocks"

    chosen: Chosen

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

        def mesh(block: Block) -> dict[str, Any]:
            begin, end = np.array(block.write_roi.begin), np.array(block.write_roi.end)
            first = np.where(begin == low, low - 1, begin)  # cubes begin here, and end with the voxel `end`
            ids = read_ids(volume, np.maximum(first, low), np.minimum(end + 1, high))
            ids = np.pad(ids, [(int(b == a), int(e == h)) for b, a, e, h in zip(begin, low, end, high, strict=True)])
            pieces = mesh_voxels(ids, first, wanted)
            columns = {
                f"{kind}{id_}": piece for id_, both in pieces.items() for kind, piece in zip("vf", both, strict=True)
            }
            write_columns(block_file(Path(task.output), block.index), **columns)
            return {"faces": sum(len(faces) for _, faces in pieces.values())}

        return mesh


def mesh_voxels(ids: np.ndarray, first: np.ndarray, wanted: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return the surfaces of some ids in an array of voxels (uint64, zyx), open where they leave it.

    Parameters
    ----------
    first
        Place of its first voxel, zyx from the origin.

    Returns
    -------
    dict
        By id: int32 vertices in half voxels, where the centre of voxel i is 2 i; uint32 faces, whose normals point outward where
        z, y, x are a right-handed system.
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
        pieces[int(id_)] = vertices, np.asarray(mesh.faces, np.uint32)
    return pieces


class JoinMeshes(Stage):
    """Join, simplify and write the meshes of the chosen segments; memory grows with a segment, not with the volume.

    Attributes
    ----------
    blocks
        The grid of the pieces.
    max_error_nm
        0 simplifies nothing.
    """

    kind: ClassVar[str] = "join_meshes"

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
        """Create the folder, and what tells its format."""
        task.create_folder()
        for name, content in FORMS[self.form].beside.items():
            write_file(to_location(task.output) / name, content)

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
        settings = self.version, self.voxel_size_nm, self.max_error_nm

        def join(block: Block) -> dict[str, Any]:
            faces = 0
            for row in rows[rows_of(block)].tolist():
                id_ = int(table.id[row])
                found = []
                for index in list_touching(table.list_blocks(row), self.blocks).tolist():
                    with np.load(block_file(pieces, index)) as file:
                        if f"v{id_}" in file.files:
                            found.append((file[f"v{id_}"], file[f"f{id_}"]))
                mesh = kept_meshes.find_or_make(pieces.parent, found, settings, partial(self._join, found))
                for name, content in form.write(id_, mesh).items():
                    write_file(to_location(task.output) / name, content)
                faces += len(mesh.faces)
            return {"faces": faces}

        return join

    def _join(self, pieces: list[tuple[np.ndarray, np.ndarray]]) -> Mesh:
        return simplify(join_pieces(pieces), self.voxel_size_nm, self.max_error_nm)


def join_pieces(pieces: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and faces of pieces whose vertices at the same place are one.

    A vertex lies on the edge between two voxels, through which a surface goes once: what has the same place is the same vertex.
    """
    counts = np.cumsum([0, *(len(vertices) for vertices, _ in pieces)])
    vertices = np.concatenate([piece for piece, _ in pieces]).astype(np.int64)
    faces = np.concatenate([piece.astype(np.int64) + first for (_, piece), first in zip(pieces, counts, strict=False)])
    begin = vertices.min(axis=0)
    box = tuple((vertices.max(axis=0) - begin + 1).tolist())
    keys, same = np.unique(np.ravel_multi_index(tuple((vertices - begin).T), box), return_inverse=True)
    return np.stack(np.unravel_index(keys, box), axis=-1) + begin, same[faces]


def simplify(joined: tuple[np.ndarray, np.ndarray], voxel_size_nm: ZyxFloat, max_error_nm: float) -> Mesh:
    """Return the mesh, xyz in nm, normals outward: half voxels become places, and flat parts of it fewer faces."""
    import zmesh

    places, faces = joined
    nm = ((places + 1) / 2 * np.array(voxel_size_nm))[:, ::-1]
    faces = faces[:, ::-1].astype(np.uint32)  # since the axes are reversed, too
    if max_error_nm > 0:
        origin = nm.min(axis=0)
        mesh = zmesh.Mesh((nm - origin).astype(np.float32), np.ascontiguousarray(faces), None)
        less = zmesh.Mesher((1, 1, 1)).simplify(mesh, reduction_factor=FEWER_FACES, max_error=max_error_nm)
        if len(less.faces):  # a speck that it would make nothing of stays
            nm, faces = less.vertices.astype(np.float64) + origin, np.asarray(less.faces, np.uint32)
    return Mesh(nm.astype(np.float32), faces)


def write_meshes(publication: Publication, form: Form, folder: Location) -> int:
    """Write the meshes of the chosen segments into a folder; return how many there are."""
    config, volume = publication.config, publication.segmentation
    table, listed, grid = list_segments(publication)
    chosen, rows = choose_rows(publication, table)
    if not len(rows):
        return 0
    source: Any = publication.source(SEGMENTATION)
    pieces = Task.make(
        MeshBlocks(chosen=chosen),
        {SEGMENTATION: source, TABLE: listed},
        publication.work / "mesh_pieces",
        grid,
        blocks=find_touching(table, rows, grid),
    )
    pieces = publication.run(pieces)
    error = max(volume.voxel_size_nm) if config.max_error_nm is None else config.max_error_nm
    stage = JoinMeshes(form=form, chosen=chosen, blocks=grid, voxel_size_nm=volume.voxel_size_nm, max_error_nm=error)
    inputs = {"pieces": (Path(pieces.output), pieces.fingerprint), TABLE: listed}
    publication.run(Task.make(stage, inputs, folder, make_row_grid(len(rows), SEGMENTS_IN_BLOCK)))
    return len(rows)
