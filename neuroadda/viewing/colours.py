"""Which colour an id has: the same in every slice, run and picture."""

from dataclasses import dataclass

import numpy as np
from matplotlib.colors import hsv_to_rgb

from neuroadda.evaluation.contingency import Contingency


@dataclass(frozen=True)
class Palette:
    """Colours of ids: by their hash, or by the truth that segments stand for.

    Attributes
    ----------
    seed
        Another seed, other colours.
    overlaps
        If given, ids are those of segments, and each has the colour of the truth label it shares most voxels with; all
        but the largest segment of a label in a lighter or darker shade of it, so that splits show as well as mergers.
    """

    seed: int = 0
    overlaps: Contingency | None = None

    def colours(self, ids: np.ndarray) -> np.ndarray:
        """Return uint8[n, 3], red, green and blue, of ids (uint64[n]). What 0 gets is not meant to be seen."""
        if self.overlaps is None:
            return _hash_colours(ids, self.seed)
        label_of = dict(zip(*(column.tolist() for column in self.overlaps.main_labels()), strict=True))
        main_of = dict(zip(*(column.tolist() for column in self.overlaps.main_segments()), strict=True))
        labels = np.array([label_of.get(segment, 0) for segment in ids.tolist()], np.uint64)
        mains = np.array([main_of.get(label, 0) for label in labels.tolist()], np.uint64)
        colours = _hash_colours(labels, self.seed)
        shade = np.where(_hash(ids, self.seed) & np.uint64(1), 255, 0)[:, None]
        colours = np.where((mains == ids)[:, None], colours, (colours * 0.55 + shade * 0.45).astype(np.uint8))
        return np.where((labels == 0)[:, None], _hash_colours(ids, self.seed), colours)


def _hash_colours(ids: np.ndarray, seed: int) -> np.ndarray:
    bits = _hash(ids, seed)
    hue = (bits >> np.uint64(40)) / 2**24
    saturation = 0.55 + 0.45 * ((bits >> np.uint64(20)) & np.uint64(0xFFFF)) / 2**16
    value = 0.7 + 0.3 * (bits & np.uint64(0xFFFF)) / 2**16
    rgb = hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))
    return np.round(rgb * 255).astype(np.uint8)


def _hash(ids: np.ndarray, seed: int) -> np.ndarray:
    """Mix the bits of ids: the finaliser of SplitMix64 (Steele et al. 2014)."""
    bits = ids.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
