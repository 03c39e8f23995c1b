"""Runs on volumes with gaps: nothing is segmented there, and tissue is as in a volume without them."""

from pathlib import Path

import numpy as np
import pytest

from neuroadda.blockwise.execution_config import Execution
from neuroadda.errors import UserError
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import Plan, make_plan, segment_volume
from neuroadda.segmentation.recovery import read_run, retry
from neuroadda.segmentation.settings import Threshold
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.no_data_mask import write_no_data_mask
from tests.segmentation.synthetic import VOXEL_SIZE_NM, smooth_noise, write_backbone

SHAPE_VX = (10, 96, 112)
INSIDE = np.s_[:, 16:, 8:80]
BLOCK_VX = (8, 32, 32)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("backbone") / "backbone")


def make_tissue() -> np.ndarray:
    return (30 + smooth_noise(SHAPE_VX, (1, 4, 4)) * 200).astype(np.uint8)


def write(folder: Path, voxels: np.ndarray, first: tuple[int, int, int] = (0, 0, 0)) -> Volume:
    offset_nm = [f * v for f, v in zip(first, VOXEL_SIZE_NM, strict=True)]
    raw = Volume.create(folder / "raw.zarr/raw", voxels.shape, VOXEL_SIZE_NM, np.uint8, offset_nm=offset_nm)
    raw.write(raw.roi, voxels)
    return raw


def configure(raw: Volume, backbone: Path, output: Path, **options) -> SegmentConfig:
    known = {
        **{"raw": str(raw.path), "backbone": str(backbone), "output": str(output), "block_vx": BLOCK_VX},
        "fragments": Fragments(seed_distance_vx=4, boundary=0.5),
        "components": Threshold(threshold=0.15),
        "execution": Execution(launcher="serial"),
    }
    return SegmentConfig(**(known | options))


def read(plan: Plan, stage: str) -> np.ndarray:
    return Volume.open(plan.output(stage)).read()


@pytest.fixture(scope="module")
def rim(backbone, tmp_path_factory) -> tuple[Volume, Plan]:
    folder, voxels = tmp_path_factory.mktemp("rim"), np.zeros(SHAPE_VX, np.uint8)
    voxels[INSIDE] = make_tissue()[INSIDE]
    raw = write(folder, voxels)
    return raw, segment_volume(configure(raw, backbone, folder / "run"))


def test_tissue_within_a_rim_is_as_in_the_volume_cut_at_it(backbone, tmp_path, rim):
    cut = segment_volume(configure(write(tmp_path, make_tissue()[INSIDE], (0, 16, 8)), backbone, tmp_path / "run"))
    affs, expected = read(rim[1], "predict").astype(int), read(cut, "predict").astype(int)
    assert np.abs(affs[:, *INSIDE] - expected).max() <= 1
    black = segment_volume(configure(rim[0], backbone, tmp_path / "black", no_data="none"), upto="predict")
    assert np.abs(read(black, "predict").astype(int)[:, *INSIDE] - expected).max() > 1
    beyond = np.ones(SHAPE_VX, bool)
    beyond[INSIDE] = False
    assert not affs[:, beyond].any()
    segmentation = read(rim[1], "relabel")
    assert not segmentation[beyond].any()
    assert len(np.unique(segmentation[INSIDE])) > 4
    assert len(rim[1].task("predict").blocks) < len(rim[1].task("predict").grid)


def test_affinities_do_not_depend_on_the_blocks(backbone, tmp_path, rim):
    for block_vx in ((10, 96, 112), (4, 16, 48)):
        config = configure(rim[0], backbone, tmp_path / str(block_vx[0]), block_vx=block_vx)
        plan = segment_volume(config, upto="predict")
        assert np.abs(read(plan, "predict").astype(int) - read(rim[1], "predict")).max() <= 1


def test_the_plan_of_a_run_is_found_again(rim):
    config = rim[1].config.model_copy(update={"no_data": "auto"})
    for plan in (make_plan(config), read_run(config.output)):
        assert [task.fingerprint for task in plan.tasks] == [task.fingerprint for task in rim[1].tasks]


def test_raw_with_data_everywhere_is_segmented_as_without_the_setting(backbone, tmp_path):
    raw = write(tmp_path, make_tissue())
    none = segment_volume(configure(raw, backbone, tmp_path / "none", no_data="none"))
    auto = segment_volume(configure(raw, backbone, tmp_path / "auto"))
    assert auto.config.no_data == "none"
    assert [task.input_fingerprints.keys() for task in auto.tasks] == [t.input_fingerprints.keys() for t in none.tasks]
    assert auto.task("predict").fingerprint == none.task("predict").fingerprint
    for stage in ("predict", "fragments", "relabel"):
        assert (read(auto, stage) == read(none, stage)).all()


@pytest.mark.parametrize("kind", ["blank", "repeated"])
def test_segments_run_on_across_a_lost_section_that_is_empty(backbone, tmp_path, kind):
    voxels = make_tissue()
    filled = voxels.copy()
    filled[5] = voxels[4]
    voxels[5] = 0 if kind == "blank" else voxels[4]
    lost = read(segment_volume(configure(write(tmp_path, voxels), backbone, tmp_path / "lost")), "relabel")
    config = configure(write(tmp_path / "filled", filled), backbone, tmp_path / "filled/run", no_data="none")
    expected = read(segment_volume(config), "relabel")
    assert not lost[5].any()
    expected[5] = 0
    assert (lost == expected).all()
    assert np.intersect1d(lost[4], lost[6]).any()


def test_four_lost_sections_end_segments(backbone, tmp_path):
    voxels = make_tissue()
    voxels[3:7] = 255
    segmentation = read(segment_volume(configure(write(tmp_path, voxels), backbone, tmp_path / "run")), "relabel")
    assert not segmentation[3:7].any()
    assert np.intersect1d(segmentation[:3], segmentation[7:]).tolist() in ([], [0])


def test_a_mask_and_gaps_are_joined(backbone, tmp_path, rim):
    mask = Volume.create(
        tmp_path / "m.zarr/mask", (10, 24, 28), [v * f for v, f in zip(VOXEL_SIZE_NM, (1, 4, 4), strict=True)], np.uint8
    )
    mask.data[:, :14] = 1
    plan = segment_volume(configure(rim[0], backbone, tmp_path / "run", mask=str(mask.path)))
    segmentation = read(plan, "relabel")
    inside = np.zeros(SHAPE_VX, bool)
    inside[INSIDE] = True
    inside[:, 56:] = False
    assert not segmentation[~inside].any()
    assert (segmentation[inside] > 0).mean() > 0.5
    assert (read(plan, "predict")[:, inside] == read(rim[1], "predict")[:, inside]).all()  # seen unmasked


def test_a_mask_of_gaps_may_be_given(backbone, tmp_path, rim):
    given = write_no_data_mask(rim[0], tmp_path / "m.zarr/mask")
    plan = segment_volume(configure(rim[0], backbone, tmp_path / "run", no_data=str(given.path)))
    assert (read(plan, "relabel") == read(rim[1], "relabel")).all()
    small = Volume.create(tmp_path / "small.zarr/mask", (10, 12, 12), (30, 48, 48), np.uint8)
    for wrong in (small.path, tmp_path / "nothing"):
        with pytest.raises(UserError, match=r"outside the mask|no array here"):
            segment_volume(configure(rim[0], backbone, tmp_path / "wrong", no_data=str(wrong)))
    assert not (tmp_path / "wrong").exists()


def test_raw_without_any_data_is_refused(backbone, tmp_path):
    with pytest.raises(UserError, match="nothing in it is tissue"):
        segment_volume(configure(write(tmp_path, np.full(SHAPE_VX, 255, np.uint8)), backbone, tmp_path / "run"))


@pytest.mark.parametrize("gaps", [True, False])
def test_retry_says_that_its_mask_is_older_than_raw(backbone, tmp_path, caplog, gaps):
    voxels = make_tissue()
    voxels[:, :, 80 if gaps else 112 :] = 0
    raw, options = write(tmp_path, voxels), ['segment.execution.launcher="serial"']
    config = configure(raw, backbone, tmp_path / "run")
    plan = segment_volume(config, upto="predict")
    retry(tmp_path / "run", stage="predict", overrides=options)
    assert not [line for line in caplog.messages if "where raw has no data" in line]
    edited = make_tissue()
    edited[:, :, 104:] = 0
    raw.write(raw.roi, edited)
    retry(tmp_path / "run", stage="predict", overrides=options)
    assert [line for line in caplog.messages if "where raw has no data was found before raw changed" in line]
    same = segment_volume(config, upto="predict")
    assert [task.fingerprint for task in same.tasks] == [task.fingerprint for task in plan.tasks]
    anew = segment_volume(config, upto="predict", overwrite=True)
    mask = Volume.open(anew.config.no_data).read()
    assert mask[:, :, :104].all()
    assert not mask[:, :, 104:].any()
    assert read(anew, "predict")[..., 90:104].any()
