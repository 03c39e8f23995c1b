"""How long a segmentation of 10^6 to 10^15 voxels takes and what it waits for: the tables of time in docs/scale.md.

    python -m benchmarks.scale [--set gpu_vx_s=2e7 ...]

A model: arithmetic on the figures in that page's last table.
"""

import argparse
import math
import re
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from benchmarks.tables import to_markdown

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
OWN = ("GPUs", "CPU cores", "request latency")  # of each worker; all workers share the other resources
Shape = tuple[int, int, int]
# What one pass asks for: blocks, bytes moved, requests, and seconds of a core, of a GPU and of one process alone.
Load = namedtuple("Load", "units moved get put core gpu serial", defaults=(0, 0, 0))


class Design(NamedTuple):
    """How the work is cut and stored; `in_flight` is requests of a core under way at once.

    `streamed`: prediction, fragments and edges are one pass that stores no affinities; workers compute while they read and write;
    components are united as a tree.
    """

    block_vx: Shape = (32, 256, 256)
    file_vx: Shape = (32, 64, 64)  # a chunk, or a shard of chunks
    chunk_vx: Shape = (32, 64, 64)
    prefixes: int = 1
    in_flight: int = 1
    streamed: bool = False
    powers: range = range(6, 16)

    def parts(self, part: Shape, around: Shape = (0, 0, 0)) -> int:
        """Return how many files or chunks a block and so many around it on each axis are."""
        return math.prod(b // p + more for b, p, more in zip(self.block_vx, part, around, strict=True))

    def read(self, around: Shape) -> tuple[int, float]:
        """Return the requests of reading a block and chunks around it, and the bytes read for each of its own."""
        files, own, chunks = self.parts(self.file_vx), self.parts(self.chunk_vx), self.parts(self.chunk_vx, around)
        indices = 0 if self.file_vx == self.chunk_vx else self.parts(self.file_vx, around) - files
        return files + chunks - own + indices, chunks / own


TODAY = Design()
BUILT = Design((256, 2048, 2048), (64, 512, 512), prefixes=64, in_flight=16, streamed=True, powers=range(11, 16))


def measure_loads(shape: Shape, d: Design, f: SimpleNamespace) -> tuple[list[Load], bool]:
    """Return what each pass over the blocks asks for, and whether all files fit one machine's disk."""
    voxels, counts = math.prod(shape), [[-(-s // b) for s, b in zip(shape, d.block_vx, strict=True)]]
    while math.prod(counts[-1]) > 1:  # levels of agglomeration, eight blocks to one
        counts.append([-(-k // 2) for k in counts[-1]])
    levels, files = [math.prod(each) for each in counts], d.parts(d.file_vx)
    n, count, edges = levels[0], voxels * f.fragments_mvx / 1e6, voxels * f.edges_mvx / 1e6
    taken = [edges]  # by each level: all edges, then those that the faces between the blocks below left open
    for each in counts[:-1]:
        area = sum((k - 1) * voxels / side for k, side in zip(each, shape, strict=True))
        taken.append(min(taken[-1], 2 * area * f.left_mpx / 1e6))
    (raw_gets, raw_part), (affs_gets, affs_part), (low_gets, low_part) = map(d.read, ((2, 2, 2), (0, 2, 2), (1, 1, 1)))
    stored, affs = (0, 0) if d.streamed else (n, voxels * f.affs_bytes)
    raw, fragments, segments = (voxels * b for b in (f.raw_bytes, f.fragments_bytes, f.segmentation_bytes))
    graph, merges, lut = edges * f.edge_bytes, count * f.merge_bytes, count * f.lut_bytes
    predict = Load(n, raw * raw_part + affs, n * raw_gets, stored * files, gpu=voxels / f.gpu_vx_s)
    flood = Load(n, affs * affs_part + fragments, stored * affs_gets, n * (files + 1), voxels / f.fragments_vx_s)
    gets, moved = stored * files + n * (low_gets + 1), affs + fragments * low_part + graph
    collect = Load(n, moved, gets, n, voxels / f.edges_vx_s)
    first = [predict, flood, collect]
    passes = [Load(n, *map(sum, list(zip(*first, strict=True))[1:]))] if d.streamed else first
    for i, units in enumerate(levels):
        moved = (taken[i] * f.left_bytes if i else 4 * graph + merges) + sum(taken[i + 1 : i + 2]) * f.left_bytes
        passes.append(Load(units, moved, levels[i - 1] if i else 4 * units, units, taken[i] * f.merge_s))
    union, faces = n * f.open_s + count * f.union_s, sum(voxels / side for side in shape)
    crossing = faces * f.face_segments_mvx / 1e6 * f.union_s
    units, puts, core, serial = (n, n, union, crossing) if d.streamed else (1, 2, 0, union)
    passes.append(Load(units, merges + 2 * lut, 2 * n, puts, core, serial=serial))
    passes.append(Load(n, fragments + segments + lut, n * (files + 1), n * files, voxels / f.relabel_vx_s))
    size = raw + affs + fragments + segments + graph + merges + lut + sum(taken[1:]) * f.left_bytes
    arrays = (2 if d.streamed else 3) * math.prod(-(-s // p) for s, p in zip(shape, d.file_vx, strict=True))
    return passes, size <= f.node_disk and arrays + 2 * n + sum(levels) <= f.files_limit


def simulate(passes: list[Load], on_disk: bool, workers: int, d: Design, f: SimpleNamespace) -> dict[str, float]:
    """Return the seconds that are due to each resource: a pass takes as long as its slowest one."""
    waits = {"start-up": f.start_s * len(passes)}
    for load in passes:
        gpus, cores = min(workers, load.units), min(workers * f.cores, load.units)
        latency = 0 if on_disk else (load.get + load.put) * f.latency_s / (gpus if load.gpu else cores) / d.in_flight
        alone = load.units == 1 and load.serial  # one process reads file after file
        needs = {
            "GPUs": load.gpu / gpus,
            "CPU cores": load.core / cores,
            "request latency": 0 if alone else latency,
            "scheduler": load.units * f.block_s,
            "ledger": load.units * f.records / (f.sqlite_s if workers <= f.node_workers else f.mongo_s),
            "requests": 0 if on_disk else (load.get / f.get_s + load.put / f.put_s) / d.prefixes,
            "bandwidth": load.moved / f.bandwidth,
            "global step": load.serial + (latency if alone else 0),
        }
        if not d.streamed:  # a worker does one thing after the other
            needs[max(OWN, key=lambda name: needs[name])] = sum(needs[name] for name in OWN)
        seconds, slowest = max((s, name) for name, s in needs.items())
        waits[slowest] = waits.get(slowest, 0) + seconds
    return waits


def short(number: float) -> str:
    """Return a number in three digits, such as ``23.1 k``."""
    return f"{number / 1e3:.3g} k" if number >= 999.5 else f"{number:.3g}"


def duration(seconds: float) -> str:
    """Return a time such as ``3.2 h`` or ``12 days``."""
    for size, unit in ((365.25 * 86400, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def time_table(d: Design, f: SimpleNamespace) -> str:
    """Return GPU hours, and wall time, bottleneck and ledger writes/s by the number of workers."""
    rows = []
    for power in d.powers:
        z = max(1, round((10**power / 25) ** (1 / 3)))  # about a cube of tissue, of voxels of 30 x 6 x 6 nm
        shape = z, (yx := round(math.sqrt(10**power / z))), yx
        passes, on_disk = measure_loads(shape, d, f)
        hours = [short(math.prod(shape) / rate / 3600) for rate in (f.gpu_vx_s, f.cpu_vx_s)]
        row = [f"10^{power}", "disk" if on_disk else "objects", *hours]
        for workers in (1, 100, 1000):
            waits = simulate(passes, on_disk, workers, d, f)
            wall, writes = sum(waits.values()), f.records * sum(load.units for load in passes)
            row.append(f"{duration(wall)}: **{max(waits, key=lambda name: waits[name])}**, {short(writes / wall)}/s")
        rows.append(row)
    return to_markdown(["voxels", "on", "GPU hours", "or core hours", "1 GPU", "100 GPUs", "1000 GPUs"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", action="append", default=[], metavar="FIGURE=VALUE", help="replace a figure")
    found = re.findall(r"^\| `(\w+)` \| ([\d.e+-]+) \|", PAGE.read_text(), re.MULTILINE)
    found += [text.split("=", 1) for text in parser.parse_args().set]
    figures = SimpleNamespace(**{name: float(value) for name, value in found})
    print(f"Today:\n\n{time_table(TODAY, figures)}\n\nBuilt:\n\n{time_table(BUILT, figures)}")
