"""A foreign network at work: its class is imported here and nowhere else, and put behind the protocol of ours."""

import copy
import importlib
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from neuroadda.backbones.foreign import ENTRY_POINTS, ForeignFacts, ForeignNetwork, no_features
from neuroadda.backbones.module import NetworkModule
from neuroadda.errors import UserError

LEAST_PROBABILITY = 1e-6


class ForeignModule(NetworkModule):
    """Crops, shifts and converts what a foreign network says, so that it is logits of our offsets, and valid-padded.

    It is always in eval mode inside: fine-tuning changes its weights, but no running statistics, and drops nothing out, so a
    training's result does not depend on how many processes share it.
    """

    config: ForeignNetwork
    keeps_norms: ClassVar[bool] = True

    def __init__(self, config: ForeignNetwork) -> None:
        super().__init__(config)
        self.network = build_foreign(config).eval()
        self.head = nn.Module()  # which layer is the last, nobody knows

    def forward(self, raw: Tensor, padded: bool = False) -> Tensor:
        """Return logits; see `NetworkModule.forward`.

        Raises
        ------
        UserError
            Also if the network puts out another shape than its card says.
        """
        config = self.config
        z, y, x = raw.shape[2:]
        shape = (z, y, x) if padded else config.output_shape_vx((z, y, x))
        image = scale_intensities(raw, config)
        if padded:
            z, y, x = config.padding_vx
            image = functional.pad(image, (x, x, y, y, z, z))
        said = take_output(self.network(image), config)
        left = [side - 2 * lost for side, lost in zip(image.shape[2:], config.geometry.lost_vx, strict=True)]
        wanted = (len(raw), len(config.channel_offsets), *left)
        if said.shape != wanted:
            what = f"it puts out {tuple(said.shape)} for {tuple(image.shape)}, the card says {wanted}"
            raise UserError(what, config.implementation, "write its card again: `neuroadda zoo card`")
        begins = [(have - want) // 2 for have, want in zip(left, shape, strict=True)]
        parts = []
        for _, channel, shift in config.channels:
            box = [slice(b + s, b + s + n) for b, s, n in zip(begins, shift, shape, strict=True)]
            parts.append(said[:, channel, box[0], box[1], box[2]])
        affs = torch.stack(parts, dim=1)
        return torch.logit(affs.float(), LEAST_PROBABILITY) if config.activation == "sigmoid" else affs

    def encode(self, raw: Tensor) -> Tensor:
        """Raise UserError: it has no features that are known."""
        raise no_features(self.config)

    @property
    def encoder(self) -> Sequence[nn.Module]:
        """Nobody knows which layers they are."""
        return []

    def fold(self) -> Self:
        """Return a copy in eval mode."""
        return copy.deepcopy(self).eval()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the network itself, which stays in eval mode."""
        super().train(mode)
        self.network.eval()
        return self


def build_foreign(facts: ForeignFacts) -> nn.Module:
    """Return the module that a card names: its class is imported and called with the card's arguments.

    Raises
    ------
    UserError
        If it cannot be imported or made, or is no `torch.nn.Module`.
    """
    name = facts.implementation
    found = _import(name)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise UserError("it is not a subclass of torch.nn.Module", name, "architecture.implementation names one")
    try:
        return found(**facts.arguments)
    except Exception as error:
        what = f"it cannot be made with the card's arguments ({type(error).__name__}: {error})"
        raise UserError(what, name, "set architecture.arguments") from error


def _import(name: str) -> object:
    module, colon, path = name.partition(":")
    try:
        if colon:
            found: object = importlib.import_module(module)
            for part in path.split("."):
                found = getattr(found, part)
            return found
        installed = entry_points(group=ENTRY_POINTS)
        if name in installed.names:
            return installed[name].load()
    except Exception as error:
        right = "install it, or name its folder in PYTHONPATH; architecture.implementation is module:Class"
        raise UserError(f"it cannot be imported ({type(error).__name__}: {error})", name, right) from error
    has = ", ".join(sorted(installed.names)) or "nothing"
    right = f"installed are: {has}; code without an entry point is named by module:Class"
    raise UserError(f"there is no entry point of this name in {ENTRY_POINTS}", name, right)


def scale_intensities(raw: Tensor, facts: ForeignFacts) -> Tensor:
    """Return normalised raw (-1..1) in the intensities that the network wants to see."""
    low, high = facts.intensities
    return raw if (low, high) == (-1, 1) else raw * ((high - low) / 2) + (high + low) / 2


def take_output(said: object, facts: ForeignFacts) -> Tensor:
    """Return the tensor of affinities from what a network returns.

    Raises
    ------
    UserError
        If the card does not say which it is, or what is named is not there.
    """
    where = f"{facts.implementation}, architecture.output"
    if facts.output is not None:
        try:
            said = said[facts.output]  # type: ignore[index]
        except (TypeError, LookupError) as error:
            raise UserError(f"the network's {type(said).__name__} has no item {facts.output!r}", where) from error
    if not isinstance(said, Tensor):
        names = f"items {', '.join(map(repr, said))}" if isinstance(said, dict) else type(said).__name__
        raise UserError(f"the network returns {names}, not a tensor", where, "say which item has the affinities")
    return said
