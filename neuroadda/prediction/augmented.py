"""Test-time augmentation: what a network predicts of a volume that is flipped and transposed in its sections.

A prediction of the turned volume is turned back. The affinity of voxel p for offset o speaks of the pair (p, p + o); a flip turns
its direction round, so that the pair is found at its other end, and a transposition makes it another channel's.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.card import Card
from neuroadda.config import Zyx
from neuroadda.prediction.predictor import Predictor
from neuroadda.prediction.symmetries import Symmetry
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.filling import FilledVolume


class AugmentedPredictor:
    """A predictor that sees a volume in symmetries of its sections.

    Each prediction is as if the whole volume had been turned on disk, so that it does not depend on the blocks either.

    Parameters
    ----------
    symmetries
        See `list_symmetries`; the first is that of the volume as it is.

    Attributes
    ----------
    offsets
        Those of the network's offsets that are its own in every symmetry; the channels of what is yielded.
    """

    def __init__(self, predictor: Predictor, card: Card, symmetries: Sequence[Symmetry]) -> None:
        self.predictor, self.card = predictor, card
        self._symmetries = symmetries
        self._found = {o: [_find(o, symmetry, card) for symmetry in self._symmetries] for o in card.offsets}
        self.offsets = tuple(o for o, sources in self._found.items() if None not in sources)

    def __call__(self, raw: Volume | FilledVolume, roi: Roi) -> Iterator[np.ndarray]:
        """Yield the prediction of `roi` (czyx, c as `offsets`) in each symmetry; first that of the volume as it is."""
        for i in range(len(self._symmetries)):
            yield np.stack(self._see(raw, roi, i, self.offsets)[0])

    def average(self, raw: Volume | FilledVolume, roi: Roi) -> tuple[np.ndarray, Counter[Zyx]]:
        """Return the mean prediction of `roi` (float32, of all the card's `predicted_offsets`) and the tiles by their shape.

        Each channel is the mean of the symmetries in which there is one that speaks for it.
        """
        card, tiles = self.card, Counter[Zyx]()
        total = np.zeros((len(card.predicted_offsets), *(roi.shape / raw.voxel_size)), np.float32)
        for i in range(len(self._symmetries)):
            known = [o for o in card.offsets if self._found[o][i] is not None]
            members, passed = self._see(raw, roi, i, known)
            tiles += passed
            for offset, member in zip(known, members, strict=True):
                count = len(self._symmetries) - self._found[offset].count(None)
                total[card.predicted_offsets.index(offset)] += member / np.float32(count)
        return total, tiles

    def _see(
        self, raw: Volume | FilledVolume, roi: Roi, i: int, offsets: Sequence[Zyx]
    ) -> tuple[list[np.ndarray], Counter[Zyx]]:
        """Return the channels (zyx) of some offsets in a symmetry, turned back."""
        shape, symmetry = roi.shape / raw.voxel_size, self._symmetries[i]
        sources = [source for o in offsets if (source := self._found[o][i]) is not None]
        shifts = np.array([(0, 0, 0), *(shift for _, shift in sources)])
        below, above = Coordinate(-shifts.min(axis=0)), Coordinate(shifts.max(axis=0))
        view = _View(raw, symmetry)
        wider = view.turn(roi.grow(below * raw.voxel_size, above * raw.voxel_size))
        predicted, tiles = self.predictor(cast(Volume, view), wider)
        affs = symmetry.undo(predicted)
        parts = [Roi(below + Coordinate(shift), shape).to_slices() for _, shift in sources]
        return [affs[channel][part] for (channel, _), part in zip(sources, parts, strict=True)], tiles


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
