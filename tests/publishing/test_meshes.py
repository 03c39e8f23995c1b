"""Meshes: closed surfaces in their place, the same as of the whole volume, however blocks cut the segments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroadda.errors import UserError
from tests.publishing import shapes
from tests.publishing.shapes import (
    BALL,
    RING,
    TREE,
    count_euler,
    count_open_edges,
    measure_area,
    measure_volume,
    read_mesh,
)

zmesh = pytest.importorskip("zmesh", reason="zmesh is not installed (pip install neuroadda[publish])")
pytest.importorskip("tensorstore", reason="tensorstore is not installed (pip install neuroadda[publish])")
MESH = "precomputed/segmentation/mesh"
SHAPES = {
    "ball": (BALL, shapes.make_ball(), 2),
    "branching tube": (TREE, shapes.make_tree(), 2),
    "ring": (RING, shapes.make_ring(), 0),
}


def sort_faces(vertices, faces):
    """Return the triangles in an order that depends on their places alone."""
    triangles = vertices[faces].reshape(len(faces), 3, 3)
    first = (
        np.lexsort(triangles.transpose(2, 0, 1)[::-1].reshape(3, -1)).argsort().reshape(len(faces), 3).argmin(axis=1)
    )
    turned = np.stack([np.roll(t, -k, axis=0) for t, k in zip(triangles, first, strict=True)]).reshape(-1, 9)
    return turned[np.lexsort(turned.T[::-1])]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("block_vx", [(16, 16, 16), (7, 19, 11)])
def test_a_surface_across_blocks_is_that_of_the_whole_volume(tmp_path, name, block_vx):
    id_, mask, euler = SHAPES[name]
    volume = shapes.write_segmentation(tmp_path / "v.zarr/s", np.where(mask, id_, 0).astype(np.uint64))
    options = {"max_error_nm": 0, "chunk_vx": (16, 16, 16)}
    cut = shapes.publish(volume, tmp_path / "cut", block_vx=block_vx, **options)
    whole = shapes.publish(volume, tmp_path / "whole", block_vx=(64, 64, 64), **options)
    vertices, faces = read_mesh(cut / MESH, id_)
    assert count_open_edges(faces) == 0
    assert count_euler(faces) == euler
    assert len(np.unique(vertices, axis=0)) == len(vertices)
    of_whole = read_mesh(whole / MESH, id_)
    assert np.array_equal(sort_faces(vertices, faces), sort_faces(*of_whole))
    assert measure_area(vertices, faces) == pytest.approx(measure_area(*of_whole), rel=1e-9)
    assert measure_volume(vertices, faces) == pytest.approx(mask.sum() * 8**3, rel=0.02)


def test_a_ball_has_its_place_area_and_volume_with_anisotropic_voxels_and_an_offset(tmp_path):
    size, offset, radius = np.array([30.0, 6.0, 6.0]), np.array([300.0, -12.0, 66.0]), 90.0
    mask = shapes.make_ball((10, 48, 48), (5.0, 24.0, 24.0), radius, tuple(size))
    volume = shapes.write_segmentation(
        tmp_path / "v.zarr/s", np.where(mask, 5, 0).astype(np.uint64), tuple(size), tuple(offset), (4, 16, 16)
    )
    vertices, faces = read_mesh(shapes.publish(volume, tmp_path / "out", max_error_nm=0) / MESH, 5)
    assert count_open_edges(faces) == 0
    inside = np.argwhere(mask)
    # A voxel i spans i to i + 1: the surface ends where the outermost voxels do.
    assert np.allclose(vertices.min(axis=0)[::-1], offset + inside.min(axis=0) * size)
    assert np.allclose(vertices.max(axis=0)[::-1], offset + (inside.max(axis=0) + 1) * size)
    assert measure_volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.05)


@pytest.mark.parametrize("name", SHAPES)
def test_simplification_keeps_a_surface_closed_and_nearly_where_it_was(tmp_path, name):
    id_, mask, euler = SHAPES[name]
    volume = shapes.write_segmentation(tmp_path / "v.zarr/s", np.where(mask, id_, 0).astype(np.uint64))
    full = read_mesh(shapes.publish(volume, tmp_path / "full", max_error_nm=0) / MESH, id_)
    less = read_mesh(shapes.publish(volume, tmp_path / "less") / MESH, id_)
    assert len(less[1]) < len(full[1]) / 2
    assert count_open_edges(less[1]) == 0
    assert count_euler(less[1]) == euler
    assert measure_volume(*less) == pytest.approx(measure_volume(*full), rel=0.02)
    assert np.abs(less[0].max(axis=0) - full[0].max(axis=0)).max() <= 8


@pytest.mark.parametrize("name", SHAPES)
def test_parts_are_simplified_and_what_they_share_stays(name):
    from neuroadda.publishing.mesh_pieces import join_pieces
    from neuroadda.publishing.meshes import mesh_voxels, simplify_piece

    id_, mask, euler = SHAPES[name]
    ids, middle = np.pad(np.where(mask, id_, 0), 1).astype(np.uint64), mask.shape[2] // 2
    cut = [(0, ids[:, :, : middle + 1]), (middle, ids[:, :, middle:])]
    wanted = np.array([id_], np.uint64)
    parts = [mesh_voxels(voxels, np.array([0, 0, first]), wanted)[id_] for first, voxels in cut]
    less = [simplify_piece(piece, (8, 8, 8), 8) for piece in parts]
    for piece, simplified in zip(parts, less, strict=True):
        shared = {tuple(place) for place in piece.whole.tolist() if place[2] == 2 * middle}
        assert shared <= {tuple(place) for place in simplified.whole.tolist()}
        assert len(simplified.faces) < len(piece.faces) / 2
    places, faces, _ = join_pieces(less)
    assert count_open_edges(faces) == 0
    assert count_euler(faces) == euler
    assert measure_volume(places, faces) == pytest.approx(measure_volume(*join_pieces(parts)[:2]), rel=0.02)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), cut=st.tuples(*[st.integers(1, 8)] * 3))
def test_any_voxels_have_closed_surfaces_however_blocks_cut_them(seed, cut):
    from neuroadda.publishing.mesh_pieces import join_pieces
    from neuroadda.publishing.meshes import mesh_voxels

    ids = np.random.default_rng(seed).integers(0, 4, (8, 8, 8)).astype(np.uint64)
    padded, wanted = np.pad(ids, 1), np.array([1, 2, 3], np.uint64)
    pieces: dict[int, list] = {1: [], 2: [], 3: []}
    spans = [[(0, c), (c, 9)] for c in cut]
    for z in spans[0]:
        for y in spans[1]:
            for x in spans[2]:
                box = tuple(slice(a, b + 1) for a, b in (z, y, x))
                first = np.array([z[0], y[0], x[0]]) - 1
                for id_, piece in mesh_voxels(padded[box], first, wanted).items():
                    pieces[id_].append(piece)
    for id_, found in pieces.items():
        places, faces, _ = join_pieces(found)
        assert count_open_edges(faces) == 0
        assert abs(measure_volume(places, faces) / 8) <= (ids == id_).sum()


def test_neighbours_touch_and_only_what_is_chosen_has_a_mesh(tmp_path):
    ids = np.zeros((32, 32, 32), np.uint32)
    ids[2:30, 2:30, 2:16] = 1
    ids[2:30, 2:30, 16:30] = 2
    ids[0, 0, 0] = 3
    volume = shapes.write_segmentation(tmp_path / "v.zarr/s", ids)
    out = shapes.publish(volume, tmp_path / "out", min_size=10)
    names = {path.name for path in (out / MESH).iterdir()} - {"info", "task.json"}
    assert names == {"1:0", "1.mesh", "2:0", "2.mesh"}
    border = [read_mesh(out / MESH, 1)[0][:, 0].max(), read_mesh(out / MESH, 2)[0][:, 0].min()]
    assert border == pytest.approx([16 * 8] * 2, abs=0.01)
    one = shapes.publish(volume, tmp_path / "one", ids=(3,), max_error_nm=0)
    assert {path.name for path in (one / MESH).iterdir()} - {"info", "task.json"} == {"3:0", "3.mesh"}
    vertices, faces = read_mesh(one / MESH, 3)
    assert count_open_edges(faces) == 0
    assert vertices.min(axis=0).tolist() == [0, 0, 0]
    with pytest.raises(UserError, match="there is no segment 9, 11"):
        shapes.publish(volume, tmp_path / "none", ids=(9, 1, 11))


@pytest.mark.parametrize("form", ["ply", "obj"])
def test_mesh_files_are_read_by_trimesh(tmp_path, form):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed (pip install neuroadda[publish])")
    volume = shapes.write_segmentation(
        tmp_path / "v.zarr/s", np.where(shapes.make_ball(), BALL, 0).astype(np.uint64), (10, 8, 8), (50, 16, 8)
    )
    out = shapes.publish(volume, tmp_path / "out", to=("precomputed", form))
    mesh = trimesh.load(out / form / f"{BALL}.{form}")
    vertices, faces = read_mesh(out / MESH, BALL)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(measure_volume(vertices, faces), rel=1e-4)
    assert mesh.volume > 0
    assert np.allclose(mesh.bounds, [vertices.min(axis=0), vertices.max(axis=0)])
