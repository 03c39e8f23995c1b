"""What prediction, training and embedding need to know of a network. Without torch, so that blocks are planned without it."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from neuroadda.config import Config, Zyx
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.backbones.module import NetworkModule

Positive = Annotated[int, Field(gt=0)]
NEAREST: tuple[Zyx, ...] = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))  # offsets of affinities


class Network(Config, ABC):
    """The description of a network: its channels, its shapes and its memory. `build` makes the module that computes.

    Everything outside of `neuroadda.backbones` uses networks through this class and `NetworkModule`. A new kind of network is a
    subclass of each. Offsets of the output channels and the normalisation of raw belong to a training: see `Card`.

    A network is valid-padded: an output voxel sees `context_vx` voxels of input on each side. Output shapes are multiples of
    `alignment_vx`, and tiles whose origins are multiples of it agree where they overlap.

    Attributes
    ----------
    in_channels : channels
        Image channels in.
    out_channels : channels
        Affinity channels out.
    """

    in_channels: Positive = 1
    out_channels: Positive = 3

    @property
    @abstractmethod
    def context_vx(self) -> Zyx:
        """Voxels of input beyond the output, zyx, on each side."""

    @property
    @abstractmethod
    def alignment_vx(self) -> Zyx:
        """Output shapes are multiples of it (zyx), and so are the origins of tiles that are to agree with each other."""

    @property
    @abstractmethod
    def feature_width(self) -> int:
        """Channels of what `NetworkModule.encode` returns."""

    @property
    @abstractmethod
    def encoder_levels(self) -> int:
        """Length of `NetworkModule.encoder`."""

    @abstractmethod
    def encoder_input_shape_vx(self, feature_shape_vx: Zyx) -> Zyx:
        """Return the input shape (zyx) of which `NetworkModule.encode` makes features of this shape (in their own voxels)."""

    @abstractmethod
    def count_parameters(self) -> int:
        """Return the number of weights and biases that are stored."""

    @abstractmethod
    def count_pass_values(self, tile_vx: Zyx, chunk_values: int) -> int:
        """Return how many values (voxels times channels) a pass that puts out a tile holds at most, the image included.

        Parameters
        ----------
        chunk_values
            Of a network that runs in chunks (see `backbones.fast_path`), how many values are put together at once.
        """

    @abstractmethod
    def build(self, batch_norm: bool = False) -> "NetworkModule":
        """Return the module, in training mode, with random weights; `batch_norm` is for training, see `NetworkModule.fold`."""

    @property
    def whole_tiles(self) -> bool:
        """Whether tiles are not to be cut where a block ends, since what the network says depends on all of a tile."""
        return False

    @property
    def identity(self) -> str | None:
        """What is stored with the weights, so that their digest covers it; None where the weights themselves tell the network."""
        return None

    def with_out_channels(self, count: int) -> Self:
        """Return the same network with another number of output channels."""
        return self.model_copy(update={"out_channels": count})

    def check_offsets(self, offsets: tuple[Zyx, ...]) -> None:
        """Raise ValueError unless the output channels can be of these offsets."""
        if self.out_channels != len(offsets):
            raise ValueError(f"the network has {self.out_channels} channels for {len(offsets)} offsets")

    def input_shape_vx(self, output_shape_vx: Zyx) -> Zyx:
        """Return the input shape (zyx) that gives this output shape.

        Raises
        ------
        UserError
            If there is none; the nearest allowed output shape is named.
        """
        near = self.nearest_output_shape_vx(output_shape_vx)
        if near != tuple(output_shape_vx):
            right = f"it must be a multiple of {self.alignment_vx}; the nearest is {near}"
            raise UserError(f"the network cannot put out shape {tuple(output_shape_vx)}", None, right)
        z, y, x = (o + 2 * c for o, c in zip(output_shape_vx, self.context_vx, strict=True))
        return (z, y, x)

    def output_shape_vx(self, input_shape_vx: Zyx) -> Zyx:
        """Return the output shape (zyx) of this input shape.

        Raises
        ------
        UserError
            If the network cannot take it; the nearest allowed input shape is named.
        """
        z, y, x = (i - 2 * c for i, c in zip(input_shape_vx, self.context_vx, strict=True))
        near = self.nearest_output_shape_vx((z, y, x))
        if near != (z, y, x):
            right = f"the nearest is {self.input_shape_vx(near)}"
            raise UserError(f"the network cannot take shape {tuple(input_shape_vx)}", None, right)
        return near

    def nearest_output_shape_vx(self, shape_vx: Zyx) -> Zyx:
        """Return the allowed output shape (zyx) nearest to `shape_vx`."""
        z, y, x = (max(1, round(s / a)) * a for s, a in zip(shape_vx, self.alignment_vx, strict=True))
        return (z, y, x)
