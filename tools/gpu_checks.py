"""What `tools.gpu_check` checks: each function returns a line of what it found, and raises where that is wrong."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

import neuroadda as na
from benchmarks.bench_predict import measure_ratio, repeat_raw
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.backbones.devices import count_cuda_devices
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.training.config import TrainConfig
from neuroadda.zoo.finding import find_backbone

ROOT = Path(__file__).parents[1]
BACKBONE = "fly_larva_l1_sstem"
TOLERANCES = {"float32": 1, "bfloat16": 16, "float16": 4}  # of affinities from 0 to 255, to float32 on the CPU
MOST_FAR = 0.01  # of the voxels may be farther off: an affinity near a half may tip


class Failed(Exception):
    """What was checked is not as it should be."""


@dataclass
class Setting:
    """What the checks work on.

    Attributes
    ----------
    folder
        Of all that is written.
    device
        "cuda" or "cpu".
    deadline
        Of `time.monotonic`.
    """

    folder: Path
    device: str
    deadline: float

    def __post_init__(self) -> None:
        """Make the volume."""
        self.block_vx = (32, 256, 256) if self.on_gpu else (8, 32, 32)
        shape = (32, 512, 512) if self.on_gpu else (8, 64, 64)
        self.raw, self.labels = na.phantom(self.folder / "phantom.zarr", shape_vx=shape, seed=1)
        self.first_block = Roi(self.raw.roi.begin, Coordinate(self.block_vx) * self.raw.voxel_size)
        self.backbone = find_backbone(BACKBONE)

    @property
    def on_gpu(self) -> bool:
        """Whether the GPU half is run."""
        return self.device == "cuda"

    def remaining(self) -> float:
        """Return the seconds that are left."""
        return max(1.0, self.deadline - time.monotonic())

    def predict(self, device: str, precision: str, **parameters: object) -> np.ndarray:
        """Return uint8 affinities, czyx, of the volume's first block."""
        stage = Predict.model_validate({"device": device, "precision": precision, **parameters})
        stage, lease = stage.resolve(load_card(self.backbone).architecture, self.block_vx).take_device()
        affs = Predictor(load_backbone(self.backbone), stage)(self.raw, self.first_block)[0]
        del lease  # the device is held until here
        return affs


def run_marked_tests(setting: Setting) -> str:
    """Run the tests that are marked gpu."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "tests/prediction",
        "tests/backbones",
        "tests/training",
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=setting.remaining(), check=False)
    last = ended.stdout.strip().splitlines()[-1] if ended.stdout.strip() else ended.stderr[-200:]
    if ended.returncode:
        raise Failed(last)
    return last.strip("= ")


def compare_precisions(setting: Setting) -> str:
    """Predict in every precision of the device; the affinities have to be those of float32 on the CPU, nearly."""
    expected = setting.predict("cpu", "float32").astype(int)
    return "; ".join(
        _compare(setting, expected, p) for p in (TOLERANCES if setting.on_gpu else ("float32", "bfloat16"))
    )


def compile_network(setting: Setting) -> str:
    """Predict with a compiled network."""
    return _compare(setting, setting.predict("cpu", "float32").astype(int), "bfloat16", compile=True)


def _compare(setting: Setting, expected: np.ndarray, precision: str, **parameters: object) -> str:
    off = np.abs(setting.predict(setting.device, precision, **parameters) - expected)
    far = float((off > TOLERANCES[precision]).mean())
    told = f"{precision} differs by {off.mean():.2f} of 255 on average, {far:.2%} by more than {TOLERANCES[precision]}"
    if far > MOST_FAR:
        raise Failed(told)
    return told


def compare_workers(setting: Setting) -> str:
    """Predict the volume by one worker and by three: their bytes have to agree, on a GPU nearly."""
    made = []
    for workers in (1, 3):
        config = na.SegmentConfig.model_validate(
            {
                "raw": str(setting.raw.path),
                "backbone": str(setting.backbone),
                "output": str(setting.folder / f"by_{workers}"),
            }
            | {"any_voxel_size": True, "block_vx": list(setting.block_vx)}
            | {"predict": {"device": setting.device, "precision": "float32", "tile_vx": list(setting.block_vx)}}
        )
        made.append(na.predict(config=config, workers=workers).read().astype(int))
    most = int(np.abs(made[0] - made[1]).max())
    if most > (1 if setting.on_gpu else 0):
        raise Failed(f"affinities differ by up to {most} of 255")
    return f"1 and 3 workers differ by at most {most} of 255"


def run_out_of_memory(setting: Setting) -> str:
    """Have a tile that does not fit, and see the prediction go on with halves of it, to the same affinities."""
    stage, lease = Predict(device=setting.device, precision="float32", tile_vx=setting.block_vx).take_device()
    predictor = Predictor(load_backbone(setting.backbone), stage)
    if setting.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    expected, tiles = predictor(setting.raw, setting.first_block)
    with _little_memory(predictor, setting.on_gpu):
        made, halves = predictor(setting.raw, setting.first_block)
    del lease
    if sum(halves.values()) <= sum(tiles.values()):
        raise Failed(f"no tile was halved: {dict(halves)}")
    most = int(np.abs(made.astype(int) - expected).max())
    if most > 1:
        raise Failed(f"affinities of halved tiles differ by up to {most} of 255")
    return f"{sum(tiles.values())} tile became {sum(halves.values())}; affinities differ by at most {most} of 255"


@contextmanager
def _little_memory(predictor: Predictor, on_gpu: bool) -> Iterator[None]:
    """Let a pass have two thirds of the memory that the last one took; on a CPU, raise the error in its place."""
    if on_gpu:
        share = torch.cuda.max_memory_reserved() / torch.cuda.get_device_properties(0).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.66 * share)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    model, sizes = predictor.model, list[int]()

    def limited(image: torch.Tensor) -> torch.Tensor:
        sizes.append(image.numel())
        if image.numel() >= sizes[0]:
            raise MemoryError("a pass of this size")
        return model(image)

    predictor.model = limited
    try:
        yield
    finally:
        predictor.model = model


def configure_training(setting: Setting, name: str, iterations: int) -> TrainConfig:
    """Return a training of a small network on the phantom."""
    return TrainConfig.model_validate(
        {"name": name, "domain": "phantom", "output": str(setting.folder / name), "iterations": iterations}
        | {"samples": [{"raw": str(setting.raw.path), "labels": str(setting.labels.path)}], "picture_every": 0}
        | {"output_shape_vx": [8, 128, 128] if setting.on_gpu else [2, 16, 16], "workers": 0, "device": setting.device}
        | {"network": {"features": [8, 16], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[3, 3, 3]]]}}
        | {"accumulate": 2, "warm_up": 2, "augment": {"elastic": 0.0}}
    )


def train(setting: Setting) -> str:
    """Train; the loss has to fall."""
    config, losses = configure_training(setting, "train", 60 if setting.on_gpu else 24), list[float]()

    class Losses(na.RunObserver):
        def on_iteration(self, name: str, iteration: int, iterations: int, values: object) -> None:
            losses.append(values["loss"])  # type: ignore[index]

    began = time.monotonic()
    na.train(config=config, observer=Losses())
    third = len(losses) // 3
    first, last = np.mean(losses[:third]), np.mean(losses[-third:])
    if not last < first:
        raise Failed(f"the loss went from {first:.4f} to {last:.4f}")
    return f"loss from {first:.3f} to {last:.3f} in {len(losses)} iterations, {len(losses) / (time.monotonic() - began):.1f} it/s"


def train_by_processes(setting: Setting) -> str:
    """Train by torchrun: of one process a GPU (nccl), on a CPU of two (gloo); the loss has to be that of one process."""
    count = max(1, count_cuda_devices()) if setting.on_gpu else 2
    config = configure_training(setting, "by_processes", 6)
    file = setting.folder / "by_processes.json"
    file.write_text(f'{{"train": {config.model_dump_json(exclude_unset=True)}}}')
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", "neuroadda.cli"]
    command = [sys.executable, *launch, "train", "--json", "-c", str(file)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=setting.remaining(), check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if ended.returncode:
        raise Failed(ended.stderr.strip()[-300:])
    one = na.train(config=configure_training(setting, "alone", 6)).model.state_dict()
    many = load_backbone(config.output / "backbone").model.state_dict()
    most = max(float((one[key].float().cpu() - many[key].float().cpu()).abs().max()) for key in one)
    if most > (1e-2 if setting.on_gpu else 0):
        raise Failed(f"weights differ by up to {most:.2g} from those of one process")
    nccl = f"; {_add_by_nccl(setting)}" if setting.on_gpu else ""
    return f"{count} process{'es' * (count > 1)}: weights differ by at most {most:.2g} from those of one{nccl}"


def _add_by_nccl(setting: Setting) -> str:
    """Add up a tensor by nccl in a group of one process: the library loads, and the device answers."""
    store = f"file://{setting.folder / 'nccl'}"
    torch.distributed.init_process_group("nccl", init_method=store, rank=0, world_size=1)
    try:
        ones = torch.ones(1024, device="cuda")
        torch.distributed.all_reduce(ones)
        if float(ones.sum()) != 1024:
            raise Failed("nccl adds up wrongly")
    finally:
        torch.distributed.destroy_process_group()
    return f"nccl {'.'.join(map(str, torch.cuda.nccl.version()))} adds"


def rank(setting: Setting) -> str:
    """Rank the zoo for the volume."""
    from neuroadda.domains.ranking import RankConfig
    from neuroadda.domains.selection import SelectConfig

    by = {} if setting.on_gpu else {"crops": 2, "crop_vx": [4, 32, 32], "by": "consistency"}
    config = SelectConfig(rank=RankConfig.model_validate(by))
    exclude = [] if setting.on_gpu else ["fly_fibsem", "fly_medulla_fibsem", "generalist"]
    ranking = na.rank_sources(setting.raw, config=config, exclude=exclude)
    return f"{ranking.winner} is the first of {len(ranking.rows)}"


def measure_engine(setting: Setting) -> str:
    """Measure the engine beside its network alone, and how busy the device is meanwhile."""
    block = setting.block_vx
    raw = setting.folder / "repeated.zarr/raw"
    repeat_raw(setting.raw, raw, block, 128 if setting.on_gpu else 8)
    parameters = Predict(device=setting.device, precision="bfloat16" if setting.on_gpu else "float32")
    told = []
    for workers in (1, 2, 4) if setting.on_gpu else (1,):
        with _watch_device(setting.on_gpu) as busy:
            row = measure_ratio(raw, Path(setting.backbone), parameters, block, workers, 1)
        share = f", device busy {np.mean(busy):.0f} % (network alone included)" if busy else ""
        beside = f", network alone {row['network alone']}{share}" if setting.on_gpu else " in small blocks"
        told.append(f"{workers} worker{'s' * (workers > 1)}: {row['engine']}{beside}")
    return "; ".join(told)


@contextmanager
def _watch_device(on_gpu: bool) -> Iterator[list[float]]:
    """Collect the device's utilisation in percent, five times a second; nothing on a CPU, or where nvidia-smi is missing."""
    busy: list[float] = []
    if not on_gpu:
        yield busy
        return
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200", "-i", "0"]
    try:
        watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except OSError:
        yield busy
        return
    assert watcher.stdout is not None
    lines = watcher.stdout
    reader = threading.Thread(target=lambda: busy.extend(float(line) for line in lines if line.strip().isdigit()))
    reader.start()
    try:
        yield busy
    finally:
        watcher.terminate()
        watcher.wait()
        reader.join()


Check = Callable[[Setting], str]
CHECKS: tuple[tuple[str, Check, bool], ...] = (  # name, check, whether it needs a GPU
    ("precisions against float32 on the CPU", compare_precisions, False),
    ("several workers", compare_workers, False),
    ("tiles halved where memory ends", run_out_of_memory, False),
    ("training", train, False),
    ("training by several processes", train_by_processes, False),
    ("ranking the zoo", rank, False),
    ("speed of prediction", measure_engine, False),
    ("tests marked gpu", run_marked_tests, True),
    ("compiled network", compile_network, True),
)
