"""Losses on cases with known answers."""

import math

import pytest
import torch

from neuroadda.training.config import LossConfig
from neuroadda.training.losses import affinity_loss, balance

SHAPE = (2, 4, 2, 6, 6)


@pytest.fixture
def affs() -> torch.Tensor:
    return (torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) > 0.2).float()


@pytest.mark.parametrize("balanced", [True, False])
def test_known_values(affs: torch.Tensor, balanced: bool) -> None:
    mask = torch.ones(SHAPE)
    bce = LossConfig(kind="bce", dice=0.0, balance=balanced)
    mse = LossConfig(kind="mse", dice=0.0, balance=balanced)
    assert affinity_loss(torch.zeros(SHAPE), affs, mask, bce).item() == pytest.approx(math.log(2), rel=1e-5)
    assert affinity_loss(torch.zeros(SHAPE), affs, mask, mse).item() == pytest.approx(0.25, rel=1e-5)
    perfect = (affs * 2 - 1) * 30
    for config in (bce, mse, LossConfig(dice=1.0)):
        assert affinity_loss(perfect, affs, mask, config).item() == pytest.approx(0, abs=1e-5)
        assert affinity_loss(-perfect, affs, mask, config).item() > 0.9


def test_masked_voxels_do_not_matter(affs: torch.Tensor) -> None:
    logits = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    mask = (torch.rand(SHAPE, generator=torch.Generator().manual_seed(2)) > 0.5).float()
    for config in (LossConfig(), LossConfig(balance=True), LossConfig(kind="mse")):
        expected = affinity_loss(logits, affs, mask, config)
        changed = affinity_loss(torch.where(mask > 0, logits, 9.0), torch.where(mask > 0, affs, 1 - affs), mask, config)
        torch.testing.assert_close(changed, expected)
        assert math.isfinite(affinity_loss(logits, affs, torch.zeros(SHAPE), config).item())


def test_balance_weighs_both_classes_alike(affs: torch.Tensor) -> None:
    weights = balance(affs, torch.ones(SHAPE))
    for channel in range(SHAPE[1]):
        ones, w = affs[:, channel], weights[:, channel]
        assert (w * ones).sum().item() == pytest.approx((w * (1 - ones)).sum().item(), rel=1e-4)
    # a class that is hardly there is not blown up beyond its clipped share
    rare = torch.ones(SHAPE)
    rare[0, :, 0, 0, 0] = 0
    assert balance(rare, torch.ones(SHAPE)).max().item() == pytest.approx(10)


def test_far_channels_weigh_less(affs: torch.Tensor) -> None:
    wrong_far = (affs * 2 - 1) * 30
    wrong_far[:, 3] *= -1
    mask = torch.ones(SHAPE)
    losses = [affinity_loss(wrong_far, affs, mask, LossConfig(dice=0.0, far=w)).item() for w in (0.0, 0.5, 1.0)]
    assert losses[0] == pytest.approx(0, abs=1e-5)
    assert losses[1] < losses[2]
