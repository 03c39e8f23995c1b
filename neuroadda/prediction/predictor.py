"""A network at work: reads of any ROI, tile after tile through the network, affinities out."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.backbones.devices import keep_freed_memory, release_freed_memory
from neuroadda.backbones.fast_path import fast_path
from neuroadda.backbones.foreign import ForeignNetwork
from neuroadda.backbones.network import Network
from neuroadda.backbones.normalisation import normalise_tensor
from neuroadda.blockwise.failures import find_cause
from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.quantising import make_quantiser
from neuroadda.prediction.tiles import cover_box, halve_tile
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.filling import FilledVolume

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictorInput:
    """What goes into a network for a ROI, and where its affinities go."""

    image: Tensor
    """Raw, mirrored beyond the volume's border (uint8, zyx)."""
    tiles: Sequence[Roi]
    """Voxels of the image that tiles put out."""
    box: Roi
    """Voxels of the image that are asked for."""
    affs: Tensor
    """Affinities of the box (uint8, czyx)."""


@dataclass(frozen=True)
class PredictorOutput:
    """Affinities (uint8, czyx), which are on their way from the device until `copied`, and the tiles by their shape."""

    affs: Tensor
    tiles: Counter[Zyx]
    copied: torch.cuda.Event | None

    def wait(self) -> np.ndarray:
        """Return the affinities once they are there."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.affs.numpy()


class Predictor:
    """A network ready to predict any ROI of a volume; the stage and the validation share it.

    Where a tile does not fit into memory, it goes on with halves of it; see `halve_tile`. A network with `whole_tiles` would say
    something else in halves: MemoryError. ROIs may be read in several threads while one thread infers. Affinities that are not
    `rounded` are float32, from 0 to 255.
    """

    def __init__(self, backbone: Backbone, parameters: Predict, rounded: bool = True) -> None:
        assert parameters.tile_vx is not None, "resolve the parameters first"
        self.network: Network = backbone.card.architecture
        self.tile_vx: Zyx = parameters.tile_vx
        self.channels = len(backbone.card.predicted_offsets)
        self.normalisation = backbone.card.normalisation
        self.device = torch.device(parameters.device)
        self.dtype: torch.dtype = getattr(torch, parameters.precision)
        model = backbone.model.to(self.device).eval()
        if self.device.type == "cuda":
            model = model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # missing in its stubs
        # Those of another shape would be compiled for, once more.
        self.whole_tiles = parameters.compile or self.network.whole_tiles
        fast = fast_path(model, parameters.device, parameters.threads, parameters.compile, self.dtype)
        self.model: Callable[[Tensor], Tensor] = fast or (torch.compile(model) if parameters.compile else model)
        self.affs_dtype = torch.uint8 if rounded else torch.float32
        self.quantise = make_quantiser(self.device, rounded)
        keep_freed_memory()

    def __call__(self, raw: Volume | FilledVolume, roi: Roi) -> tuple[np.ndarray, Counter[Zyx]]:
        """Return uint8 affinities of `roi` (czyx) and the number of tiles by their shape; beyond its border, raw is mirrored."""
        output = self.infer(self.read(raw, roi))
        return output.wait(), output.tiles

    def read(self, raw: Volume | FilledVolume, roi: Roi, affs: Tensor | None = None) -> PredictorInput:
        """Read what the network sees of `roi`; its affinities will go into `affs` if they fit, or else into a new tensor."""
        box = Roi((roi.begin - raw.roi.begin) / raw.voxel_size, roi.shape / raw.voxel_size)
        tiles = cover_box(box, self.tile_vx, self.network.alignment_vx, whole=self.whole_tiles)
        context = Coordinate(self.network.context_vx)
        # Read at once: tiles share their context, and a volume's chunks are decompressed once.
        seen = Roi(tiles[0].begin, tiles[-1].end - tiles[0].begin).grow(context, context)
        image = torch.from_numpy(raw.read_mirrored(seen * raw.voxel_size + raw.roi.begin))
        on_cuda = self.device.type == "cuda"
        if affs is None or affs.shape != (self.channels, *box.shape):
            affs = torch.empty((self.channels, *box.shape), dtype=self.affs_dtype, pin_memory=on_cuda)
        if on_cuda:
            image = image.pin_memory()
        return PredictorInput(image, [tile - seen.begin for tile in tiles], box - seen.begin, affs)

    def infer(self, given: PredictorInput) -> PredictorOutput:
        """Compute the affinities of what was read, all on the device but for the way there and back; one call at a time."""
        on_cuda = self.device.type == "cuda"
        cast = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
        with torch.inference_mode(), cast:
            image = given.image.to(self.device, non_blocking=True)
            affs = torch.empty_like(given.affs, device=self.device) if on_cuda else given.affs
            affs[: self.channels - self.network.out_channels] = 0
            left, passed = list(given.tiles)[::-1], Counter[Zyx]()
            while left:
                tile = left.pop()
                if self._pass_tile(image, tile, given.box, affs):
                    passed[tuple(tile.shape)] += 1
                    continue
                # The error is gone, and with its traceback all that the pass held.
                release_freed_memory(self.device.type)
                halves = halve_tile(tile, self.network.alignment_vx)
                z, y, x = (
                    min(t, max(a, b)) for t, a, b in zip(self.tile_vx, *(half.shape for half in halves), strict=True)
                )
                self.tile_vx = z, y, x  # for the blocks to come
                log.warning("a tile of %s does not fit into memory: on with %s", tuple(tile.shape), self.tile_vx)
                left += [half for half in halves[::-1] if half.intersects(given.box)]
            if not on_cuda:
                return PredictorOutput(affs, passed, None)
            given.affs.copy_(affs, non_blocking=True)
            return PredictorOutput(given.affs, passed, torch.cuda.current_stream(self.device).record_event())

    def _pass_tile(self, image: Tensor, tile: Roi, box: Roi, affs: Tensor) -> bool:
        """Put the affinities of a tile, as far as it lies in the box, into those of the box; False if it has to be halved."""
        context = Coordinate(self.network.context_vx)
        try:
            seen = normalise_tensor(image[tile.grow(context, context).to_slices()], self.normalisation)
            kept = tile.intersect(box)
            logits = self.model(seen[None, None])[0][(slice(None), *(kept - tile.begin).to_slices())]
            if isinstance(self.network, ForeignNetwork) and not torch.isfinite(logits).all():
                what = "the network puts out numbers that are not finite"
                raise UserError(what, self.network.implementation, "check its weights and what it computes")
            self.quantise(logits, affs[(slice(-len(logits), None), *(kept - box.begin).to_slices())])
        except Exception as error:
            cause = find_cause(error)
            if cause == "error" and isinstance(self.network, ForeignNetwork):
                what = f"the network fails on a tile of {tuple(tile.shape)} ({type(error).__name__}: {error})"
                raise UserError(what, self.network.implementation) from error
            if cause != "memory":
                raise
            if self.network.whole_tiles:
                what = f"a tile of {tuple(tile.shape)} does not fit into memory, and this network's tiles are never cut"
                raise MemoryError(f"{what}: take smaller blocks, or give it more memory") from error
            if not halve_tile(tile, self.network.alignment_vx):
                raise
            return False
        return True
