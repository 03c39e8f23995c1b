"""Measure a plan: the forecast of a 64-gigavoxel phantom's segmentation beside a part of it that is really segmented.

    python -m benchmarks.bench_plan [--share 0.01] [--boxes 4] [--folder runs/plan] [--write]

The phantom's raw is rendered only where it is read: in the forecast's sample boxes and in the part. The command itself makes the
forecast of the whole (`segment --dry-run --measure`) and segments the part. `--write` writes docs/results/plan.md.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.backbones.card import load_card
from neuroadda.blockwise.outputs import bind_output
from neuroadda.cli.console import print_forecast, print_table
from neuroadda.config import Zyx, dump_config, parse_config
from neuroadda.forecast.forecast import Forecast, StageForecast, forecast
from neuroadda.forecast.sampling import choose_boxes
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.usage import sum_usage
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import Plan, make_plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.no_data_setting import NONE
from neuroadda.volumes.phantom import Phantom, PhantomConfig
from neuroadda.wording import format_bytes, format_count, format_seconds

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "plan.md"
BACKBONE = Path(__file__).parents[1] / "neuroadda" / "zoo" / "data" / "mouse_cortex_sssem"
CHUNK_VX = (32, 64, 64)
PROCESSES = 2
SHOWN = {
    "bytes": format_bytes,
    "files": format_count,
    "cpu_seconds": format_seconds,
    "wall_seconds": format_seconds,
    "fragments": format_count,
    "edges": format_count,
}


def create_raw(config: PhantomConfig, folder: Path) -> Volume:
    """Return the phantom's raw, which is empty where nothing was rendered yet."""
    path = folder / "phantom.zarr/raw"
    wanted = {"provenance": dump_config(config), "fingerprint": f"phantom {dump_config(config)}"}
    if path.exists() and Volume.open(path).attrs["provenance"] == json.loads(json.dumps(wanted["provenance"])):
        return Volume.open(path, "r+")
    (folder / "rendered.json").unlink(missing_ok=True)
    shape, size = config.shape_vx, config.voxel_size_nm
    return Volume.create(path, shape, size, np.uint8, chunk_vx=CHUNK_VX, attrs=wanted)


def render(config: PhantomConfig, raw: Volume, rois: list[Roi], folder: Path) -> None:
    """Render raw in boxes, once each: slabs of a chunk's height, so that no two processes write to one chunk."""
    known = folder / "rendered.json"
    done = json.loads(known.read_text()) if known.exists() else []
    with ProcessPoolExecutor(PROCESSES) as pool:
        for roi in rois:
            begin, end = ([c // v for c, v in zip(at, raw.voxel_size, strict=True)] for at in (roi.begin, roi.end))
            if [begin, end] in done:
                continue
            cuts = sorted({begin[0], end[0], *range(-(-begin[0] // CHUNK_VX[0]) * CHUNK_VX[0], end[0], CHUNK_VX[0])})
            tops = [(cuts[n], cuts[n + 1]) for n in range(len(cuts) - 1)]
            slabs = [
                ((top, *begin[1:]), (bottom - top, *(e - b for b, e in zip(begin[1:], end[1:], strict=True))))
                for top, bottom in tops
            ]
            for _ in pool.map(partial(_render_slab, config, raw.path), *zip(*slabs, strict=True)):
                pass
            done.append([begin, end])
            known.write_text(json.dumps(done))


def _render_slab(config: PhantomConfig, path: Path, begin: Zyx, shape: Zyx) -> None:
    phantom, data = Phantom(config), Volume.open(path, "r+").data
    step = 4 * CHUNK_VX[1]
    for y, x in product(range(begin[1], begin[1] + shape[1], step), range(begin[2], begin[2] + shape[2], step)):
        rows, columns = min(step, begin[1] + shape[1] - y), min(step, begin[2] + shape[2] - x)
        box = (slice(begin[0], begin[0] + shape[0]), slice(y, y + rows), slice(x, x + columns))
        data[box] = phantom.render((begin[0], y, x), (shape[0], rows, columns))[0]


def choose_part(plan: Plan, share: float) -> Roi:
    """Return a box of whole blocks in the middle of the volume, `share` of it as nearly as blocks allow, as round as possible."""
    grid = plan.tasks[0].grid
    whole = [s // b for s, b in zip(grid.shape, grid.block, strict=True)]
    target = share * grid.voxels()

    def miss(counts: tuple[int, ...]) -> float:
        sides = [c * b for c, b in zip(counts, grid.block_vx, strict=True)]
        return abs(np.prod(sides) / target - 1) + 0.1 * max(sides) / min(sides)

    shape = min(product(*(range(1, min(n, 40) + 1) for n in whole)), key=miss)
    begin = [(n - s) // 2 for n, s in zip(whole, shape, strict=True)]
    return Roi(begin, shape) * Coordinate(grid.block) + grid.roi.begin


def run_command(folder: Path, name: str, config: SegmentConfig, *arguments: str) -> tuple[str, float, float]:
    """Run `neuroadda segment`; return what it printed, and when it started and ended."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"segment": dump_config(config)}))
    command = [sys.executable, "-m", "neuroadda.cli", "segment", "--config", str(path), *arguments]
    started = time.time()
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return told, started, time.time()


def read_costs(plan: Plan, started: float, ended: float) -> dict[str, dict[str, float]]:
    """Return what each stage of a finished run cost, by the names of a forecast, and all together."""
    ledger = open_ledger(plan.config.ledger_url)
    costs: dict[str, dict[str, float]] = {}
    last = started
    for task in plan.tasks:
        bound = bind_output(task)
        assert bound is not None
        blocks, usage = ledger.blocks(bound.key), sum_usage(ledger, bound.key)
        finished = max(block["finished"] for block in blocks)
        files = [f for f in Path(task.output).rglob("*") if f.is_file()]
        results = {name: sum(b["results"].get(name, 0) for b in blocks) for name in ("fragments", "edges")}
        costs[task.name] = {
            "bytes": sum(f.stat().st_size for f in files),
            "files": len(files),
            # One block is done by the run's own process, whose time is not its alone.
            "cpu_seconds": usage.cpu_seconds if len(blocks) > 1 else blocks[0]["seconds"],
            "wall_seconds": finished - last,
            "peak_bytes": usage.peak_bytes or 0,
            **{name: value for name, value in results.items() if value},
        }
        last = finished
    ledger.close()
    costs["total"] = {name: sum(cost[name] for cost in costs.values()) for name in ("bytes", "files", "cpu_seconds")}
    costs["total"] |= {
        "wall_seconds": ended - started,
        "peak_bytes": max(c["peak_bytes"] for c in costs.values() if "peak_bytes" in c),
    }
    return costs


def compare(whole: Forecast, part: Forecast, costs: dict[str, dict[str, float]]) -> Iterator[dict[str, str]]:
    """Yield the rows of the table: by stage and quantity, the forecast and what the part says of the whole."""
    stages = {stage.stage: stage for stage in (*part.stages, part.total)}
    for of_whole in (*whole.stages, whole.total):
        if of_whole.stage not in stages:  # the part has fewer levels
            continue
        of_part, cost = stages[of_whole.stage], costs[of_whole.stage]
        measured = _values(of_part)
        for name, (value, low, high) in _values(of_whole).items():
            if name not in cost:
                continue
            show = SHOWN[name]
            scaled = cost[name] * value / measured[name][0]
            yield {
                "stage": of_whole.stage,
                "what": name.replace("_", " "),
                "forecast of the whole": f"{show(value)} ({show(low)} to {show(high)})",
                "part, forecast": show(measured[name][0]),
                "part, measured": show(cost[name]),
                "whole / part": f"{value / measured[name][0]:.1f}",
                "whole by the part": show(scaled),
                "error": f"{value / scaled - 1:+.1%}",
            }
        yield {
            "stage": of_whole.stage,
            "what": "peak memory of a worker",
            "forecast of the whole": format_bytes(of_whole.peak_bytes),
            "part, forecast": format_bytes(of_part.peak_bytes),
            "part, measured": format_bytes(cost["peak_bytes"]),
            "whole / part": "",
            "whole by the part": "",
            "error": f"{of_part.peak_bytes / cost['peak_bytes'] - 1:+.1%}",
        }


def _values(stage: StageForecast) -> dict[str, tuple[float, float, float]]:
    found = {name: getattr(stage, name) for name in ("bytes", "files", "cpu_seconds", "wall_seconds")} | stage.counts
    return {name: (i.value, i.low, i.high) for name, i in found.items()}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Do it all; return what the report needs."""
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    phantom = PhantomConfig(shape_vx=tuple(options.shape))
    raw = create_raw(phantom, folder)
    settings = {"raw": str(raw.path), "backbone": str(BACKBONE), "block_vx": tuple(options.block)}
    settings["execution"] = {"workers": options.workers}
    settings["no_data"] = NONE  # what was not rendered is none of the phantom's gaps
    config = parse_config(SegmentConfig, settings | {"output": str(folder / "whole")}, "bench_plan")
    plan = make_plan(config)
    boxes, roi = choose_boxes(plan.tasks[0], options.boxes), choose_part(plan, options.share)
    architecture = load_card(BACKBONE).architecture
    around = (Coordinate(architecture.context_vx) + Coordinate(architecture.alignment_vx)) * raw.voxel_size
    started = time.perf_counter()
    render(phantom, raw, [box.grow(around, around).intersect(raw.roi) for box in (*boxes, roi)], folder)
    print(f"rendered in {format_seconds(time.perf_counter() - started)}", flush=True)
    told, started, ended = run_command(folder, "whole", config, "--dry-run", "--measure", str(options.boxes), "--json")
    whole = Forecast.model_validate_json(told)
    print_forecast(whole)
    print(f"measured in {format_seconds(ended - started)}", flush=True)
    place = {"offset_nm": tuple(roi.offset / raw.units_per_nm), "shape_nm": tuple(roi.shape / raw.units_per_nm)}
    part_config = parse_config(SegmentConfig, settings | {"output": str(folder / "part"), "roi": place}, "bench_plan")
    shutil.rmtree(folder / "part", ignore_errors=True)  # what is done already would take no time
    _, run_started, run_ended = run_command(folder, "part", part_config, "--json")
    part_plan = make_plan(part_config)
    part = forecast(part_plan, whole.measurement)
    rows = list(compare(whole, part, read_costs(part_plan, run_started, run_ended)))
    return {
        "rows": rows,
        "share": part_plan.tasks[0].grid.voxels() / plan.tasks[0].grid.voxels(),
        "voxels": plan.tasks[0].grid.voxels(),
        "part": part_plan.tasks[0].grid,
        "measured": whole.measurement.voxels,
        "seconds": ended - started,
        "run": run_ended - run_started,
    }


def write_results(found: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the comparison as Markdown."""
    rows, boxes = found["rows"], options.boxes
    whole, measured = format_count(found["voxels"], "voxels"), format_count(found["measured"], "voxels")
    seconds, run = format_seconds(found["seconds"]), format_seconds(found["run"])
    blocks = " x ".join(map(str, found["part"].counts))
    RESULTS.write_text(
        f"""# A plan and what came of it

The forecast of a segmentation of {whole}, made by `neuroadda segment --dry-run --measure {boxes}` in {seconds} from
{boxes} boxes of together {measured}; and {found["share"]:.2%} of the volume, {blocks} blocks in its middle, segmented for real in
{run}. The volume is a phantom, rendered only where it is read.

The part is scaled to the whole by the plan's own sizes (*whole / part*): a part has more border, whose blocks read less context
and own fewer edges. The error is that of the forecast against the part, scaled; the interval tells how the boxes differ. Seconds of
start-up are in both and not scaled. Wall seconds of a stage are from the end of the one before; CPU seconds are the workers'.
Blocks and ledger records are exact: they follow from the grid.

{describe_run(f"no GPU, {options.workers} workers")}

{to_markdown(rows[0], (row.values() for row in rows))}
""",
        encoding="utf-8",
    )


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(1600, 6400, 6250), help="of the phantom, voxels")
    parser.add_argument("--block", type=int, nargs=3, default=(32, 256, 256))
    parser.add_argument("--share", type=float, default=0.01, help="of the volume that is segmented")
    parser.add_argument("--boxes", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/plan"), help="kept: what is rendered is not rendered again"
    )
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    found = measure(options)
    print_table(f"{found['share']:.2%} of the volume", found["rows"])
    if options.write:
        write_results(found, options)


if __name__ == "__main__":
    main()
