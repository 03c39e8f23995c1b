"""Raw whose gaps are filled: as the volume cut at its rim, and the same wherever it is read from."""

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.kernels.mirroring import find_images
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.filling import FilledVolume, find_lost_sections

SHAPE_VX, REACH_VX = (9, 60, 70), Coordinate(2, 8, 8)
NM = (40, 4, 4)


class Known:
    def __init__(self, raw: Volume, known: np.ndarray) -> None:
        self.raw, self.known = raw, known

    def read(self, roi: Roi) -> np.ndarray:
        return self.known[self.raw.to_slices(roi)]


@pytest.fixture
def raw(tmp_path) -> Volume:
    raw = Volume.create(tmp_path / "v.zarr/raw", SHAPE_VX, NM, np.uint8)
    raw.write(raw.roi, np.random.default_rng(0).integers(0, 255, SHAPE_VX, np.uint8))
    return raw


@pytest.mark.parametrize(
    "inside",
    [
        Roi((0, 0, 0), (9, 37, 70)),
        Roi((1, 13, 5), (7, 37, 52)),
        Roi((3, 0, 20), (2, 60, 9)),
        Roi((4, 5, 0), (1, 9, 70)),
    ],
)
def test_a_volume_with_a_rim_reads_as_the_volume_cut_at_the_rim(tmp_path, raw, inside):
    known = np.zeros(SHAPE_VX, bool)
    known[inside.to_slices()] = True
    offset_nm = [b * v for b, v in zip(inside.begin, NM, strict=True)]
    cut = Volume.create(tmp_path / "cut.zarr/raw", inside.shape, NM, np.uint8, offset_nm=offset_nm)
    cut.write(cut.roi, raw.read(cut.roi))
    raw.write(raw.roi, np.where(known, raw.read(), 0).astype(np.uint8))
    seen = inside.grow(REACH_VX, REACH_VX) * raw.voxel_size
    assert (FilledVolume(raw, Known(raw, known), REACH_VX).read_mirrored(seen) == cut.read_mirrored(seen)).all()


def test_where_there_is_data_nothing_changes(raw):
    filled = FilledVolume(raw, Known(raw, np.ones(SHAPE_VX, bool)), REACH_VX)
    seen = raw.roi.grow(REACH_VX * raw.voxel_size, REACH_VX * raw.voxel_size)
    assert (filled.read_mirrored(seen) == raw.read_mirrored(seen)).all()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_reads_that_overlap_agree(raw, share, seed):
    random = np.random.default_rng(seed)
    known = (random.random((9, 8, 9)) < share).repeat(8, 1).repeat(8, 2)[:, :60, :70]
    known[random.integers(9)] = False
    filled = FilledVolume(raw, Known(raw, known), REACH_VX)
    whole = filled.read_mirrored(raw.roi.grow(REACH_VX * raw.voxel_size, REACH_VX * raw.voxel_size))
    for _ in range(8):
        begin = [int(random.integers(-r, n + r)) for n, r in zip(SHAPE_VX, REACH_VX, strict=True)]
        shape = [int(random.integers(1, n + r - b + 1)) for n, r, b in zip(SHAPE_VX, REACH_VX, begin, strict=True)]
        part = Roi(begin, shape)
        assert (filled.read_mirrored(part * raw.voxel_size) == whole[(part + REACH_VX).to_slices()]).all()


def test_few_lost_sections_are_their_neighbours_and_many_are_mirrored(raw):
    known = np.ones(SHAPE_VX, bool)
    known[2:4] = False
    known[6:9] = False
    seen = FilledVolume(raw, Known(raw, known), REACH_VX).read_mirrored(raw.roi)
    voxels = raw.read()
    for z, source in {2: 1, 3: 4, 6: 4}.items():  # 6 is the image of 4 at 5
        assert (seen[z] == voxels[source]).all(), z
    assert find_lost_sections(known).any(axis=(1, 2)).nonzero()[0].tolist() == [2, 3]


def find_plainly(known: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Walk from each unknown place along both axes, and from the border back into the run of known places."""
    images = np.full(known.shape, -1)
    for place in zip(*np.nonzero(~known), strict=True):
        nearest = None
        for axis in (0, 1):
            line = known[:, place[1]] if axis == 0 else known[place[0]]
            for step in (-1, 1):  # of equally near ones the one before, and that along y
                border = place[axis]
                while 0 <= border < len(line) and not line[border]:
                    border += step
                distance = abs(border - place[axis])
                if 0 <= border < len(line) and distance <= reach[axis] and (nearest is None or distance < nearest):
                    nearest, at, inward = distance, border, step
                    for _ in range(distance):
                        if not (0 <= at + inward < len(line) and line[at + inward]):
                            inward = -inward
                        if 0 <= at + inward < len(line) and line[at + inward]:
                            at += inward
                    images[place] = at * known.shape[1] + place[1] if axis == 0 else place[0] * known.shape[1] + at
    return images


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    reach=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    share=st.sampled_from([0.1, 0.5, 0.9]),
    seed=st.integers(0, 1000),
)
def test_images_are_those_that_one_finds_by_walking(shape, reach, share, seed):
    known = np.random.default_rng(seed).random(shape) < share
    assert (find_images(known.view(np.uint8), *reach) == find_plainly(known, reach)).all()
