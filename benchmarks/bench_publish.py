"""Publish phantoms, killed once in every step and resumed; read back by the programs of others; mesh beside igneous.

    python -m benchmarks.bench_publish [--sizes 8 1024] [--largest N|all] [--without-ply] [--compared 8] [--folder F] ...
    python -m benchmarks.bench_publish --sizes --compared --run runs/demo/segmentation --largest all ...

Sizes are in 10^6 voxels. The phantoms' exact ids are the segmentation. Volumes and properties are of all segments, meshes, PLY and
skeletons of the N largest, or of all with at least 1000 voxels. A run is published for WEBKNOSSOS, too. Virtual environments of
navis, igneous and the library of WEBKNOSSOS are made on first use; they are run as separate programs.
Phantoms and results stay in the folder: a run that was stopped goes on, and the page is written of all results there.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.machine import describe_run
from benchmarks.peers.contestants import make_venv
from benchmarks.publishing.peers import IGNEOUS, mesh_by_igneous
from benchmarks.publishing.reading import (
    WEBKNOSSOS,
    read_by_cloudvolume,
    read_by_navis,
    read_by_tensorstore,
    read_by_trimesh,
    read_by_webknossos,
)
from benchmarks.publishing.steps import (
    Cost,
    Segment,
    Step,
    find_segmentation,
    first_step,
    list_segments,
    make_labels,
    more_steps,
    publish,
    webknossos_step,
)
from benchmarks.tables import to_markdown
from neuroadda.cli.console import print_table
from neuroadda.config import write_json
from neuroadda.volumes.arrays import Volume
from neuroadda.wording import format_bytes

RESULTS = Path(__file__).parents[1] / "docs/results/publish.md"
NAVIS = "navis==1.12.0"
Row = dict[str, str]


@dataclass(frozen=True)
class Published:
    """What is published: its name for people, a segmentation or a run, and where that and all results go."""

    name: str
    source: Path
    segmentation: Path
    folder: Path

    @property
    def output(self) -> Path:
        """Where it is published."""
        return self.folder / "published"

    @property
    def is_run(self) -> bool:
        """Whether it is a run."""
        return self.source != self.segmentation


def describe_cost(what: Published, step: str, segments: int, voxels: int, cost: Cost) -> Row:
    """Return the row of a step; `voxels` are those that it is about."""
    return {
        "volume": what.name,
        "step": step,
        "segments": str(segments),
        "their voxels": f"{voxels / 1e6:.1f} M",
        "wall": f"{cost.wall:.0f} s",
        "CPU": f"{cost.cpu:.0f} s",
        "voxels/s": f"{voxels / cost.wall / 1e6:.2f} M",
        "voxels per CPU s": f"{voxels / cost.cpu / 1e6:.2f} M",
        "peak": format_bytes(cost.peak_bytes),
    }


def publish_steps(what: Published, largest: int | None, workers: int, ply: bool) -> tuple[list[Row], list[Segment]]:
    """Publish step by step; return the costs, and the segments that have meshes."""
    total = math.prod(Volume.open(what.segmentation).shape_vx)

    def take(step: Step) -> Cost:
        return publish(what.source, what.output, step, workers, what.folder)

    cost = take(first_step(what.segmentation))
    listed = list_segments(what.output)
    rows, segments = [describe_cost(what, "volumes", len(listed), total, cost)], listed[:largest]
    meshed = sum(segment.voxels for segment in segments)
    for step in more_steps(segments)[: None if ply else -1]:
        rows.append(describe_cost(what, step.name, len(segments), meshed, take(step)))
        print_table(step.name, rows[-1:])
    if what.is_run:
        step = webknossos_step()
        rows.append(describe_cost(what, step.name, len(listed), total, take(step)))
    return rows, segments


def read_back(what: Published, segments: Sequence[Segment], venvs: Path) -> list[Row]:
    """Return what each reader found."""
    output, labels = what.output, Volume.open(what.segmentation)
    navis = make_venv(venvs / "navis", NAVIS, "cloud-volume")
    found = {
        f"tensorstore {version('tensorstore')}": read_by_tensorstore(output, labels),
        f"cloud-volume {version('cloud-volume')}": read_by_cloudvolume(output, labels, segments),
        f"trimesh {version('trimesh')}": read_by_trimesh(output, labels, segments) if (output / "ply").exists() else {},
        NAVIS.replace("==", " "): read_by_navis(navis, output, labels, segments),
    }
    if what.is_run:
        library = make_venv(venvs / "webknossos", WEBKNOSSOS)
        found[WEBKNOSSOS.replace("==", " ")] = read_by_webknossos(library, output, what.source)
    return [
        {"volume": what.name, "read by": reader, "what": told, "found": value}
        for reader, tells in found.items()
        for told, value in tells.items()
    ]


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", type=int, default=[8, 1024])
    parser.add_argument("--largest", type=lambda word: None if word == "all" else int(word), default=4)
    parser.add_argument("--compared", nargs="*", type=int, default=[8], help="sizes that are meshed beside igneous")
    parser.add_argument("--run", type=Path, help="folder of a run that is published as well")
    parser.add_argument("--without-ply", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/publish"))
    parser.add_argument("--venvs", type=Path, default=Path("runs/peers"))
    parser.add_argument(
        "--write", action="store_true", help="write docs/results/publish.md of all results in the folder"
    )
    options = parser.parse_args()
    venvs, root = options.venvs.absolute(), options.folder.absolute()
    places = {str(mvx): make_labels(mvx, root / str(mvx)) for mvx in options.sizes}
    published = [Published(f"{size} Mvx", labels, labels, root / size) for size, labels in places.items()]
    if options.run:
        published.append(Published("run", options.run, find_segmentation(options.run), root / "run"))
    for what in published:
        what.folder.mkdir(parents=True, exist_ok=True)
        rows, segments = publish_steps(what, options.largest, options.workers, not options.without_ply)
        read = read_back(what, segments, venvs)
        _keep(root / f"published_{what.folder.name}.json", costs=rows, readers=read)
    for mvx in options.compared:
        peers = mesh_by_igneous(make_venv(venvs / "igneous", IGNEOUS), mvx, root / str(mvx))
        _keep(root / f"compared_{mvx}.json", peers=peers)
    if options.write:
        write_results(root)


def _keep(file: Path, **tables: list[Row]) -> None:
    """Print tables, and keep them with the command that made them."""
    for name, rows in tables.items():
        print_table(name, rows)
    write_json(file, {"run": describe_run(), "tables": tables})


def write_results(root: Path) -> None:
    """Write the page of all that was measured in a folder."""
    found = [
        json.loads(file.read_text()) for file in sorted(root.glob("*_*.json"), key=lambda file: file.stat().st_mtime)
    ]
    rows = {n: [row for one in found for row in one["tables"].get(n, [])] for n in ("costs", "readers", "peers")}
    tables = {n: to_markdown(each[0], (row.values() for row in each)) if each else "" for n, each in rows.items()}
    RESULTS.write_text(PAGE.format(runs="\n".join(one["run"] for one in found), **tables))


PAGE = """# Publishing: cost, and what others read

The exact ids of phantoms of several sizes, and the run of `make demo`, published by `neuroadda publish`. Volumes and segment
properties are of all segments. Meshes (precomputed, then PLY) and skeletons are of the largest; *segments* is how many. In
every step all processes are killed (SIGKILL) while files are being written, and the same command continues: time is that of both
parts. Peak is the memory of the largest process. CPU seconds include the start of all processes, some 5 s a step. Wall seconds are
those of a machine that others use, too.

The memory of volumes grows with a shard, not with the volume; that of meshes grows with the largest simplified surface.

{runs}

{costs}

## Read back

Ids are compared with those of the segmentation voxel by voxel (tensorstore: all; cloud-volume: boxes at random places). The box
of a mesh is compared with that of the segment's voxels: the largest error that is asked for is the longest side of a voxel, 30 nm;
zmesh estimates it, so that a vertex may move a little more. navis and the library of WEBKNOSSOS run in environments of their own.
WEBKNOSSOS numbers fragments anew, so partitions are compared there: the one into fragments, and the one that the mapping of the
run's threshold makes of them.

{readers}

## Beside igneous

The same precomputed segmentation, meshed by one worker each: all segments of at least 1000 voxels. igneous (GPL) is
run as a separate program, in an environment of its own, with the same largest error, 30 nm. Its meshes
are a list of pieces, one for each of its tasks; neuroadda joins the parts to one closed surface.

{peers}
"""


if __name__ == "__main__":
    main()
