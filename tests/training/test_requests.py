"""The request graph: raw and labels stay together whatever the augmentation, and affinities are what they should be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroadda.backbones.card import NEAREST
from neuroadda.backbones.normalisation import normalise
from neuroadda.training.config import TrainConfig
from neuroadda.training.dataset import AffinityDataset
from neuroadda.volumes.arrays import Volume

CALM = {"contrast": 0.0, "brightness": 0.0, "noise": 0.0, "elastic": 0.0}
WILD = {**CALM, "elastic": 1.0, "elastic_jitter_vx": [0.0, 1.0, 1.0], "misalign": 0.0}
FAR = [*NEAREST, (-2, 0, 0), (0, -5, 0), (0, 0, -5)]


def centre(raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return raw[tuple(slice((r - s) // 2, (r - s) // 2 + s) for r, s in zip(raw.shape, shape, strict=True))]


def agreement(raw: np.ndarray, labels: np.ndarray) -> float:
    """Return the fraction of labelled voxels that have their label's own grey."""
    own = np.zeros_like(raw)
    for label in np.unique(labels[labels > 0]):
        own[labels == label] = np.median(raw[labels == label])
    return float((np.abs(raw - own) < 1)[labels > 0].mean())


@pytest.mark.parametrize("padded", [0.0, 1.0])
@pytest.mark.parametrize("augment", [CALM, WILD, {**CALM, "misalign": 0.3, "elastic": 1.0, "transpose": "none"}])
def test_raw_and_labels_stay_together(
    configure: Callable[..., TrainConfig], augment: dict[str, Any], padded: float
) -> None:
    dataset = AffinityDataset(configure(augment=augment, padded=padded))
    for index in range(6):
        item = dataset[index]
        raw = (centre(item["raw"][0], item["labels"].shape) + 1) * 127.5
        assert (item["labels"] > 0).mean() > 0.2
        assert agreement(raw, item["labels"]) > 0.85
        assert agreement(raw, np.roll(item["labels"], 3, axis=2)) < agreement(raw, item["labels"]) - 0.05


def test_sections_are_not_collapsed(
    configure: Callable[..., TrainConfig], write_volume: Callable[..., Path], volumes: Path, small: dict[str, Any]
) -> None:
    depth = np.broadcast_to(np.arange(14, dtype=np.uint8)[:, None, None] * 10, (14, 64, 64))
    write_volume(volumes / "depth", np.ascontiguousarray(depth))
    samples = [{**small["samples"][0], "raw": str(volumes / "depth"), "no_data": "none"}]
    for shape in ([2, 24, 24], [4, 24, 24]):
        dataset = AffinityDataset(configure(samples=samples, augment=WILD, padded=1.0, output_shape_vx=shape))
        for index in range(4):
            steps = np.diff((dataset[index]["raw"][0] + 1) * 127.5, axis=0)
            np.testing.assert_allclose(np.abs(steps), 10, atol=0.01)


def test_affinities_follow_the_definition(configure: Callable[..., TrainConfig]) -> None:
    item = AffinityDataset(configure(augment=CALM, offsets=FAR, padded=1.0))[0]
    labels = item["labels"]
    for channel, (z, y, x) in enumerate(FAR):
        here, there = labels[-z:, -y:, -x:], labels[: z or None, : y or None, : x or None]
        expected = (here == there) & (here > 0)
        np.testing.assert_array_equal(item["affs"][channel][-z:, -y:, -x:], expected)
    assert item["mask"].shape == item["affs"].shape
    assert item["raw"].dtype == np.float32
    assert np.abs(item["raw"]).max() <= 1


def test_long_offsets_do_not_move_the_samples(configure: Callable[..., TrainConfig], volumes: Path) -> None:
    offsets, shape = [*NEAREST, (-6, 0, 0), (0, -20, 0), (0, 0, -20)], (12, 56, 56)
    raw = Volume.open(volumes / "raw").read().astype(np.float32)
    dataset = AffinityDataset(
        configure(augment={**CALM, "transpose": "none"}, offsets=offsets, output_shape_vx=shape, padded=1.0)
    )
    windows = [np.flip(raw, axes) for axes in ((), 0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2))]
    windows = [np.lib.stride_tricks.sliding_window_view(window, shape) for window in windows]
    for index in range(8):
        item = dataset[index]
        got = np.round((item["raw"][0] + 1) * 127.5)
        assert any((window == got).all((3, 4, 5)).any() for window in windows), "raw is mirrored: not inside the volume"
        assert (item["labels"] > 0).mean() > 0.4


def test_raw_is_normalised_as_in_prediction(configure: Callable[..., TrainConfig], volumes: Path) -> None:
    raw = Volume.open(volumes / "raw").read()
    item = AffinityDataset(configure(augment=CALM))[0]
    values = normalise(np.unique(raw))
    assert np.abs(item["raw"].reshape(-1, 1) - values).min(1).max() < 1e-6


def test_samples_are_drawn_by_weight(
    configure: Callable[..., TrainConfig], write_volume: Callable[..., Path], volumes: Path, small: dict[str, Any]
) -> None:
    write_volume(volumes / "black", np.zeros((14, 64, 64), np.uint8))
    first = {**small["samples"][0], "weight": 1.0}
    samples = [first, {**first, "raw": str(volumes / "black"), "weight": 3.0, "no_data": "none"}]
    dataset = AffinityDataset(configure(samples=samples, augment=CALM, iterations=100))
    black = sum(float(dataset[i]["raw"].max()) == -1 for i in range(60))
    assert 33 <= black <= 55


def test_labels_that_are_not_linked_teach_nothing_across_sections(
    configure: Callable[..., TrainConfig], small: dict[str, Any]
) -> None:
    offsets = [[-1, 0, 0], [0, -1, 0], [0, 0, -1], [-2, 0, 0]]
    config = configure(offsets=offsets, samples=[{**small["samples"][0], "linked": False}])
    batch = AffinityDataset(config)[5]
    assert not batch["mask"][[0, 3]].any()
    assert batch["mask"][1, :, 1:].all()
    assert batch["mask"][2, :, :, 1:].all()


@pytest.mark.parametrize("sectionwise", [True, False])
def test_gamma_bends_the_contrast_of_sections_or_of_the_volume(
    configure: Callable[..., TrainConfig], sectionwise: bool
) -> None:
    # each node of the graph changes the seeds of those before it, so both have it
    straight, bent = (
        AffinityDataset(configure(augment={**CALM, "gamma": gamma, "sectionwise": sectionwise}, padded=1.0))
        for gamma in (1 + 1e-7, 2.0)
    )
    found = []
    for index in range(4):
        before, after = ((data[index]["raw"][0] + 1) / 2 for data in (straight, bent))
        inside = (before > 0.1) & (before < 0.9)
        exponents = [np.log(a[i]) / np.log(b[i]) for b, a, i in zip(before, after, inside, strict=True)]
        for section in exponents:
            np.testing.assert_allclose(section, section.mean(), rtol=1e-3)
        means = np.array([section.mean() for section in exponents])
        assert (np.ptp(means) < 1e-3) is not sectionwise
        found += means.tolist()
    assert 0.5 <= min(found) < 1 < max(found) <= 2
