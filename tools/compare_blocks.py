"""How much does the segmentation depend on the block size? VOI between segmentations of the same affinities.

    python tools/compare_blocks.py configs/mouse_cortex_sssem.toml 24,512,512 24,256,256 24,200,180

The affinities must have been predicted; they do not depend on the block. Everything after them is done anew for each shape.
"""

import sys
import tempfile
from pathlib import Path

from neuroadda.blockwise.execution import Execution
from neuroadda.config import Zyx, load_config_file, parse_config
from neuroadda.console import print_table
from neuroadda.evaluation.metrics import score
from neuroadda.evaluation.sweep import overlap_volumes
from neuroadda.flow import RunConfig
from neuroadda.segmentation.pipeline import SegmentConfig, make_plan
from neuroadda.volumes.arrays import Volume


def segment_anew(config: SegmentConfig, affs: Volume, block_vx: Zyx, folder: Path) -> Volume:
    """Return the segmentation of given affinities in blocks of `block_vx`."""
    changed = {"output": str(folder), "ledger": None, "block_vx": block_vx, "execution": Execution(launcher="serial")}
    plan = make_plan(config.model_copy(update=changed))
    for task in plan.tasks:
        task.bound.create_output(task)
        if task.name == "predict":
            Volume.open(task.output, "r+").write(task.grid.roi, affs.read())
            continue
        function = task.bound.open(task)
        for block in task.grid.blocks():
            function(block)
    return Volume.open(plan.output("relabel"))


def main() -> None:
    """Compare the block shapes given on the command line with the first of them, and each with the truth."""
    path = Path(sys.argv[1])
    shapes = [tuple(int(side) for side in shape.split(",")) for shape in sys.argv[2:]]
    config = parse_config(RunConfig, load_config_file(path), str(path))
    assert config.segment is not None
    assert config.evaluate is not None
    affs, labels = Volume.open(make_plan(config.segment).output("predict")), Volume.open(config.evaluate.labels)
    with tempfile.TemporaryDirectory(prefix="neuroadda-blocks-") as folder:
        found = [segment_anew(config.segment, affs, (z, y, x), Path(folder) / f"{z}-{y}-{x}") for z, y, x in shapes]
        rows = [
            {
                "block_vx": shape,
                "VOI to the first": round(score(overlap_volumes(segmentation, found[0])).voi, 4),
                "VOI to the truth": round(score(overlap_volumes(segmentation, labels)).voi, 4),
            }
            for shape, segmentation in zip(shapes, found, strict=True)
        ]
    print_table(path.stem, rows)


if __name__ == "__main__":
    main()
