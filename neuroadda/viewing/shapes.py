"""Pictures of a run's largest segments in 3-D, and of the truth in the same places."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.evaluation.contingency import Contingency
from neuroadda.observing import track
from neuroadda.publishing.crops import Crop
from neuroadda.quality.crops import Frame, Held, cut_crops
from neuroadda.quality.measure import MOST_VX, Inspected, LargeSegment
from neuroadda.viewing.colours import Palette
from neuroadda.viewing.rendering import Surface, View, make_surface, render
from neuroadda.volumes.arrays import Volume

LEAST_SHARE, MOST_LABELS = 0.05, 4  # truth labels that are shown beside a segment: of its labelled voxels
LIGHTER = 0.2  # share of white: a dark blue is seen on the dark ground


@dataclass(frozen=True)
class ShapePicture:
    """A segment as uint8[y, x, 3], and the truth's segments of the same place, if there is truth."""

    segment: LargeSegment
    image: np.ndarray
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class Shapes:
    """Pictures from the largest segment on; `bar_nm` is the length of the scale bar in each."""

    pictures: list[ShapePicture]
    bar_nm: float

    @property
    def has_truth(self) -> bool:
        """Whether the truth is shown."""
        return any(one.truth is not None for one in self.pictures)


def draw_shapes(
    inspected: Inspected, labels: Volume | None = None, overlaps: Contingency | None = None, most_vx: int = MOST_VX
) -> Shapes:
    """Return the pictures of the segments whose shapes were measured, all in one view.

    Parameters
    ----------
    labels
        Truth, on the voxel grid of the segmentation.
    overlaps
        Of segments and truth: which labels are shown, and which colours segments have. Without it there is no truth.
    most_vx
        A truth of more voxels is left out.
    """
    frame, large = inspected.frame, inspected.quality.largest
    view = View.of(frame.size_nm[::-1])
    beside = {} if overlaps is None else find_labels(overlaps, [segment.id for segment in large])
    truth: dict[int, Crop] = {}
    if labels is not None and beside:
        truth = _cut_truth(labels, frame, sorted({label for found in beside.values() for label in found}), most_vx)
    colours, pictures = Palette(overlaps=overlaps), []
    for segment in track("pictures of the largest segments", large):
        image = _draw({segment.id: inspected.crops[segment.id]}, colours, frame, view)
        there = {label: truth[label] for label in beside[segment.id] if label in truth} if truth else {}
        pictures.append(ShapePicture(segment, image, _draw(there, Palette(), frame, view) if truth else None))
    return Shapes(pictures, view.bar_nm)


def find_labels(overlaps: Contingency, segments: list[int]) -> dict[int, list[int]]:
    """Return the truth labels of each segment, the largest first: up to `MOST_LABELS` of at least `LEAST_SHARE` of it."""
    found = {}
    for segment in segments:
        own = (overlaps.segments == np.uint64(segment)) & (overlaps.labels > 0)
        labels, counts = overlaps.labels[own], overlaps.counts[own]
        order = np.lexsort((labels, -counts))[:MOST_LABELS]
        found[segment] = labels[order][counts[order] >= LEAST_SHARE * counts.sum()].tolist()
    return found


def _cut_truth(labels: Volume, frame: Frame, ids: list[int], most_vx: int) -> dict[int, Crop]:
    both = labels.roi.intersect(frame.roi)
    grid = BlockGrid.make(both, labels.voxel_size, (128, 256, 256))
    held: Held = [(block.write_roi, ids) for block in grid.blocks()]
    return cut_crops(labels, frame, held) if grid.voxels() <= most_vx else {}


def _draw(crops: Mapping[int, Crop], colours: Palette, frame: Frame, view: View) -> np.ndarray:
    surfaces = []
    for id_, crop in crops.items():
        surface = make_surface(crop.mask, frame.voxel_nm, crop.begin)
        inside = Surface(np.clip(surface.vertices, 0, view.box_nm), surface.faces)  # coarse voxels may stick out
        colour = colours.colours(np.array([id_], np.uint64))[0]
        surfaces.append((inside, colour + LIGHTER * (255 - colour)))
    return render(surfaces, view)
