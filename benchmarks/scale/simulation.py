"""Walk from 10^6 to 10^15 voxels and tell what a segmentation asks for at each power of ten, and what it waits for.

    python -m benchmarks.scale.simulation [--powers 6 15] [--set gpu_vx_s=2e7 ...] [--write]

A model, not a measurement: arithmetic on the figures in scale_figures.py. ``--write`` writes docs/scale.md.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from benchmarks.scale.figures import Design, Figures, Shape, override
from benchmarks.scale.sizes import count, faces, level_blocks, level_edges, read_once, touch

LAST = 18
SHARED = ("scheduler", "ledger", "requests", "bandwidth", "global step")
RESOURCES = ("start-up", "GPUs", "CPU cores", "request latency", *SHARED)


@dataclass(frozen=True)
class Load:
    """What one stage asks for, whatever the number of workers; seconds are of one GPU, one core, one process."""

    gpu_s: float = 0
    core_s: float = 0
    serial_s: float = 0
    gets: float = 0
    puts: float = 0
    moved: float = 0
    units: int = 0

    def __add__(self, other: "Load") -> "Load":
        """Do both in one pass over the same units."""
        *sums, _ = (a + b for a, b in zip(astuple(self), astuple(other), strict=True))
        return Load(*sums, units=self.units)


def measure_loads(shape: Shape, design: Design, f: Figures) -> dict[str, Load]:
    """Return what each pass over the blocks asks for: a pass a stage, or one for three of them where they are fused."""
    voxels, blocks = math.prod(shape), count(shape, design.block_vx)
    fragments, edges = voxels * f.fragments_mvx / 1e6, voxels * f.edges_mvx / 1e6
    files = touch(design, design.file_vx)
    # The network's context lies in one more chunk on each side; fragments are flooded by section.
    raw_gets, raw_ratio = read_once(design, (1, 1, 1), (1, 1, 1))
    affs_gets, affs_ratio = read_once(design, (0, 1, 1), (0, 1, 1))
    low_gets, low_ratio = read_once(design, (1, 1, 1))
    affs = 0 if design.fused else voxels * f.affs_bytes
    stored = 0 if design.fused else blocks
    united_s = blocks * f.open_s + fragments * f.union_s
    predict = Load(
        gpu_s=voxels / f.gpu_vx_s,
        gets=blocks * raw_gets,
        puts=stored * files,
        moved=voxels * f.raw_bytes * raw_ratio + affs,
        units=blocks,
    )
    fragment = Load(
        core_s=voxels / f.fragments_vx_s,
        gets=stored * affs_gets,
        puts=blocks * (files + 1),
        moved=affs * affs_ratio + voxels * f.fragments_bytes,
        units=blocks,
    )
    collect = Load(
        core_s=voxels / f.edges_vx_s,
        gets=stored * files + blocks * (low_gets + 1),
        puts=blocks,
        moved=affs + voxels * f.fragments_bytes * low_ratio + edges * f.edge_bytes,
        units=blocks,
    )
    components = Load(
        core_s=united_s if design.merged_in_tree else 0,
        serial_s=faces(shape, f) * f.union_s if design.merged_in_tree else united_s,
        gets=2 * blocks,
        puts=blocks if design.merged_in_tree else 2,
        moved=fragments * (f.merge_bytes + 2 * f.lut_bytes),
        units=blocks if design.merged_in_tree else 1,
    )
    relabel = Load(
        core_s=voxels / f.relabel_vx_s,
        gets=blocks * (files + 1),
        puts=blocks * files,
        moved=voxels * (f.fragments_bytes + f.segmentation_bytes) + fragments * f.lut_bytes,
        units=blocks,
    )
    if design.fused:
        first = {"predict, fragments, edges": predict + fragment + collect}
    else:
        first = {"predict": predict, "fragments": fragment, "edges": collect}
    return first | agglomerate_loads(shape, design, f) | {"components": components, "relabel": relabel}


def agglomerate_loads(shape: Shape, design: Design, f: Figures) -> dict[str, Load]:
    """Return what each level asks for: the first reads edge files, its own and of three neighbours, the others what was left."""
    levels, taken = level_blocks(shape, design), level_edges(shape, design, f)
    merged = math.prod(shape) * f.fragments_mvx / 1e6 * f.merge_bytes
    loads = {}
    for level, (counts, edges) in enumerate(zip(levels, taken, strict=True)):
        blocks = math.prod(counts)
        left = taken[level + 1] if level + 1 < len(taken) else 0.0
        read = 4 * edges * f.edge_bytes + merged if level == 0 else edges * f.left_bytes
        loads[f"agglomerate-{level}"] = Load(
            core_s=edges * f.merge_s,
            gets=4 * blocks if level == 0 else math.prod(levels[level - 1]),
            puts=blocks,
            moved=read + left * f.left_bytes,
            units=blocks,
        )
    return loads


def wait_for(load: Load, workers: int, design: Design, f: Figures, on_disk: bool) -> dict[str, float]:
    """Return the seconds that a pass would take if each resource were the only one; files on a disk cost no requests."""
    gpus, cores = min(workers, load.units), min(workers * f.cores, load.units)
    lanes = (gpus if load.gpu_s else cores) * design.in_flight
    latency = 0.0 if on_disk else (load.gets + load.puts) * f.latency_s / lanes
    alone = load.units == 1 and load.serial_s > 0  # one process reads file after file
    recorded = f.sqlite_s if workers <= f.node_workers else f.mongo_s
    return {
        "GPUs": load.gpu_s / gpus,
        "CPU cores": load.core_s / cores,
        "request latency": 0.0 if alone else latency,
        "scheduler": load.units * f.block_s,
        "ledger": load.units * f.records / recorded,
        "requests": 0.0 if on_disk else (load.gets / f.get_s + load.puts / f.put_s) / design.prefixes,
        "bandwidth": load.moved / f.bandwidth,
        "global step": load.serial_s + (latency if alone else 0.0),
    }


@dataclass(frozen=True)
class Schedule:
    """How long it takes, and what for.

    Attributes
    ----------
    wall_s
        The passes one after another, each as long as its slowest resource, and the start of its workers.
    waits
        The part of `wall_s` that each resource is to blame for.
    """

    wall_s: float
    waits: Mapping[str, float]

    @property
    def shares(self) -> dict[str, float]:
        """The part of the wall time that is due to each resource, the largest first."""
        return {name: self.waits[name] / self.wall_s for name in sorted(self.waits, key=lambda n: -self.waits[n])}

    @property
    def bottleneck(self) -> str:
        """The resource that most of the time is due to."""
        return next(iter(self.shares))


def simulate(loads: Mapping[str, Load], workers: int, design: Design, figures: Figures, on_disk: bool) -> Schedule:
    """Let each pass run as long as its slowest resource; what a worker does one after the other adds up."""
    waits = dict.fromkeys(RESOURCES, 0.0)
    for load in loads.values():
        seconds = wait_for(load, workers, design, figures, on_disk)
        own = {name: s for name, s in seconds.items() if name not in SHARED}
        busiest = max(own, key=lambda name: own[name])
        if not design.overlaps:
            seconds[busiest] = sum(own.values())
        slowest = max(seconds, key=lambda name: seconds[name])
        waits[slowest] += seconds[slowest]
        waits["start-up"] += figures.start_s
    return Schedule(sum(waits.values()), waits)


def main() -> None:
    """Print the walk, or write it."""
    from benchmarks.scale.report import RESULTS, write_report

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--powers", type=int, nargs=2, default=(6, 15), metavar=("FIRST", "LAST"))
    parser.add_argument("--set", action="append", default=[], metavar="FIGURE=VALUE", help="replace a figure")
    parser.add_argument("--write", action="store_true", help="write docs/scale.md instead of printing it")
    options = parser.parse_args()
    first, last = options.powers
    if not 0 <= first <= last <= LAST:
        parser.error(f"--powers {first} {last}: give the first and the last, 0 to {LAST}")
    try:
        text = write_report(override(Figures(), options.set), range(first, last + 1))
    except ValueError as error:
        parser.error(str(error))
    if options.write:
        RESULTS.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
