"""What several networks predict together: the mean of their affinities, each in the symmetries of a section if that is wanted."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from funlib.geometry import Roi

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.config import Zyx
from neuroadda.prediction.augmented import AugmentedPredictor
from neuroadda.prediction.members import find_shared, share_offsets
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.prediction.symmetries import Symmetry, list_symmetries
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.filling import FilledVolume


def make_predictors(
    backbones: Sequence[Backbone], parameters: Predict, tiles_vx: Sequence[Zyx], rounded: bool = True
) -> list[Predictor]:
    """Return networks, ready, each with a tile of its own."""
    return [
        Predictor(backbone, parameters.model_copy(update={"tile_vx": tile_vx}), rounded)
        for backbone, tile_vx in zip(backbones, tiles_vx, strict=True)
    ]


class Ensemble:
    """One network or several, and the mean of what they predict, rounded in the end.

    They run one after another: what is held at a time is a pass of one, beside the weights of all.

    Parameters
    ----------
    parameters
        Resolved.
    voxel_size
        Of the volumes, zyx.

    Attributes
    ----------
    offsets
        Of the channels; see `share_offsets`.
    """

    def __init__(self, backbones: Sequence[Backbone], parameters: Predict, voxel_size: Sequence[float]) -> None:
        cards = [backbone.card for backbone in backbones]
        self.offsets = share_offsets(cards)
        symmetries = [Symmetry()] if parameters.augment == "none" else list_symmetries(voxel_size)
        predictors = make_predictors(backbones, parameters, parameters.list_tiles(), rounded=False)
        self._members = [AugmentedPredictor(p, c, symmetries) for p, c in zip(predictors, cards, strict=True)]
        self._channels = [[card.predicted_offsets.index(offset) for offset in self.offsets] for card in cards]
        shared = find_shared(cards)
        self._unknown = [n for n, offset in enumerate(self.offsets) if offset not in shared]

    def __call__(self, seen: Sequence[Volume | FilledVolume], roi: Roi) -> tuple[np.ndarray, list[Counter[Zyx]]]:
        """Return the affinities of `roi` (uint8, czyx), and of each network the number of tiles by their shape.

        Parameters
        ----------
        seen
            The volume as each network is to see it.
        """
        shape, passed = roi.shape / seen[0].voxel_size, []
        total = np.zeros((len(self.offsets), *shape), np.float32)
        for member, channels, volume in zip(self._members, self._channels, seen, strict=True):
            affs, tiles = member.average(volume, roi)
            passed.append(tiles)
            for own, channel in zip(total, channels, strict=True):
                own += affs[channel] / np.float32(len(self._members))
        total[self._unknown] = 0
        return total.round().astype(np.uint8), passed


def predict_roi(backbone: Backbone, parameters: Predict, raw: Volume | FilledVolume, roi: Roi) -> np.ndarray:
    """Return the affinities (uint8, czyx) of a ROI as the stage of these parameters, which are resolved, makes them."""
    if parameters.augment == "none":
        return Predictor(backbone, parameters)(raw, roi)[0]
    return Ensemble([backbone], parameters, raw.voxel_size)([raw], roi)[0]
