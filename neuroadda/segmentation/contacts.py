"""Statistics of the affinities between touching fragments, exact for the whole volume.

Ownership: the affinity at voxel p for the offset (-1, 0, 0), (0, -1, 0) or (0, 0, -1) speaks of the pair (p + offset, p), and
belongs to the block that holds p. A fragment lies in one block, and along one axis p is always in the higher of two blocks, so
all affinities between two given fragments belong to one block: a contact has one owner, and its statistics need no merging.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from neuroadda.config import Zyx
from neuroadda.kernels.edges import add_up

FULL = 255  # the uint8 of affinity 1


@dataclass(frozen=True)
class Contacts:
    """Contacts of two fragments as columns, sorted by (u, v).

    Attributes
    ----------
    u, v
        uint64 fragment ids, u < v.
    sum, squares
        int64, sums of the uint8 affinities between them, and of their squares.
    count
        int64, number of affinities.
    quantiles
        int64, by percent: of n affinities in ascending order, the one that q n // 100 precede (waterz' rule), at most the last.
    """

    u: np.ndarray
    v: np.ndarray
    sum: np.ndarray
    squares: np.ndarray
    count: np.ndarray
    quantiles: dict[int, np.ndarray]


def collect_contacts(
    affs: np.ndarray, fragments: np.ndarray, low: Zyx = (0, 0, 0), quantiles: Iterable[int] = ()
) -> Contacts:
    """Return the contacts of the voxels of a block.

    Parameters
    ----------
    affs
        uint8, or uint16 of another scale, shape (3, z, y, x): those of the block's voxels to their neighbours below in z, y, x.
    fragments
        Shape (z + low_z, y + low_y, x + low_x): the block's fragments, preceded along each axis by `low` (0 or 1) voxels of the
        neighbours.
    quantiles
        Percents, 0 to 100, that are wanted.
    """
    percents = tuple(quantiles)
    rows = add_up(np.ascontiguousarray(affs), np.ascontiguousarray(fragments, np.uint64), low, percents)
    u, v, total, count, squares, *found = (column.copy() for column in rows[np.lexsort((rows[:, 1], rows[:, 0]))].T)
    return Contacts(
        u.astype(np.uint64), v.astype(np.uint64), total, squares, count, dict(zip(percents, found, strict=True))
    )


def mark_as_one(contacts: Contacts, u: np.ndarray, v: np.ndarray) -> None:
    """Take all affinities between the pairs (u, v) for 1: they are pieces of one fragment, and join first."""
    cut = is_pair_of(contacts.u, contacts.v, u, v)
    contacts.sum[cut] = FULL * contacts.count[cut]
    contacts.squares[cut] = FULL**2 * contacts.count[cut]
    for values in contacts.quantiles.values():
        values[cut] = FULL


def is_pair_of(u: np.ndarray, v: np.ndarray, among_u: np.ndarray, among_v: np.ndarray) -> np.ndarray:
    """Return bool: which pairs (u, v) of uint64 ids are among others."""
    pairs, among = (
        np.stack(columns, axis=1).astype(np.uint64).view("V16").ravel() for columns in ((u, v), (among_u, among_v))
    )
    return np.isin(pairs, among)
