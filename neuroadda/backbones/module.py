"""A network that computes: the torch module that a `Network` describes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from neuroadda.backbones.network import Network


class NetworkModule(nn.Module, ABC):
    """The base of every network's module.

    In eval mode no layer looks beyond its context (no statistics over a tile), so that predictions of tiles agree.

    Attributes
    ----------
    config
        Its description.
    head
        The last layer; the first axis of its parameters are the output channels.
    keeps_norms
        Whether its norms stay as they are in training, and come with the weights.
    """

    config: Network
    head: nn.Module
    keeps_norms: ClassVar[bool] = False

    def __init__(self, config: Network) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, raw: Tensor, padded: bool = False) -> Tensor:
        """Return logits (N, out_channels, z, y, x) for normalised raw (N, in_channels, z, y, x) of an allowed input shape.

        With `padded` (for training only) the output has the shape of the input, a multiple of the alignment, and zeros
        are the context at its border: several times as many voxels teach in the same time.

        Raises
        ------
        UserError
            If the shape is not allowed; the nearest allowed one is named.
        """

    @abstractmethod
    def encode(self, raw: Tensor) -> Tensor:
        """Return features (N, feature_width, z, y, x) of normalised raw of a shape from `Network.encoder_input_shape_vx`."""

    @property
    @abstractmethod
    def encoder(self) -> Sequence[nn.Module]:
        """The levels of the encoder, finest first. Training from a backbone may freeze the first ones and slow the others down."""

    @abstractmethod
    def fold(self) -> Self:
        """Return a copy in eval mode, without batch norm: the running statistics become part of the weights."""

    def first_channels(self, count: int) -> "NetworkModule":
        """Return a network with the first `count` channels of this one, which is folded; itself if it has no more."""
        if count == self.config.out_channels:
            return self
        with torch.random.fork_rng(devices=[]):  # its random weights are replaced
            fewer = self.config.with_out_channels(count).build().eval()
        weights = self.state_dict()
        fewer.load_state_dict({name: v[:count] if name.startswith("head.") else v for name, v in weights.items()})
        return fewer.to(next(iter(weights.values())).device)
