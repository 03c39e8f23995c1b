"""The consistency of boundaries: a mirrored crop's affinities come back to their voxels, and agreement is between 0 and 1."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from funlib.geometry import Roi
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import Backbone
from neuroadda.backbones.devices import compute_in_threads, end_if_cancelled
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.config import Zyx
from neuroadda.domains import consistency
from neuroadda.domains.consistency import (
    MIRROR,
    Consistency,
    count_boundary,
    find_neighbours,
    measure_consistency,
    predict_boundaries,
    to_boundary,
    unflip,
)
from neuroadda.volumes.arrays import Volume

OFFSETS: tuple[Zyx, ...] = ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 3))


def affinities(ids: np.ndarray) -> np.ndarray:
    """Return float32 (c, z, y, x): whether a voxel and its neighbour have the same id; 0 where there is no neighbour."""
    affs = np.zeros((len(OFFSETS), *ids.shape), np.float32)
    for affinity, offset in zip(affs, OFFSETS, strict=True):
        here = tuple(slice(max(0, -o), s - max(0, o)) for o, s in zip(offset, ids.shape, strict=True))
        there = tuple(slice(max(0, o), s - max(0, -o)) for o, s in zip(offset, ids.shape, strict=True))
        affinity[here] = ids[here] == ids[there]
    return affs


@given(st.integers(0, 2**32 - 1))
def test_the_mirror_image_of_a_mirror_image_is_the_same(seed: int) -> None:
    ids = np.random.default_rng(seed).integers(0, 3, (3, 5, 7))
    np.testing.assert_array_equal(unflip(affinities(ids[..., ::-1]), OFFSETS), affinities(ids))


def test_voxels_are_boundary_in_both_or_in_either_however_sure() -> None:
    sure = np.array([1.0, 1.0, 0.0])
    assert count_boundary(sure, sure) == (2, 2)
    assert count_boundary(np.full(3, 0.6), np.full(3, 0.9)) == (3, 3)
    assert count_boundary(sure, 1 - sure) == (0, 3)
    assert count_boundary(sure, np.array([0.6, 0.5, 0.7])) == (1, 3)
    assert count_boundary(np.zeros(3), np.zeros(3)) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=2, max_size=5))
def test_a_crop_counts_by_its_boundary_and_the_mean_of_what_crops_say_is_the_overlap(
    counts: list[tuple[int, int]],
) -> None:
    both, only_one = np.array(counts).T
    found = Consistency(both, both + only_one, np.zeros(len(both)))
    assert found.overlap == pytest.approx(both.sum() / max(1, (both + only_one).sum()))
    assert found.values.mean() == pytest.approx(found.overlap)
    if not only_one.any():
        assert np.ptp(found.values) == pytest.approx(0)


def test_neighbours_are_of_the_channels_that_are_predicted() -> None:
    def card(offsets: tuple[Zyx, ...]) -> Card:
        architecture = UNetConfig(out_channels=len(offsets))
        return Card(name="t", domain="t", voxel_size_nm=(8, 8, 8), architecture=architecture, offsets=offsets)

    assert find_neighbours(card(OFFSETS)) == {"2d": [1, 2], "3d": [0, 1, 2]}
    assert find_neighbours(card(OFFSETS[1:3])) == {"2d": [1, 2]}
    assert to_boundary(np.ones((4, 1, 2, 3), np.float32), [1, 2]).shape == (1, 2, 2)


@pytest.mark.parametrize("begin", [(0, 0, 0), (1, 3, 4), (3, 1, 8)])
def test_a_crop_goes_through_the_network_once_a_transformation_wherever_it_begins(
    begin: Zyx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = UNetConfig(features=(4, 6), downsample=((2, 2, 2),), kernels=(((3, 3, 3),), ((3, 3, 3),)))
    card = Card(name="t", domain="t", voxel_size_nm=(8, 8, 8), architecture=network, offsets=NEAREST)
    volume = Volume.create(tmp_path / "v.zarr/raw", (16, 40, 40), (8, 8, 8), np.uint8)
    volume.data[:] = np.random.default_rng(0).integers(1, 256, (16, 40, 40), dtype=np.uint8)
    crop = Roi(begin, (8, 16, 16)) * volume.voxel_size
    passed = []
    infer = consistency.Predictor.infer

    def count(self, given):
        passed.append(len(given.tiles))
        return infer(self, given)

    monkeypatch.setattr(consistency.Predictor, "infer", count)
    backbone = Backbone(UNet(network).eval(), card, Path("t"))
    found = measure_consistency(volume, backbone, [crop])["2d"]
    assert passed == [1, 1]  # as it is, mirrored
    (boundaries,) = predict_boundaries(volume, backbone, [crop], changes=(MIRROR, MIRROR))
    assert passed == [1] * 5
    plain, *mirrored = boundaries["2d"]
    assert [count_boundary(plain, one) for one in mirrored] == [(found.both[0], found.either[0])] * 2


def test_in_a_thread_of_the_pool_torch_computes_alone() -> None:
    before = torch.get_num_threads()
    with compute_in_threads(2) as pool:
        assert set(pool.map(lambda _: torch.get_num_threads(), range(4))) == {1}
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), compute_in_threads(2) as pool:
        list(pool.map(lambda number: 1 / number, range(2)))
    assert torch.get_num_threads() == before


def test_what_is_at_work_ends_when_the_command_is_stopped() -> None:
    begun, ended = Event(), Event()

    def work(_: int) -> None:
        begun.set()
        try:
            while True:
                end_if_cancelled()
        finally:
            ended.set()

    def rank() -> None:
        with compute_in_threads(1) as pool:
            pool.map(work, range(2))
            begun.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rank()
    assert ended.is_set()
    end_if_cancelled()  # the calling thread's work is not cancelled
