"""Which ids of labels are not neurons, and what becomes of them: the one rule for every place where labels come in or go out.

======================================  ==============================================================
id                                      what it means here
======================================  ==============================================================
0                                       background: the user says what it is (`background` in a config)
2^64 - 1, 2^64 - 2, 2^64 - 3            not labelled: transparent, invalid, outside in Paintera and BigCAT
2^32 - 1, 2^32 - 2, 2^32 - 3            the same, as they are in arrays of uint32
below 0                                 refused: tools disagree on what they mean
======================================  ==============================================================

What is not labelled is neither scored nor trained on, whatever `background` says. Where labels are rewritten (import, export), it
becomes 0, and the attribute ``unlabelled_voxels`` says how many voxels did: in such labels 0 is not trained on either.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from funlib.geometry import Roi

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume

MEANINGS = ("transparent", "invalid", "outside")
RESERVED = {2**bits - 1 - index: meaning for bits in (64, 32) for index, meaning in enumerate(MEANINGS)}
UNLABELLED_VOXELS = "unlabelled_voxels"


def clean_ids(ids: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return ids as uint64, with 0 where nothing is labelled, and where that is.

    Parameters
    ----------
    ids
        Integers or bool, of any shape.
    where
        What holds them, for error messages.

    Returns
    -------
    ids, unlabelled
        uint64, and bool of the same shape; None if no id is reserved.

    Raises
    ------
    UserError
        If an id is negative, or they are no integers.
    """
    if ids.dtype.kind not in "biu":
        raise UserError(f"ids of type {ids.dtype}", where, "integers are expected")
    if not ids.size:
        return ids.astype(np.uint64), None
    if ids.dtype.kind == "i" and (lowest := ids.min()) < 0:
        raise negative_ids(int(lowest), where)
    clean = ids.astype(np.uint64, copy=False)
    if ids.dtype.itemsize < 4 or clean.max() < min(RESERVED):
        return clean, None
    unlabelled = np.isin(clean, np.fromiter(RESERVED, np.uint64, len(RESERVED)))
    if not unlabelled.any():
        return clean, None
    return np.where(unlabelled, np.uint64(0), clean), unlabelled


def negative_ids(lowest: int, where: str) -> UserError:
    """Return the error for labels with negative ids."""
    right = 'ids start at 1: write 0 where nothing is labelled, and set background = "ignore" to train on them'
    return UserError(f"there are negative ids ({lowest})", where, right)


def read_ids(volume: Volume, roi: Roi) -> np.ndarray:
    """Return the ids of a world ROI as uint64, 0 where nothing is labelled; raise UserError if one is negative."""
    return clean_ids(volume.read(roi), str(volume.path))[0]


def count_unlabelled(attrs: Mapping[str, Any]) -> int:
    """Return by the attributes of labels how many of their voxels became 0 because nothing was labelled there."""
    count = attrs.get(UNLABELLED_VOXELS)
    return count if isinstance(count, int) else 0


def describe_unlabelled(count: int) -> dict[str, int]:
    """Return the attribute that `count_unlabelled` reads; none for 0 voxels."""
    return {UNLABELLED_VOXELS: count} if count else {}
