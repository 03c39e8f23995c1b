"""The queue of a run's likely errors: its candidates with the places where a person should look."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.outputs import blocks_in
from neuroadda.config import ZyxFloat
from neuroadda.observing import track
from neuroadda.proofreading.candidates import Candidates, find_candidates, make_tree
from neuroadda.proofreading.merge_tree import MergeTree
from neuroadda.proofreading.places import find_at_border, find_place
from neuroadda.proofreading.regions import Regions, gather_regions
from neuroadda.segmentation.agglomerate import read_merges
from neuroadda.segmentation.components import Lut, Numbering
from neuroadda.segmentation.edges import read_edges, read_sizes
from neuroadda.segmentation.edited_fragments import find_pairs
from neuroadda.segmentation.edits import MERGE, SPLIT, Kind
from neuroadda.segmentation.finished import check_finished
from neuroadda.segmentation.ids import capacity_of
from neuroadda.segmentation.pipeline import Plan
from neuroadda.volumes.arrays import Volume


@dataclass(frozen=True)
class LikelyError:
    """A place where the segmentation may be wrong. What is of two sides is a pair.

    Attributes
    ----------
    rank
        1 for the first to look at.
    kind
        "merge": the two segments may be one neuron. "split": the segment may be two.
    gain
        Expected fall of VOI in nats: likelihood times what a correction gains.
    likelihood
        Of an error, 0 to 1.
    score
        1 - mean affinity (or as the run's scoring has it) between the sides.
    contact
        Number of affinities between the sides.
    fragments, segments, sizes
        Ids of the fragments of the largest contact, ids of the segments, voxels of the sides.
    orphan
        Whether the smaller side does not touch the border of the volume.
    points_nm
        A point in each of the fragments, zyx.
    place_nm
        Between them, where they touch, zyx.
    """

    rank: int
    kind: Kind
    gain: float
    likelihood: float
    score: float
    contact: int
    fragments: tuple[int, int]
    segments: tuple[int, int]
    sizes: tuple[int, int]
    orphan: bool
    points_nm: tuple[ZyxFloat, ZyxFloat]
    place_nm: ZyxFloat

    @property
    def name(self) -> str:
        """Short name, such as ``merge_1``."""
        return f"{self.kind}_{self.rank}"

    @property
    def question(self) -> str:
        """What a person is asked, in a sentence."""
        first, second = self.segments
        small, large = sorted(self.sizes)
        told = f"{small:,} and {large:,} voxels, score {self.score:.3f}, likelihood {self.likelihood:.2f}"
        if self.kind == MERGE:
            orphan = "; the smaller touches no border of the volume" if self.orphan else ""
            return f"Are segments {first} and {second} one neuron? {told}{orphan}"
        return f"Is segment {first} two neurons, parted here? {told}"


@dataclass(frozen=True)
class Queue:
    """The likely errors of a run, and what tells the sides of each.

    Attributes
    ----------
    errors
        By rank.
    plan
        Of the run.
    """

    errors: list[LikelyError]
    plan: Plan
    numbering: Numbering
    regions: Regions

    @cached_property
    def _tree(self) -> MergeTree:
        return make_tree(self.regions)

    def find_sides(self, error: LikelyError, fragments: np.ndarray) -> np.ndarray:
        """Return uint8 of the shape of fragments (ids): 1 in the side of the first point, 2 in that of the second, else 0."""
        ids, dense = np.unique(fragments, return_inverse=True)
        regions = np.zeros(len(ids), np.int64)
        regions[ids > 0] = self.regions.region[self.numbering.to_dense(ids[ids > 0])]
        segments = self.regions.segment[regions]
        inside = [segments == segment for segment in error.segments]
        if error.kind == SPLIT:
            ends = self.regions.region[self.numbering.to_dense(np.array(error.fragments, np.uint64))]
            lower = int(max(ends, key=lambda region: self._tree.first[region]))
            first = self._tree.first[regions]
            below = (self._tree.first[lower] <= first) & (first < self._tree.last[lower])
            inside = [one & (below if end == lower else ~below) for one, end in zip(inside, ends, strict=True)]
        sides = np.where(inside[0], 1, np.where(inside[1], 2, 0)).astype(np.uint8)
        return np.asarray(sides[dense].reshape(fragments.shape))


def find_likely_errors(plan: Plan, count: int) -> Queue:
    """Return the `count` likely errors of the highest expected gain of a finished run.

    Edges and merges are streamed; memory is some hundred bytes a fragment and a pair of fragments that touch. Voxels are read on
    the faces of the volume, and around each place.

    Raises
    ------
    UserError
        If the run is not finished, or its fragments are not those of its edges.
    """
    check_finished(plan)
    fragments, grid = Volume.open(plan.output("fragments")), plan.task("fragments").grid
    edges, lut = plan.folder("edges"), Lut.open(plan.folder("components"))
    numbering = Numbering(np.asarray(lut.first), capacity_of(grid))
    regions = _gather(plan, fragments, grid, edges, lut, numbering)
    regions = replace(regions, apart=_find_apart(plan, fragments, lut, numbering))
    candidates = find_candidates(regions, count)
    rows = track("places of likely errors", range(len(candidates.a)))
    errors = [_locate(candidates, row, fragments, grid) for row in rows]
    return Queue(errors, plan, numbering, regions)


def _gather(plan: Plan, fragments: Volume, grid: BlockGrid, edges: Path, lut: Lut, numbering: Numbering) -> Regions:
    table = np.asarray(lut.table)
    at_border = np.zeros(len(table), bool)
    for ids in find_at_border(fragments, grid):
        at_border[numbering.to_dense(ids)] = True
    blocks = list(blocks_in(edges, grid))
    sizes = np.concatenate([np.zeros(0, np.int64), *(read_sizes(edges, block) for block in blocks)])
    threshold = plan.config.components.threshold
    assert threshold is not None  # of a plan it is decided
    parts = (read_edges(edges, block) for block in track("edges", blocks))
    return gather_regions(numbering, table, sizes, at_border, read_merges(plan.merges), parts, threshold)


def _find_apart(plan: Plan, fragments: Volume, lut: Lut, numbering: Numbering) -> np.ndarray:
    """Return int64[n, 2], the segments of both sides of each split that the run has taken."""
    splits = [edit for edit in (plan.edits.edits if plan.edits else ()) if edit.kind == SPLIT]
    pairs = find_pairs(splits, fragments, plan.task("fragments").fingerprint)
    ends = np.array(list(pairs.values()), np.uint64).reshape(-1, 2)
    return np.asarray(lut.table[numbering.to_dense(ends)]).astype(np.int64)


def _locate(candidates: Candidates, row: int, fragments: Volume, grid: BlockGrid) -> LikelyError:
    def pair(name: str) -> tuple[int, int]:
        return int(getattr(candidates, f"{name}a")[row]), int(getattr(candidates, f"{name}b")[row])

    place = find_place(fragments, grid, *pair(""))
    return LikelyError(
        rank=row + 1,
        kind=MERGE if candidates.is_merge[row] else SPLIT,
        gain=float(candidates.gain[row]),
        likelihood=float(candidates.likelihood[row]),
        score=float(candidates.score[row]),
        contact=int(candidates.contact[row]),
        fragments=pair(""),
        segments=pair("segment_"),
        sizes=pair("size_"),
        orphan=bool(candidates.orphan[row]),
        points_nm=(place.first_nm, place.second_nm),
        place_nm=place.middle_nm,
    )
