"""The symmetries of a section, in which a network may see a volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from neuroadda.config import Zyx


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
