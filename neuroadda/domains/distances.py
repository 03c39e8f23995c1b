"""How far domains are from each other: a checked matrix, and how it is made of embeddings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import squareform

from neuroadda.errors import UserError


@dataclass(frozen=True, eq=False)
class DistanceMatrix:
    """Distances between named things.

    Attributes
    ----------
    names
        Unique, n of them.
    values
        float64[n, n]: symmetric, finite, not negative, zero on the diagonal.

    Raises
    ------
    UserError
        If it is not such a matrix.
    """

    names: tuple[str, ...]
    values: np.ndarray

    def __post_init__(self) -> None:
        values = np.array(self.values, np.float64)
        n = len(self.names)
        if values.shape != (n, n):
            raise UserError(f"shape {values.shape} for {n} names", "distance matrix")
        if not all(self.names) or len(set(self.names)) < n:
            raise UserError("a name is empty or repeated", "distance matrix", f"names: {', '.join(self.names)}")
        if not np.isfinite(values).all() or (values < 0).any():
            raise UserError("a distance is negative or not finite", "distance matrix")
        if np.diagonal(values).any() or not np.allclose(values, values.T, rtol=1e-9, atol=1e-12):
            raise UserError("it is not symmetric with a zero diagonal", "distance matrix")
        values = (values + values.T) / 2
        values.flags.writeable = False
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "values", values)

    @classmethod
    def from_mmd2(cls, names: Sequence[str], mmd2: np.ndarray) -> "DistanceMatrix":
        """Return ``sqrt(max(mmd2, 0))`` of a symmetric float[n, n]; its diagonal is ignored.

        MMD is the distance of two mean embeddings in the kernel's Hilbert space (Gretton et al. 2012, lemma 4), so it
        obeys the triangle inequality and can be averaged along a tree; its square does not. The unbiased estimate of
        the square falls below zero where domains hardly differ: no distance, not a negative one.
        """
        values = np.sqrt(np.maximum(np.asarray(mmd2, np.float64), 0))
        np.fill_diagonal(values, 0)
        return cls(tuple(names), values)

    @property
    def condensed(self) -> np.ndarray:
        """float64[n (n - 1) / 2]: the upper triangle, row by row, as scipy has it."""
        return squareform(self.values, checks=False)

    def select(self, names: Iterable[str]) -> "DistanceMatrix":
        """Return the distances between some of the names, in the order given.

        Raises
        ------
        UserError
            If a name is unknown.
        """
        names = tuple(names)
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise UserError(f"{unknown[0]!r} is not in it", "distance matrix", f"names: {', '.join(self.names)}")
        rows = [self.names.index(name) for name in names]
        return DistanceMatrix(names, self.values[np.ix_(rows, rows)])

    def to_csv(self) -> str:
        """Return a table with names in its first row and column."""
        header = ["", *map(_cell, self.names)]
        rows = ([_cell(name), *(f"{v:.9g}" for v in row)] for name, row in zip(self.names, self.values, strict=True))
        return "".join(",".join(row) + "\n" for row in (header, *rows))


def scale_classically(matrix: DistanceMatrix, axes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Place names as points whose Euclidean distances come near the matrix's: classical scaling (Torgerson 1952).

    Returns
    -------
    points
        float64[n, axes], centred.
    shares
        float64[axes]: of the spread (the sum of positive eigenvalues), what each axis shows.
    """
    n = len(matrix.names)
    centring = np.eye(n) - 1 / n
    spread, directions = np.linalg.eigh(-0.5 * centring @ matrix.values**2 @ centring)
    spread, directions = np.maximum(spread[::-1], 0), directions[:, ::-1]
    directions = directions * np.where(
        directions[np.abs(directions).argmax(0), range(n)] < 0, -1, 1
    )  # same signs anywhere
    points = np.zeros((n, axes))
    points[:, : min(n, axes)] = (directions * np.sqrt(spread))[:, :axes]
    shares = np.zeros(axes)
    shares[: min(n, axes)] = spread[:axes] / (spread.sum() or 1)
    return points, shares


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text
