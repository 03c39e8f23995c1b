"""The consistency of boundaries: a mirrored crop's affinities come back to their voxels, and agreement is between 0 and 1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.backbones.card import Card
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.config import Zyx
from neuroadda.domains.consistency import agree, boundary_entropy, find_neighbours, to_boundary, unflip

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


def test_agreement() -> None:
    sure = np.array([1.0, 1.0, 0.0])
    assert agree(sure, sure) == 1
    assert agree(sure, 1 - sure) == 0
    assert agree(np.full(3, 0.8), np.full(3, 0.8)) == pytest.approx(0.8)
    assert np.isnan(agree(np.zeros(3), np.zeros(3)))
    assert np.isnan(boundary_entropy(np.zeros(3)))
    assert boundary_entropy(np.array([0.500001])) == pytest.approx(1, abs=1e-6)


def test_neighbours_are_of_the_channels_that_are_predicted() -> None:
    def card(offsets: tuple[Zyx, ...]) -> Card:
        architecture = UNetConfig(out_channels=len(offsets))
        return Card(name="t", domain="t", voxel_size_nm=(8, 8, 8), architecture=architecture, offsets=offsets)

    assert find_neighbours(card(OFFSETS)) == {"2d": [1, 2], "3d": [0, 1, 2]}
    assert find_neighbours(card(OFFSETS[1:3])) == {"2d": [1, 2]}
    assert to_boundary(np.ones((4, 1, 2, 3), np.float32), [1, 2]).shape == (1, 2, 2)
