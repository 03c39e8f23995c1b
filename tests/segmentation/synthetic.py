"""Small made-up affinities with known structure, shared by the tests of the segmentation."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import Phantom, PhantomConfig

if TYPE_CHECKING:
    from neuroadda.segmentation.config import SegmentConfig

VOXEL_SIZE_NM = (30, 6, 6)
BLOCK_VX = (8, 32, 32)
SHAPE_VX = (24, 90, 100)


def smooth_noise(shape, sigma, seed=0) -> np.ndarray:
    """Return smooth random values in 0..1."""
    values = gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    return (values - values.min()) / np.ptp(values)


def noisy_affs(shape=(12, 60, 64), seed=0) -> np.ndarray:
    """Return uint8 affinities, czyx, of blob-like cells with boundaries between them."""
    noise = np.stack([smooth_noise(shape, (1, 3, 3), seed + c) for c in range(3)])
    return (np.clip((noise - 0.5) * 3 + 0.6, 0, 1) * 255).astype(np.uint8)


def phantom_affs(shape, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of a phantom and uint8 affinities as a fair network would predict them: blurred and noisy."""
    _, labels = Phantom(PhantomConfig(shape_vx=shape, seed=seed)).render((0, 0, 0), shape)
    affs = np.zeros((3, *shape), np.float32)
    for axis in range(3):
        upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        affs[(axis, *upper)] = (labels[upper] == labels[lower]) & (labels[upper] > 0)
    noise = gaussian_filter(np.random.default_rng(seed).normal(0, 1, affs.shape), (0, 0, 2, 2))
    return labels, (np.clip(gaussian_filter(affs, (0, 0, 1, 1)) + noise, 0, 1) * 255).astype(np.uint8)


def write_raw(path: Path, shape=SHAPE_VX, seed=0) -> Volume:
    raw = Volume.create(path, shape, VOXEL_SIZE_NM, np.uint8, offset_nm=(60, 12, 0))
    raw.write(raw.roi, (smooth_noise(shape, (1, 4, 4), seed) * 255).astype(np.uint8))
    return raw


def write_backbone(folder: Path, seed=0, gain=4.0) -> Path:
    """Write a small network with random weights whose outputs are not all alike."""
    import torch  # the rest is for tests without it, too

    from neuroadda.backbones.card import NEAREST, Card
    from neuroadda.backbones.checkpoint import save_backbone
    from neuroadda.backbones.unet import UNet
    from neuroadda.backbones.unet_config import UNetConfig

    torch.manual_seed(seed)
    kernels = (((1, 3, 3),), ((3, 3, 3),))
    architecture = UNetConfig(out_channels=3, features=(4, 8), downsample=((1, 2, 2),), kernels=kernels)
    model = UNet(architecture)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(gain)
    save_backbone(
        folder,
        model,
        Card(name="t", domain="t", voxel_size_nm=VOXEL_SIZE_NM, architecture=architecture, offsets=NEAREST),
    )
    return folder


def write_inputs(folder: Path, shape=SHAPE_VX) -> Path:
    """Write what `configure` makes a run of into a folder; return it."""
    write_raw(folder / "raw.zarr/raw", shape)
    write_backbone(folder / "backbone")
    return folder


def configure(inputs: Path, output: Path, **options) -> "SegmentConfig":
    """Return the config of a small run of `write_inputs`, in blocks of `BLOCK_VX`, in this process."""
    from neuroadda.blockwise.execution_config import Execution
    from neuroadda.segmentation.config import SegmentConfig
    from neuroadda.segmentation.fragments import Fragments
    from neuroadda.segmentation.settings import Threshold

    known = {
        "raw": str(inputs / "raw.zarr/raw"),
        "backbone": str(inputs / "backbone"),
        "output": str(output),
        "block_vx": BLOCK_VX,
        "fragments": Fragments(seed_distance_vx=4, boundary=0.5),
        "components": Threshold(threshold=0.15),
        "execution": Execution(launcher="serial"),
    }
    return SegmentConfig(**(known | options))
