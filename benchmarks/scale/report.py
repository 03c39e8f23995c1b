"""The tables of docs/scale.md."""

import math
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

from benchmarks.scale.figures import SHARDED, TODAY, Design, Figures
from benchmarks.scale.prose import CHANGES, TEMPLATE
from benchmarks.scale.simulation import Schedule, measure_loads, simulate
from benchmarks.scale.sizes import is_on_disk, measure_sizes, name_limits, shape_of
from benchmarks.tables import to_markdown

RESULTS = Path(__file__).parents[2] / "docs" / "scale.md"
WORKERS = (1, 100, 1000)
LARGE = 11  # the blocks of the design to be built are larger than the volumes below
NOTABLE = 0.1  # a part of the wall time worth telling
PUT_DOLLARS, GET_DOLLARS = 5e-6, 4e-7  # list prices of a large object store


def short(number: float, unit: str = "") -> str:
    """Return a number in three digits with its SI prefix, such as ``23.1 G``."""
    for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 0.9995 * 10**power:
            return f"{number / 10**power:.3g} {prefix}{unit}".strip()
    return f"{number:.3g} {unit}".strip()


def duration(seconds: float) -> str:
    """Return a time such as ``3.2 h`` or ``12 days``."""
    for size, unit in ((365.25 * 86400, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def sizes_table(design: Design, figures: Figures, powers: Iterable[int]) -> str:
    """Return what there is to store."""
    rows = []
    for power in powers:
        s = measure_sizes(shape_of(power), design, figures)
        counts = [short(s[name]) for name in ("blocks", "array_files", "files", "records")]
        rows.append([f"10^{power}", *counts, *(short(s[n], "B") for n in ("affs", "labels", "graph", "lut", "bytes"))])
    counts = ["voxels", "blocks", "files of arrays", "files in all", "ledger records"]
    return to_markdown(
        [*counts, "affs", "fragments and segmentation", "edges and merges", "LUT", "together, without raw"], rows
    )


def global_table(figures: Figures, powers: Iterable[int]) -> str:
    """Return the global step of both designs."""
    rows = []
    for power in powers:
        shape = shape_of(power)
        s, built = (measure_sizes(shape, design, figures) for design in (TODAY, SHARDED))
        one, tree = (measure_loads(shape, design, figures)["components"] for design in (TODAY, SHARDED))
        rows.append(
            [
                f"10^{power}",
                *(short(s[name]) for name in ("fragments", "edges")),
                *(short(s[name], "B") for name in ("top_memory", "lut", "memory")),
                duration(one.serial_s),
                short(built["top_memory"], "B"),
                short(built["memory"], "B"),
                duration(tree.core_s),
                duration(tree.serial_s),
            ]
        )
    header = ["voxels", "fragments", "edges", "last level of agglomeration", "LUT", "components, one process"]
    header += ["its time, files on disk", "last level, built", "components, tree"]
    return to_markdown([*header, "time of one core, tree", "its last merge"], rows)


def requests_table(figures: Figures, powers: Iterable[int]) -> str:
    """Return the requests to an object store and what they cost, with both designs."""
    rows = []
    for power in powers:
        row = [f"10^{power}"]
        for design in (TODAY, SHARDED):
            loads = measure_loads(shape_of(power), design, figures).values()
            gets, puts = sum(load.gets for load in loads), sum(load.puts for load in loads)
            seconds = (gets / figures.get_s + puts / figures.put_s) / design.prefixes
            dollars = math.ceil(gets * GET_DOLLARS + puts * PUT_DOLLARS)
            row += [short(gets), short(puts), duration(seconds), f"{dollars:,}"]
        rows.append(row)
    header = ["GET, {}", "PUT, {}", "time, prefixes: {}", "$, {}"]
    today = [h.format(p) for h, p in zip(header, ("today", "today", TODAY.prefixes, "today"), strict=True)]
    built = [h.format(p) for h, p in zip(header, ("built", "built", SHARDED.prefixes, "built"), strict=True)]
    return to_markdown(["voxels", *today, *built], rows)


def time_table(design: Design, figures: Figures, powers: Iterable[int]) -> str:
    """Return GPU hours, and wall time, bottleneck and ledger writes/s by the number of workers."""
    rows = []
    for power in powers:
        shape = shape_of(power)
        sizes, loads = measure_sizes(shape, design, figures), measure_loads(shape, design, figures)
        on_disk = is_on_disk(sizes, figures)
        cells = []
        for workers in WORKERS:
            done = simulate(loads, workers, design, figures, on_disk)
            rate = short(figures.records * sizes["records"] / done.wall_s)
            cells.append(f"{duration(done.wall_s)}: **{done.bottleneck}**, {rate}/s")
        voxels = math.prod(shape)
        hours = [short(voxels / rate / 3600) for rate in (figures.gpu_vx_s, figures.cpu_vx_s)]
        rows.append([f"10^{power}", "disk" if on_disk else "objects", *hours, *cells])
    header = ["voxels", "on", "GPU hours", "or core hours"]
    return to_markdown([*header, *(f"{n} GPU{'s' if n > 1 else ''}" for n in WORKERS)], rows)


def name_shares(schedule: Schedule) -> str:
    """Return the bottleneck and what else takes a tenth of the time or more, each with its share."""
    named = [f"{name} {share:.0%}" for name, share in schedule.shares.items() if share >= NOTABLE]
    return ", ".join([f"**{named[0]}**", *named[1:]])


def walk_table(figures: Figures, powers: Iterable[int]) -> str:
    """Return what is waited for at 100 GPUs, what no longer fits, and what changes, at each power of ten."""
    rows = []
    for power in powers:
        shape = shape_of(power)
        cells = []
        for design in (TODAY, SHARDED) if power >= LARGE else (TODAY,):
            sizes, loads = measure_sizes(shape, design, figures), measure_loads(shape, design, figures)
            done = simulate(loads, 100, design, figures, is_on_disk(sizes, figures))
            cells += [name_shares(done), ", ".join(name_limits(sizes, figures)) or "-"]
        rows.append([f"10^{power}", *cells, *["-"] * (4 - len(cells)), CHANGES.get(power, "")])
    header = ["voxels", "today: waits for", "today: no longer fits", "built: waits for", "built: no longer fits"]
    return to_markdown([*header, "what changes there"], rows)


def sensitivity_table(figures: Figures, power: int) -> str:
    """Return which assumed figures matter: the wall time of the design to be built with half and twice of each."""
    shape = shape_of(power)

    def wall(changed: Figures, workers: int) -> float:
        sizes, loads = measure_sizes(shape, SHARDED, changed), measure_loads(shape, SHARDED, changed)
        return simulate(loads, workers, SHARDED, changed, is_on_disk(sizes, changed)).wall_s

    rows = [["as it stands", "", *(duration(wall(figures, n)) for n in WORKERS)]]
    for f in fields(Figures):
        for factor in (0.5, 2):
            value = getattr(figures, f.name) * factor
            changed = [wall(replace(figures, **{f.name: value}), n) for n in WORKERS]
            if any(abs(w / wall(figures, n) - 1) > NOTABLE for w, n in zip(changed, WORKERS, strict=True)):
                kind = f.metadata["source"].partition(":")[0]
                rows.append([f"`{f.name}` = {value:g}", kind, *map(duration, changed)])
    return to_markdown(["figure", "is", *(f"{n} GPU{'s' if n > 1 else ''}" for n in WORKERS)], rows)


def figures_table(figures: Figures) -> str:
    """Return all inputs with their sources; one that was replaced says so."""
    rows = []
    for f in fields(Figures):
        value = getattr(figures, f.name)
        source = f.metadata["source"] if value == f.default else "set on the command line"
        rows.append([f"`{f.name}`", f"{value:g}", f.metadata["unit"], source])
    return to_markdown(["figure", "value", "unit", "source"], rows)


def write_report(figures: Figures, powers: Iterable[int]) -> str:
    """Return docs/scale.md."""
    powers = list(powers)
    large = [power for power in powers if power >= LARGE]
    return TEMPLATE.format(
        figures=figures_table(figures),
        walk=walk_table(figures, powers),
        sizes_today=sizes_table(TODAY, figures, powers),
        sizes_built=sizes_table(SHARDED, figures, large),
        time_today=time_table(TODAY, figures, powers),
        time_built=time_table(SHARDED, figures, large),
        global_step=global_table(figures, powers),
        requests=requests_table(figures, large),
        sensitivity=sensitivity_table(figures, powers[-1]),
        last=powers[-1],
    )
