"""Every threshold of one agglomeration against truth labels: fragments are counted once, thresholds only relabel the counts."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.outputs import blocks_in
from neuroadda.config import Config
from neuroadda.errors import UserError, warn
from neuroadda.evaluation.contingency import Contingency, count_overlaps, merge
from neuroadda.evaluation.metrics import Scores, score
from neuroadda.observing import track
from neuroadda.segmentation.agglomerate import read_merges
from neuroadda.segmentation.components import Numbering, connect_components, drop_small
from neuroadda.segmentation.edges import read_sizes
from neuroadda.segmentation.pipeline import Plan
from neuroadda.volumes.arrays import Volume, describe_roi
from neuroadda.volumes.contents.label_ids import read_ids
from neuroadda.volumes.geometry.grids import check_grid
from neuroadda.volumes.storage.locations import Location

BOX_VX = 256
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 19))


class Sweep(Config):
    """Scores at each threshold, ascending."""

    thresholds: tuple[float, ...]
    scores: tuple[Scores, ...]

    @property
    def best(self) -> int:
        """Index of the threshold with the lowest VOI (the lowest such threshold)."""
        return int(np.argmin([s.voi for s in self.scores]))

    def at(self, threshold: float) -> Scores:
        """Return the scores at a threshold of the sweep."""
        return self.scores[self.thresholds.index(threshold)]


def sweep_plan(plan: Plan, labels: Volume, thresholds: Sequence[float] = THRESHOLDS) -> Sweep:
    """Score a finished agglomeration at every threshold, without edits.

    Parameters
    ----------
    labels
        Truth on the voxel grid of the fragments; only where both are is counted.

    Raises
    ------
    UserError
        If labels and fragments are on different grids or do not overlap, or a threshold is above the limit of the agglomeration.
    """
    check_thresholds(thresholds, plan.config.agglomerate.limit)
    fragments = Volume.open(plan.output("fragments"))
    grid, edges = plan.task("fragments").grid, plan.folder("edges")
    numbering, blocks = Numbering.read(edges, grid), blocks_in(edges, grid)
    min_voxels = plan.config.components.min_voxels

    def lut_at(threshold: float) -> Callable[[np.ndarray], np.ndarray]:
        lut = connect_components(numbering, read_merges(plan.merges), threshold)
        if min_voxels:
            lut = drop_small(lut, (read_sizes(edges, i) for i in blocks), min_voxels)

        def look_up(ids: np.ndarray) -> np.ndarray:
            segments = np.zeros(len(ids), np.uint64)
            segments[ids > 0] = lut[numbering.to_dense(ids[ids > 0])]
            return segments

        return look_up

    return sweep_contingency(overlap_volumes(fragments, labels), lut_at, thresholds)


def check_thresholds(thresholds: Sequence[float], limit: float) -> None:
    """Raise UserError if a threshold is above the limit of the agglomeration."""
    if max(thresholds) > limit:
        what = f"threshold {max(thresholds)} is above segment.agglomerate.limit {limit}"
        raise UserError(what, "evaluate.thresholds", "raise the limit")


def sweep_contingency(
    fragments: Contingency, lut_at: Callable[[float], Callable[[np.ndarray], np.ndarray]], thresholds: Iterable[float]
) -> Sweep:
    """Score fragments merged by ``lut_at(threshold)`` at every threshold, from their overlaps with the truth."""
    ascending = sorted(set(thresholds))
    scores: list[Scores] = []
    before = None
    for threshold in ascending:
        segments = lut_at(threshold)(fragments.segments)
        same = before is not None and np.array_equal(segments, before)  # nothing merges between many thresholds
        scores.append(scores[-1] if same else _score_as(fragments, segments))
        before = segments
    return Sweep(thresholds=tuple(ascending), scores=tuple(scores))


def _score_as(fragments: Contingency, segments: np.ndarray) -> Scores:
    return score(fragments.relabel(lambda _: segments))


def overlap_volumes(segmentation: Volume, labels: Volume) -> Contingency:
    """Count overlaps of two volumes where both are, box by box.

    Raises
    ------
    UserError
        If they are on different voxel grids or do not overlap, or nothing is labelled where both are.
    """
    check_labels(labels, segmentation)
    both = segmentation.roi.intersect(labels.roi)
    if segmentation.roi != labels.roi:
        what = f"they span {describe_roi(labels.roi)}, {segmentation.path} {describe_roi(segmentation.roi)}"
        warn(f"{what}: only the overlap is scored", str(labels.path))
    overlaps = merge(count_boxes(segmentation, labels))
    if not overlaps.labels.any():
        raise UserError(f"there is no labelled voxel to score in {describe_roi(both)}", str(labels.path))
    return overlaps


def check_labels(labels: Volume, other: Volume) -> None:
    """Raise UserError if labels are not integers, zyx, on the other volume's voxel grid, or do not overlap it."""
    where = str(labels.path)
    if labels.channels is not None or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"labels are {labels.dtype} with {labels.data.ndim} axes", where, "integers, zyx, are expected")
    check_grid(labels, other, other.path.name)
    if labels.roi.intersect(other.roi).empty:
        what = f"labels {describe_roi(labels.roi)} do not overlap {describe_roi(other.roi)}, {other.path}"
        raise UserError(what, where, "give both their offset")


def count_boxes(segmentation: Volume, labels: Volume) -> Iterable[Contingency]:
    """Yield the overlaps of two volumes on one voxel grid, of each box where both are."""
    both = segmentation.roi.intersect(labels.roi)
    box_vx = tuple(max(c, BOX_VX // c * c) for c in segmentation.chunk_vx)
    boxes = list(BlockGrid.make(both, segmentation.voxel_size, box_vx).blocks())
    for box in track(f"comparison of {segmentation.path} with {labels.path}", boxes):
        yield count_overlaps(read_ids(segmentation, box.write_roi), read_ids(labels, box.write_roi))


def evaluate_volume(segmentation: Location | str, labels: Location | str) -> Scores:
    """Score a segmentation on disk against labels on disk."""
    return score(overlap_volumes(Volume.open(segmentation), Volume.open(labels)))
