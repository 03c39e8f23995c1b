"""Test-time augmentation: what a network predicts of a volume that is flipped and transposed in its sections.

A prediction of the turned volume is turned back. The affinity of voxel p for offset o speaks of the pair (p, p + o); a flip turns
its direction round, so that the pair is found at its other end, and a transposition makes it another channel's.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import cast

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.card import Card
from neuroadda.backbones.checkpoint import Backbone
from neuroadda.config import Zyx
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor, PredictorOutput
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


def list_symmetries(voxel_size: Sequence[float]) -> list[Symmetry]:
    """Return the symmetries of sections of a voxel size (zyx): transposed, too, where voxels are square."""
    transpositions = (False, True) if voxel_size[1] == voxel_size[2] else (False,)
    return [Symmetry(*flags) for flags in product((False, True), (False, True), transpositions)]


class AugmentedPredictor:
    """A predictor that sees a volume in every symmetry of its sections.

    Flips and, where voxels are square in the section, transpositions: 4 or 8 predictions, each as if the whole volume had
    been turned on disk, so that they do not depend on the blocks either.

    Attributes
    ----------
    offsets
        Those of the network's offsets that are its own in every symmetry; the channels of what is yielded.
    """

    def __init__(self, predictor: Predictor, card: Card, voxel_size: Sequence[float]) -> None:
        self.predictor, self.card = predictor, card
        self._symmetries = list_symmetries(voxel_size)
        self._found = {o: [_find(o, symmetry, card) for symmetry in self._symmetries] for o in card.offsets}
        self.offsets = tuple(o for o, sources in self._found.items() if None not in sources)

    def __call__(self, raw: Volume | FilledVolume, roi: Roi) -> Iterator[np.ndarray]:
        """Yield the prediction of `roi` (czyx, c as `offsets`) in each symmetry; first that of the volume as it is."""
        for i in range(len(self._symmetries)):
            yield np.stack(self._see(raw, roi, i, self.offsets)[0])

    def average(self, raw: Volume | FilledVolume, roi: Roi) -> PredictorOutput:
        """Return the mean prediction of `roi`, of all the card's `predicted_offsets`.

        Each channel is the mean of the symmetries in which there is one that speaks for it. It is rounded in the end if the
        predictor does not round.
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
        return PredictorOutput(torch.from_numpy(total.round().astype(np.uint8)), tiles, None)

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


def predict_roi(backbone: Backbone, parameters: Predict, raw: Volume | FilledVolume, roi: Roi) -> np.ndarray:
    """Return the affinities (uint8, czyx) of a ROI as the stage of these parameters, which are resolved, makes them."""
    if parameters.augment == "none":
        return Predictor(backbone, parameters)(raw, roi)[0]
    predictor = Predictor(backbone, parameters, rounded=False)
    return AugmentedPredictor(predictor, backbone.card, raw.voxel_size).average(raw, roi).wait()


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
