"""Check in under 8 minutes that prediction, training and ranking work on this machine's GPU, and write a page of results.

    python -m tools.gpu_check [--output docs/results/gpu.md] [--minutes 8]

On a machine without a GPU it runs its CPU half and the page says that the GPU half was not run. Exit code 1: a check failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

import neuroadda as na
from benchmarks.bench_predict import measure_ratio, repeat_raw
from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
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
UNRUN = "not run: there is no CUDA device here"


class Failed(Exception):
    """What was checked is not as it should be."""


@dataclass
class Check:
    """The checks, what they work on, and what they found.

    Attributes
    ----------
    folder
        Of all that is written.
    device
        "cuda" or "cpu".
    deadline
        Of `time.monotonic`: no check begins after it.
    rows
        Name, device, result, seconds.
    """

    folder: Path
    device: str
    deadline: float
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    failed: bool = False

    def __post_init__(self) -> None:
        """Make the volume that all checks work on."""
        self.block_vx = (32, 256, 256) if self.on_gpu else (8, 32, 32)
        shape = (32, 512, 512) if self.on_gpu else (8, 64, 64)
        self.raw, self.labels = na.phantom(self.folder / "phantom.zarr", shape_vx=shape, seed=1)
        self.first_block = Roi(self.raw.roi.begin, Coordinate(self.block_vx) * self.raw.voxel_size)
        self.backbone = find_backbone(BACKBONE)

    @property
    def on_gpu(self) -> bool:
        """Whether the GPU half is run."""
        return self.device == "cuda"

    def run(self, name: str, check: Callable[["Check"], str], needs_gpu: bool = False) -> None:
        """Run a check and note its result; one that fails does not keep the others from running."""
        began = time.monotonic()
        if needs_gpu and not self.on_gpu:
            told = UNRUN
        elif began > self.deadline:
            told, self.failed = "not run: the time was over", True
        else:
            try:
                told = check(self)
            except Exception as error:  # whatever a driver or a library raises is a result here
                told, self.failed = f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:300]}", True
        self.rows.append((name, self.device, told, f"{time.monotonic() - began:.0f}"))
        print(f"{name}: {told} ({time.monotonic() - began:.0f} s)", flush=True)

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


def run_marked_tests(check: Check) -> str:
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
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=check.remaining(), check=False)
    last = ended.stdout.strip().splitlines()[-1] if ended.stdout.strip() else ended.stderr[-200:]
    if ended.returncode:
        raise Failed(last)
    return last.strip("= ")


def compare_precisions(check: Check) -> str:
    """Predict in every precision of the device; the affinities have to be those of float32 on the CPU, nearly."""
    expected = check.predict("cpu", "float32").astype(int)
    return "; ".join(_compare(check, expected, p) for p in (TOLERANCES if check.on_gpu else ("float32", "bfloat16")))


def compile_network(check: Check) -> str:
    """Predict with a compiled network."""
    return _compare(check, check.predict("cpu", "float32").astype(int), "bfloat16", compile=True)


def _compare(check: Check, expected: np.ndarray, precision: str, **parameters: object) -> str:
    off = np.abs(check.predict(check.device, precision, **parameters) - expected)
    far = float((off > TOLERANCES[precision]).mean())
    told = f"{precision} differs by {off.mean():.2f} of 255 on average, {far:.2%} by more than {TOLERANCES[precision]}"
    if far > MOST_FAR:
        raise Failed(told)
    return told


def compare_workers(check: Check) -> str:
    """Predict the volume by one worker and by three: their bytes have to agree, on a GPU nearly."""
    made = []
    for workers in (1, 3):
        config = na.SegmentConfig.model_validate(
            {"raw": str(check.raw.path), "backbone": str(check.backbone), "output": str(check.folder / f"by_{workers}")}
            | {"any_voxel_size": True, "block_vx": list(check.block_vx)}
            | {"predict": {"device": check.device, "precision": "float32", "tile_vx": list(check.block_vx)}}
        )
        made.append(na.predict(config=config, workers=workers).read().astype(int))
    most = int(np.abs(made[0] - made[1]).max())
    if most > (1 if check.on_gpu else 0):
        raise Failed(f"affinities differ by up to {most} of 255")
    return f"1 and 3 workers differ by at most {most} of 255"


def run_out_of_memory(check: Check) -> str:
    """Have a tile that does not fit, and see the prediction go on with halves of it, to the same affinities."""
    stage, lease = Predict(device=check.device, precision="float32", tile_vx=check.block_vx).take_device()
    predictor = Predictor(load_backbone(check.backbone), stage)
    if check.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    expected, tiles = predictor(check.raw, check.first_block)
    with _little_memory(predictor, check.on_gpu):
        made, halves = predictor(check.raw, check.first_block)
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


def configure_training(check: Check, name: str, iterations: int) -> TrainConfig:
    """Return a training of a small network on the phantom."""
    return TrainConfig.model_validate(
        {"name": name, "domain": "phantom", "output": str(check.folder / name), "iterations": iterations}
        | {"samples": [{"raw": str(check.raw.path), "labels": str(check.labels.path)}], "picture_every": 0}
        | {"output_shape_vx": [8, 128, 128] if check.on_gpu else [2, 16, 16], "workers": 0, "device": check.device}
        | {"network": {"features": [8, 16], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[3, 3, 3]]]}}
        | {"accumulate": 2, "warm_up": 2, "augment": {"elastic": 0.0}}
    )


def train(check: Check) -> str:
    """Train; the loss has to fall."""
    config, losses = configure_training(check, "train", 60 if check.on_gpu else 24), list[float]()

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


def train_by_processes(check: Check) -> str:
    """Train by torchrun: of one process a GPU (nccl), on a CPU of two (gloo); the loss has to be that of one process."""
    count = max(1, count_cuda_devices()) if check.on_gpu else 2
    config = configure_training(check, "by_processes", 6)
    file = check.folder / "by_processes.json"
    file.write_text(f'{{"train": {config.model_dump_json(exclude_unset=True)}}}')
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", "neuroadda.cli"]
    command = [sys.executable, *launch, "train", "--json", "-c", str(file)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=check.remaining(), check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if ended.returncode:
        raise Failed(ended.stderr.strip()[-300:])
    one = na.train(config=configure_training(check, "alone", 6)).model.state_dict()
    many = load_backbone(config.output / "backbone").model.state_dict()
    most = max(float((one[key].float().cpu() - many[key].float().cpu()).abs().max()) for key in one)
    if most > (1e-2 if check.on_gpu else 0):
        raise Failed(f"weights differ by up to {most:.2g} from those of one process")
    nccl = f"; {_add_by_nccl(check)}" if check.on_gpu else ""
    return f"{count} process{'es' * (count > 1)}: weights differ by at most {most:.2g} from those of one{nccl}"


def _add_by_nccl(check: Check) -> str:
    """Add up a tensor by nccl in a group of one process: the library loads, and the device answers."""
    store = f"file://{check.folder / 'nccl'}"
    torch.distributed.init_process_group("nccl", init_method=store, rank=0, world_size=1)
    try:
        ones = torch.ones(1024, device="cuda")
        torch.distributed.all_reduce(ones)
        if float(ones.sum()) != 1024:
            raise Failed("nccl adds up wrongly")
    finally:
        torch.distributed.destroy_process_group()
    return f"nccl {'.'.join(map(str, torch.cuda.nccl.version()))} adds"


def rank(check: Check) -> str:
    """Rank the zoo for the volume."""
    from neuroadda.domains.ranking import RankConfig
    from neuroadda.domains.selection import SelectConfig

    by = {} if check.on_gpu else {"crops": 2, "crop_vx": [4, 32, 32], "by": "consistency"}
    config = SelectConfig(rank=RankConfig.model_validate(by))
    exclude = [] if check.on_gpu else ["fly_fibsem", "fly_medulla_fibsem", "generalist"]
    ranking = na.rank_sources(check.raw, config=config, exclude=exclude)
    return f"{ranking.winner} is the first of {len(ranking.rows)}"


def measure_engine(check: Check) -> str:
    """Measure the engine beside its network alone, and how busy the device is meanwhile."""
    block = check.block_vx
    raw = check.folder / "repeated.zarr/raw"
    repeat_raw(check.raw, raw, block, 128 if check.on_gpu else 8)
    parameters = Predict(device=check.device, precision="bfloat16" if check.on_gpu else "float32")
    told = []
    for workers in (1, 2, 4) if check.on_gpu else (1,):
        with _watch_device(check.on_gpu) as busy:
            row = measure_ratio(raw, Path(check.backbone), parameters, block, workers, 1)
        share = f", device busy {np.mean(busy):.0f} % (network alone included)" if busy else ""
        told.append(
            f"{workers} worker{'s' * (workers > 1)}: {row['engine']}, network alone {row['network alone']}{share}"
        )
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


CHECKS: tuple[tuple[str, Callable[[Check], str], bool], ...] = (
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


def write_page(target: Path, check: Check) -> None:
    """Write the page."""
    note = torch.cuda.get_device_name(0) if check.on_gpu else "no GPU"
    half = (
        "The GPU half ran."
        if check.on_gpu
        else "**The GPU half was not run**: there was no CUDA device. This is the CPU half."
    )
    lines = [
        "# GPU check",
        "",
        f"{half} {'A check failed, see below.' if check.failed else 'All that ran passed.'}",
        "",
        describe_run(f"{note}, torch {torch.__version__}"),
        "",
        to_markdown(("check", "device", "result", "seconds"), check.rows),
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run all checks, write the page, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs/results/gpu.md")
    parser.add_argument("--minutes", type=float, default=7.5, help="no check begins later")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="neuroadda-gpu-check-") as folder:
        device = "cuda" if count_cuda_devices() else "cpu"
        check = Check(Path(folder), device, time.monotonic() + 60 * given.minutes)
        for name, function, needs_gpu in CHECKS:
            check.run(name, function, needs_gpu)
    write_page(given.output, check)
    print(f"page: {given.output}")
    return int(check.failed)


if __name__ == "__main__":
    sys.exit(main())
