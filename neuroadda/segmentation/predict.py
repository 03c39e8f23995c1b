"""Affinities of raw: a valid-padded network over aligned tiles, so that blocks fit together without seams."""

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from pydantic import Field

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.card import Card
from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.backbones.devices import keep_freed_memory, resolve_device, resolve_precision
from neuroadda.backbones.normalisation import normalise
from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.masks import Mask

TILE_INPUT_VOXELS = 2_500_000  # about a gigabyte in bfloat16
VOXEL_SIZE_RATIO = 1.5


class Predict(Stage):
    """Parameters of the prediction.

    What is ``auto`` or None is decided once by `resolve`, and then part of the fingerprint: tile, precision and threads change
    the last bits of a sum.

    Attributes
    ----------
    tile_vx
        Output shape of one pass through the network; a multiple of the network's alignment.
    device, precision
        ``auto``: CUDA where there is one; bfloat16 where the hardware has it natively.
    threads
        Of torch, in each worker.
    """

    name: ClassVar[str] = "predict"
    version: ClassVar[int] = 2

    tile_vx: Zyx | None = None
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = Field(default=1, ge=1)

    def resolve(self, architecture: UNetConfig, block_vx: Zyx) -> "Predict":
        """Return the parameters with everything decided for this machine.

        Raises
        ------
        UserError
            If the network cannot put out `tile_vx`, or the device is not there.
        """
        if min(block_vx) < 1:
            raise UserError(f"blocks of {block_vx} have no voxels", "block_vx")
        device = resolve_device(self.device)
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UserError(f"there is no CUDA device here for {device!r}", "predict.device", "use auto or cpu")
        tile_vx = self.tile_vx or choose_tile_vx(architecture, block_vx)
        architecture.input_shape_vx(tile_vx)
        precision = resolve_precision(self.precision, device)
        return self.model_copy(update={"tile_vx": tile_vx, "device": device, "precision": precision})

    def create_output(self, task: Task) -> None:
        """Create the uint8 affinities, shape czyx, 255 for certain."""
        raw = Volume.open(task.inputs["raw"])
        offsets = load_backbone(task.inputs["backbone"]).card.predicted_offsets
        task.create_array(raw, np.uint8, channels=len(offsets), offsets=[list(o) for o in offsets])

    def open(self, task: Task) -> BlockFunction:
        """Return the function that predicts a block."""
        torch.set_num_threads(self.threads)
        raw, affs = Volume.open(task.inputs["raw"]), Volume.open(task.output, "r+")
        backbone = load_backbone(task.inputs["backbone"])
        mask = Mask.open(task.inputs["mask"], raw) if "mask" in task.inputs else None
        predictor = Predictor(backbone, self)

        def predict(block: Block) -> dict[str, Any]:
            predicted, tiles = predictor(raw, block.write_roi)
            affs.write(block.write_roi, predicted if mask is None else predicted * mask.read(block.write_roi))
            return {"tiles": tiles}

        return predict


class Predictor:
    """A network ready to predict any ROI of a volume; the stage and the validation share it."""

    def __init__(self, backbone: Backbone, parameters: Predict) -> None:
        assert parameters.tile_vx is not None, "resolve the parameters first"
        self.architecture, self.tile_vx = backbone.card.architecture, parameters.tile_vx
        self.channels = len(backbone.card.predicted_offsets)
        self.normalisation = backbone.card.normalisation
        self.device, self.precision = parameters.device, parameters.precision
        self.model = backbone.model.to(self.device).eval()
        keep_freed_memory()

    def __call__(self, raw: Volume, roi: Roi) -> tuple[np.ndarray, int]:
        """Return uint8 affinities of `roi` (czyx) and the number of tiles; beyond its border, raw is mirrored."""
        begin = (roi.begin - raw.roi.begin) / raw.voxel_size
        shape = roi.shape / raw.voxel_size
        context = Coordinate(self.architecture.context_vx)
        affs = np.zeros((self.channels, *shape), np.uint8)
        tiles = list(self._tiles(begin, shape))
        # Read at once: tiles share their context, and a volume's chunks are decompressed once.
        seen = Roi(tiles[0].begin - context, tiles[-1].end - tiles[0].begin + context * 2)
        image = raw.read_mirrored(seen * raw.voxel_size + raw.roi.begin)
        for tile in tiles:
            predicted = self._infer(image[(tile.grow(context, context) - seen.begin).to_slices()])
            kept = tile.intersect(Roi(begin, shape))
            predicted = predicted[(slice(None), *(kept - tile.begin).to_slices())]
            affs[(slice(-len(predicted), None), *(kept - begin).to_slices())] = predicted
        return affs, len(tiles)

    def _tiles(self, begin: Coordinate, shape: Coordinate) -> Iterator[Roi]:
        """Tiles that cover a box, on the alignment of the whole volume, so that a voxel's value depends on no block or tile."""
        alignment = Coordinate(self.architecture.alignment_vx)
        first = begin // alignment * alignment
        ranges = [range(f, b + s, t) for f, b, s, t in zip(first, begin, shape, self.tile_vx, strict=True)]
        return (Roi(origin, self.tile_vx) for origin in product(*ranges))

    def _infer(self, raw: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(normalise(raw, self.normalisation))[None, None].to(self.device)
        kind = torch.device(self.device).type
        cast = torch.autocast(kind, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()
        with torch.inference_mode(), cast:
            affs = torch.sigmoid(self.model(image)[0].contiguous().float()).mul_(255).round_().to(torch.uint8)
        return affs.cpu().numpy()


def choose_tile_vx(architecture: UNetConfig, block_vx: Zyx) -> Zyx:
    """Return the tile that covers a block with the fewest computed voxels, of those that are cheap on memory."""
    alignment = architecture.alignment_vx
    sides = [{-(-b // (n * a)) * a for n in range(1, -(-b // a) + 1)} for b, a in zip(block_vx, alignment, strict=True)]
    tiles: list[Zyx] = [(z, y, x) for z, y, x in product(*sides)]
    cheap = [tile for tile in tiles if np.prod(np.array(architecture.input_shape_vx(tile))) <= TILE_INPUT_VOXELS]
    return min(cheap or [alignment], key=lambda tile: (-useful_share(architecture, block_vx, tile), tile))


def useful_share(architecture: UNetConfig, block_vx: Zyx, tile_vx: Zyx) -> float:
    """Return a block's voxels over those of all inputs of its tiles: what is left when neighbours compute each other's context."""
    sides = zip(block_vx, tile_vx, architecture.context_vx, strict=True)
    return float(np.prod([b / (-(-b // t) * (t + 2 * c)) for b, t, c in sides]))


def check_raw(raw: Volume, card: Card, any_voxel_size: bool) -> None:
    """Raise UserError if a volume cannot be the input of a backbone, or has another voxel size by more than a half."""
    if raw.channels is not None or raw.dtype != np.uint8:
        what = f"raw is {raw.dtype} with {'no' if raw.channels is None else raw.channels} channels"
        raise UserError(what, str(raw.path), "a backbone takes one-channel uint8 raw (zyx)")
    if card.architecture.in_channels != 1:
        raise UserError(f"the backbone takes {card.architecture.in_channels} channels, raw has one", card.name)
    if not any_voxel_size and is_far_in_size(raw, card):
        what = f"voxel size {raw.voxel_size_nm} nm is far from the backbone's {card.voxel_size_nm} nm"
        raise UserError(what, str(raw.path), "choose another backbone, or set any_voxel_size = true")


def is_far_in_size(raw: Volume, card: Card) -> bool:
    """Return whether a volume's voxels differ from those a backbone was trained on by more than a half, along any axis."""
    pairs = zip(raw.voxel_size_nm, card.voxel_size_nm, strict=True)
    return max(max(pair) / min(pair) for pair in pairs) > VOXEL_SIZE_RATIO
