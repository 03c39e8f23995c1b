"""What is not labelled is not scored, in truth, segmentation, skeletons and baselines; what cannot be scored is said."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate

from neuroadda.errors import UserError, forget_warnings
from neuroadda.evaluation.measure import EvaluateConfig, check_evaluation, measure_volume
from neuroadda.evaluation.sweep import evaluate_volume
from neuroadda.volumes.arrays import Volume

SHAPE, NM = (12, 60, 64), (40.0, 8.0, 8.0)


def write(path: Path, data: np.ndarray, **place: Any) -> Volume:
    volume = Volume.create(path, data.shape, place.pop("nm", NM), data.dtype, **{"offset_nm": (80, 16, 0), **place})
    volume.data[:] = data
    return volume


@pytest.fixture
def truth() -> np.ndarray:
    """Bars along x, 0 around them."""
    z, y, _ = np.indices(SHAPE)
    return np.where((z % 6 > 2) & (y % 12 > 8), z // 6 * 10 + y // 12 + 1, 0).astype(np.uint64)


@pytest.fixture
def found() -> np.ndarray:
    return (np.indices(SHAPE)[0] // 6 * 10 + np.indices(SHAPE)[1] // 15 + 1).astype(np.uint64)


def score(folder: Path, segmentation: np.ndarray, labels: np.ndarray, *, skeletons: bool = True) -> dict[str, Any]:
    volumes = write(folder / "v.zarr/segmentation", segmentation), write(folder / "v.zarr/labels", labels)
    return measure_volume(volumes[0], EvaluateConfig(labels=str(volumes[1].path), skeletons=skeletons)).to_data()


@pytest.mark.parametrize("reserved", [2**64 - 1, 2**64 - 2, 2**64 - 3, 2**32 - 1])
@pytest.mark.parametrize("where", ["labels", "segmentation", "both"])
def test_reserved_ids_score_as_0_does(
    tmp_path: Path, truth: np.ndarray, found: np.ndarray, caplog: pytest.LogCaptureFixture, reserved: int, where: str
) -> None:
    def put(value: int) -> list[np.ndarray]:
        there, here = truth.copy(), found.copy()
        if where != "segmentation":
            there[:, :20] = value
        if where != "labels":
            here[3:6, 30:] = value
        return [here, there]

    forget_warnings()
    assert score(tmp_path, *put(reserved)) == score(tmp_path, *put(0))
    for name, told in (("labels", "not scored"), ("segmentation", "taken for unsegmented")):
        assert (f"v.zarr/{name}: " in caplog.text and told in caplog.text) is (where in (name, "both"))


def test_those_of_uint32_arrays_too(tmp_path: Path, truth: np.ndarray, found: np.ndarray) -> None:
    there = truth.astype(np.uint32)
    there[:, :20] = 2**32 - 1
    zeros = truth.copy()
    zeros[:, :20] = 0
    assert score(tmp_path, found, there) == score(tmp_path, found, zeros)


BAD = {
    "zeros": (lambda truth: truth * 0, {}, "nothing is labelled: there is nothing but 0"),
    "invalid": (lambda truth: np.full_like(truth, 2**64 - 2), {}, r"nothing but 0, 18446744073709551614 \(invalid\)"),
    "negative": (lambda truth: truth.astype(np.int64) - 1, {}, r"there are negative ids \(-1\)"),
    "raw": (
        lambda truth: np.random.default_rng(0).integers(0, 256, truth.shape, np.uint8),
        {},
        "these are grey values",
    ),
    "elsewhere": (lambda truth: truth, {"offset_nm": (8000, 16, 0)}, "do not overlap"),
    "coarser": (lambda truth: truth, {"nm": (40.0, 16.0, 16.0)}, "voxel size"),
    "shifted": (lambda truth: truth, {"offset_nm": (80, 20, 0)}, "grid is shifted"),
    "floats": (lambda truth: truth.astype(np.float32), {}, "integers, zyx, are expected"),
}


@pytest.mark.parametrize("case", BAD)
def test_labels_that_cannot_be_scored_are_named(
    tmp_path: Path, truth: np.ndarray, found: np.ndarray, case: str
) -> None:
    make, place, told = BAD[case]
    segmentation, labels = write(tmp_path / "v.zarr/found", found), write(tmp_path / "v.zarr/bad", make(truth), **place)
    raw = write(tmp_path / "v.zarr/raw", found.astype(np.uint8))
    config = EvaluateConfig(labels=str(labels.path))
    for look in (
        lambda: measure_volume(segmentation, config),
        lambda: check_evaluation(config, raw, (tmp_path / "run",)),  # before a run segments for days
    ):
        with pytest.raises(UserError, match=rf"v\.zarr/bad: .*{told}") as caught:
            look()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compared", [False, True])
def test_raw_is_no_segmentation(tmp_path: Path, truth: np.ndarray, found: np.ndarray, compared: bool) -> None:
    grey = write(tmp_path / "v.zarr/raw", np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8))
    labels, good = write(tmp_path / "v.zarr/labels", truth), write(tmp_path / "v.zarr/found", found)
    config = EvaluateConfig(labels=str(labels.path), compare={"other": str(grey.path)} if compared else {})
    with pytest.raises(UserError, match=r"v\.zarr/raw: these are grey values"):
        measure_volume(good if compared else grey, config)


def test_labels_outside_what_is_segmented_are_found_before_it_is(tmp_path: Path, truth: np.ndarray) -> None:
    raw, there = write(tmp_path / "v.zarr/raw", truth.astype(np.uint8)), truth.copy()
    there[6:] = 0
    config = EvaluateConfig(labels=str(write(tmp_path / "v.zarr/labels", there).path))
    lower = raw.roi.intersect(raw.roi.shift(raw.voxel_size * Coordinate(6, 0, 0)))
    check_evaluation(config, raw, ())
    with pytest.raises(UserError, match=r"v\.zarr/labels: nothing is labelled"):
        check_evaluation(config, raw, (), lower)


@pytest.mark.parametrize("cut", [np.s_[:6], np.s_[:, :30], np.s_[:, :, :32]])
def test_that_only_the_overlap_is_scored_is_said(
    tmp_path: Path, truth: np.ndarray, found: np.ndarray, caplog: pytest.LogCaptureFixture, cut: Any
) -> None:
    segmentation, labels = write(tmp_path / "v.zarr/found", found), write(tmp_path / "v.zarr/labels", truth[cut])
    forget_warnings()
    with caplog.at_level(logging.WARNING, "neuroadda"):
        scores = evaluate_volume(segmentation.path, labels.path)
    assert scores.voxels == np.count_nonzero(truth[cut])
    assert "v.zarr/labels: they span [" in caplog.text
    assert "only the overlap is scored" in caplog.text


def test_alike_volumes_are_scored_without_a_word(
    tmp_path: Path, truth: np.ndarray, found: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    forget_warnings()
    score(tmp_path, found, truth)
    assert not caplog.records


def test_one_id_and_no_segment_are_doubted(tmp_path: Path, truth: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    forget_warnings()
    score(tmp_path, truth * 0, (truth > 5) * np.uint64(255), skeletons=False)
    assert "there is only one id" in caplog.text
    assert "v.zarr/segmentation: nothing is segmented" in caplog.text
