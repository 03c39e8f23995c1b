"""The steps of a publication, each killed once and resumed, and what each cost."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neuroadda.config import Zyx
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom

MEASURE = Path(__file__).parents[1] / "peers/measure.py"
SECTIONS_PER_WIDTH = 4  # a section is as many times wider than the volume has sections
SEGMENTATION = "precomputed/segmentation"


@dataclass(frozen=True)
class Cost:
    """What a step took: wall and CPU seconds of all its processes, and the peak memory of the largest, bytes."""

    wall: float
    cpu: float
    peak_bytes: int


@dataclass(frozen=True)
class Segment:
    """A segment that has a mesh and a skeleton: voxels, and its box, zyx in nm."""

    id: int
    voxels: int
    begin_nm: tuple[float, ...]
    end_nm: tuple[float, ...]


@dataclass(frozen=True)
class Step:
    """What a call of `neuroadda publish` adds, the folder whose files are counted, and at how many it is killed."""

    name: str
    arguments: tuple[str, ...]
    folder: str
    kill_at: int


def choose_shape(mvx: int) -> Zyx:
    """Return a shape of about so many million voxels: 80 sections of 320 x 320 for 8, 400 of 1600 x 1600 for 1024."""
    side = round((mvx * 1e6 / SECTIONS_PER_WIDTH**2) ** (1 / 3) / 16) * 16
    return side, SECTIONS_PER_WIDTH * side, SECTIONS_PER_WIDTH * side


def make_labels(mvx: int, folder: Path) -> Path:
    """Return the ids of a phantom of so many million voxels, made unless it is there."""
    target = folder / "volume.zarr"
    if not (target / "labels").exists():
        write_phantom(PhantomConfig(shape_vx=choose_shape(mvx), seed=1), target)
    return target / "labels"


def find_segmentation(run: Path) -> Path:
    """Return the segmentation of a run."""
    return run / "volumes.zarr/segmentation"


def run_measured(command: Sequence[object], report: Path) -> Cost:
    """Run a command and return what it and all its processes took."""
    told = [sys.executable, "-S", str(MEASURE), str(report), *map(str, command)]
    log = report.with_suffix(".log")
    with log.open("w") as file:
        if subprocess.run(told, stdout=file, stderr=file).returncode:
            raise SystemExit(f"{' '.join(map(str, command))} failed: {log}\n{log.read_text()[-2000:]}")
    return Cost(**json.loads(report.read_text()))


def publish(source: Path, output: Path, step: Step, workers: int, reports: Path) -> Cost:
    """Publish what a step adds, in processes that are killed once; return the cost of both parts together.

    The source is a segmentation or a run. What was measured before is not measured again.
    """
    report = reports / f"{step.name}.json"
    if report.exists():
        return Cost(**json.loads(report.read_text()))
    if (output / step.folder).exists():
        raise SystemExit(f"{step.name} was begun and is not measured: remove {reports}/*.json and {output}")
    command = [sys.executable, "-m", "neuroadda.cli", "publish", source, output, "--workers", workers, *step.arguments]
    killing = [sys.executable, "-m", "benchmarks.publishing.killed", output / step.folder, step.kill_at]
    cost = run_measured([*killing, *command], report)
    log = report.with_suffix(".log")
    told = next(line for line in log.read_text().splitlines() if line.startswith('{"kill'))
    if not json.loads(told)["killed"]:
        raise SystemExit(f"{step.name} ended before it could be killed: {log}")
    return cost


def first_step(labels: Path) -> Step:
    """Return the step that writes volumes and properties."""
    finest = "_".join(f"{length:g}" for length in Volume.open(labels).voxel_size_nm[::-1])
    return Step("volumes", ("--no-meshes",), f"{SEGMENTATION}/{finest}", 4)


def more_steps(segments: Sequence[Segment]) -> list[Step]:
    """Return the steps that write meshes and skeletons of some segments."""
    ids, half = ("--ids", ",".join(str(segment.id) for segment in segments)), len(segments) // 2
    return [
        Step("meshes", ids, f"{SEGMENTATION}/mesh", 2 * half),
        Step("skeletons", (*ids, "--skeletons"), f"{SEGMENTATION}/skeletons", half),
        Step("ply", (*ids, "--to", "ply"), "ply", half),
    ]


def webknossos_step() -> Step:
    """Return the step that writes a run for WEBKNOSSOS."""
    return Step("webknossos", ("--to", "webknossos"), "webknossos/raw", 1)


def list_segments(output: Path) -> list[Segment]:
    """Return the segments that the published properties list, the largest first."""
    told = json.loads((output / SEGMENTATION / "segment_properties/info").read_text())["inline"]
    columns = {p["id"]: p["values"] for p in told["properties"]}
    sides = [[columns[f"{axis}_{side}_nm"] for axis in "zyx"] for side in ("begin", "end")]
    rows = zip(told["ids"], columns["voxels"], *(zip(*side, strict=True) for side in sides), strict=True)
    found = [Segment(int(id_), voxels, begin, end) for id_, voxels, begin, end in rows]
    return sorted(found, key=lambda segment: (-segment.voxels, segment.id))
