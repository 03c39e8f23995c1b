"""Segment a volume with a backbone of the zoo or one of your own, score it where there are labels, and hand it over.

python pipelines/segment.py volume.zarr/raw mouse_cortex_sssem runs/mine --workers 4 --labels volume.zarr/labels
"""

import argparse
import sys
from pathlib import Path

import neuroadda as na


def main() -> None:
    """Segment, score, publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", help="zarr array")
    parser.add_argument("backbone", help="an entry of the zoo, or a folder")
    parser.add_argument("output", help="folder", type=Path)
    parser.add_argument("--labels", help="zarr array of the truth")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--any-voxel-size", action="store_true")
    given = parser.parse_args()

    # Affinities, fragments, agglomeration and relabelling, block by block; what was stopped goes on.
    segmentation = na.segment(
        given.raw,
        backbone=given.backbone,
        output=given.output,
        workers=given.workers,
        any_voxel_size=given.any_voxel_size,
    )
    print(f"{segmentation.path}: {tuple(segmentation.shape_vx)} voxels of {segmentation.voxel_size_nm} nm")

    # Score the run: variation of information at its threshold, and at every other.
    if given.labels is not None:
        measured = na.evaluate(given.output, given.labels)
        print(f"VOI {measured.scores.voi:.3f} nats at threshold {measured.threshold}")
        best = measured.sweep.best
        print(f"VOI {measured.sweep.scores[best].voi:.3f} nats at the best, {measured.sweep.thresholds[best]}")

    # Hand it over as OME-Zarr with all its scales, which viewers read.
    print(na.publish(given.output, given.output / "segmentation.ome.zarr", workers=given.workers))


if __name__ == "__main__":
    try:
        main()
    except (na.UserError, na.RunFailed) as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
