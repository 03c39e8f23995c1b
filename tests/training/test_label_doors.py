"""Labels that nothing can be learned from end a training before its first iteration, with one line that names the file."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate

from neuroadda.errors import UserError, forget_warnings
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.flow import RunConfig, train_backbone, validate_backbone
from neuroadda.training.config import TrainConfig
from neuroadda.training.distributed import Processes
from neuroadda.training.sample import RandomSample, check_labels, open_sample
from neuroadda.training.sample_config import SampleConfig
from neuroadda.training.trainer import _check, train_network
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_checks import LabelTally
from neuroadda.volumes.contents.label_ids import RESERVED
from neuroadda.volumes.importing import import_volume
from tests.training.conftest import SHAPE, VOXEL_SIZE_NM

Configure = Callable[..., TrainConfig]
OUTPUT = (4, 24, 24)


def half(cells: np.ndarray, value: int, dtype: Any = np.uint64) -> np.ndarray:
    """Cells with small ids, half of them replaced."""
    ids = (np.unique(cells, return_inverse=True)[1].reshape(cells.shape) + 1).astype(dtype)
    ids[:, 32:] = value
    return ids


def noise(cells: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, cells.shape, dtype=np.uint8)


BAD = {
    "zeros": (lambda cells: cells * 0, {}, "nothing is labelled: there is nothing but 0 in"),
    "transparent": (
        lambda cells: np.full_like(cells, 2**64 - 1),
        {},
        r"nothing but 0, 18446744073709551615 \(transparent\)",
    ),
    "negative": (lambda cells: half(cells, -1, np.int64), {}, r"there are negative ids \(-1\)"),
    "rarely negative": (lambda cells: half(cells, -7, np.int16), {}, r"there are negative ids \(-7\)"),
    "raw": (noise, {}, "these are grey values, no labels"),
    "elsewhere": (lambda cells: half(cells, 0), {"offset_nm": (40000.0, 80.0, 80.0)}, "does not overlap raw"),
    "larger": (lambda cells: np.pad(half(cells, 0), ((0, 0), (0, 8), (0, 0))), {}, "is not inside raw"),
    "coarser": (lambda cells: half(cells, 0), {"voxel_size_nm": (40.0, 16.0, 16.0)}, "is not that of raw"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_labels_end_a_training_before_it_begins(
    volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray, configure: Configure, tmp_path: Path, case: str
) -> None:
    make, place, told = BAD[case]
    path = write_volume(volumes / "bad", make(cells), **place)
    with pytest.raises(UserError, match=rf"v\.zarr/bad: .*{told}") as caught:
        train_network(configure(samples=[{"raw": str(volumes / "raw"), "labels": str(path)}]))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("case", [case for case in BAD if case != "larger"])
def test_bad_validation_labels_end_it_as_early(
    volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray, configure: Configure, tmp_path: Path, case: str
) -> None:
    make, place, _ = BAD[case]
    path = write_volume(volumes / "bad", make(cells), **place)
    validation = ValidateConfig(raw=str(volumes / "raw"), labels=str(path))
    with pytest.raises(UserError, match=r"v\.zarr/bad: ") as caught:
        train_backbone(RunConfig(train=configure(), validation=validation))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"v\.zarr/bad: "):
        validate_backbone(RunConfig(train=configure(), validation=validation))


def test_a_validation_part_without_labels_is_found_before_training(
    volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray
) -> None:
    path = write_volume(volumes / "half", half(cells, 0))
    part = {"offset_nm": (400.0, 80.0 + 32 * 8, 80.0), "shape_nm": (400.0, 200.0, 200.0)}
    config = ValidateConfig.model_validate({"raw": str(volumes / "raw"), "labels": str(path), "roi": part})
    with pytest.raises(UserError, match=r"v\.zarr/half: nothing is labelled"):
        Validator(config).check()
    Validator(config.model_copy(update={"roi": None})).check()


def test_an_empty_mask_ends_a_training_before_it_begins(
    volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray, configure: Configure, tmp_path: Path
) -> None:
    mask = write_volume(volumes / "mask", np.zeros(SHAPE, np.uint8))
    sample = {"raw": str(volumes / "raw"), "labels": str(volumes / "labels"), "mask": str(mask)}
    with pytest.raises(UserError, match=r"v\.zarr/mask: the mask is 0 everywhere in"):
        train_network(configure(samples=[sample]))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("background", ["boundary", "ignore"])
@pytest.mark.parametrize(
    ("reserved", "dtype"),
    [(2**64 - 1, np.uint64), (2**64 - 3, np.uint64), (2**32 - 1, np.uint32), (2**32 - 1, np.uint64)],
)
def test_what_is_not_labelled_is_left_out_of_the_loss(
    volumes: Path,
    write_volume: Callable[..., Path],
    cells: np.ndarray,
    caplog: pytest.LogCaptureFixture,
    background: Any,
    reserved: int,
    dtype: type,
) -> None:
    ids = half(cells, reserved, dtype)
    ids[:, :4] = 0
    path = write_volume(volumes / "half", ids)
    sample = open_sample(SampleConfig(raw=str(volumes / "raw"), labels=str(path), background=background), OUTPUT)
    labels, mask = RandomSample(sample, OUTPUT)._read_labels(sample.roi)
    assert not labels[:, 32:].any()
    assert not mask[:, 32:].any()
    assert (mask[:, :4] == (background == "boundary")).all()
    assert (mask[:, 4:32] == 1).all()
    assert len(np.unique(labels[:, 4:32])) == len(np.unique(ids[:, 4:32]))
    forget_warnings()
    check_labels(sample)
    count = np.count_nonzero(ids == reserved)
    assert (
        f"{count} of {ids.size} voxels looked at have id {reserved} ({RESERVED[reserved]}): they are not" in caplog.text
    )
    np.random.seed(0)  # noqa: NPY002 (gunpowder's)
    for _ in range(20):  # where nothing is known is not drawn
        place = RandomSample(sample, OUTPUT).place()
        box = np.s_[:, place[1] - 12 : place[1] + 12]
        assert mask[box].mean() > 0.05


@pytest.mark.parametrize("reserved", [2**64 - 1, 2**64 - 2, 2**32 - 1])
def test_after_an_import_zeros_that_were_not_labelled_are_no_boundary(
    volumes: Path, cells: np.ndarray, reserved: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.save(tmp_path / "ids.npy", half(cells, reserved))
    place = {"voxel_size_nm": VOXEL_SIZE_NM, "offset_nm": (400.0, 80.0, 80.0)}
    path = import_volume(tmp_path / "ids.npy", volumes / "imported", kind="labels", **place).path
    sample = open_sample(SampleConfig(raw=str(volumes / "raw"), labels=str(path)), OUTPUT)
    _, mask = RandomSample(sample, OUTPUT)._read_labels(sample.roi)
    np.testing.assert_array_equal(mask, Volume.open(path).read() > 0)
    forget_warnings()
    with caplog.at_level(logging.WARNING, "neuroadda"):
        check_labels(sample)
    assert "were not labelled and became 0: label 0 is left out of the loss" in caplog.text


def test_smaller_labels_that_do_not_say_where_they_lie_are_refused(
    volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray
) -> None:
    write_volume(volumes / "raw0", noise(cells), offset_nm=(0.0, 0.0, 0.0))
    path = write_volume(volumes / "cut", half(cells, 0)[:, :50], offset_nm=(0.0, 0.0, 0.0))
    config = SampleConfig(raw=str(volumes / "raw0"), labels=str(path))
    open_sample(config, OUTPUT)
    attrs = Volume.open(path, "r+").data.attrs
    del attrs["offset"]
    with pytest.raises(
        UserError, match=r"v\.zarr/cut: its shape \(14, 50, 64\) is not that of raw, \(14, 64, 64\), and it has"
    ):
        open_sample(config, OUTPUT)


def test_labels_with_reserved_ids_make_another_training_than_by_the_earlier_rule(
    volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray, configure: Configure
) -> None:
    prints = []
    for value in (2**64 - 4, 2**64 - 1):
        path = write_volume(volumes / "half", half(cells, value))  # the same place and metadata
        samples = [{"raw": str(volumes / "raw"), "labels": str(path)}]
        prints.append(_check(configure(samples=samples), None, Processes()).fingerprint)
    assert prints[0] != prints[1]


@pytest.mark.parametrize("told", ["only one id", "only what both cover is trained on"])
def test_what_may_not_be_meant_is_told(
    volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    ids = half(cells, 0)
    path = write_volume(volumes / "odd", (ids > 0).astype(np.uint8) * 255 if "id" in told else ids[:, :, :50])
    forget_warnings()
    with caplog.at_level(logging.WARNING, "neuroadda"):
        check_labels(open_sample(SampleConfig(raw=str(volumes / "raw"), labels=str(path)), OUTPUT))
    assert told in caplog.text
    assert "v.zarr/odd" in caplog.text


@pytest.mark.parametrize("workers", [0, 1])
def test_what_only_shows_while_training_is_one_line_too(
    volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray, configure: Configure, workers: int, monkeypatch
) -> None:
    path = write_volume(volumes / "half", half(cells, -1, np.int32))
    samples = [{"raw": str(volumes / "raw"), "labels": str(path)}]
    monkeypatch.setattr("neuroadda.training.checks.check_labels", lambda sample: LabelTally())
    monkeypatch.setattr(RandomSample, "place", lambda self: Coordinate(6, 40, 30))
    with pytest.raises(UserError) as caught:
        train_network(configure(samples=samples, workers=workers))
    assert str(caught.value).startswith(f"{path}: there are negative ids (-1); ")
    assert "\n" not in str(caught.value)
