"""What of a volume a backbone has learned from: scores there are too good, so it is left out of them, or said beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from funlib.geometry import Roi

from neuroadda.backbones.card import Card
from neuroadda.volumes.arrays import Volume

LEAST_LEFT = 0.1  # of the labelled voxels: less than that tells nothing of the whole


def find_trained(card: Card, raw: Volume) -> list[Roi]:
    """Return which boxes of raw (world units) a backbone, and those it was fine-tuned from, were trained on, as its card tells."""
    found = [
        Roi(sample["offset"], sample["shape"])
        for sample in card.training_data
        if {"offset", "shape"} <= sample.keys() and _is_same(sample, raw)
    ]
    return [box for number, box in enumerate(found) if box not in found[:number]]


def meets(roi: Roi, others: Sequence[Roi]) -> bool:
    """Tell whether a ROI has something in common with one of others."""
    return any(not roi.intersect(other).empty for other in others)


def _is_same(sample: dict[str, Any], raw: Volume) -> bool:
    known = sample.get("raw_fingerprint") == raw.fingerprint
    return known or Path(str(sample.get("raw", ""))).resolve() == Path(str(raw.path)).resolve()


@dataclass(frozen=True)
class Trained:
    """How the boxes that a backbone was trained on count in a score.

    Attributes
    ----------
    boxes
        How many lie in what is scored.
    share
        Of the labelled voxels, which lie in them.
    left_out
        Whether they are left out; else next to nothing would be left.
    """

    boxes: int
    share: float
    left_out: bool

    def describe(self) -> str:
        """Return the end of a line that tells a score."""
        what = f"the {self.boxes} boxes" if self.boxes > 1 else "the box"
        told = f"that the backbone was trained on ({100 * self.share:.3g} % of what is labelled)"
        return f"without {what} {told}" if self.left_out else f"too good, as {what} {told} {_are(self.boxes)} in it"


def _are(count: int) -> str:
    return "are" if count > 1 else "is"


class LabelsWithout(Volume):
    """Labels in which boxes (world units) are not labelled."""

    def __init__(self, labels: Volume, boxes: Sequence[Roi]) -> None:
        super().__init__(labels.path, labels.data, labels._place, labels.says_offset)
        self._boxes = boxes

    def read(self, roi: Roi | None = None) -> np.ndarray:
        """Return the voxels of `roi`, 0 in the boxes."""
        roi = self.roi if roi is None else roi
        voxels = super().read(roi)
        for box in self._boxes:
            if not (both := box.intersect(roi)).empty:
                voxels[((both - roi.begin) / self.voxel_size).to_slices()] = 0
        return voxels
