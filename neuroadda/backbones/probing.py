"""What a foreign network does with its input, found by running it: shapes, context, alignment, activation, memory.

Shapes are tried on torch's meta device, where nothing is computed. Context and alignment come from passes on the CPU over images
that are long along one axis: NaN in a part of the image goes wherever a voxel's value may go, and an image that is shifted gives
the same values, shifted, where the shift is a multiple of the alignment.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from neuroadda.backbones.foreign import Activation, ForeignDraft, Geometry
from neuroadda.backbones.foreign_module import scale_intensities, take_output
from neuroadda.backbones.private_torch import TensorCounter
from neuroadda.config import Zyx
from neuroadda.errors import UserError, warn

LARGEST_CUBE, LARGEST_STEP, LONGEST = 288, 64, 2048
STATISTICS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, *STATISTICS)
TOLERANCE = 1e-4


class Probe:
    """Runs a foreign network.

    Parameters
    ----------
    network
        In eval mode, on the CPU, with its weights.
    facts
        What its author says.
    """

    def __init__(self, network: nn.Module, facts: ForeignDraft) -> None:
        self.network, self.facts, self.where = network, facts, facts.implementation
        self._meta = copy.deepcopy(network).to("meta")
        self._shapes = copy.deepcopy(self._meta)
        for parent in list(self._shapes.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, NORMS):  # on the meta device they take most of the time
                    setattr(parent, name, nn.Identity())
        self._random = torch.Generator().manual_seed(0)
        self._error: Exception | None = None
        self._known: dict[Zyx, tuple[int, Zyx] | None] = {}

    def find_geometry(self) -> Geometry:
        """Return the shapes of the network.

        Raises
        ------
        UserError
            If it is no network from one channel to affinities, or something of it cannot be found and the card does not say it.
        """
        base = self._find_base()
        self._check_channels(base)
        given = self.facts.geometry
        axes = [self._find_sizes(base, axis) for axis in range(3)]
        z, y, x = (size for size, _, _ in axes)
        small = base if self._put_out((z, y, x)) is None else (z, y, x)
        reaches, whole_tiles = self._find_reaches(small, axes)
        alignment, context = [], []
        for axis, (_, step, cut) in enumerate(axes):
            align = given.alignment_vx[axis] if given.alignment_vx else None
            if align is None:
                align = self._find_alignment(small, axis, step, cut, reaches[axis], whole_tiles)
            elif align % step:
                what = f"along {'zyx'[axis]} it takes sizes in steps of {step}, of which {align} is no multiple"
                raise UserError(what, self.where, "set architecture.geometry.alignment_vx")
            alignment.append(align)
            context.append(self._choose_context(base, axis, align, max(reaches[axis], cut), cut))
        return Geometry(
            context_vx=(context[0], context[1], context[2]),
            alignment_vx=(alignment[0], alignment[1], alignment[2]),
            lost_vx=(axes[0][2], axes[1][2], axes[2][2]),
            whole_tiles=whole_tiles,
            values_per_voxel=self._count_values(base, axes),
            parameters=sum(p.numel() for p in self.network.parameters()),
        )

    def find_activation(self, input_vx: Zyx) -> Activation:
        """Return what the network puts out: "sigmoid" if that is its last operator, "logits" if numbers are beyond 0 to 1.

        Raises
        ------
        UserError
            If numbers are not finite, the card says otherwise, or it says nothing and neither is so.
        """
        noise = torch.rand((1, 1, *input_vx), generator=self._random) * 2 - 1
        said = [self._run(image) for image in (noise, noise.new_full(noise.shape, -1), noise.new_full(noise.shape, 1))]
        if not all(one.isfinite().all() for one in said):
            raise UserError("the network puts out numbers that are not finite", self.where, "check its weights")
        low, high = min(float(one.min()) for one in said), max(float(one.max()) for one in said)
        given, where = self.facts.activation, f"{self.where}, architecture.activation"
        if low < 0 or high > 1:
            if given == "sigmoid":
                what = f"the card says sigmoid, and it puts out {low:.3g} to {high:.3g}"
                raise UserError(what, where, 'set "logits"')
            return "logits"
        if given is None:
            with torch.enable_grad():
                last = take_output(self.network(scale_intensities(noise, self.facts)), self.facts).grad_fn
            if last is None or not last.name().startswith("Sigmoid"):
                what = f"it puts out {low:.3g} to {high:.3g}, and it is not clear whether these are probabilities"
                raise UserError(what, where, 'say "sigmoid" or "logits"')
        return given or "sigmoid"

    def _find_base(self) -> Zyx:
        """Return a shape (zyx) that the network takes."""
        given = self.facts.geometry.input_shape_vx
        cubes = chain((64, 32, 48, 96, 128), range(4, LARGEST_CUBE + 1))
        for shape in [given] if given else ((n, n, n) for n in cubes):
            if self._put_out(shape) is not None:
                return shape
        error = self._error
        for channels in (2, 3, 4):
            if self._takes((1, channels, 64, 64, 64)):
                raise UserError(f"the network takes {channels} channels, raw has one", self.where)
        if self._takes((1, 1, 256, 256)):
            right = "wrap it in a class that takes (N, 1, z, y, x)"
            raise UserError("the network is 2-D: it takes images, not volumes", self.where, right)
        tried = f"of {given}" if given else f"a cube of up to {LARGEST_CUBE} voxels"
        what = f"the network takes no raw (1, 1, z, y, x), {tried} ({type(error).__name__}: {error})"
        right = "say a shape that it takes: architecture.geometry.input_shape_vx"
        if any(words in str(error) for words in ("meta tensor", "device meta")):
            right = "shapes are tried on torch's meta device: make tensors on the image's device, and do not branch on values"
        raise UserError(what, self.where, right)

    def _check_channels(self, base: Zyx) -> None:
        out = self._put_out(base)
        assert out is not None
        channels, shape = out
        if any(o > i for o, i in zip(shape, base, strict=True)):
            raise UserError(
                f"the output {shape} is larger than the input {base}", self.where, "a network keeps the voxel size"
            )
        if channels != len(self.facts.channel_offsets):
            what = f"the network puts out {channels} channels, the card says what {len(self.facts.channel_offsets)} are"
            raise UserError(
                what, f"{self.where}, architecture.channel_offsets", '"none" is a channel that is no affinity'
            )

    def _choose_context(self, base: Zyx, axis: int, align: int, reach: int, cut: int) -> int:
        """Return the least context of a size that the network takes: as far as it sees, or as its author says."""
        given, shift, key = self.facts.geometry.context_vx, self.facts.shift_vx[axis], "zyx"[axis]
        wanted = given[axis] if given else reach + shift
        needed = max(wanted, cut + shift)
        contexts = range(needed, needed + base[axis])
        fit = next((c for c in contexts if self._loses(base, axis, 2 * cut, (align + 2 * c, 2 * align + 2 * c))), None)
        if fit is None or (given and fit != wanted):
            right = "set architecture.geometry.context_vx" + ("" if fit is None else f"; {fit} is the next that fits")
            raise UserError(
                f"along {key} a context of {wanted} leads to no size that the network takes", self.where, right
            )
        if fit < reach:
            what = f"a voxel sees {reach} voxels along {key}, and the card says {fit}: near borders of tiles, values depend on them"
            warn(what, self.where)
        return fit

    def _find_sizes(self, base: Zyx, axis: int) -> tuple[int, int, int]:
        """Return a small size that is taken along an axis, the step to the next one, and what is cut off each side."""
        key, lost = "zyx"[axis], self._lose(base, axis, base[axis])
        assert lost is not None
        steps = range(1, LARGEST_STEP + 1)
        step = next((s for s in steps if self._loses(base, axis, lost, (base[axis] + s, base[axis] + 2 * s))), None)
        if step is None:
            what = f"along {key} it takes sizes that follow no step of up to {LARGEST_STEP} voxels"
            raise UserError(what, self.where, "a network takes sizes in some step, and cuts as much off all of them")
        if lost % 2:
            raise UserError(
                f"along {key} its output is {lost} smaller", self.where, "a network cuts as much off both sides"
            )
        sizes = (base[axis] % step + step * n for n in (0, 1, 2, 4, 8, 16, 32, 64))
        small = (size for size in sizes if 0 < size < base[axis] and self._loses(base, axis, lost, (size,)))
        return next(small, base[axis]), step, lost // 2

    def _lose(self, base: Zyx, axis: int, size: int) -> int | None:
        """Return how much smaller the output is along an axis; None where the size is not taken, or changes the other axes."""
        z, y, x = (size if a == axis else side for a, side in enumerate(base))
        out, full = self._put_out((z, y, x)), self._put_out(base)
        if out is None or full is None or any(out[1][a] != full[1][a] for a in range(3) if a != axis):
            return None
        return size - out[1][axis]

    def _loses(self, base: Zyx, axis: int, lost: int, sizes: Sequence[int]) -> bool:
        return all(self._lose(base, axis, size) == lost for size in sizes)

    def _find_reaches(self, small: Zyx, axes: Sequence[tuple[int, int, int]]) -> tuple[list[int], bool]:
        """Return how far a voxel sees along each axis, and whether its value depends on statistics over all of the input."""
        found = [self._find_reach(small, axis, step, cut) for axis, (_, step, cut) in enumerate(axes)]
        whole_tiles = math.inf in found
        if whole_tiles:
            with without_statistics(self.network):
                found = [self._find_reach(small, axis, step, cut) for axis, (_, step, cut) in enumerate(axes)]
        given = self.facts.geometry
        reaches = []
        for axis, reach in enumerate(found):
            if reach is not None and math.isfinite(reach):
                reaches.append(int(reach))
            elif given.context_vx and given.alignment_vx:
                reaches.append(given.context_vx[axis])
            else:
                right = "say how many voxels count: architecture.geometry.context_vx, and alignment_vx"
                raise UserError(f"how far a voxel sees along {'zyx'[axis]} cannot be found", self.where, right)
        if whole_tiles:
            warn(
                "it takes statistics over its input: values depend on the tile, and may jump where tiles meet",
                self.where,
            )
        return reaches, whole_tiles

    def _find_reach(self, small: Zyx, axis: int, step: int, cut: int) -> float | None:
        """Return how far NaN spreads along an axis: infinite where it goes everywhere, None where it goes nowhere."""
        unit, length = math.lcm(LARGEST_STEP, step), small[axis]
        while length <= LONGEST:
            length = small[axis] + -(-(length + 2 * unit - small[axis]) // unit) * unit
            image = self._long_image(small, axis, length)
            low, high = image.clone(), image
            low.narrow(2 + axis, 0, unit).fill_(torch.nan)
            high.narrow(2 + axis, length - unit, unit).fill_(torch.nan)
            spoiled = [self._run(one)[0].isnan().any(0).movedim(axis, 0).flatten(1).any(1) for one in (low, high)]
            if not all(one.any() for one in spoiled):
                return None
            if not any(one.all() for one in spoiled):
                after = int(spoiled[0].nonzero().max()) + 1 + cut - unit
                before = length - unit - (int(spoiled[1].nonzero().min()) + cut)
                return max(after, before, 0)
            length *= 2
        return math.inf

    def _find_alignment(self, small: Zyx, axis: int, step: int, cut: int, reach: int, whole_tiles: bool) -> int:
        """Return the least shift of the input, along an axis, that shifts the output by as much."""
        unit = math.lcm(LARGEST_STEP, step)
        length = small[axis] + -(-(2 * reach + 3 * unit) // unit) * unit
        image = self._long_image(small, axis, length)
        with without_statistics(self.network, whole_tiles):
            whole = self._run(image).movedim(2 + axis, 0)
            for shift in range(step, LARGEST_STEP + 1, step):
                part = self._run(image.narrow(2 + axis, shift, length - unit)).movedim(2 + axis, 0)
                # Where neither sees the border of its image, in voxels of the part's output.
                inside = slice(max(0, reach - cut), len(part) - max(0, reach - cut))
                here, there = part[inside], whole[inside.start + shift : inside.stop + shift]
                if (here - there).abs().max() <= TOLERANCE * max(float(there.abs().max()), 1e-6):
                    return shift
        what = f"no shift of up to {LARGEST_STEP} voxels along {'zyx'[axis]} shifts the output by as much"
        raise UserError(what, self.where, "say it: architecture.geometry.alignment_vx")

    def _long_image(self, small: Zyx, axis: int, length: int) -> Tensor:
        shape = [*small[:axis], length, *small[axis + 1 :]]
        return torch.rand((1, 1, *shape), generator=self._random) * 2 - 1

    @torch.inference_mode()
    def _run(self, raw: Tensor) -> Tensor:
        return take_output(self.network(scale_intensities(raw, self.facts)), self.facts).float()

    def _put_out(self, shape: Zyx) -> tuple[int, Zyx] | None:
        """Return channels and shape (zyx) of the output for an input shape, or None if the network does not take it."""
        if shape not in self._known:
            self._known[shape] = self._try_shape(shape)
        return self._known[shape]

    def _try_shape(self, shape: Zyx) -> tuple[int, Zyx] | None:
        try:
            with torch.inference_mode():
                out = self._shapes(torch.empty((1, 1, *shape), device="meta"))
        except Exception as error:  # whatever a network of somebody else raises
            self._error = error
            return None
        said = take_output(out, self.facts)
        if said.dim() != 5:
            what = f"the network puts out shape {tuple(said.shape)} for {(1, 1, *shape)}"
            raise UserError(what, self.where, "it has to be (1, channels, z, y, x)")
        channels, z, y, x = said.shape[1:]
        return (channels, (z, y, x)) if min(z, y, x) else None

    def _takes(self, shape: Sequence[int]) -> bool:
        try:
            with torch.inference_mode():
                self._shapes(torch.empty(tuple(shape), device="meta"))
        except Exception:  # whatever a network of somebody else raises
            return False
        return True

    def _count_values(self, base: Zyx, axes: Sequence[tuple[int, int, int]]) -> float:
        """Return how many values a pass of an image, larger than the least, holds for each voxel of it."""
        z, y, x = (side + -(-LARGEST_STEP // step) * step for side, (_, step, _) in zip(base, axes, strict=True))
        image = torch.empty((1, 1, z, y, x), device="meta")
        with torch.inference_mode(), TensorCounter() as counter:
            self._meta(scale_intensities(image, self.facts))
        # The image is there twice; scores leave as the affinities that the card names.
        return counter.peak / image.element_size() / image.numel() + 2 + len(self.facts.channels)


@contextmanager
def without_statistics(network: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Have the norms that take statistics over their input, of a network, change nothing."""
    norms = [module for module in network.modules() if isinstance(module, STATISTICS)] if wanted else []
    hooks = [norm.register_forward_hook(lambda _, inputs, __: inputs[0]) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
