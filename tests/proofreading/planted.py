"""Runs whose affinities are made up, with an error planted at a known place."""

from pathlib import Path

import numpy as np

from neuroadda.blockwise.execution_config import Execution
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import Plan, segment_volume
from neuroadda.segmentation.settings import Threshold
from neuroadda.volumes.arrays import Volume
from tests.segmentation.synthetic import write_backbone, write_raw

SHAPE = (16, 72, 80)
OFFSET_NM, VOXEL_NM = (60, 12, 0), (30, 6, 6)
SPLIT_X, MERGE_X = 44, 28  # sections across which an error is planted
WINDOW = (slice(2, 14), slice(40, 70), MERGE_X)  # through which two neurons were merged


def plant(split: bool, merge: bool) -> np.ndarray:
    """Return uint8 affinities of neurons that are rows of the volume: y below 36, and the rest.

    `split`: a dim section parts the first row in two segments. `merge`: the second row is two neurons, parted by a membrane with a
    hole in it.
    """
    affs = np.full((3, *SHAPE), 255, np.uint8)
    noise = np.random.default_rng(0).integers(0, 30, affs.shape)
    affs -= noise.astype(np.uint8)
    affs[:, :, 35:37] = 0
    affs[1, :, 37] = 0
    if split:
        affs[:, :, :35, SPLIT_X - 1 : SPLIT_X + 1] = 70
    if merge:
        affs[:, :, 38:, MERGE_X - 1 : MERGE_X + 1] = 0
        affs[(slice(None), *WINDOW)] = 240
        affs[(slice(None), *WINDOW[:2], MERGE_X - 1)] = 240
    return affs


def segment_planted(folder: Path, affs: np.ndarray, block_vx=(8, 40, 40), threshold: float = 0.5) -> Plan:
    """Segment made-up affinities, as a run does: only those that a network would have predicted are replaced."""
    write_backbone(folder / "backbone")
    write_raw(folder / "raw.zarr/raw", SHAPE)
    config = SegmentConfig(
        raw=str(folder / "raw.zarr/raw"),
        backbone=str(folder / "backbone"),
        output=str(folder / "run"),
        block_vx=block_vx,
        fragments=Fragments(method="seeds", sections=False),
        components=Threshold(threshold=threshold),
        execution=Execution(launcher="serial"),
    )
    plan = segment_volume(config, upto="predict")
    Volume.open(plan.output("predict"), "r+").data[:] = affs
    return segment_volume(config)
