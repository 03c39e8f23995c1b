"""Small networks and volumes for the tests of the uncertainty."""

from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import save_backbone
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.config import Zyx
from neuroadda.volumes.arrays import Volume

VOXEL_SIZE_NM = (30, 6, 6)
SHAPE_VX = (9, 50, 61)
KERNELS = (((3, 3, 3),), ((1, 3, 3),))


def write_raw(path: Path, voxels: np.ndarray | None = None, voxel_size_nm=VOXEL_SIZE_NM) -> Volume:
    """Write smooth random raw, or the voxels given."""
    if voxels is None:
        noise = gaussian_filter(np.random.default_rng(0).normal(size=SHAPE_VX), (0.5, 2, 2))
        voxels = np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)
    raw = Volume.create(path, voxels.shape, voxel_size_nm, np.uint8, offset_nm=(60, 12, 0))
    raw.write(raw.roi, voxels)
    return raw


def write_random_backbone(folder: Path, seed: int = 0, offsets: tuple[Zyx, ...] = NEAREST) -> Path:
    """Write a network with random weights, unsure of much, and not the same to all sides."""
    torch.manual_seed(seed)
    architecture = UNetConfig(out_channels=len(offsets), features=(4, 8), downsample=((1, 2, 2),), kernels=KERNELS)
    model = UNet(architecture)
    with torch.no_grad():
        model.head.weight.mul_(6)
    return _save(folder, model, offsets)


def write_even_backbone(folder: Path, offsets: tuple[Zyx, ...] = NEAREST) -> Path:
    """Write a network whose affinity is a function of the sum of the two voxels alone.

    It is the same to all sides, and exactly so: a sum of two numbers does not depend on their order.
    """
    architecture = UNetConfig(out_channels=len(offsets), features=(4, 2), downsample=((1, 2, 2),), kernels=KERNELS)
    model = UNet(architecture)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for channel, (z, y, x) in enumerate(offsets):
            model.down[0].convolutions[0].weight[channel, 0, 1, 1, 1] = 1
            model.down[0].convolutions[0].weight[channel, 0, 1 + z, 1 + y, 1 + x] = 1
            model.up[0].convolutions[0].weight[channel, channel, 1, 1, 1] = 1
            model.head.weight[channel, channel] = 4
            model.head.bias[channel] = -2
    return _save(folder, model, offsets)


def _save(folder: Path, model: UNet, offsets: tuple[Zyx, ...]) -> Path:
    facts = {"name": folder.name, "domain": "t", "voxel_size_nm": VOXEL_SIZE_NM}
    save_backbone(folder, model, Card(**facts, architecture=model.config, offsets=offsets))
    return folder
