"""Test-time augmentation: what a network predicts of a volume that is flipped and transposed in its sections.

A prediction of the turned volume is turned back. The affinity of voxel p for offset o speaks of the pair (p, p + o); a flip turns
its direction round, so that the pair is found at its other end, and a transposition makes it another channel's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import cast

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.card import Card
from neuroadda.config import Zyx
from neuroadda.prediction.predictor import Predictor
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.filling import FilledVolume


@dataclass(frozen=True)
class Symmetry:
    """A symmetry of the section: flips first, then the transposition."""

    flip_y: bool = False
    flip_x: bool = False
    transpose: bool = False

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Return an array (..., y, x) turned."""
        turned = np.flip(array, self._axes)
        return np.ascontiguousarray(turned.swapaxes(-2, -1) if self.transpose else turned)

    def undo(self, array: np.ndarray) -> np.ndarray:
        """Return a turned array (..., y, x) as it was."""
        return np.flip(array.swapaxes(-2, -1) if self.transpose else array, self._axes)

    def turn(self, offset: Zyx) -> Zyx:
        """Return an offset (zyx) turned."""
        z, y, x = offset[0], -offset[1] if self.flip_y else offset[1], -offset[2] if self.flip_x else offset[2]
        return (z, x, y) if self.transpose else (z, y, x)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(axis for axis, flipped in ((-2, self.flip_y), (-1, self.flip_x)) if flipped)


class AugmentedPredictor:
    """A predictor that sees a volume in every symmetry of its sections.

    Flips and, where voxels are square in the section, transpositions: 4 or 8 predictions, each as if the whole volume had
    been turned on disk, so that they do not depend on the blocks either.

    Attributes
    ----------
    offsets
        Those of the network's offsets that are its own in every symmetry; the channels of what is returned.
    """

    def __init__(self, predictor: Predictor, card: Card, voxel_size: Coordinate) -> None:
        transpositions = (False, True) if voxel_size[1] == voxel_size[2] else (False,)
        symmetries = [Symmetry(*flags) for flags in product((False, True), (False, True), transpositions)]
        self.predictor = predictor
        found = {o: [_find(o, symmetry, card) for symmetry in symmetries] for o in card.offsets}
        self.offsets = tuple(o for o, sources in found.items() if None not in sources)
        self._plans = [
            (symmetry, [source for o in self.offsets if (source := found[o][i]) is not None])
            for i, symmetry in enumerate(symmetries)
        ]

    def __call__(self, raw: Volume | FilledVolume, roi: Roi) -> Iterator[np.ndarray]:
        """Yield the prediction of `roi` (uint8, czyx, c as `offsets`) in each symmetry; first that of the volume as it is."""
        shape = roi.shape / raw.voxel_size
        for symmetry, sources in self._plans:
            shifts = np.array([(0, 0, 0), *(shift for _, shift in sources)])
            below, above = Coordinate(-shifts.min(axis=0)), Coordinate(shifts.max(axis=0))
            view = _View(raw, symmetry)
            wider = view.turn(roi.grow(below * raw.voxel_size, above * raw.voxel_size))
            affs = symmetry.undo(self.predictor(cast(Volume, view), wider)[0])
            parts = [Roi(below + Coordinate(shift), shape).to_slices() for _, shift in sources]
            yield np.stack([affs[channel][part] for (channel, _), part in zip(sources, parts, strict=True)])


def _find(offset: Zyx, symmetry: Symmetry, card: Card) -> tuple[int, Zyx] | None:
    """Return the channel of the turned prediction in which an offset's affinities lie, and how far from their voxels."""
    z, y, x = symmetry.turn(offset)
    for turned, shift in (((z, y, x), (0, 0, 0)), ((-z, -y, -x), offset)):
        if turned in card.offsets:
            return card.predicted_offsets.index(turned), shift
    return None


class _View:
    """A turned volume, as far as a `Predictor` looks at it; flips are about the volume's middle."""

    def __init__(self, volume: Volume | FilledVolume, symmetry: Symmetry) -> None:
        self.volume, self.symmetry = volume, symmetry
        self.voxel_size, self.roi = volume.voxel_size, self.turn(volume.roi)  # square where transposed

    def turn(self, roi: Roi) -> Roi:
        flipped = self._flip(roi)
        return _swap(flipped) if self.symmetry.transpose else flipped

    def read_mirrored(self, roi: Roi) -> np.ndarray:
        own = self._flip(_swap(roi) if self.symmetry.transpose else roi)
        return self.symmetry.apply(self.volume.read_mirrored(own))

    def _flip(self, roi: Roi) -> Roi:
        whole = self.volume.roi
        flips = (False, self.symmetry.flip_y, self.symmetry.flip_x)
        mirrored = whole.begin + whole.end - roi.end
        return Roi(Coordinate(m if f else b for m, b, f in zip(mirrored, roi.begin, flips, strict=True)), roi.shape)


def _swap(roi: Roi) -> Roi:
    (z, y, x), (depth, height, width) = roi.begin, roi.shape
    return Roi((z, x, y), (depth, width, height))
