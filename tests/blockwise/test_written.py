"""Which blocks of an array are written is told by its files."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.outputs import WrittenArray
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.nodes import ZARR3
from neuroadda.volumes.storage.stored import list_stored, stored_file

side = st.integers(1, 4)
layouts = st.sampled_from(["chunks", "shards"] if ZARR3 else ["chunks"])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunk=st.tuples(side, side, side),
    per_block=st.tuples(*[st.integers(1, 3)] * 3),
    shape=st.tuples(*[st.integers(1, 11)] * 3),
    channels=st.sampled_from([None, 2]),
    layout=layouts,
    seed=st.integers(0, 2**32 - 1),
)
def test_the_written_blocks_are_found(tmp_path, chunk, per_block, shape, channels, layout, seed):
    draw = np.random.default_rng(seed)
    block = tuple(c * n for c, n in zip(chunk, per_block, strict=True))
    volume = Volume.create(
        tmp_path / "a.zarr/a",
        shape,
        (4, 2, 1),
        np.uint8,
        channels=channels,
        chunk_vx=chunk,
        shard_vx=block if layout == "shards" else None,
    )
    grid = BlockGrid.make(volume.roi, volume.voxel_size, block)
    written = WrittenArray(volume, grid, (1, 1, 1) if layout == "shards" else per_block)
    assert not written.find().any()
    chosen = draw.random(len(grid)) < 0.6
    lead = () if channels is None else (channels,)
    for index in np.flatnonzero(chosen):
        roi = grid[int(index)].write_roi
        # Some blocks are all zero: they are written all the same.
        values = draw.integers(0, 2) * draw.integers(1, 9, (*lead, *(roi.shape / volume.voxel_size)))
        volume.write(roi, values.astype(np.uint8))
        written.read(grid[int(index)])
    assert written.find().tolist() == chosen.tolist()
    for places in list_stored(volume):
        assert all(stored_file(volume, tuple(place)).is_file() for place in places.tolist())
    for index in np.flatnonzero(chosen)[:1]:
        # without one of its files, a block is not there; without all of them, none but this block is missing
        lost = grid[int(index)]
        z, y, x = (p * n for p, n in zip(lost.position, written.files, strict=True))
        stored_file(volume, (z, y, x)).unlink()
        chosen[index] = False
        assert written.find().tolist() == chosen.tolist()
        written.remove(lost)
        assert written.find().tolist() == chosen.tolist()
        volume.write(lost.write_roi, np.zeros((*lead, *(lost.write_roi.shape / volume.voxel_size)), np.uint8))
        chosen[index] = True
        assert written.find().tolist() == chosen.tolist()


def test_what_is_half_written_or_foreign_does_not_count(tmp_path):
    volume = Volume.create(tmp_path / "a.zarr/a", (4, 4, 4), (1, 1, 1), np.uint8, chunk_vx=(2, 2, 2))
    grid = BlockGrid.make(volume.roi, volume.voxel_size, (2, 4, 4))
    written = WrittenArray(volume, grid, (1, 2, 2))
    volume.write(volume.roi, np.ones((4, 4, 4), np.uint8))
    assert written.find().tolist() == [True, True]
    chunk = tmp_path / "a.zarr/a/1/0/1"
    chunk.rename(chunk.with_name("1.3f.partial"))
    (chunk.parent / "7").write_bytes(b"x")  # of a larger array that lay here
    assert written.find().tolist() == [True, False]
    chunk.touch()
    assert written.find().tolist() == [True, False]


@pytest.mark.skipif(ZARR3, reason="what zarr says to a broken chunk differs")
def test_a_broken_chunk_is_told_by_reading(tmp_path):
    volume = Volume.create(tmp_path / "a.zarr/a", (4, 4, 4), (1, 1, 1), np.uint8, chunk_vx=(4, 4, 2))
    grid = BlockGrid.make(volume.roi, volume.voxel_size, (4, 4, 2))
    written = WrittenArray(volume, grid, (1, 1, 1))
    volume.write(volume.roi, np.ones((4, 4, 4), np.uint8))
    (tmp_path / "a.zarr/a/0/0/1").write_bytes(b"nonsense")
    written.read(grid[0])
    with pytest.raises((RuntimeError, ValueError)):
        written.read(grid[1])
