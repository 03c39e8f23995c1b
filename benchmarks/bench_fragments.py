"""Measure where the CPU time of fragments in 3-D goes: one process without a scheduler, blocks of the default size.

    python -m benchmarks.bench_fragments [--write] [--sizes 2x2x2 ...] [--folder FOLDER] [--data FOLDER]

Affinities are those of an isotropic volume by its backbone of the zoo, mirrored to larger volumes. They are predicted once, and
stay in the folder. `--write` writes docs/results/fragments.md.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bench_peers import to_size
from benchmarks.machine import describe_run
from benchmarks.peers.inputs import Inputs, predict_part, tile_inputs
from benchmarks.peers.neuroadda_segment import make_engine, plan_job, prepare
from benchmarks.tables import to_markdown
from neuroadda.cli.console import print_table
from neuroadda.segmentation import fragments
from neuroadda.segmentation.resolving import ISOTROPIC_BLOCK_VX
from neuroadda.volumes.arrays import Volume
from neuroadda.wording import format_count
from neuroadda.zoo.finding import builtin_folder

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "fragments.md"
DOMAIN = "fly_medulla_fibsem"
PARTS: dict[str, tuple[Any, str]] = {
    "read affinities": (Volume, "read"),
    "steepest ascent": (fragments, "find_basins"),
    "size rule": (fragments, "absorb_small"),
    "write fragments": (Volume, "write"),
}
HEAD = f"""# CPU time of fragments in 3-D

Fragments by steepest ascent of {DOMAIN}'s test part, mirrored to larger volumes, by its backbone of the zoo, in
blocks of the default size, in one process without a scheduler. A block reads its context, too, and unpacks every chunk that it
touches as a whole: most of the time of reading is that of zstd. Rates are in voxels of the volume: what is read and computed more
than once counts once. *everything* has the blocks' records, and what a block keeps to join pieces across borders, too.

"""


def measure(inputs: Inputs, folder: Path) -> tuple[str, list[dict[str, str]]]:
    """Find the fragments of a volume; return what it is, and a row for each part."""
    job = {
        "affs": str(inputs.affs),
        "output": str(folder),
        "backbone": str(builtin_folder() / DOMAIN),
        "block_vx": ISOTROPIC_BLOCK_VX,
        "workers": 1,
        "settings": {},
    }
    prepare(job)
    plan = plan_job(job)
    task, cpu = plan.task("fragments"), dict.fromkeys(PARTS, 0.0)
    originals = {name: getattr(place, function) for name, (place, function) in PARTS.items()}
    for name, (place, function) in PARTS.items():
        setattr(place, function, _timed(originals[name], cpu, name))
    try:
        with make_engine(plan) as engine:
            begin = time.process_time()
            engine.run(task)
            cpu["everything"] = time.process_time() - begin
    finally:
        for name, (place, function) in PARTS.items():
            setattr(place, function, originals[name])
    affs = Volume.open(task.inputs["affs"])
    read = [block.read_roi.intersect(affs.roi) - affs.roi.begin for block in task.grid.blocks()]
    chunks = [roi.snap_to_grid(affs.chunk_vx * affs.voxel_size, mode="grow") for roi in read]
    times = ", ".join(
        f"{sum(map(task.grid.voxels, rois)) / inputs.voxels:.2f} times the voxels {what}"
        for rois, what in ((read, "read"), (chunks, "unpacked"))
    )
    title = f"{format_count(inputs.voxels, 'vx')}, {len(task.grid)} blocks, {times}"
    rows = [
        {"part": name, "CPU": f"{seconds:.2f} s", "per CPU second": format_count(inputs.voxels / seconds, "vx")}
        for name, seconds in cpu.items()
    ]
    return title, rows


def _timed(function: Callable[..., Any], cpu: dict[str, float], name: str) -> Callable[..., Any]:
    def call(*given: Any, **more: Any) -> Any:
        begin = time.process_time()
        try:
            return function(*given, **more)
        finally:
            cpu[name] += time.process_time() - begin

    return call


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="*", type=to_size, default=((1, 1, 1), (2, 2, 2)))
    parser.add_argument("--folder", type=Path, default=Path("runs/fragments"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NEUROADDA_DATA", "../shared/data")))
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    folder = options.folder.absolute()
    test = predict_part(options.data, DOMAIN, "test", folder / "data")
    found = [measure(tile_inputs(test, size, folder / "data"), folder / "fragments") for size in options.sizes]
    for title, rows in found:
        print_table(title, rows)
    if options.write:
        parts = [f"\n## {title}\n\n{to_markdown(rows[0], (row.values() for row in rows))}\n" for title, rows in found]
        RESULTS.write_text(HEAD + describe_run() + "\n" + "".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
