"""The network: an anisotropic U-Net without padding, whose prediction does not depend on how a volume is tiled."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.config import Zyx


class UNet(nn.Module):
    """Image in, affinity logits out: ``(N, C, z, y, x)`` float, valid-padded.

    After Ronneberger et al. 2015 and Funke et al. 2019 (2-D kernels where z is coarse). No layer looks beyond its kernel (no
    statistics over a tile), so predictions of tiles whose origins are multiples of `alignment_vx` agree.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        f = config.features
        self.down = nn.ModuleList(
            _convolutions(config.in_channels if level == 0 else f[level - 1], f[level], kernels)
            for level, kernels in enumerate(config.kernels)
        )
        self.up = nn.ModuleList(
            _convolutions(f[level] + f[level + 1], f[level], config.kernels[level]) for level in range(len(f) - 1)
        )
        self.head = nn.Conv3d(f[0], config.out_channels, 1)

    @property
    def context_vx(self) -> Zyx:
        """Voxels of input beyond the output on each side, zyx."""
        return self.config.context_vx

    @property
    def alignment_vx(self) -> Zyx:
        """Grid on which output shapes and tile origins lie, zyx."""
        return self.config.alignment_vx

    def forward(self, raw: Tensor) -> Tensor:
        """Return logits for normalised raw of an allowed input shape.

        Raises
        ------
        UserError
            If the shape is not allowed; the nearest allowed one is named.
        """
        z, y, x = raw.shape[2:]
        shape = self.config.output_shape_vx((z, y, x))
        skips = []
        for level, convolutions in enumerate(self.down):
            raw = convolutions(raw)
            if level < len(self.up):
                skips.append(raw)
                factors = self.config.downsample[level]
                raw = functional.max_pool3d(raw, factors, factors)
        for level in reversed(range(len(self.up))):
            factors = self.config.downsample[level]
            raw = functional.interpolate(raw, scale_factor=[float(s) for s in factors], mode="nearest")
            raw = self.up[level](torch.cat([_crop(skips[level], raw.shape[2:]), raw], dim=1))
        logits: Tensor = self.head(_crop(raw, shape))
        return logits


def _convolutions(channels: int, features: int, kernels: tuple[Zyx, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for kernel in kernels:
        convolution = nn.Conv3d(channels, features, kernel)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        assert convolution.bias is not None
        nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.ReLU(inplace=True)]
        channels = features
    return nn.Sequential(*layers)


def _crop(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the centre of `tensor`, of zyx shape `shape`."""
    slices = [slice((s - n) // 2, (s - n) // 2 + n) for s, n in zip(tensor.shape[2:], shape, strict=True)]
    return tensor[(..., *slices)]
