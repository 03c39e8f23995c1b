"""The quality of a segmentation without truth: what `docs/quality.md` defines."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import Config, ZyxFloat
from neuroadda.observing import track
from neuroadda.publishing.crops import Crop
from neuroadda.publishing.trees import trace
from neuroadda.quality.branches import measure_branches
from neuroadda.quality.crops import Frame, Held, cut_crops
from neuroadda.quality.sizes import Sizes, gather_sizes
from neuroadda.segmentation.components import Lut
from neuroadda.segmentation.pipeline import Plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.tissue import Tissue, open_tissue

LARGEST = 20
MOST_VX = 2**31  # voxels that are read for the shapes of the largest segments: some minutes
NEAR_NM, NEAR_VOXELS = 100.0, 2  # of the border, nm and coarse voxels, whichever is more: no end is dangling there


class SizeClass(Config):
    """Segments of a size from `from_um3` (µm³) to ten times that."""

    from_um3: float
    segments: int
    voxels: int
    orphans: int


class LargeSegment(Config):
    """One of the largest segments.

    Attributes
    ----------
    exits
        Places where it leaves the volume: connected parts of it on the volume's faces.
    branches, branch_points, ends, length_nm
        Of its skeleton.
    dangling_nm
        The ends that lie in tissue, away from the border: places zyx, nm.
    """

    id: int
    voxels: int
    exits: int
    length_nm: float
    branches: int
    branch_points: int
    ends: int
    dangling_nm: tuple[ZyxFloat, ...]


class Quality(Config):
    """What is measured of a segmentation without truth.

    Attributes
    ----------
    voxels, segmented
        Of the volume, and of segments.
    voxel_size_nm
        zyx.
    segments
        Their number.
    half
        The least number of segments that hold half of what is segmented.
    at_border
        Segments that touch the border.
    orphans, orphan_voxels
        Segments that do not, and their voxels.
    sizes
        From small to large.
    coarse_nm
        The voxels on which `largest` were measured, zyx.
    largest
        From large to small.
    """

    voxels: int
    segmented: int
    voxel_size_nm: ZyxFloat
    segments: int
    half: int
    at_border: int
    orphans: int
    orphan_voxels: int
    sizes: tuple[SizeClass, ...]
    coarse_nm: ZyxFloat
    largest: tuple[LargeSegment, ...]

    @property
    def dangling(self) -> int:
        """Dangling ends of the largest segments."""
        return sum(len(segment.dangling_nm) for segment in self.largest)

    @property
    def orphan_share(self) -> float:
        """Share of the segmented voxels that are of orphans."""
        return self.orphan_voxels / max(self.segmented, 1)

    def to_um3(self, voxels: int) -> float:
        """Return the volume of voxels in µm³."""
        return float(voxels * np.prod(self.voxel_size_nm) / 1e9)


@dataclass(frozen=True)
class Inspected:
    """The quality of a run, and the shapes that it was measured on.

    Attributes
    ----------
    crops
        By id, those of `quality.largest`.
    """

    quality: Quality
    frame: Frame
    crops: dict[int, Crop] = field(default_factory=dict)


def inspect_plan(plan: Plan, largest: int = LARGEST, most_vx: int = MOST_VX) -> Inspected:
    """Measure the segmentation of a finished run.

    Sizes come from tables; voxels are read on the faces of the volume, where tissue ends, and in the blocks of the largest
    segments. Memory is some bytes a segment and `crops.MAX_VOXELS` bytes for each of the largest.

    Parameters
    ----------
    largest
        How many of the largest segments are traced.
    most_vx
        Fewer are, if they lie in blocks of more voxels than this.
    """
    segmentation, relabel = Volume.open(plan.output("relabel")), plan.task("relabel")
    tissue = open_tissue(plan.task("predict").inputs, segmentation, lost_sections=True)
    sizes = gather_sizes(plan, segmentation, tissue)
    rows = sizes.rank()[:largest]
    held = find_blocks(Lut.open(plan.folder("components")), relabel.grid, sizes.id[rows].tolist(), most_vx)
    return inspect_volume(segmentation, relabel.grid.roi, sizes, held, tissue)


def find_blocks(lut: Lut, grid: BlockGrid, ids: Sequence[int], most_vx: int) -> Held:
    """Return the blocks that hold segments, and which: of as many, from the first on, as lie in blocks of `most_vx` voxels."""
    wanted, blocks = np.array(ids, np.uint64), {}
    for index in range(len(grid)):
        if len(found := np.intersect1d(lut.of_block(index), wanted)):
            blocks[index] = set(found.tolist())
    kept: set[int] = set()
    read: set[int] = set()
    for id_ in ids:
        more = read | {index for index, found in blocks.items() if id_ in found}
        if sum(grid.voxels(grid[index].write_roi) for index in more) > most_vx:
            break
        kept, read = kept | {id_}, more
    return [(grid[index].write_roi, sorted(blocks[index] & kept)) for index in sorted(read)]


def inspect_volume(segmentation: Volume, roi: Roi, sizes: Sizes, held: Held, tissue: Tissue | None = None) -> Inspected:
    """Measure a segmentation whose sizes are known.

    Parameters
    ----------
    roi
        What of it was segmented: its faces are the border.
    held
        The largest segments, and where they are.
    tissue
        Where it ends there is a border, too.
    """
    frame = Frame.plan(segmentation, roi)
    crops = cut_crops(segmentation, frame, held)
    ranked = {int(sizes.id[row]): int(sizes.voxels[row]) for row in sizes.rank()[: len(crops)]}
    large = [
        _measure(id_, ranked[id_], crops[id_], frame, segmentation, tissue)
        for id_ in track("skeletons of the largest segments", list(ranked))
    ]
    segmented = int(sizes.voxels.sum())
    quality = Quality(
        voxels=int(np.prod(np.array(roi.shape / segmentation.voxel_size))),
        segmented=segmented,
        voxel_size_nm=segmentation.voxel_size_nm,
        segments=len(sizes.id),
        half=int(np.searchsorted(np.cumsum(sizes.voxels[sizes.rank()]) * 2, segmented)) + 1 if segmented else 0,
        at_border=int(sizes.at_border.sum()),
        orphans=int((~sizes.at_border).sum()),
        orphan_voxels=int(sizes.voxels[~sizes.at_border].sum()),
        sizes=classify(sizes, segmentation.voxel_size_nm),
        coarse_nm=frame.voxel_size_nm,
        largest=tuple(large),
    )
    return Inspected(quality, frame, crops)


def classify(sizes: Sizes, voxel_size_nm: ZyxFloat) -> tuple[SizeClass, ...]:
    """Return the classes of sizes from that of the smallest segment to that of the largest."""
    if not len(sizes.id):
        return ()
    power = np.floor(np.log10(sizes.voxels * np.prod(voxel_size_nm) / 1e9) + 1e-9).astype(int)
    lowest = int(power.min())
    counts = [
        np.bincount(power - lowest, weights).astype(np.int64) for weights in (None, sizes.voxels, ~sizes.at_border)
    ]
    return tuple(
        SizeClass(from_um3=float(f"1e{lowest + step}"), segments=segments, voxels=voxels, orphans=orphans)
        for step, (segments, voxels, orphans) in enumerate(zip(*(count.tolist() for count in counts), strict=True))
    )


def _measure(
    id_: int, voxels: int, crop: Crop, frame: Frame, segmentation: Volume, tissue: Tissue | None
) -> LargeSegment:
    branching = measure_branches(trace(crop.mask, frame.voxel_nm, crop.begin))
    dangling = [end for end in branching.ends if not _is_near_border(end, frame, segmentation, tissue)]
    corner_nm = np.array(frame.roi.begin) / segmentation.units_per_nm
    return LargeSegment(
        id=id_,
        voxels=voxels,
        exits=count_exits(crop, frame),
        length_nm=round(branching.length_nm, 3),
        branches=branching.branches,
        branch_points=branching.branch_points,
        ends=len(branching.ends),
        dangling_nm=tuple(_to_zyx(end + corner_nm) for end in dangling),
    )


def count_exits(crop: Crop, frame: Frame) -> int:
    """Return how many connected parts of a segment lie on the faces of the volume; one at an edge is on both faces."""
    import cc3d

    places = [np.arange(n) + first for n, first in zip(crop.mask.shape, crop.begin.tolist(), strict=True)]
    z, y, x = ((at == 0) | (at == last - 1) for at, last in zip(places, frame.shape.tolist(), strict=True))
    outside = z[:, None, None] | y[:, None] | x
    return int(cc3d.connected_components(crop.mask & outside, connectivity=26).max())


def _is_near_border(place_nm: np.ndarray, frame: Frame, segmentation: Volume, tissue: Tissue | None) -> bool:
    """Tell whether a place (zyx from the volume's corner) lies near a face of the volume or near what is no tissue."""
    near_nm = np.maximum(NEAR_NM, NEAR_VOXELS * frame.voxel_nm)
    if (place_nm <= near_nm).any() or (place_nm >= frame.size_nm - near_nm).any():
        return True
    if tissue is None:
        return False
    voxel_nm = np.array(segmentation.voxel_size_nm)
    first, last = np.floor((place_nm - near_nm) / voxel_nm), np.ceil((place_nm + near_nm) / voxel_nm)
    begin, step = frame.roi.begin + Coordinate(first.astype(int)) * segmentation.voxel_size, segmentation.voxel_size
    around = Roi(begin, Coordinate((last - first).astype(int)) * step).intersect(frame.roi)
    return not tissue.read(around).all()


def _to_zyx(place: np.ndarray) -> ZyxFloat:
    z, y, x = (round(float(axis), 3) for axis in place)
    return z, y, x
