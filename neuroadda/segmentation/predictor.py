"""A network at work: reads of any ROI, tile after tile through the network, affinities out."""

import threading
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.backbones.devices import keep_freed_memory
from neuroadda.backbones.normalisation import normalise_tensor
from neuroadda.segmentation.predict import Predict
from neuroadda.volumes.arrays import Volume


class Predictor:
    """A network ready to predict any ROI of a volume; the stage and the validation share it.

    It may be called from several threads: they read side by side and take turns at the network.
    """

    def __init__(self, backbone: Backbone, parameters: Predict) -> None:
        assert parameters.tile_vx is not None, "resolve the parameters first"
        self.architecture, self.tile_vx = backbone.card.architecture, parameters.tile_vx
        self.channels = len(backbone.card.predicted_offsets)
        self.normalisation = backbone.card.normalisation
        self.device = torch.device(parameters.device)
        self.dtype: torch.dtype = getattr(torch, parameters.precision)
        model = backbone.model.to(self.device).eval()
        if self.device.type == "cuda":
            model = model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # missing in its stubs
        self.model: Callable[[Tensor], Tensor] = torch.compile(model) if parameters.compile else model
        self._turn = threading.Lock()
        keep_freed_memory()

    def __call__(self, raw: Volume, roi: Roi) -> tuple[np.ndarray, int]:
        """Return uint8 affinities of `roi` (czyx) and the number of tiles; beyond its border, raw is mirrored."""
        box = Roi((roi.begin - raw.roi.begin) / raw.voxel_size, roi.shape / raw.voxel_size)
        tiles = self._tiles(box)
        context = Coordinate(self.architecture.context_vx)
        # Read at once: tiles share their context, and a volume's chunks are decompressed once.
        seen = Roi(tiles[0].begin, tiles[-1].end - tiles[0].begin).grow(context, context)
        image = torch.from_numpy(raw.read_mirrored(seen * raw.voxel_size + raw.roi.begin))
        on_cuda = self.device.type == "cuda"
        if on_cuda:
            image = image.pin_memory()
        with self._turn:
            affs = self._infer(image, [tile - seen.begin for tile in tiles], box - seen.begin)
            copied = torch.cuda.current_stream(self.device).record_event() if on_cuda else None
        if copied is not None:
            copied.synchronize()  # after the turn: the device has the next block's work by then
        return affs.numpy(), len(tiles)

    def _tiles(self, box: Roi) -> list[Roi]:
        """Tiles that cover a box, on the alignment of the whole volume, so that a voxel's value depends on no block or tile."""
        alignment = Coordinate(self.architecture.alignment_vx)
        first = box.begin // alignment * alignment
        ranges = [range(f, e, t) for f, e, t in zip(first, box.end, self.tile_vx, strict=True)]
        return [Roi(origin, self.tile_vx) for origin in product(*ranges)]

    def _infer(self, image: Tensor, tiles: Sequence[Roi], box: Roi) -> Tensor:
        """Return the affinities of a box of an image, all on the device but for the way there and back."""
        context = Coordinate(self.architecture.context_vx)
        cast = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
        with torch.inference_mode(), cast:
            image = image.to(self.device, non_blocking=True)
            affs = torch.zeros((self.channels, *box.shape), dtype=torch.uint8, device=self.device)
            for tile in tiles:
                seen = normalise_tensor(image[tile.grow(context, context).to_slices()], self.normalisation)
                kept = tile.intersect(box)
                logits = self.model(seen[None, None])[0][(slice(None), *(kept - tile.begin).to_slices())]
                _quantise(logits, affs[(slice(-len(logits), None), *(kept - box.begin).to_slices())])
            return affs.to("cpu", non_blocking=True)


def _quantise(logits: Tensor, out: Tensor) -> None:
    """Turn logits into probabilities as uint8, in `out`; on a CPU by sections, which stay in its cache meanwhile."""
    depth = 1 if logits.device.type == "cpu" else logits.shape[1]
    for part, out_part in zip(logits.split(depth, 1), out.split(depth, 1), strict=True):
        out_part.copy_(part.float().sigmoid_().mul_(255).round_())
