"""Affinities of raw: a valid-padded network over aligned tiles, so that blocks fit together without seams.

What imports torch is imported where a network runs: planning, and stages that need none, are spared two seconds.
"""

import os
import shutil
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from funlib.geometry import Coordinate, Roi
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from neuroadda.backbones.card import Card, load_card
from neuroadda.backbones.devices import (
    Precision,
    check_device,
    count_cuda_devices,
    list_cuda_devices,
    resolve_device,
    resolve_precision,
    set_up_thread,
    total_memory,
)
from neuroadda.backbones.fast_path import runs_in_chunks
from neuroadda.backbones.memory import AT_ONCE, CHUNK_VALUES
from neuroadda.backbones.network import Network
from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.overlap import Phases
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Zyx
from neuroadda.device_leases import Lease, lease_device
from neuroadda.errors import SettingError, UserError, in_section
from neuroadda.prediction.members import list_members, share_offsets
from neuroadda.prediction.symmetries import list_symmetries
from neuroadda.prediction.tiles import choose_tile_vx, count_computed
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.grey_values import check_raw_type
from neuroadda.volumes.coverage.tissue import open_filled, open_tissue
from neuroadda.volumes.geometry.places import describe_size, looks_like_xyz

CPU_MEMORY_GB = 1.0
CUDA_SHARE = 0.8  # of a device's memory; the rest is the driver's and the libraries'
CLEARLY_FASTER = 1.5
VOXEL_SIZE_RATIO = 1.5


class Predict(Stage):
    """Parameters of the prediction.

    Keys that are ``auto`` or not given are decided once, when the run is planned, for this machine. What was decided is part of the
    fingerprint: with another tile, precision or number of threads, sums are rounded differently in their last bits.

    Attributes
    ----------
    tile_vx
        Output shape of one pass through the network; a multiple of the network's alignment. By default it is the shape for which
        the fewest voxels of a block are computed twice, among those whose pass fits into `memory_gb`.
    tiles_vx
        The tile of each network of an ensemble. A run fills it in; set `tile_vx` instead.
    memory_gb : GB
        What a pass may take, in units of 10^9 bytes; `execution.job.memory_gb` is in units of 1024^3. It only chooses the tile. By
        default it is 1 GB on a CPU. On a CUDA device it is four fifths of its memory, divided by the workers that share it.
    device
        ``auto``: CUDA where there is one, or where jobs of a cluster ask for GPUs. ``cuda`` is any: each worker takes the one that
        fewest use; ``cuda:1`` is that one.
    precision
        ``auto``: bfloat16 where the hardware has it natively and, on a CPU, where it was measured to be clearly faster. float16
        needs CUDA.
    compile
        Have torch compile the network. It takes minutes at the start of each worker.
    augment
        ``section``: the mean of predictions of the volume flipped along y and x and, where voxels are square in the section,
        transposed: 4 or 8 times the work.
    threads : threads
        Threads of torch in each worker. On a CPU, more workers with one thread each do more than one worker with more threads.
    """

    kind: ClassVar[str] = "predict"
    version: ClassVar[int] = 2
    in_flight: ClassVar[int] = 3  # while one is in the network, the next is read and the last is written

    tile_vx: Zyx | None = None
    tiles_vx: tuple[Zyx, ...] = ()
    memory_gb: float | None = Field(default=None, gt=0)
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: bool = False
    augment: Literal["none", "section"] = "none"
    threads: int = Field(default=1, ge=1)

    @model_serializer(mode="wrap")
    def _leave_neutral_out(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was made without these keys is older than they are."""
        neutral = {"augment": self.augment == "none", "tiles_vx": not self.tiles_vx}
        return {name: value for name, value in dump(self).items() if not neutral.get(name)}

    @property
    def accelerated(self) -> bool:
        """Whether blocks may be predicted on a GPU."""
        return self.device != "cpu"

    def resolve(self, network: Network, block_vx: Zyx, workers: int = 1, *, elsewhere: bool = False) -> "Predict":
        """Return the parameters with everything decided for this machine, on which `workers` share the devices.

        Where there are GPUs `elsewhere` for the workers, what depends on them has to be said.

        Raises
        ------
        UserError
            If the network cannot put out `tile_vx`, or what is asked for is not there: a device, a compiler, a precision.
        """
        if self.tiles_vx:
            raise SettingError("tiles are given for an ensemble", "predict.tiles_vx", "set tile_vx")
        if min(block_vx) < 1:
            raise SettingError(f"blocks of {block_vx} have no voxels", "block_vx")
        device = "cuda" if elsewhere and self.device == "auto" else resolve_device(self.device)
        if device.startswith("cuda") and elsewhere:
            self._check_decided()
        else:
            with in_section("predict"):
                check_device(device)
        if self.compile:
            _check_compiler(device)
        precision = self._resolve_precision(device, network)
        memory_bytes = _memory_bytes(device, workers) if self.memory_gb is None else self.memory_gb * 1e9
        decided = self.model_copy(update={"device": device, "precision": precision, "memory_gb": None})
        in_chunks = runs_in_chunks(network, device, self.threads, self.compile)
        if self.augment != "none":  # turned blocks need not begin on the network's alignment
            z, y, x = block_vx
            block_vx = (z, y + network.alignment_vx[1], x + network.alignment_vx[2])
        tile_vx = self.tile_vx or choose_tile_vx(
            network, block_vx, precision, memory_bytes, CHUNK_VALUES if in_chunks else AT_ONCE
        )
        network.input_shape_vx(tile_vx)
        # The memory has done its part: the tile tells all that the result depends on.
        return decided.model_copy(update={"tile_vx": tile_vx})

    def _check_decided(self) -> None:
        right = "say what the nodes' GPUs are good for: this machine does not know them"
        if self.precision == "auto":
            raise SettingError("no precision is said, such as bfloat16", "predict.precision", right)
        if self.memory_gb is None and self.tile_vx is None:
            raise SettingError("no memory of a pass is said", "predict.memory_gb", right)

    def _resolve_precision(self, device: str, network: Network) -> Precision:
        with in_section("predict"):
            precision = resolve_precision(self.precision, device)
        if self.precision != "auto" or precision != "bfloat16" or device != "cpu":
            return precision
        from neuroadda.backbones.speedup import measure_bfloat16_speedup  # imports torch

        return precision if measure_bfloat16_speedup(network, self.threads) >= CLEARLY_FASTER else "float32"

    def count_passes(self, voxel_size: Sequence[float], networks: int = 1) -> int:
        """Return how often networks see a voxel of a volume of this voxel size (zyx), context aside."""
        return networks * (1 if self.augment == "none" else len(list_symmetries(voxel_size)))

    def list_tiles(self) -> tuple[Zyx, ...]:
        """Return the tile of each network; the parameters are resolved."""
        assert self.tiles_vx or self.tile_vx is not None, "resolve the parameters first"
        return self.tiles_vx or (self.tile_vx,)  # type: ignore[return-value] # it is not None

    def create_output(self, task: Task) -> None:
        """Create the uint8 affinities, shape czyx, 255 for certain."""
        raw = Volume.open(task.inputs["raw"])
        offsets = share_offsets([load_card(folder) for folder in list_members(task.inputs)])
        task.create_array(raw, np.uint8, channels=len(offsets), offsets=[list(o) for o in offsets])

    def take_device(self) -> tuple["Predict", Lease]:
        """Return the stage on the CUDA device that the fewest workers use, if it may be any."""
        lease = lease_device(list_cuda_devices()) if self.device == "cuda" else Lease(self.device)
        return self.model_copy(update={"device": lease.device}), lease

    def open(self, task: Task) -> BlockFunction:
        """Return the function that predicts a block and reports its tiles and the voxels that went into the network."""
        from neuroadda.backbones.checkpoint import load_backbone  # these import torch
        from neuroadda.prediction.ensemble import Ensemble
        from neuroadda.prediction.predictor import Predictor, PredictorInput, PredictorOutput

        raw, affs = Volume.open(task.inputs["raw"]), Volume.open(task.output, "r+")
        backbones = [load_backbone(folder) for folder in list_members(task.inputs)]
        tissue = open_tissue(task.inputs, raw, lost_sections=True)
        networks = [backbone.card.architecture for backbone in backbones]
        seen = [open_filled(task.inputs, raw, Coordinate(network.context_vx)) for network in networks]

        def write(block: Block, predicted: np.ndarray, passed: Sequence[Counter[Zyx]]) -> dict[str, Any]:
            affs.write(block.write_roi, predicted if tissue is None else predicted * tissue.read(block.write_roi))
            computed = sum(map(count_computed, networks, passed))
            return {"tiles": sum(tiles.total() for tiles in passed), "computed_voxels": computed}

        if self.augment != "none" or len(backbones) > 1:
            ensemble = Ensemble(backbones, self, raw.voxel_size)

            def average(roi: Roi) -> tuple[np.ndarray, list[Counter[Zyx]]]:
                set_up_thread(self.device, self.threads)
                return ensemble(seen, roi)

            return Phases(lambda block: block.write_roi, average, lambda block, averaged: write(block, *averaged))
        predictor = Predictor(backbones[0], self)
        # Affinities go where the thread's last block had its own: memory that is new has to be cleared, and mapped page by page.
        own = threading.local()

        def read(block: Block) -> PredictorInput:
            set_up_thread(self.device, self.threads)
            given = predictor.read(seen[0], block.write_roi, getattr(own, "affs", None))
            own.affs = given.affs
            return given

        def compute(given: PredictorInput) -> PredictorOutput:
            set_up_thread(self.device, self.threads)
            return predictor.infer(given)

        return Phases(read, compute, lambda block, output: write(block, output.wait(), [output.tiles]))


def _memory_bytes(device: str, workers: int) -> float:
    """Return what a pass may take: of a CUDA device's whole memory, which does not change from hour to hour."""
    if not device.startswith("cuda"):
        return CPU_MEMORY_GB * 1e9
    devices = count_cuda_devices() if device == "cuda" else 1
    return CUDA_SHARE * total_memory(device) / -(-workers // devices)


def _check_compiler(device: str) -> None:
    compilers = (os.environ.get("CXX", "g++"), "g++", "clang++")
    if device == "cpu" and not any(map(shutil.which, compilers)):
        raise SettingError(
            "torch needs a C++ compiler to compile a network", "predict.compile", "install g++, or leave it out"
        )


def check_raw(raw: Volume, card: Card, any_voxel_size: bool) -> None:
    """Raise UserError if a volume cannot be the input of a backbone, or has another voxel size by more than a half."""
    check_raw_type(raw)
    if card.architecture.in_channels != 1:
        raise UserError(f"the backbone takes {card.architecture.in_channels} channels, raw has one", card.name)
    if not any_voxel_size and is_far_in_size(raw, card):
        what = (
            f"the voxel size of {raw.path}, {describe_size(raw.voxel_size_nm)}, is far from that of the backbone "
            f"{card.name}, {describe_size(card.voxel_size_nm)}"
        )
        right = "choose another backbone, or set it to true (option --any-voxel-size)"
        if looks_like_xyz(raw.voxel_size_nm):
            right = "it looks like x, y, z: if it is, import the volume again with the right --voxel-size"
        raise SettingError(what, "any_voxel_size", right)


def tell_far_size(raw: Volume, card: Card) -> str | None:
    """Return a sentence that tells both voxel sizes, if a backbone was trained on voxels of far another size."""
    if not is_far_in_size(raw, card):
        return None
    here, there = (describe_size(size) for size in (raw.voxel_size_nm, card.voxel_size_nm))
    return f"{card.name} runs on voxels of {here}, and was trained on {there}"


def is_far_in_size(raw: Volume, card: Card) -> bool:
    """Return whether a volume's voxels differ from those a backbone was trained on by more than a half, along any axis."""
    pairs = zip(raw.voxel_size_nm, card.voxel_size_nm, strict=True)
    return max(max(pair) / min(pair) for pair in pairs) > VOXEL_SIZE_RATIO
