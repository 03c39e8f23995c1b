"""Networks as others write them, for the tests of foreign networks: small, and written from the papers."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualUNet(nn.Module):
    """The residual symmetric U-Net of Lee et al. 2017 (arXiv:1706.00120), small: sums for skips, batch norm, sigmoid."""

    def __init__(self, features: tuple[int, ...] = (6, 8, 10), channels: int = 3, inputs: int = 1) -> None:
        super().__init__()
        self.enter = nn.Conv3d(inputs, features[0], (1, 5, 5), padding=(0, 2, 2))
        self.down = nn.ModuleList(_Residual(a, b) for a, b in zip((features[0], *features), features, strict=False))
        pairs = list(pairwise(features))
        self.lift = nn.ModuleList(nn.ConvTranspose3d(b, a, (1, 2, 2), (1, 2, 2)) for a, b in pairs)
        self.up = nn.ModuleList(_Residual(a, a) for a, _ in pairs)
        self.leave = nn.Conv3d(features[0], channels, (1, 5, 5), padding=(0, 2, 2))

    def forward(self, image: Tensor) -> Tensor:
        features, skips = self.enter(image), []
        for level, block in enumerate(self.down):
            features = block(functional.max_pool3d(features, (1, 2, 2)) if level else features)
            skips.append(features)
        features = skips.pop()
        for level in reversed(range(len(skips))):
            features = self.up[level](self.lift[level](features) + skips.pop())
        return self.leave(features).sigmoid()


class _Residual(nn.Module):
    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv3d(inputs, features, (1, 3, 3), padding=(0, 1, 1)), nn.BatchNorm3d(features), nn.ELU()
        )
        self.rest = nn.Sequential(
            nn.Conv3d(features, features, 3, padding=1),
            nn.BatchNorm3d(features),
            nn.ELU(),
            nn.Dropout3d(0.1),
            nn.Conv3d(features, features, 3, padding=1),
            nn.BatchNorm3d(features),
        )

    def forward(self, image: Tensor) -> Tensor:
        features = self.first(image)
        return functional.elu(features + self.rest(features))


class MedNeXt(nn.Module):
    """MedNeXt (Roy et al. 2023, arXiv:2303.09975), the network of BANIS, small: norms by the statistics of the input, and the
    affinities to the next voxel and the tenth, as logits."""

    def __init__(self, width: int = 4, channels: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv3d(1, width, 1)
        self.fine, self.coarse, self.last = _Next(width, width), _Next(2 * width, 2 * width), _Next(width, width)
        self.down = nn.Conv3d(width, 2 * width, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose3d(2 * width, width, 2, stride=2)
        self.out = nn.Conv3d(width, channels, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        fine = self.fine(self.stem(image))
        return {"affinities": self.out(self.last(fine + self.up(self.coarse(self.down(fine))))), "features": fine}


class _Next(nn.Module):
    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.deep = nn.Conv3d(inputs, inputs, 3, padding=1, groups=inputs)
        self.norm = nn.GroupNorm(inputs, inputs)
        self.wide, self.narrow = nn.Conv3d(inputs, 2 * features, 1), nn.Conv3d(2 * features, features, 1)

    def forward(self, image: Tensor) -> Tensor:
        return image + self.narrow(functional.gelu(self.wide(self.norm(self.deep(image)))))


class NearestAffinities(nn.Module):
    """Affinities by grey values alone, exactly: 1 where a voxel and its neighbour are on the same side of `middle`.

    Where `forward_looking`, to the next voxel along x, y and z (in this order), else to the one before along z, y, x.
    """

    def __init__(self, forward_looking: bool = False) -> None:
        super().__init__()
        self.forward_looking = forward_looking
        self.middle = nn.Parameter(torch.tensor(0.5))

    def forward(self, image: Tensor) -> Tensor:
        bright = (image > self.middle).float()
        channels = []
        for axis in (4, 3, 2) if self.forward_looking else (2, 3, 4):
            side = bright.shape[axis]
            same = (bright.narrow(axis, 1, side - 1) == bright.narrow(axis, 0, side - 1)).float()
            border = torch.zeros_like(bright.narrow(axis, 0, 1))
            channels.append(torch.cat([same, border] if self.forward_looking else [border, same], axis))
        return torch.cat(channels, 1)


class Flat(nn.Module):
    """A 2-D network."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.convolution(image)


class Doubling(nn.Module):
    """Puts out voxels of half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(1, 3, 2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        return self.up(image)


class Attentive(nn.Module):
    """Weighs its channels by the mean of the image, as squeeze and excitation does."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.convolution(image) * image.mean((2, 3, 4), keepdim=True).sigmoid()


class Prompted(nn.Module):
    """Needs more than an image."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, 3, 3, padding=1)

    def forward(self, image: Tensor, prompt: Tensor) -> Tensor:
        return self.convolution(image) + prompt


def make_network() -> nn.Module:
    """No class."""
    return Attentive()


class Branching(nn.Module):
    """What it does depends on values: torch's meta device has none."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv3d(1, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image if image.mean() > 0 else -image).sigmoid()
