"""Where there is tissue, by a stage's inputs: its mask, and where raw has data."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.filling import LOST_SECTIONS, Data, FilledVolume, find_lost_sections
from neuroadda.volumes.coverage.masks import Mask

MASK, NO_DATA = "mask", "no_data"
"""Names of the inputs."""


@dataclass(frozen=True)
class Tissue:
    """Several masks as one: tissue is where all of them have it."""

    parts: tuple[Data, ...]

    def read(self, roi: Roi) -> np.ndarray:
        """Return bool for each voxel of `roi`, in the world units of raw: is it tissue?"""
        return np.asarray(np.logical_and.reduce([part.read(roi) for part in self.parts]))


@dataclass(frozen=True)
class WithLostSections:
    """Where there is data, or few sections of it were lost and `FilledVolume` fills them.

    Attributes
    ----------
    roi
        Where `data` tells.
    """

    data: Data
    voxel_size: Coordinate
    roi: Roi

    def read(self, roi: Roi) -> np.ndarray:
        """Return bool for each voxel of `roi`, in the world units of raw."""
        margin = Coordinate(LOST_SECTIONS, 0, 0) * self.voxel_size
        wider = roi.grow(margin, margin).intersect(self.roi)
        known = self.data.read(wider)
        known |= find_lost_sections(known)
        return known[((roi - wider.begin) / self.voxel_size).to_slices()]


def open_tissue(inputs: Mapping[str, str], raw: Volume, *, lost_sections: bool = False) -> Tissue | None:
    """Open what the inputs of a task say of where tissue is; None where they say nothing.

    Parameters
    ----------
    raw
        Or what is derived from it voxel by voxel.
    lost_sections
        Count few lost sections as tissue, since a network sees them filled.
    """
    parts: list[Data] = [Mask.open(inputs[MASK], raw)] if MASK in inputs else []
    if NO_DATA in inputs:
        data = Mask.open(inputs[NO_DATA], raw)
        parts.append(WithLostSections(data, data.voxel_size, data.roi) if lost_sections else data)
    return Tissue(tuple(parts)) if parts else None


def open_filled(inputs: Mapping[str, str], raw: Volume, reach_vx: Coordinate) -> Volume | FilledVolume:
    """Return raw as a network that sees `reach_vx` around a voxel is to see it."""
    return FilledVolume(raw, Mask.open(inputs[NO_DATA], raw), reach_vx) if NO_DATA in inputs else raw
