"""How much does the segmentation depend on the block size? VOI between segmentations of the same affinities.

    python -m benchmarks.compare_blocks [--data DIR] [--write]

Affinities of three test volumes are predicted once, by the zoo's own backbone of each; everything after them is done anew for each
block shape. ``--write`` writes docs/results/block_size.md.
"""

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.backbones.card import load_card
from neuroadda.blockwise.execution_config import Execution
from neuroadda.cli.console import print_table
from neuroadda.config import Zyx
from neuroadda.evaluation.metrics import score
from neuroadda.evaluation.sweep import overlap_volumes
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import make_plan, segment_volume
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.zoo.finding import builtin_folder

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "block_size.md"
SHAPES: dict[str, list[Zyx]] = {
    "mouse_cortex_sssem": [(24, 512, 512), (24, 256, 256), (24, 200, 180), (12, 256, 256), (24, 128, 128)],
    "fly_medulla_fibsem": [(80, 250, 250), (80, 128, 128), (40, 125, 250), (64, 64, 64)],
    "fly_larva_l1_sstem": [(10, 512, 512), (10, 256, 256), (10, 200, 180), (10, 128, 128)],
}


def segment_anew(config: SegmentConfig, affs: Volume) -> Volume:
    """Return the segmentation of given affinities."""
    plan = make_plan(config)
    for task in plan.tasks:
        task.bound.create_output(task)
        if task.name == "predict":
            Volume.open(task.output, "r+").write(task.grid.roi, affs.read())
            continue
        function = task.bound.open(task)
        for block in task.grid.blocks():
            function(block)
    return Volume.open(plan.output("relabel"))


def compare(domain: str, data: Path, folder: Path) -> list[dict[str, object]]:
    """Return a row for each block shape: VOI (nats) to the first one's segmentation, and to the truth."""
    import_volume(data / f"{domain}_test.hdf", folder / "volume.zarr")
    backbone = builtin_folder() / domain
    config = SegmentConfig(
        raw=str(folder / "volume.zarr/raw"),
        backbone=str(backbone),
        output=str(folder / "predicted"),
        block_vx=SHAPES[domain][0],
        execution=Execution(launcher="serial"),
    )
    affs = Volume.open(segment_volume(config, upto="predict").output("predict"))
    labels = Volume.open(folder / "volume.zarr/labels")
    shapes = {s: config.model_copy(update={"output": str(folder / str(s)), "block_vx": s}) for s in SHAPES[domain]}
    found = {shape: segment_anew(changed, affs) for shape, changed in shapes.items()}
    first = next(iter(found.values()))
    return [
        {
            "block_vx": "x".join(map(str, shape)),
            "blocks": len(make_plan(shapes[shape]).task("fragments").grid),
            "VOI to the first": f"{score(overlap_volumes(segmentation, first)).voi:.4f}",
            "VOI to the truth": f"{score(overlap_volumes(segmentation, labels)).voi:.4f}",
            "threshold": load_card(backbone).metrics.get("threshold"),
        }
        for shape, segmentation in found.items()
    ]


def write_results(tables: dict[str, list[dict[str, object]]]) -> None:
    """Write the tables as Markdown."""
    lines = [
        "# Block size",
        "",
        "VOI (nats) between segmentations of the same affinities in blocks of other shapes; the first row of a table is what the",
        "others are compared with. For given fragments the agglomeration is exact, whatever the blocks; what is left is that a",
        "block floods its fragments with a limited context, and that its border cuts them.",
        "",
        describe_run(),
    ]
    for domain, rows in tables.items():
        lines += ["", f"## {domain}_test", "", to_markdown(rows[0], (row.values() for row in rows))]
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Compare the shapes on every volume."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NEUROADDA_DATA", "../shared/data")))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    tables = {}
    for domain in SHAPES:
        with tempfile.TemporaryDirectory(prefix="neuroadda-blocks-") as folder:
            tables[domain] = compare(domain, options.data, Path(folder))
        print_table(domain, tables[domain])
    if options.write:
        write_results(tables)


if __name__ == "__main__":
    main()
