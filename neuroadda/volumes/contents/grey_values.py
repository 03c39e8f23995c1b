"""What raw shows: looked at in boxes spread over it before a long run reads it, as `label_checks` does for labels."""

from dataclasses import dataclass, field

import numpy as np

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.no_data import SIDE_VX, find_constant
from neuroadda.volumes.storage.locations import Location

LOW_CONTRAST = 24  # grey values between the 1st and the 99th percentile
BLANK_SHARE = 0.25
SMOOTH = 0.3  # of neighbouring voxels in a section differ 0.78 to 1 in raw, and 0.01 to 0.14 in labels (docs/check.md)
ROUGH = 0.5
FEWEST_PAIRS = 1000
INSIDE = ((True, True), (True, True))  # a box counts as a volume


def check_raw_type(raw: Volume) -> None:
    """Raise UserError unless a volume has the type of raw: uint8, zyx."""
    if raw.channels is not None or raw.dtype != np.uint8:
        what = f"raw is {raw.dtype} with {raw.data.ndim} axes"
        raise UserError(
            what, str(raw.path), "give uint8 with three axes (zyx), as `neuroadda import --kind raw` writes"
        )


def open_raw(path: Location | str) -> Volume:
    """Open an array as raw; raise UserError as `Volume.open` and `check_raw_type` do."""
    raw = Volume.open(path)
    check_raw_type(raw)
    return raw


@dataclass(eq=False)
class GreyTally:
    """What boxes of raw show.

    Attributes
    ----------
    voxels, blank
        Seen, and without data by the rule of `neuroadda.volumes.coverage.no_data`.
    """

    voxels: int = 0
    blank: int = 0
    _all: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))  # voxels of each value
    _shown: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))  # the same, of those with data
    _pairs: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int64))  # neighbours that differ, and all

    def add(self, voxels: np.ndarray, where: np.ndarray | None = None) -> None:
        """Count a box, uint8, zyx, or those voxels of it that are `where` (bool)."""
        sides = [max(2, min(SIDE_VX, size)) for size in voxels.shape[1:]]
        lost = find_constant(voxels, sides, INSIDE)
        chosen = np.ones(voxels.shape, bool) if where is None else where
        self.voxels += int(np.count_nonzero(chosen))
        self.blank += int(np.count_nonzero(lost & chosen))
        self._all += np.bincount(voxels[chosen], minlength=256)
        shown = chosen & ~lost
        self._shown += np.bincount(voxels[shown], minlength=256)
        both = shown[:, :, 1:] & shown[:, :, :-1]
        differ = (voxels[:, :, 1:] != voxels[:, :, :-1]) & both
        self._pairs += [np.count_nonzero(differ), np.count_nonzero(both)]

    @property
    def blank_share(self) -> float:
        """Share of the voxels that have no data."""
        return self.blank / max(1, self.voxels)

    @property
    def values(self) -> list[int]:
        """The values that are there, ascending."""
        return [int(value) for value in np.flatnonzero(self._all)]

    @property
    def contrast(self) -> tuple[int, int]:
        """The 1st and the 99th percentile of the voxels with data; of all, where none has."""
        counts = np.cumsum(self._shown if self._shown.any() else self._all)
        low, high = np.searchsorted(counts, np.array([0.01, 0.99]) * counts[-1])
        return int(low), int(high)

    @property
    def differing(self) -> float:
        """Share of the neighbours in a section, of voxels with data, that differ; 1 where there are none."""
        differ, pairs = self._pairs
        return float(differ / pairs) if pairs else 1.0

    @property
    def is_smooth(self) -> bool:
        """Whether neighbouring voxels are equal as often as in labels, never in raw."""
        return bool(self._pairs[1] >= FEWEST_PAIRS) and self.differing < SMOOTH

    @property
    def is_rough(self) -> bool:
        """Whether neighbouring voxels differ as often as in raw, never in labels."""
        return bool(self._pairs[1] >= FEWEST_PAIRS) and self.differing > ROUGH

    def doubts(self) -> list[tuple[str, str]]:
        """Return what is doubtful of boxes with more than one value: what it is, and its mend."""
        found, values, (low, high) = [], self.values, self.contrast
        share = self.blank_share
        if len(values) == 2:
            what = f"it has two values only, {values[0]} and {values[1]}"
            return [(what, "is it a mask? raw is grey")]
        if share >= BLANK_SHARE:
            what = f"{share:.0%} of the voxels looked at are blank: they lie in constant areas, without data"
            found.append((what, "give a mask, or a roi that holds tissue"))
        if self.is_smooth:
            what = f"{1 - self.differing:.0%} of neighbouring voxels are equal: it looks like labels, not like raw"
            found.append((what, "give raw; labels are for training and evaluation"))
        elif high - low < LOW_CONTRAST:
            what = f"98 % of its voxels are between {low} and {high} of 255"
            found.append((what, "stretch its contrast to 0..255, as networks were trained on"))
        return found
