"""What is wrong with whole sections: blank ones, ones that repeat that before, jumps. Sums are of whole numbers, box by box."""

from dataclasses import dataclass

import numpy as np

from neuroadda.volumes.coverage.no_data import mark_cells

SAMPLE_VX = 8
FEWEST_SAMPLES, FEWEST_PAIRS = 64, 8
JUMP_DEVIATIONS, JUMP_RATIO = 3.0, 0.6
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class SectionFaults:
    """Sections by their index (z, from 0).

    Attributes
    ----------
    blank
        No voxel has data.
    repeated
        Equal to the section before, voxel by voxel, and not blank.
    jumped
        Less like the section before than sections of this volume are: a jump of the alignment, or a bad section.
    """

    blank: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    jumped: tuple[int, ...] = ()


class SectionStatistics:
    """What boxes of a volume say of some of its sections, added in any order.

    Boxes that begin on multiples of `SAMPLE_VX` all give the same sums. Memory is some 60 bytes a section.

    Parameters
    ----------
    sections
        Their indices in the volume.
    """

    def __init__(self, sections: slice) -> None:
        depth = sections.stop - sections.start
        self._first = sections.start
        self._with_data = np.zeros(depth, bool)
        self._equal = np.ones(depth, bool)
        self._sums = np.zeros((6, depth), np.int64)  # n, a, b, aa, bb, ab of the pair (z - 1, z)

    def count(self, voxels: np.ndarray, found: np.ndarray) -> None:
        """Count the voxels of a box of all these sections (zyx), and which have no data, and compare each with the one before."""
        if found.all() and voxels.min() == voxels.max():
            return  # as where nothing is stored: sections without data that are equal
        self._with_data |= ~found.all(axis=(1, 2))
        self.compare(voxels, found, self._first + 1)

    def compare(self, voxels: np.ndarray, found: np.ndarray, second: int) -> None:
        """Compare sections that follow each other, and of which voxels have no data (zyx); `second` is the index of the second."""
        samples = _sample(voxels)
        known = ~mark_cells(found, SAMPLE_VX)[:, : samples.shape[1], : samples.shape[2]]
        own = slice(second - self._first, second - self._first + len(voxels) - 1)
        for i, z in enumerate(range(own.start, own.stop), start=1):
            self._equal[z] &= np.array_equal(samples[i - 1], samples[i]) and np.array_equal(voxels[i - 1], voxels[i])
        both = known[1:] & known[:-1]
        a, b = (np.where(both, s, 0).astype(np.int64) for s in (samples[:-1], samples[1:]))
        for row, values in enumerate((both, a, b, a * a, b * b, a * b)):
            self._sums[row, own] += values.sum(axis=(1, 2), dtype=np.int64)

    def take_as_different(self, section: int) -> None:
        """Take a section, by its index in the volume, for another than the one before."""
        self._equal[section - self._first] = False

    def take_as_data(self) -> None:
        """Take a box of all these sections for data that could not be read."""
        self._with_data[:] = True
        self._equal[:] = False

    def add(self, other: "SectionStatistics") -> None:
        """Add what another box says of some of these sections."""
        first = other._first - self._first
        own = slice(first, first + len(other._equal))
        self._with_data[own] |= other._with_data
        self._equal[own] &= other._equal
        self._sums[:, own] += other._sums

    def find_faults(self) -> SectionFaults:
        """Return the faults of the sections, once every box was added."""
        blank = ~self._with_data
        repeated = self._equal & ~blank
        repeated[:1] = False
        wrong = (blank, repeated, self._find_jumps(repeated))
        return SectionFaults(*(tuple((self._first + np.flatnonzero(w)).tolist()) for w in wrong))

    def _find_jumps(self, repeated: np.ndarray) -> np.ndarray:
        n, a, b, aa, bb, ab = self._sums.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = (n * ab - a * b) / np.sqrt((n * aa - a * a) * (n * bb - b * b))
        known = np.isfinite(correlation) & (n >= FEWEST_SAMPLES) & ~repeated
        if known.sum() < FEWEST_PAIRS:
            return np.zeros(len(known), bool)
        middle = np.median(correlation[known])
        sigma = MAD_TO_SIGMA * np.median(np.abs(correlation[known] - middle))
        return known & (correlation < middle - JUMP_DEVIATIONS * sigma) & (correlation < JUMP_RATIO * middle)


def _sample(voxels: np.ndarray) -> np.ndarray:
    """Return sums of four of each 8 x 8 voxels of a section, less noisy than one: uint16, zyx."""
    starts = (0, SAMPLE_VX // 2)
    corners = [voxels[:, y::SAMPLE_VX, x::SAMPLE_VX] for y in starts for x in starts]
    size_y, size_x = corners[-1].shape[1:]
    return np.stack([corner[:, :size_y, :size_x] for corner in corners]).sum(axis=0, dtype=np.uint16)
