"""The network: an anisotropic U-Net without padding, whose prediction does not depend on how a volume is tiled."""

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neuroadda.backbones.module import NetworkModule
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.config import Zyx


class UNet(NetworkModule):
    """Image in, affinity logits out: ``(N, C, z, y, x)`` float, valid-padded.

    After Ronneberger et al. 2015 and Funke et al. 2019 (2-D kernels where z is coarse). In eval mode no layer looks
    beyond its kernel (no statistics over a tile), so predictions of tiles whose origins are multiples of `alignment_vx`
    agree.

    Parameters
    ----------
    config
        Its architecture.
    batch_norm
        Normalise over the batch in training, which converges faster; `fold` makes it a plain network again.
    """

    config: UNetConfig
    head: nn.Conv3d

    def __init__(self, config: UNetConfig, batch_norm: bool = False) -> None:
        super().__init__(config)
        f, kernels = config.features, config.kernels
        levels = range(len(f))
        self.down = nn.ModuleList(
            _Convolutions(f[level - 1] if level else config.in_channels, f[level], kernels[level], batch_norm)
            for level in levels
        )
        self.up = nn.ModuleList(
            _Convolutions(f[level] + f[level + 1], f[level], kernels[level], batch_norm) for level in levels[:-1]
        )
        self.head = nn.Conv3d(f[0], config.out_channels, 1)

    @property
    def encoder(self) -> Sequence[nn.Module]:
        """All levels on the way down, the deepest included."""
        return list(self.down)

    def forward(self, raw: Tensor, padded: bool = False) -> Tensor:
        """Return logits; see `NetworkModule.forward`."""
        z, y, x = raw.shape[2:]
        shape = (z, y, x) if padded else self.config.output_shape_vx((z, y, x))
        skips = self._descend(raw, padded)
        sections = skips.pop()
        for level in reversed(range(len(self.up))):
            sections = _repeat(sections, self.config.downsample[level])
            n, y, x = sections.shape[1], *sections.shape[3:]
            sections = _join([crop(skips.pop(), (n, y, x)), sections])  # what has been joined is held no longer
            sections = self.up[level](sections, padded)
        logits: Tensor = self.head(crop(sections, shape).transpose(1, 2))
        return logits

    def encode(self, raw: Tensor) -> Tensor:
        """Return the deepest features."""
        return self._descend(raw, padded=False)[-1].transpose(1, 2)

    def fold(self) -> Self:
        """Return a copy in eval mode, without batch norm."""
        folded = copy.deepcopy(self).eval()
        for block in (*folded.down, *folded.up):
            if block.norms:
                block.convolutions = nn.ModuleList(map(fuse_conv_bn_eval, block.convolutions, block.norms))
                block.norms = nn.ModuleList()
        return folded

    def _descend(self, raw: Tensor, padded: bool) -> list[Tensor]:
        """Return the features of every level; between the layers a tensor is a stack of sections, (N, z, C, y, x)."""
        sections = raw.transpose(1, 2)
        levels = []
        for level, convolutions in enumerate(self.down):
            if level:
                sections = _pool(sections, self.config.downsample[level - 1])
            sections = convolutions(sections, padded)
            levels.append(sections)
        return levels


class _Convolutions(nn.Module):
    """A few convolutions, each followed by an optional batch norm and a ReLU, on stacks of sections."""

    def __init__(self, channels: int, features: int, kernels: tuple[Zyx, ...], batch_norm: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        for kernel in kernels:
            convolution = nn.Conv3d(channels, features, kernel)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
            self.convolutions.append(convolution)
            channels = features
        self.norms = nn.ModuleList(nn.BatchNorm2d(features) for _ in kernels if batch_norm)

    def forward(self, sections: Tensor, padded: bool) -> Tensor:
        for i, convolution in enumerate(self.convolutions):
            count = sections.shape[0]
            flat = _convolve(sections, convolution, padded).flatten(0, 1)
            flat = rectify(self.norms[i](flat) if self.norms else flat)
            sections = flat.unflatten(0, (count, -1))
        return sections


def _convolve(sections: Tensor, convolution: nn.Module, padded: bool) -> Tensor:
    assert isinstance(convolution, nn.Conv3d)
    depth = convolution.kernel_size[0]
    z, *yx = ((k // 2 if padded else 0) for k in convolution.kernel_size)
    if sections.is_cuda:
        volume = sections.transpose(1, 2)
        return functional.conv3d(volume, convolution.weight, convolution.bias, padding=(z, *yx)).transpose(1, 2)
    if depth > 1:
        if padded:  # by nothing, it would still be copied
            sections = functional.pad(sections, (0, 0, 0, 0, 0, 0, z, z))
        n = sections.shape[1] - depth + 1
        sections = _join([sections[:, k : k + n] for k in range(depth)])
    weight = weigh_sections(convolution.weight)
    return functional.conv2d(sections.flatten(0, 1), weight, convolution.bias, padding=yx).unflatten(
        0, sections.shape[:2]
    )


def _join(parts: list[Tensor]) -> Tensor:
    """Return the channels of all parts together; of four axes torch remembers that they are last, of five it does not."""
    if parts[0].shape[0] > 1:
        return torch.cat(parts, dim=2)
    return torch.cat([part[0] for part in parts], dim=1)[None]


def rectify(features: Tensor) -> Tensor:
    """Return max(0, features), in place: as int16, where it is the same, bfloat16 takes a CPU a quarter of the time."""
    if features.dtype != torch.bfloat16 or torch.is_grad_enabled():
        return functional.relu(features, inplace=True)
    return features.view(torch.int16).clamp_(min=0).view(torch.bfloat16)


def weigh_sections(weight: Tensor) -> Tensor:
    """Return the weight (F, C, z, y, x) of a 3-D convolution as that of a 2-D one, whose channels are those of all z sections.

    On CPUs 2-D convolutions are up to ten times faster than torch's 3-D ones.
    """
    flat = weight.transpose(1, 2).flatten(1, 2)
    if torch.is_grad_enabled():
        return flat
    # Channels last, all that follows is too, and is not turned back after each layer.
    return torch.empty_like(flat, memory_format=torch.channels_last).copy_(flat)


def _pool(sections: Tensor, factors: Zyx) -> Tensor:
    z, *yx = factors
    pooled = functional.max_pool2d(sections.flatten(0, 1), yx, yx).unflatten(0, sections.shape[:2])
    return pooled if z == 1 else pooled.unflatten(1, (-1, z)).amax(2)


def _repeat(sections: Tensor, factors: Zyx) -> Tensor:
    z, *yx = factors
    scale = [float(f) for f in yx]
    flat = sections.flatten(0, 1) if z == 1 else sections.repeat_interleave(z, dim=1).flatten(0, 1)
    return functional.interpolate(flat, scale_factor=scale, mode="nearest").unflatten(0, (sections.shape[0], -1))


def crop(sections: Tensor, shape: Zyx) -> Tensor:
    """Return the centre, of zyx shape `shape`, of sections (..., z, C, y, x)."""
    sizes = (sections.shape[-4], *sections.shape[-2:])
    z, y, x = (slice((s - n) // 2, (s - n) // 2 + n) for s, n in zip(sizes, shape, strict=True))
    return sections[..., z, :, y, x]
