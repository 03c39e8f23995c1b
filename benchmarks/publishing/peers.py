"""The same segmentation meshed by igneous, a program of its own (GPL), beside neuroadda."""

import shutil
import sys
from pathlib import Path

from benchmarks.publishing.steps import SEGMENTATION, Cost, list_segments, make_labels, run_measured
from neuroadda.wording import format_bytes

IGNEOUS = "igneous-pipeline==4.37.0"
MAX_ERROR_NM = 30
Row = dict[str, str]


def mesh_by_igneous(python: Path, mvx: int, folder: Path) -> list[Row]:
    """Return what it cost neuroadda and igneous to mesh a published segmentation, one worker each."""
    ours, theirs, queue = folder / "meshed", folder / "igneous", folder / "queue"
    for place in (ours, theirs, queue):
        shutil.rmtree(place, ignore_errors=True)
    labels = make_labels(mvx, folder)
    publish = [sys.executable, "-m", "neuroadda.cli", "publish", labels, ours, "--workers", 1]
    run_measured([*publish, "--no-meshes"], folder / "no_meshes.json")
    shutil.copytree(ours / SEGMENTATION, theirs)
    cost = run_measured(publish, folder / "meshed.json")
    igneous, layer, tasks = python.with_name("igneous"), f"file://{theirs}", f"fq://{queue}"
    ids = ",".join(str(segment.id) for segment in list_segments(ours))
    forge = ["--max-error", MAX_ERROR_NM, "--labels", ids, "--compress", "none", "--dir", "mesh"]
    parts = [
        run_measured([igneous, "mesh", "forge", layer, "--queue", tasks, *forge], folder / "forge.json"),
        run_measured([igneous, "execute", tasks, "-x"], folder / "forged.json"),
        run_measured([igneous, "mesh", "merge", layer, "--queue", tasks, "--dir", "mesh"], folder / "merge.json"),
        run_measured([igneous, "execute", tasks, "-x"], folder / "merged.json"),
    ]
    total = Cost(
        sum(part.wall for part in parts), sum(part.cpu for part in parts), max(part.peak_bytes for part in parts)
    )
    shutil.rmtree(queue)
    return [
        _describe(mvx, "neuroadda", cost, ours / SEGMENTATION / "mesh"),
        _describe(mvx, IGNEOUS.replace("-pipeline==", " "), total, theirs / "mesh"),
    ]


def _describe(mvx: int, tool: str, cost: Cost, folder: Path) -> Row:
    manifests = [path for path in folder.iterdir() if path.name.partition(".")[0].endswith(":0")]
    return {
        "volume": f"{mvx} Mvx",
        "tool": tool,
        "meshes": str(len(manifests)),
        "wall": f"{cost.wall:.0f} s",
        "CPU": f"{cost.cpu:.0f} s",
        "peak": format_bytes(cost.peak_bytes),
        "bytes": format_bytes(sum(path.stat().st_size for path in folder.iterdir())),
    }
