"""A network that is not ours, any torch module: what its card says of it, without torch. See docs/networks.md."""

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from neuroadda.backbones.network import NEAREST, Network, Positive
from neuroadda.config import Config, Zyx, dump_config, fingerprint
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.backbones.foreign_module import ForeignModule

ENTRY_POINTS = "neuroadda.networks"
Count = Annotated[int, Field(ge=0)]
Activation = Literal["logits", "sigmoid"]


class ForeignFacts(Config):
    """What nobody but the author of a network knows.

    Attributes
    ----------
    implementation
        ``module:Class``, a `torch.nn.Module` that Python can import, or the name of an installed entry point of the group
        ``neuroadda.networks``.
    arguments
        Keyword arguments of the class.
    output
        Which item of its output has the affinities, where the class returns a tuple (a number) or a dict (a name).
    intensities
        What the network wants to see for raw of 0 and of 255.
    channel_offsets
        For each output channel the zyx offset of its affinity: that of voxel p and p + offset, stored at p. "none" for a channel
        that is no affinity.
    """

    implementation: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] = Field(default_factory=dict)
    output: int | str | None = None
    intensities: tuple[float, float]
    channel_offsets: Annotated[tuple[Zyx | Literal["none"], ...], Field(min_length=1)]

    @cached_property
    def channels(self) -> tuple[tuple[Zyx, int, Zyx], ...]:
        """Each affinity channel as we have it: its offset, the network's channel, and how far from p its value lies.

        Nearest neighbours come first, in the order z, y, x. Those that look forward, to p + 1, are the same affinities stored
        one voxel before ours.
        """
        found = []
        for channel, offset in enumerate(self.channel_offsets):
            if offset == "none":
                continue
            z, y, x = offset
            back = (-z, -y, -x)
            found.append((back, channel, back) if back in NEAREST else (offset, channel, (0, 0, 0)))
        found.sort(key=lambda one: NEAREST.index(one[0]) if one[0] in NEAREST else len(NEAREST))
        return tuple(found)

    @property
    def offsets(self) -> tuple[Zyx, ...]:
        """The offsets of the card."""
        return tuple(offset for offset, _, _ in self.channels)

    @property
    def shift_vx(self) -> Zyx:
        """How far values lie from their voxel at most, zyx."""
        z, y, x = (max(abs(shift[axis]) for *_, shift in self.channels) for axis in range(3))
        return z, y, x

    @property
    def names_module(self) -> bool:
        """Whether the card names code itself, rather than an entry point that somebody installed."""
        return ":" in self.implementation


class GivenGeometry(Config):
    """What the author of a network says of its shapes; what is left out is found by running it.

    Attributes
    ----------
    context_vx, alignment_vx
        As in `Network`. Less context than the network sees makes it faster, and shows where tiles meet.
    input_shape_vx
        A shape that the network takes, zyx.
    """

    context_vx: tuple[Count, Count, Count] | None = None
    alignment_vx: tuple[Positive, Positive, Positive] | None = None
    input_shape_vx: tuple[Positive, Positive, Positive] | None = None


class ForeignDraft(ForeignFacts):
    """What is said of a foreign network before it was run.

    Attributes
    ----------
    activation
        As in `ForeignNetwork`; found by default.
    geometry
        What is said of its shapes.
    """

    activation: Activation | None = None
    geometry: GivenGeometry = Field(default_factory=GivenGeometry)


class Geometry(Config):
    """Shapes of a foreign network, as `backbones.probing` found them or its author said.

    Attributes
    ----------
    context_vx
        Voxels of input beyond the output on each side, as in `Network`.
    alignment_vx
        Output shapes are multiples of it, as in `Network`.
    lost_vx
        By how many voxels the output ends before the input, zyx, on each side: 0 of a network that pads.
    whole_tiles
        Whether values depend on all of a tile (normalisation by the statistics of its input), so that tiles should have one shape.
    values_per_voxel : values
        How many values a pass holds at most, for each voxel of its input.
    parameters : values
        Number of weights and biases.
    """

    context_vx: tuple[Count, Count, Count]
    alignment_vx: tuple[Positive, Positive, Positive]
    lost_vx: tuple[Count, Count, Count] = (0, 0, 0)
    whole_tiles: bool = False
    values_per_voxel: Annotated[float, Field(gt=0)]
    parameters: Count


class ForeignNetwork(ForeignFacts, Network):
    """A torch module of somebody else's, behind the protocol of ours.

    It has no features, so it is ranked by consistency alone. In training its norms and dropout stay as they are in prediction.

    Attributes
    ----------
    activation
        What it puts out: ``"logits"``, or ``"sigmoid"`` for probabilities.
    geometry
        Its shapes.
    """

    activation: Activation
    geometry: Geometry

    def __hash__(self) -> int:
        return hash(self.identity)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.in_channels != 1:
            raise ValueError(f"the network takes {self.in_channels} channels, raw has one")
        if self.out_channels != len(self.channels):
            raise ValueError(f"out_channels is {self.out_channels} for {len(self.channels)} channels with an offset")
        return self

    @property
    def identity(self) -> str | None:
        """A digest of all that the card says of the network: it is stored with the weights."""
        return fingerprint(dump_config(self))

    @property
    def context_vx(self) -> Zyx:
        """See `Network`."""
        return self.geometry.context_vx

    @property
    def alignment_vx(self) -> Zyx:
        """See `Network`."""
        return self.geometry.alignment_vx

    @property
    def whole_tiles(self) -> bool:
        """See `Network`."""
        return self.geometry.whole_tiles

    @property
    def padding_vx(self) -> Zyx:
        """Voxels of zeros on each side, zyx, that make up for context in training."""
        sides = zip(self.context_vx, self.alignment_vx, self.geometry.lost_vx, self.shift_vx, strict=True)
        z, y, x = (
            context if lost or 2 * context % step else step * -(-shift // step) for context, step, lost, shift in sides
        )
        return z, y, x

    @property
    def feature_width(self) -> int:
        """None are known."""
        return 0

    @property
    def encoder_levels(self) -> int:
        """None are known."""
        return 0

    def encoder_input_shape_vx(self, feature_shape_vx: Zyx) -> Zyx:
        """Raise UserError: nobody knows where its encoder ends."""
        raise no_features(self)

    def count_parameters(self) -> int:
        """Return what the card says."""
        return self.geometry.parameters

    def count_pass_values(self, tile_vx: Zyx, chunk_values: int) -> int:
        """Return about how many values a pass holds."""
        return math.ceil(self.geometry.values_per_voxel * math.prod(self.input_shape_vx(tile_vx)))

    def with_out_channels(self, count: int) -> Self:
        """Return the network as it is; `check_offsets` refuses other channels."""
        return self

    def check_offsets(self, offsets: tuple[Zyx, ...]) -> None:
        """Raise ValueError unless these are its own: nobody knows which of its layers is the last."""
        if tuple(offsets) != self.offsets:
            own = ", ".join(str(list(offset)) for offset in self.offsets)
            raise ValueError(f"the offsets are not those of {self.implementation}, which are {own}")

    def build(self, batch_norm: bool = False) -> "ForeignModule":
        """Return the module with the weights that its class begins with."""
        from neuroadda.backbones.foreign_module import ForeignModule  # imports torch

        return ForeignModule(self)


def no_features(facts: ForeignFacts) -> UserError:
    """Return what to raise where features of a foreign network are asked for."""
    right = "rank it by consistency; in a zoo it needs no embedding"
    return UserError("a foreign network has no features that are known", facts.implementation, right)
