"""Where a volume has no data: the rule against a plain one, and that it does not depend on the box that is looked at."""

import json
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Roi
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, gaussian_filter

from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.sections import SectionFaults
from neuroadda.volumes.coverage import no_data, no_data_mask
from neuroadda.volumes.coverage.masks import Mask
from neuroadda.volumes.coverage.no_data import FoundData, find_constant, has_gaps
from neuroadda.volumes.coverage.no_data_mask import read_facts, write_no_data_mask


def find_plainly(sections, sides, borders):
    """Try every rectangle."""
    found = np.zeros(sections.shape, bool)
    for section, target in zip(sections, found, strict=True):
        for axis in (0, 1):
            pad = [(0, 0), (0, 0)]
            pad[axis] = tuple((sides[axis] - 1) * ends for ends in borders[axis])
            wider, steps = np.pad(section, pad, mode="edge"), list(sides)
            covered = mark(wider, steps, None)
            while max(steps) > no_data.SMALLEST_VX:
                steps = [s if s <= no_data.SMALLEST_VX else max(no_data.SMALLEST_VX, s // 2) for s in steps]
                covered |= mark(wider, steps, covered)
            target |= covered[tuple(slice(p[0], p[0] + n) for p, n in zip(pad, section.shape, strict=True))]
        if target.any():
            small = no_data.SMALLEST_VX
            data = np.pad(~target, small - 1, constant_values=True)
            kept = ~mark(np.where(data, 0, np.arange(1, data.size + 1).reshape(data.shape)), [small] * 2, data)
            target |= kept[small - 1 : -small + 1, small - 1 : -small + 1] if small > 1 else kept
    return found


def mark(section, sides, near):
    covered = np.zeros(section.shape, bool)
    for y in range(section.shape[0] - sides[0] + 1):
        for x in range(section.shape[1] - sides[1] + 1):
            part = slice(y, y + sides[0]), slice(x, x + sides[1])
            if section[part].min() == section[part].max() and (near is None or near[part].any()):
                covered[part] = True
    return covered


@given(
    shape=st.tuples(st.just(2), st.integers(1, 20), st.integers(1, 20)),
    sides=st.tuples(st.integers(2, 8), st.integers(2, 8)),
    borders=st.tuples(*[st.tuples(st.booleans(), st.booleans())] * 2),
    share=st.sampled_from([0.02, 0.1, 0.3]),
    seed=st.integers(0, 1000),
)
def test_it_finds_what_trying_every_rectangle_finds(shape, sides, borders, share, seed):
    sections = (np.random.default_rng(seed).random(shape) < share).astype(np.uint8) * 255
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(no_data, "SMALLEST_VX", 2)
        assert (find_constant(sections, sides, borders) == find_plainly(sections, sides, borders)).all()


NM = (40, 4, 4)
SHAPE_VX = (12, 150, 170)


def make_tissue(seed: int = 0) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE_VX), (1, 3, 3))
    noise = np.random.default_rng(seed + 1).normal(size=SHAPE_VX)
    return np.clip(128 + 30 * smooth / smooth.std() + 6 * noise, 0, 255).astype(np.uint8)


def write(folder: Path, voxels: np.ndarray, chunk_vx: Zyx | None = None) -> Volume:
    raw = Volume.create(folder / "v.zarr/raw", voxels.shape, NM, np.uint8, offset_nm=(80, 0, 12), chunk_vx=chunk_vx)
    raw.write(raw.roi, voxels)
    return raw


def rim(voxels):
    voxels[:, :37], voxels[:, :, 150:] = 0, 0


def white_frame_of_a_few_voxels(voxels):
    for edge in (np.s_[:, :3], np.s_[:, -3:], np.s_[:, :, :3], np.s_[:, :, -3:]):
        voxels[edge] = 255


def half_empty(voxels):
    voxels[:, :, 80:] = 0


def lost_tile(voxels):
    voxels[3:6, 40:110, 50:120] = 128


def turned(voxels):
    """A volume that was turned in its section: triangles of black at its corners."""
    y, x = np.mgrid[: SHAPE_VX[1], : SHAPE_VX[2]]
    voxels[:, (x + 0.7 * y < 80) | (x + 0.7 * y > 210)] = 0


def empty_ends(voxels):
    voxels[:2], voxels[10:] = 0, 0


GAPS = [rim, white_frame_of_a_few_voxels, half_empty, lost_tile, turned, empty_ends]


@pytest.mark.parametrize("side", [1, 8])
@pytest.mark.parametrize("spoil", GAPS)
def test_the_mask_leaves_no_voxel_without_data_and_hardly_less_tissue(tmp_path, monkeypatch, spoil, side):
    """By a cell of `side` voxels; in a turned volume, corners of tissue narrower than a speck go too."""
    monkeypatch.setattr(no_data_mask, "MOST_CELLS", np.prod(SHAPE_VX) // side**2)
    spoilt, ones, twos = make_tissue(), np.ones(SHAPE_VX, np.uint8), np.full(SHAPE_VX, 2, np.uint8)
    for voxels in (spoilt, ones, twos):
        spoil(voxels)
    lost = ones == twos
    mask = write_no_data_mask(write(tmp_path, spoilt), tmp_path / "m.zarr/mask")
    data = mask.read().repeat(side, 1).repeat(side, 2)[:, :150, :170] > 0
    assert not (data & lost).any()
    around = binary_dilation(lost, np.ones((1, 2 * side - 1, 2 * side - 1)))
    assert (~data & ~around).mean() < (1e-3 if spoil is turned else 1e-9)
    assert read_facts(mask)[0] == pytest.approx(lost.mean(), abs=0.005)


def test_specks_in_a_blank_section_are_no_tissue(tmp_path):
    voxels = make_tissue()
    voxels[5], voxels[:, :, 100:] = 0, 0
    voxels[5, 40:45, 30:37], voxels[5, 140, 5], voxels[:, 20, 120:123] = 200, 9, 255
    mask = write_no_data_mask(write(tmp_path, voxels), tmp_path / "m.zarr/mask")
    assert read_facts(mask)[1].blank == (5,)
    data = mask.read()
    assert not data[5].any()
    assert not data[:, :, 100:].any()


def test_odd_voxels_and_dark_organelles_are_tissue(tmp_path):
    voxels = make_tissue()
    voxels[:, ::17, ::13] = 0
    z, y, x = np.ogrid[: SHAPE_VX[0], : SHAPE_VX[1], : SHAPE_VX[2]]
    for centre in ((5, 70, 60), (6, 0, 100), (2, 120, 169)):  # inside, and cut by the border
        voxels[((z - centre[0]) / 3) ** 2 + ((y - centre[1]) / 25) ** 2 + ((x - centre[2]) / 25) ** 2 < 1] = 0
    mask = write_no_data_mask(write(tmp_path, voxels), tmp_path / "m.zarr/mask")
    assert mask.read().all()
    assert read_facts(mask) == (0, SectionFaults())


def test_sections_are_blank_repeated_or_jumped(tmp_path):
    voxels = gaussian_filter(make_tissue().astype(float), (1, 0, 0)).astype(np.uint8)
    voxels[9:] = np.roll(voxels[9:], 60, axis=2)
    voxels[3], voxels[6] = 255, voxels[5]
    rim(voxels)
    mask = write_no_data_mask(write(tmp_path, voxels), tmp_path / "m.zarr/mask")
    assert read_facts(mask)[1] == SectionFaults(blank=(3,), repeated=(6,), jumped=(9,))
    data = mask.read()
    assert not data[[3, 6]].any()
    assert data[[2, 4, 5, 7, 9]].any(axis=(1, 2)).all()


def test_a_volume_that_was_resampled_along_z_is_tissue(tmp_path, caplog):
    mask = write_no_data_mask(write(tmp_path, make_tissue()[:6].repeat(2, 0)), tmp_path / "m.zarr/mask")
    assert mask.read().all()
    assert read_facts(mask)[1].repeated == (1, 3, 5, 7, 9, 11)
    assert "6 of 12 sections repeat the one before" in caplog.text


@pytest.mark.parametrize("chunk_vx", [(5, 33, 70), (1, 150, 170), (12, 16, 16)])
@pytest.mark.parametrize("box_bytes", [1, 2**13, 2**17])
def test_the_mask_does_not_depend_on_boxes_or_chunks(tmp_path, chunk_vx, box_bytes):
    voxels = make_tissue()
    turned(voxels)
    voxels[4], voxels[8] = 0, voxels[7]
    expected = write_no_data_mask(write(tmp_path, voxels), tmp_path / "m.zarr/mask")
    raw = write(tmp_path / "other", voxels, chunk_vx)
    mask = write_no_data_mask(raw, tmp_path / "other.zarr/mask", box_bytes=box_bytes)
    assert (mask.read() == expected.read()).all()
    assert read_facts(mask) == read_facts(expected)


def test_what_is_found_in_a_box_is_what_the_mask_says(tmp_path):
    voxels = make_tissue()
    turned(voxels)
    raw = write(tmp_path, voxels)
    mask = Mask.open(write_no_data_mask(raw, tmp_path / "m.zarr/mask").path, raw)
    random = np.random.default_rng(0)
    for _ in range(25):
        first = random.integers(0, SHAPE_VX)
        roi = Roi(first, [random.integers(1, n - f + 1) for f, n in zip(first, SHAPE_VX, strict=True)])
        world = roi * raw.voxel_size + raw.roi.begin
        assert (FoundData(raw).read(world) == mask.read(world)).all()
        assert has_gaps(raw, world) == (not mask.read(world).all())


def test_a_mask_is_made_once_for_a_raw_and_again_for_another(tmp_path):
    raw = write(tmp_path, make_tissue())
    mask = write_no_data_mask(raw, tmp_path / "m.zarr/mask")
    mask = Volume.open(mask.path, "r+")
    mask.data[0] = 0  # a person's change
    assert not write_no_data_mask(raw, mask.path).read()[0].any()
    other = write(tmp_path / "other", make_tissue(5))
    assert write_no_data_mask(other, mask.path).read().all()
    with pytest.raises(UserError, match="another array lies here"):
        write_no_data_mask(raw, other.path)


def test_voxels_that_cannot_be_read_are_left_to_who_reads_them(tmp_path, caplog):
    voxels = make_tissue()
    half_empty(voxels)
    raw = write(tmp_path, voxels, (4, 150, 170))
    chunk = raw.path / "1" / "0" / "0"
    whole = chunk.read_bytes()
    chunk.write_bytes(b"not what blosc wrote")
    data = write_no_data_mask(raw, tmp_path / "m.zarr/mask", box_bytes=4 * 150 * 170).read()
    assert data[4:8].all()
    assert not data[:4, :, 80:].any()
    assert data[8:, :, :80].all()  # the first of these is compared with none
    assert "cannot be read" in caplog.text
    chunk.write_bytes(whole)
    assert not write_no_data_mask(raw, tmp_path / "m.zarr/mask").read()[:, :, 80:].any()


def test_the_command_writes_a_mask_beside_raw_and_info_tells_of_it(tmp_path, command):
    voxels = make_tissue()
    half_empty(voxels)
    voxels[7] = 0
    raw = write(tmp_path, voxels)
    code, out, _ = command("mask", raw.path, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["blank"] == [7]
    assert told["no_data"] == pytest.approx(1 - 11 / 12 * 80 / 170, abs=1e-4)
    assert Volume.open(told["mask"]).path == tmp_path / "v.zarr/raw_mask"
    code, out, _ = command("info", raw.path, "--json")
    assert json.loads(out)["no_data"] == {"share": told["no_data"], "blank": [7], "repeated": [], "jumped": []}
    assert "no_data" not in json.loads(command("info", told["mask"], "--json")[1])
    code, _, error = command("mask", raw.path, "-o", raw.path)
    assert (code, error.count("\n")) == (2, 1)


@pytest.mark.parametrize("edit", ["rim", "section", "voxel"])
def test_the_command_makes_the_mask_of_an_edited_raw_again_and_keeps_that_of_the_same(tmp_path, command, edit):
    rng = np.random.default_rng(0)
    raw = Volume.create(tmp_path / "v.zarr/raw", (6, 130, 130), (30, 6, 6), np.uint8)
    raw.data[:] = rng.integers(1, 255, raw.shape_vx)
    command("mask", raw.path)
    mask = Volume.open(tmp_path / "v.zarr/raw_mask", "r+")
    assert mask.read().all()
    mask.data[3, 3, 3] = 0  # by hand
    code, _, error = command("mask", raw.path)
    assert (code, error) == (0, "")
    assert mask.read()[3, 3, 3] == 0
    place = {"rim": (slice(None), slice(70)), "section": 2, "voxel": (1, 1, 1)}[edit]
    raw.data[place] = 0
    code, _, error = command("mask", raw.path)
    assert code == 0
    assert "raw was edited since this mask was made: it is made again" in error
    found = Volume.open(mask.path).read()
    assert found[place].any() == (edit == "voxel")
