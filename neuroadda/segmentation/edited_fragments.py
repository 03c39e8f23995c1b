"""The fragments that edits are of: by id, or looked up at a point."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.task import Task
from neuroadda.config import ZyxFloat, load_config_file, parse_config
from neuroadda.errors import UserError
from neuroadda.segmentation.conflicts import Pair, refuse_conflicts
from neuroadda.segmentation.edits import Edit, Edits
from neuroadda.volumes.arrays import Volume, describe_roi

EDITS, FRAGMENTS = "edits", "fragments"


def find_fragment(fragments: Volume, point: ZyxFloat, where: str) -> int:
    """Return the id of the fragment at a point (zyx, nm).

    Raises
    ------
    UserError
        If the point is outside, or in the background; `where` says which point it is.
    """
    told = ",".join(f"{p:g}" for p in point)
    if not all(map(math.isfinite, point)):
        raise UserError(f"the point {told} is no place", where, "z,y,x in nm")
    place = [p * fragments.units_per_nm for p in point]
    begin, end, size = fragments.roi.begin, fragments.roi.end, fragments.voxel_size
    if not all(b <= p < e for b, p, e in zip(begin, place, end, strict=True)):
        raise UserError(f"the point {told} is outside {describe_roi(fragments.roi)}", where, "z,y,x in nm")
    corner = [b + int((p - b) // s) * s for b, p, s in zip(begin, place, size, strict=True)]
    found = int(fragments.read(Roi(Coordinate(corner), size)).item())
    if found == 0:
        raise UserError(f"the point {told} is in the background", where, "give a point inside a fragment")
    return found


def find_pair(edit: Edit, fragments: Volume, content: str) -> Pair:
    """Return the fragments of an edit, looked up at its points if those with its ids were made again.

    Parameters
    ----------
    content
        Fingerprint of the fragments.

    Raises
    ------
    UserError
        If there is no fragment at a point, or that of both is one that should be split.
    """
    if edit.is_of(content):
        return edit.fragments
    where = f"{edit.describe()}, which is stale"
    if edit.points is None:
        raise UserError(
            "its fragments were made again, and it has no points", where, "undo it, and decide it by points"
        )
    first, second = (find_fragment(fragments, point, where) for point in edit.points)
    if edit.kind == "split" and first == second:
        raise UserError(describe_whole(first), where, "undo it, or make smaller fragments")
    return first, second


def describe_whole(fragment: int) -> str:
    """Return why a fragment cannot be split."""
    return f"both points are in fragment {fragment}: edits merge and split segments, not fragments"


def find_pairs(edits: Sequence[Edit], fragments: Volume, content: str) -> dict[int, Pair]:
    """Return `find_pair` of every edit, by id."""
    return {edit.id: find_pair(edit, fragments, content) for edit in edits}


def read_pairs(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return merges and splits, uint64 of shape (n, 2), of the edits that a task takes.

    Raises
    ------
    UserError
        If they contradict each other, are of fragments that are no longer there, or are others than the task was planned with.
    """
    path, content = Path(task.inputs[EDITS]), task.input_fingerprints[FRAGMENTS]
    edits = parse_config(Edits, load_config_file(path), str(path))
    if edits.digest(content) != task.input_fingerprints[EDITS]:
        raise UserError("the edits were changed while they were applied", str(path), "run it again")
    pairs = find_pairs(edits.edits, Volume.open(task.inputs[FRAGMENTS]), content)
    refuse_conflicts(edits.edits, pairs)
    return _to_array(edits.edits, pairs, "merge"), _to_array(edits.edits, pairs, "split")


def _to_array(edits: Sequence[Edit], pairs: Mapping[int, Pair], kind: str) -> np.ndarray:
    return np.array([pairs[edit.id] for edit in edits if edit.kind == kind], np.uint64).reshape(-1, 2)
