"""Measure training by one and by two processes, side by side in one run: speed, equality, and what a killed process costs.

    python -m benchmarks.bench_ddp [--iterations N] [--rounds N] [--write]

Trains a small network on a phantom, each time by the command itself, on CPUs with one thread a process, which also makes its
batches. ``--write`` writes docs/results/ddp.md.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmarks.machine import name_processor
from neuroadda.cli.console import print_table
from neuroadda.config import parse_config
from neuroadda.training.config import TrainConfig
from neuroadda.training.state import TENSORS, find_state
from neuroadda.training.trainer import train_network
from neuroadda.volumes.phantom import PhantomConfig, write_phantom

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "ddp.md"
SHORT = 8  # iterations of what is only compared
BATCHES = "2 batches of 1 sample, and 1 of 2"
WITHOUT_STATISTICS = {"batch_norm": False, "loss": {"dice": 0.0}, "augment": {"elastic": 0.0}}
WAYS = {"1 process": (1, 1), "1 process, accumulate 2": (2, 1), "2 processes, accumulate 2": (2, 2)}


@dataclass(frozen=True)
class Timed:
    """What a training took: samples a second between its first and last iteration, and seconds with all that surrounds them."""

    samples_per_second: float
    seconds: float


def configure(folder: Path, name: str, **changes: Any) -> TrainConfig:
    """Return a training on the phantom in `folder`, kept as ``<folder>/<name>.json`` too."""
    data = {
        "name": name,
        "domain": "phantom",
        "samples": [{"raw": str(folder / "phantom.zarr/raw"), "labels": str(folder / "phantom.zarr/labels")}],
        "network": {
            "features": [12, 24, 48],
            "downsample": [[1, 2, 2], [1, 2, 2]],
            "kernels": [[[1, 3, 3], [1, 3, 3]], [[1, 3, 3], [1, 3, 3]], [[3, 3, 3], [3, 3, 3]]],
        },
        "output_shape_vx": [8, 96, 96],
        "checkpoint_every": 4,
        "picture_every": 0,
        "workers": 0,
        "device": "cpu",
        "output": str(folder / name),
        **changes,
    }
    (folder / f"{name}.json").write_text(json.dumps({"train": data}))
    return parse_config(TrainConfig, data, name)


def start(config: TrainConfig, processes: int) -> subprocess.Popen[bytes]:
    """Start ``neuroadda train``, by torchrun if there are several processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    file = config.output.with_suffix(".json")
    command = [*(launcher if processes > 1 else []), "-m", "neuroadda.cli", "train", "--json", "-c", str(file)]
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    with config.output.with_suffix(".log").open("ab") as log:
        return subprocess.Popen([sys.executable, *command], env={**os.environ, **threads}, stdout=log, stderr=log)


def finish(config: TrainConfig, processes: int) -> float:
    """Train, or go on, to the end; return the seconds of the whole command."""
    before = time.monotonic()
    if start(config, processes).wait():
        raise SystemExit(config.output.with_suffix(".log").read_text())
    return time.monotonic() - before


def read_speed(config: TrainConfig) -> float:
    """Return samples a second of a training that was done without a pause."""
    events = EventAccumulator(str(config.output / "tensorboard")).Reload().Scalars("loss")
    iterations, seconds = (getattr(events[-1], k) - getattr(events[0], k) for k in ("step", "wall_time"))
    return iterations * config.samples_an_iteration / seconds


def time_ways(folder: Path, iterations: int, rounds: int) -> dict[str, list[Timed]]:
    """Train in every way, in turn; the last round's outputs stay."""
    timed: dict[str, list[Timed]] = {way: [] for way in WAYS}
    for round_ in range(rounds):
        for way, (accumulate, processes) in WAYS.items():
            config = configure(folder, f"{way} {round_}", accumulate=accumulate, iterations=iterations)
            seconds = finish(config, processes)
            timed[way].append(Timed(read_speed(config), seconds))
            print(f"{way}: {timed[way][-1]}", flush=True)
    return timed


def kill_one(config: TrainConfig) -> dict[str, Any]:
    """Kill one of two processes halfway, let the command run again to the end, and return what was seen."""
    job = start(config, 2)
    log = config.output / "metrics.jsonl"
    while not log.exists() or log.read_text().count("\n") < config.iterations // 2:
        if job.poll() is not None:
            raise SystemExit(config.output.with_suffix(".log").read_text())
        time.sleep(0.01)
    ranks = _children(job.pid)
    victim = next(pid for pid in ranks if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())
    os.kill(victim, signal.SIGKILL)
    killed, at = time.monotonic(), log.read_text().count("\n")
    code = job.wait()
    ended = time.monotonic() - killed
    left = sum(Path(f"/proc/{pid}").exists() for pid in ranks)
    found = find_state(config.output / "checkpoints")
    finish(config, 2)
    return {
        "killed after iteration": at,
        "seconds until the job had ended": f"{ended:.1f}",
        "its exit code": code,
        "processes left over": left,
        "the rerun went on from iteration": int(found[0].name) if found else 0,
    }


def _children(pid: int) -> list[int]:
    return [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]


def compare(what: str, one: TrainConfig, other: TrainConfig) -> dict[str, str]:
    """Return how far two trainings are apart at their ends."""
    ends = []
    for config in (one, other):
        found = find_state(config.output / "checkpoints")
        assert found is not None
        assert int(found[0].name) == config.iterations
        ends.append(found[0] / TENSORS)
    states = [{k: v for k, v in load_file(end).items() if k.startswith("model.")} for end in ends]
    apart = max(float((states[0][k].double() - states[1][k].double()).abs().max()) for k in states[0])
    same = ends[0].read_bytes() == ends[1].read_bytes()
    return {
        "compared": what,
        "iterations": str(one.iterations),
        "largest difference of a weight": f"{apart:.3g}",
        "checkpoints": "the same bytes" if same else "differ",
    }


def compare_batches(folder: Path, what: str, iterations: int, **changes: Any) -> dict[str, str]:
    """Train in this process on two batches of one sample, and on one of two."""
    configs = [
        configure(folder, f"{what} {iterations} {n}", iterations=iterations, **size, **changes)
        for n, size in enumerate(({"accumulate": 2}, {"batch_size": 2}))
    ]
    for config in configs:
        train_network(config)
    return compare(what, *configs)


def measure(folder: Path, iterations: int, rounds: int) -> tuple[list[dict[str, str]], ...]:
    """Return the tables of speed, equality and the kill."""
    write_phantom(PhantomConfig(shape_vx=(32, 192, 192)), folder / "phantom.zarr")
    timed = time_ways(folder, iterations, rounds)
    base = median(t.samples_per_second for t in timed["1 process"])
    speed = []
    for way, found in timed.items():
        rates = [t.samples_per_second for t in found]
        speed.append(
            {
                "trained by": way,
                "samples/s": f"{median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})",
                "of 1 process": f"{median(rates) / base:.2f}",
                "seconds an iteration": f"{WAYS[way][0] / median(rates):.2f}",
                "seconds with start": f"{median(t.seconds for t in found):.1f}",
            }
        )
    alone, shared, killed = (
        configure(folder, name, accumulate=2, iterations=iterations)
        for name in (f"1 process, accumulate 2 {rounds - 1}", f"2 processes, accumulate 2 {rounds - 1}", "killed")
    )
    seen = kill_one(killed)
    equality = [
        compare("1 process, and 2", alone, shared),
        compare("1 process, and 2 of which one was killed", alone, killed),
        *(compare_batches(folder, f"{BATCHES}, without batch statistics", n, **WITHOUT_STATISTICS) for n in (1, SHORT)),
        compare_batches(folder, BATCHES, SHORT),
    ]
    return speed, equality, [{"what": key, "was": str(value)} for key, value in seen.items()]


def to_markdown(rows: Sequence[dict[str, str]]) -> str:
    """Return rows of equal keys as a table."""
    lines = [" | ".join(rows[0]), "|".join("---" for _ in rows[0]), *(" | ".join(row.values()) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def write_results(tables: Sequence[list[dict[str, str]]], head: str, command: str) -> None:
    """Write the tables as Markdown."""
    speed, equality, killed = map(to_markdown, tables)
    RESULTS.write_text(
        f"""# Training by several processes

A small network (12, 24, 48 features) on a phantom, patches of 8 x 96 x 96 voxels, batches of one sample. Every process has one
thread and makes its own batches; two are started by torchrun and share the two batches of an iteration through gloo. `samples/s`
are taken between the ends of the first and the last iteration, from TensorBoard's log: medians and extremes of the rounds, which
went in turn. `seconds with start` are those of the whole command.

- {head}
- Command: `{command}`

{speed}

## Are they equal?

Checkpoints hold weights, running statistics of batch norms, and the optimizer's state. What two batches of one sample teach is
what one batch of two does only where nothing is computed over a batch: batch norm, the Dice loss and balanced weights have
their own statistics in each batch. Even then sums are rounded differently, and what is small at first grows, as the optimizer's
steps do not shrink with the gradient. How many processes share the batches never matters.

{equality}

## One of two processes is killed

By SIGKILL, the second one, halfway; then the same command ran again.

{killed}
""",
        encoding="utf-8",
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="neuroadda-bench-") as temporary:
        tables = measure(Path(temporary), options.iterations, options.rounds)
    head = (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {name_processor()}, {os.cpu_count()} cores, load {before:.1f} before "
        f"and {os.getloadavg()[0]:.1f} after, torch {torch.__version__}, {options.iterations} iterations, {options.rounds} rounds"
    )
    print(head)
    for title, rows in zip(("speed", "equality", "a killed process"), tables, strict=True):
        print_table(title, rows)
    if options.write:
        write_results(tables, head, " ".join(["python -m benchmarks.bench_ddp", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
